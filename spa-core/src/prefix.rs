//! Lengths of prefixes that may be granted: for how many addresses one request may open a door.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A length of prefix, written `ipv4/24` or `ipv6/64`. One of this type is neither an address nor half the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixLength {
    ipv6: bool,
    bits: u8,
}

/// Text that is no such length. Not quoted: somebody may have pasted a key into the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no length of a prefix: write it like ipv4/24 (8 to 31) or ipv6/64 (32 to 64)")]
pub struct BadPrefixLength;

impl PrefixLength {
    /// No network that anybody runs is wider than a /8.
    const IPV4: RangeInclusive<u8> = 8..=31;
    /// From what a provider has to what a link has (RFC 7421): an IPv6 prefix that is longer holds no whole link.
    const IPV6: RangeInclusive<u8> = 32..=64;

    /// The length of a prefix of this address's family, if it is one that may be granted anywhere.
    pub fn of(address: IpAddr, bits: u8) -> Option<Self> {
        let ipv6 = address.is_ipv6();
        let range = if ipv6 { Self::IPV6 } else { Self::IPV4 };
        range.contains(&bits).then_some(Self { ipv6, bits })
    }

    /// Whether it is one of IPv6.
    pub const fn is_ipv6(self) -> bool {
        self.ipv6
    }

    /// How many bits the addresses of such a prefix share.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// An address with these bits set, and no other.
    pub fn mask(self) -> IpAddr {
        let all = u128::MAX << (128 - u32::from(self.bits));
        if self.ipv6 {
            Ipv6Addr::from_bits(all).into()
        } else {
            Ipv4Addr::from_bits((all >> 96) as u32).into()
        }
    }
}

impl FromStr for PrefixLength {
    type Err = BadPrefixLength;

    fn from_str(text: &str) -> Result<Self, BadPrefixLength> {
        let length = || {
            let (family, digits) = text.split_once('/')?;
            let family: IpAddr = match family {
                "ipv4" => Ipv4Addr::UNSPECIFIED.into(),
                "ipv6" => Ipv6Addr::UNSPECIFIED.into(),
                _ => return None,
            };
            // One spelling: no sign, no leading zero.
            let bits: u8 = digits.parse().ok()?;
            Self::of(family, bits).filter(|_| digits == bits.to_string())
        };
        length().ok_or(BadPrefixLength)
    }
}

impl fmt::Display for PrefixLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", if self.ipv6 { "ipv6" } else { "ipv4" }, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_spelling_and_a_mask() {
        #[rustfmt::skip]
        let rows = [
            // text, mask, why
            ("ipv4/24",   Some("255.255.255.0"),       "a network of 256"),
            ("ipv4/8",    Some("255.0.0.0"),           "the widest"),
            ("ipv4/31",   Some("255.255.255.254"),     "the narrowest"),
            ("ipv6/64",   Some("ffff:ffff:ffff:ffff::"), "a link"),
            ("ipv6/32",   Some("ffff:ffff::"),         "a provider"),
            ("ipv6/56",   Some("ffff:ffff:ffff:ff00::"), "a home"),
            ("ipv4/7",    None,                        "wider than any network"),
            ("ipv4/0",    None,                        "everybody"),
            ("ipv4/32",   None,                        "an address"),
            ("ipv6/31",   None,                        "wider than a provider"),
            ("ipv6/65",   None,                        "a part of a link"),
            ("ipv6/128",  None,                        "an address"),
            ("ipv4/024",  None,                        "a leading zero"),
            ("ipv4/+24",  None,                        "a sign"),
            ("/24",       None,                        "which family?"),
            ("24",        None,                        "which family?"),
            ("IPv4/24",   None,                        "capitals"),
        ];
        for (text, mask, why) in rows {
            let length = text.parse::<PrefixLength>().ok();
            assert_eq!(length.map(|length| length.mask().to_string()).as_deref(), mask, "{text}: {why}");
            assert!(length.is_none_or(|length| length.to_string() == text), "{text}: {why}");
        }
    }
}
