//! What the guard is to do: who is guarded, where, and who is never shut out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use spa_core::service::Protected;
use spa_core::target::Target;

/// What the guard is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it stands.
    pub interfaces: Interfaces,
    /// What is shut until somebody knocks.
    pub protect: Vec<Protected>,
    /// Who is never shut out.
    pub always_allow: Vec<IpAddr>,
    /// Services of inner hosts that doors may lead to.
    pub forward: Vec<Target>,
    /// Addresses of this host that those may see as the sender.
    pub forward_sources: Vec<IpAddr>,
    /// Port of the SPA datagrams: dropped silently, before connection tracking.
    pub spa_port: NonZeroU16,
    /// Sessions older than the guard, which live on. Added to those that are kept already.
    pub keep: Vec<Session>,
}

impl Plan {
    /// Guards nothing.
    pub(super) fn empty() -> Self {
        Self {
            interfaces: Interfaces::Named(Vec::new()),
            protect: Vec::new(),
            always_allow: Vec::new(),
            forward: Vec::new(),
            forward_sources: Vec::new(),
            spa_port: NonZeroU16::MIN,
            keep: Vec::new(),
        }
    }
}

/// Interfaces that the guard stands on. What comes in elsewhere is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// All but loopback.
    Any,
    /// These, whether they exist already or not.
    Named(Vec<InterfaceName>),
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("every interface"),
            Self::Named(names) => {
                f.write_str(&names.iter().map(InterfaceName::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Name of a network interface that both the kernel and nft's text can carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// Text that names no network interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a network interface: 1 to 15 bytes, without blanks, control characters, \
     and without any of / : \" \\ *"
)]
pub struct BadInterfaceName(String);

impl FromStr for InterfaceName {
    type Err = BadInterfaceName;

    /// The kernel's own rule (`dev_valid_name`), less the three characters that mean something else in nft's
    /// text.
    fn from_str(text: &str) -> Result<Self, BadInterfaceName> {
        let printable = |c: char| !c.is_whitespace() && !c.is_control() && !"/:\"\\*".contains(c);
        let valid =
            matches!(text.len(), 1..=15) && text != "." && text != ".." && text.chars().all(printable);
        if valid { Ok(Self(text.to_owned())) } else { Err(BadInterfaceName(text.to_owned())) }
    }
}

impl InterfaceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A TCP session, by its two ends. Both are of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    client: SocketAddr,
    server: SocketAddr,
}

impl Session {
    /// The session between these ends, or `None` if they are of different families. IPv4 addresses in IPv6
    /// dress (`::ffff:a.b.c.d`, as a socket for both families has them) become IPv4: that is what stands in
    /// the packets.
    pub fn new(client: SocketAddr, server: SocketAddr) -> Option<Self> {
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let (client, server) = (plain(client), plain(server));
        (client.is_ipv4() == server.is_ipv4()).then_some(Self { client, server })
    }

    /// The end that called.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// The end that was called: the protected service.
    pub fn server(&self) -> SocketAddr {
        self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_is_safe_in_the_kernel_and_in_text() {
        #[rustfmt::skip]
        let rows = [
            // text, valid, why
            ("eth0",             true,  "the usual"),
            ("enp0s31f6.100",    true,  "a VLAN"),
            ("wg-ö",             true,  "the kernel takes any bytes"),
            ("",                 false, "nothing"),
            ("abcdefghijklmno",  true,  "15 bytes"),
            ("abcdefghijklmnop", false, "16 bytes leave no room for the end mark"),
            ("eth*",             false, "would be a pattern in nft's text"),
            ("a\"b",             false, "would end the string in nft's text"),
            ("a b",              false, "a blank"),
            ("a/b",              false, "a path"),
            ("..",               false, "a path"),
        ];
        for (text, valid, why) in rows {
            assert_eq!(text.parse::<InterfaceName>().is_ok(), valid, "{text}: {why}");
        }
    }

    #[test]
    fn a_session_is_of_one_family() {
        let mapped = "[::ffff:10.0.0.1]:5000".parse().unwrap();
        let four = "10.0.0.2:22".parse().unwrap();
        let six = "[2001:db8::2]:22".parse().unwrap();
        assert_eq!(Session::new(mapped, four).map(|s| s.client()), "10.0.0.1:5000".parse().ok());
        assert_eq!(Session::new(mapped, six), None);
    }
}
