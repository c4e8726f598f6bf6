//! The way to a server's address, and whether the world sees the address that it begins with.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use spa_core::request::Stated;

use super::seen::Seen;
use super::whom::Allow;

/// One address of the server, and the local one from which the kernel would send there.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) server: SocketAddr,
    /// With port 0, for a socket of its own for each datagram.
    pub(super) local: io::Result<SocketAddr>,
    /// What the local address is seen as from outside, if somebody told.
    pub(super) seen: Option<IpAddr>,
}

impl Route {
    /// Asks the kernel for the way to `server`. Connecting a UDP socket sends nothing.
    pub(super) fn to(server: SocketAddr) -> Self {
        let local = || {
            let socket = UdpSocket::bind((any(server.ip()), 0))?;
            socket.connect(server)?;
            let mut local = socket.local_addr()?;
            local.set_port(0);
            Ok(local)
        };
        Self { server, local: local(), seen: None }
    }

    /// The same with what is known of the local address.
    pub(super) fn seen_as(mut self, seen: &Seen) -> Self {
        self.seen = self.local.as_ref().ok().and_then(|local| seen.of(local.ip()));
        self
    }

    /// What a request states for this way; `None` leaves it to the packet's source.
    pub(super) fn stated(&self, allow: Allow) -> Option<Stated> {
        match allow {
            Allow::Source => None,
            Allow::Stated(stated) => Some(stated),
            Allow::Auto | Allow::Resolve | Allow::Learnt => {
                let own = self.local.as_ref().ok().map(SocketAddr::ip).filter(|&ip| is_global(ip));
                self.seen.or(own).map(|address| Stated { address, prefix: None })
            }
        }
    }
}

const fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Whether a server elsewhere sees this address as it is, as far as the address itself can tell. Those kept for
/// documentation count like any other, so that examples and laboratories can use them.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        // 2000::/3 is all that is assigned for global unicast (RFC 4291, section 2.4; IANA's registry).
        IpAddr::V6(v6) => v6.segments()[0] >> 13 == 1,
    }
}

/// The IANA registry of special-purpose addresses (RFC 6890).
fn is_global_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127 | 224.., ..] => true,
        // Shared by the customers of one provider (RFC 6598).
        [100, 64..=127, ..] => true,
        [169, 254, ..] => true,
        [172, 16..=31, ..] => true,
        // Protocol assignments (RFC 6890): a telephone with IPv6 only has one of these for its IPv4.
        [192, 0, 0, _] => true,
        [192, 168, ..] => true,
        // Benchmarks (RFC 2544); some proxies hand them out as stand-ins.
        [198, 18 | 19, ..] => true,
        _ => false,
    };
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stated_where_the_world_sees_it() {
        #[rustfmt::skip]
        let rows = [
            // address, global, why
            ("8.8.8.8",          true,  "an address"),
            ("192.0.2.7",        true,  "documentation"),
            ("198.51.100.7",     true,  "documentation"),
            ("203.0.113.7",      true,  "documentation"),
            ("10.1.2.3",         false, "private"),
            ("172.15.255.255",   true,  "just before the private ones"),
            ("172.16.0.1",       false, "private"),
            ("172.31.255.255",   false, "private, last"),
            ("172.32.0.1",       true,  "just behind them"),
            ("192.168.1.2",      false, "private"),
            ("100.63.255.255",   true,  "just before the shared ones"),
            ("100.64.0.1",       false, "shared by a provider's customers"),
            ("100.127.255.255",  false, "shared, last"),
            ("100.128.0.1",      true,  "just behind them"),
            ("169.254.1.1",      false, "link-local"),
            ("192.0.0.4",        false, "a telephone's translated one"),
            ("198.18.0.1",       false, "benchmarks"),
            ("127.0.0.1",        false, "loopback"),
            ("0.0.0.0",          false, "unspecified"),
            ("224.0.0.1",        false, "multicast"),
            ("255.255.255.255",  false, "broadcast"),
            ("2001:db8::7",      true,  "documentation"),
            ("2606:4700::1",     true,  "an address"),
            ("3fff::1",          true,  "documentation"),
            ("4000::1",          false, "not assigned"),
            ("fd00::7",          false, "unique local"),
            ("fe80::1",          false, "link-local"),
            ("::1",              false, "loopback"),
            ("::",               false, "unspecified"),
            ("ff02::1",          false, "multicast"),
            ("64:ff9b::1",       false, "a translated server"),
        ];
        for (address, global, why) in rows {
            assert_eq!(is_global(address.parse().unwrap()), global, "{address}: {why}");
        }
    }

    #[test]
    fn who_is_stated() {
        let route = |local: &str| Route {
            server: "192.0.2.1:7".parse().unwrap(),
            local: Ok(local.parse().unwrap()),
            seen: None,
        };
        let (seen, hidden) = (route("192.0.2.7:0"), route("10.0.0.7:0"));
        let given = Stated { address: "198.51.100.0".parse().unwrap(), prefix: Some(24) };
        let own = Stated { address: "192.0.2.7".parse().unwrap(), prefix: None };
        assert_eq!(seen.stated(Allow::Auto), Some(own));
        assert_eq!(hidden.stated(Allow::Auto), None);
        assert_eq!(seen.stated(Allow::Source), None);
        assert_eq!(hidden.stated(Allow::Stated(given)), Some(given));
        let told = Route { seen: Some("192.0.2.7".parse().unwrap()), ..route("10.0.0.7:0") };
        assert_eq!(told.stated(Allow::Resolve), Some(own), "what was told");
        assert_eq!(told.stated(Allow::Learnt), Some(own), "what was told");
        assert_eq!(hidden.stated(Allow::Resolve), None, "nobody told: as `auto`");
        assert_eq!(seen.stated(Allow::Resolve), Some(own), "nobody told: as `auto`");
    }
}
