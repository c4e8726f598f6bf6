//! For whom a door opens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;

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

    /// Index of the interface that leads to it, if it is an address of a link.
    pub const fn interface(self) -> Option<u32> {
        match self {
            Self::OnLink { interface, .. } => Some(interface),
            Self::Address(_) | Self::Prefix { .. } => None,
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

impl Grantee {
    /// Whether it opens for packets from that address. Of a link-local address the interface is not asked.
    pub fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Prefix { first, bits } => begins_with(address, (first, bits)),
            Self::Address(_) | Self::OnLink { .. } => self.address() == address,
        }
    }

    /// Whether some address is of both.
    pub fn meets(self, other: Self) -> bool {
        let (address, prefix) = match (self, other) {
            (Self::Prefix { first, bits }, Self::Prefix { bits: longer, .. }) if bits <= longer => {
                (other.address(), (first, bits))
            }
            (_, Self::Prefix { first, bits }) => (self.address(), (first, bits)),
            (Self::Prefix { first, bits }, _) => (other.address(), (first, bits)),
            _ => return self == other,
        };
        begins_with(address, prefix)
    }
}

fn begins_with(address: IpAddr, (first, bits): (IpAddr, u8)) -> bool {
    let same = match (address, first) {
        (IpAddr::V4(address), IpAddr::V4(first)) => (address.to_bits() ^ first.to_bits()).leading_zeros(),
        (IpAddr::V6(address), IpAddr::V6(first)) => (address.to_bits() ^ first.to_bits()).leading_zeros(),
        _ => return false,
    };
    same >= u32::from(bits)
}

impl From<IpAddr> for Grantee {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

/// Not what [`Grantee`] shows itself as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address, nor a prefix, nor a link-local address with an interface")]
pub struct NotAGrantee;

impl FromStr for Grantee {
    type Err = NotAGrantee;

    fn from_str(text: &str) -> Result<Self, NotAGrantee> {
        let on_link = |(address, interface): (&str, &str)| {
            Some(Self::OnLink { address: address.parse().ok()?, interface: interface.parse().ok()? })
        };
        let prefix = |(first, bits): (&str, &str)| Self::prefix(first.parse().ok()?, bits.parse().ok()?);
        let read = match (text.split_once('%'), text.split_once('/')) {
            (Some(parts), _) => on_link(parts),
            (_, Some(parts)) => prefix(parts),
            _ => text.parse().ok().map(Self::Address),
        };
        read.ok_or(NotAGrantee)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for text in ["192.0.2.7", "2001:db8::7", "192.0.2.0/24", "2001:db8::/64", "fe80::7%3"] {
            assert_eq!(text.parse::<Grantee>().map(|read| read.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "192.0.2.7/24", "192.0.2.7%3", "fe80::7%eth0", "192.0.2.0/33"] {
            assert_eq!(text.parse::<Grantee>(), Err(NotAGrantee), "{text}");
        }
    }

    #[test]
    fn two_grantees_meet_where_an_address_is_of_both() {
        let one = |address: &str| Grantee::Address(address.parse().unwrap());
        let all = |first: &str, bits| Grantee::Prefix { first: first.parse().unwrap(), bits };
        let on = |interface| Grantee::OnLink { address: "fe80::7".parse().unwrap(), interface };
        #[rustfmt::skip]
        let rows = [
            // the one, the other, meet, why
            (one("192.0.2.7"),        one("192.0.2.7"),        true,  "the same"),
            (one("192.0.2.7"),        one("192.0.2.8"),        false, "another"),
            (one("192.0.2.7"),        all("192.0.2.0", 24),    true,  "one of them"),
            (one("192.0.3.7"),        all("192.0.2.0", 24),    false, "none of them"),
            (all("192.0.0.0", 16),    all("192.0.2.0", 24),    true,  "a part"),
            (all("192.0.2.0", 24),    all("192.0.3.0", 24),    false, "beside it"),
            (one("2001:db8::7"),      all("2001:db8::", 64),   true,  "IPv6"),
            (one("192.0.2.7"),        all("::", 0),            false, "the other family"),
            (on(2),                   on(2),                   true,  "the same link"),
            (on(2),                   on(3),                   false, "another link"),
        ];
        for (one, other, meet, why) in rows {
            assert_eq!(one.meets(other), meet, "{one} {other}: {why}");
            assert_eq!(other.meets(one), meet, "{other} {one}: {why}");
        }
    }
}
