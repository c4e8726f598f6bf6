//! The name or address of a server, as it stands on a command line and in a client's half.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Something that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address; IPv4 is never spelled as IPv6.
    Address(IpAddr),
    /// An IPv6 link-local address on a link of this machine (RFC 4007): `fe80::1%eth0`.
    OnLink {
        /// In fe80::/10.
        address: Ipv6Addr,
        /// Name or number of the interface.
        zone: String,
    },
    /// A host name (RFC 1123, and underscores, which some local names have).
    Name(String),
}

/// Text that is neither. Not quoted: somebody may have pasted a key into the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host name or address: write it like vpn.example.org, 192.0.2.1 or 2001:db8::1")]
pub(crate) struct BadHost;

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Some((address, zone)) = inner.unwrap_or(text).split_once('%') {
            let address: Ipv6Addr = address.parse().map_err(|_| BadHost)?;
            if !address.is_unicast_link_local() || !is_zone(zone) {
                return Err(BadHost);
            }
            return Ok(Self::OnLink { address, zone: zone.to_owned() });
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let mut labels = name.split('.');
        // A last label of digits alone is an address with a typing error (RFC 1123, section 2.1).
        let numeric = labels.next_back().is_none_or(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(is_label) {
            return Err(BadHost);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

/// Names of interfaces, as far as they can stand in a file and in a log.
fn is_zone(zone: &str) -> bool {
    (1..=15).contains(&zone.len()) && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::OnLink { address, zone } => write!(f, "{address}%{zone}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        #[rustfmt::skip]
        let rows = [
            // text, what it reads as, why
            ("vpn.example.org",    "vpn.example.org",  "a name"),
            ("VPN.Example.org.",   "vpn.example.org",  "capitals, and the dot of the root"),
            ("localhost",          "localhost",        "one label"),
            ("my_box",             "my_box",           "an underscore, as containers are named"),
            ("xn--bcher-kva.de",   "xn--bcher-kva.de", "an international name in its ASCII form"),
            ("3com.com",           "3com.com",         "a digit in front"),
            ("192.0.2.1",          "192.0.2.1",        "IPv4"),
            ("2001:db8::1",        "2001:db8::1",      "IPv6"),
            ("[2001:db8::1]",      "2001:db8::1",      "IPv6 as in a URL"),
            ("::ffff:192.0.2.1",   "192.0.2.1",        "IPv4 spelled as IPv6"),
            ("fe80::1%eth0",       "fe80::1%eth0",     "on a link"),
            ("[fe80::1%2]",        "fe80::1%2",        "on a link, by its number, as in a URL"),
            ("fe80::1%",           "",                 "a link without a name"),
            ("fe80::1%a/b",        "",                 "no name of an interface"),
            ("2001:db8::1%eth0",   "",                 "an address that means the same on every link"),
            ("192.0.2",            "",                 "an address with a part missing"),
            ("192.0.2.256",        "",                 "an address with a part too large"),
            ("vpn..example.org",   "",                 "an empty label"),
            ("-vpn.example.org",   "",                 "a dash in front"),
            ("vpn-.example.org",   "",                 "a dash behind"),
            ("b\u{fc}cher.de",     "",                 "letters beyond ASCII"),
            ("host name",          "",                 "a blank"),
            ("host\"name",         "",                 "a quotation mark, which would end a value in a file"),
            ("alice@host",         "",                 "a user"),
            ("https://host/",      "",                 "a URL"),
            ("host:22",            "",                 "a port"),
            ("",                   "",                 "nothing"),
            (".",                  "",                 "the root"),
        ];
        for (text, expected, why) in rows {
            let read = text.parse::<Host>().map(|host| host.to_string()).unwrap_or_default();
            assert_eq!(read, expected, "{text}: {why}");
        }
        assert!("a.".repeat(126).parse::<Host>().is_ok(), "251 characters and the dot of the root");
        assert!(format!("{}aa", "a.".repeat(126)).parse::<Host>().is_err(), "254 characters");
        assert!("a".repeat(64).parse::<Host>().is_err(), "a label of 64");
    }
}
