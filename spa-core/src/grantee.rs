//! For whom a door opens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::prefix::PrefixLength;

/// For whom a door opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grantee {
    /// One address.
    Address(IpAddr),
    /// Every address that begins like this one: carriers share a few between many, and an IPv6 host changes its own.
    Prefix {
        /// The first of them: the bits behind the prefix are zero.
        first: IpAddr,
        /// Bits of the prefix, fewer than an address has.
        bits: u8,
    },
    /// An IPv6 link-local address, which means another host on every link.
    OnLink {
        /// In fe80::/10.
        address: Ipv6Addr,
        /// Index of the interface that leads to the link.
        interface: u32,
    },
}

impl Grantee {
    /// Whoever sent a packet with this source. `None` for a link-local one of which nobody knows by which interface it
    /// came: it could mean a host on any link.
    pub fn sender(source: IpAddr, interface: Option<NonZeroU32>) -> Option<Self> {
        match source {
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                Some(Self::OnLink { address, interface: interface?.get() })
            }
            _ => Some(Self::Address(source)),
        }
    }

    /// All addresses that begin with the first `bits` of `first`; `None` if a bit behind them is set, or if it is a single
    /// address.
    pub fn prefix(first: IpAddr, bits: u8) -> Option<Self> {
        let (value, width) = match first {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let behind = value.checked_shl(bits.into()).unwrap_or(0);
        (bits < width && behind == 0).then_some(Self::Prefix { first, bits })
    }

    /// Its length, if it is a prefix of one that may be granted anywhere.
    pub fn prefix_length(self) -> Option<PrefixLength> {
        match self {
            Self::Prefix { first, bits } => PrefixLength::of(first, bits),
            Self::Address(_) | Self::OnLink { .. } => None,
        }
    }

    /// The address, or the first of the prefix.
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Address(address) | Self::Prefix { first: address, .. } => address,
            Self::OnLink { address, .. } => IpAddr::V6(address),
        }
    }
}

impl From<IpAddr> for Grantee {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Prefix { first, bits } => write!(f, "{first}/{bits}"),
            Self::OnLink { address, interface } => write!(f, "{address}%{interface}"),
        }
    }
}
