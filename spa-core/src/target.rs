//! Services of inner hosts: where a door may lead that does not end at this host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::address::may_be_granted;

/// Address and port of an inner service, written `10.0.0.5:443` or `[fd00::5]:443`. Its address is one host's: never
/// loopback, unspecified, broadcast, multicast, link-local, IPv4 in IPv6 dress, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    address: IpAddr,
    port: NonZeroU16,
}

/// Text that names no inner service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not an address with a port.
    #[error("\"{0}\" is not a target: write it like 10.0.0.5:443 or [fd00::5]:443, one host and one port")]
    Shape(String),
    /// An address that is not one host's.
    #[error(
        "\"{0}\" cannot be a target: loopback, link-local, multicast, broadcast, unspecified and reserved \
         addresses name no inner host"
    )]
    Address(String),
}

impl Target {
    /// The service at that port, or `None` if the address is not one host's.
    pub fn new(address: IpAddr, port: NonZeroU16) -> Option<Self> {
        is_one_host(address).then_some(Self { address, port })
    }

    /// Its address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Its port.
    pub const fn port(self) -> NonZeroU16 {
        self.port
    }
}

/// Whether an address names one host beyond this one's own links.
pub fn is_one_host(address: IpAddr) -> bool {
    // Link-local addresses mean another host on every link, in either family.
    may_be_granted(address) && !matches!(address, IpAddr::V4(v4) if v4.is_link_local())
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let socket: SocketAddr = text.parse().map_err(|_| BadTarget::Shape(text.to_owned()))?;
        let port = NonZeroU16::new(socket.port()).ok_or_else(|| BadTarget::Shape(text.to_owned()))?;
        // A zone (`fe80::1%2`) is lost here, but link-local addresses are refused.
        Self::new(socket.ip(), port).ok_or_else(|| BadTarget::Address(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port.get()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_service_of_one_host() {
        #[rustfmt::skip]
        let rows = [
            // text, is a target, why
            ("10.0.0.5:443",             true,  "a private address"),
            ("192.0.2.7:65535",          true,  "a public one"),
            ("[fd00::5]:22",             true,  "IPv6"),
            ("10.0.0.5",                 false, "no port"),
            ("10.0.0.5:0",               false, "port 0"),
            ("10.0.0.0/24:443",          false, "a network"),
            ("gateway:443",              false, "a name, which may change its meaning"),
            ("fd00::5:443",              false, "which of it is the port?"),
            ("127.0.0.1:22",             false, "loopback"),
            ("[::1]:22",                 false, "loopback"),
            ("0.0.0.0:22",               false, "unspecified"),
            ("[::]:22",                  false, "unspecified"),
            ("255.255.255.255:22",       false, "broadcast"),
            ("224.0.0.1:22",             false, "multicast"),
            ("[ff02::1]:22",             false, "multicast"),
            ("169.254.1.1:22",           false, "link-local"),
            ("[fe80::1]:22",             false, "link-local"),
            ("[fe80::1%2]:22",           false, "link-local, with its interface"),
            ("[::ffff:10.0.0.5]:22",     false, "IPv4 in IPv6 dress"),
        ];
        for (text, is_target, why) in rows {
            let target = text.parse::<Target>();
            assert_eq!(target.is_ok(), is_target, "{text}: {why}");
            if let Ok(target) = target {
                assert_eq!(target.to_string(), text);
            }
        }
    }
}
