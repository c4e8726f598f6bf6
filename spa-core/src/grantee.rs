//! For whom a door opens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

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
    /// The address, or the first of the prefix.
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Address(address) | Self::Prefix { first: address, .. } => address,
            Self::OnLink { address, .. } => IpAddr::V6(address),
        }
    }
}

impl Grantee {
    /// Whether it opens for packets from that address. Of a link-local address the interface is not asked.
    pub fn includes(self, address: IpAddr) -> bool {
        let begin_alike = |one: u128, other: u128, width: u8, bits: u8| {
            let tail = u32::from(width.saturating_sub(bits));
            (one ^ other).checked_shr(tail).unwrap_or(0) == 0
        };
        match (self, address) {
            (Self::Prefix { first: IpAddr::V4(first), bits }, IpAddr::V4(other)) => {
                begin_alike(first.to_bits().into(), other.to_bits().into(), 32, bits)
            }
            (Self::Prefix { first: IpAddr::V6(first), bits }, IpAddr::V6(other)) => {
                begin_alike(first.to_bits(), other.to_bits(), 128, bits)
            }
            (Self::Prefix { .. }, _) => false,
            (Self::Address(_) | Self::OnLink { .. }, _) => self.address() == address,
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
