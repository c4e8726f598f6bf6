//! Ports: who listens, and what the kernel may give away to others.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use spa_core::service::{Protected, Transport};

use super::finding::{Finding, or_ok};
use crate::config::Config;
use crate::foreign::Ruleset;
use crate::site::Site;

/// A socket that waits for strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) loopback: bool,
    pub(super) port: u16,
}

/// The SPA port: nobody may listen there.
pub fn spa_port(site: &Site) -> Finding {
    const ID: &str = "spa-port-listener";
    let port = site.file.port.get();
    if listeners(Transport::Udp).iter().any(|one| one.port == port) {
        let what = format!("a program listens on udp/{port}; the guard keeps every datagram from it");
        return Finding::bad(ID, what, "move that program to another port, or the site (spa-keygen --port)");
    }
    Finding::ok(ID, format!("no program listens on udp/{port}"))
}

/// Ports that the kernel may give to outgoing sockets of this host (attack G6).
pub fn port_range(config: &Config, site: &Site) -> Vec<Finding> {
    const ID: &str = "port-range";
    let Some((low, high)) = ephemeral() else {
        return vec![Finding::ok(ID, "this kernel does not say which ports it gives away")];
    };
    let fix = "reserve it in net.ipv4.ip_local_reserved_ports";
    let mut found = Vec::new();
    let reserved = reserved();
    let lies = |port: u16| (low..=high).contains(&port) && !reserved.contains(&port);
    let spa_port = site.file.port.get();
    if lies(spa_port) {
        let what = format!(
            "udp/{spa_port} lies in net.ipv4.ip_local_port_range; answers to a program of this host that happens to \
             use it are lost"
        );
        found.push(Finding::warning(ID, what, fix));
    }
    for protected in config.protect.iter().filter(|one| one.host.is_none() && lies(one.service.port().get()))
    {
        let what = format!("{} lies in net.ipv4.ip_local_port_range", protected.service);
        found.push(Finding::warning(ID, what, fix));
    }
    or_ok(found, ID, "no port of spad's is one that the kernel gives away")
}

/// Whether there is anybody behind the doors.
pub(super) fn services(protect: &[Protected], rules: &Ruleset, interfaces: &[String]) -> Vec<Finding> {
    const ID: &str = "listener";
    let mut found = Vec::new();
    for one in protect {
        if let Some(host) = one.host {
            if !forwards(host) {
                let what = format!("{one} is an inner host's, and this host forwards nothing to it");
                found.push(Finding::bad(
                    ID,
                    what,
                    "set net.ipv4.ip_forward or net.ipv6.conf.all.forwarding to 1",
                ));
            }
            continue;
        }
        let port = one.service.port().get();
        let all = listeners(one.service.transport());
        let mut here = all.iter().filter(|listener| listener.port == port).peekable();
        let translated = rules.translates(*one, interfaces);
        let what = if here.peek().is_none() && !translated {
            format!("nobody listens at {one}: a knock would open a door to nothing")
        } else if !translated && here.all(|listener| listener.loopback) {
            format!("whoever listens at {one} does so on loopback only")
        } else {
            continue;
        };
        found.push(Finding::warning(ID, what, "start the service, or take it out of firewall.protect"));
    }
    or_ok(found, ID, "every protected service has somebody behind it")
}

fn forwards(host: IpAddr) -> bool {
    let path = match host {
        IpAddr::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
}

/// Sockets that wait, from /proc/net.
pub(super) fn listeners(transport: Transport) -> Vec<Listener> {
    // TCP_LISTEN; of UDP every socket takes what comes.
    let (names, state) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], Some("0A")),
        Transport::Udp => (["udp", "udp6"], None),
    };
    let text = names.map(|name| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    text.iter().flat_map(|text| text.lines().skip(1)).filter_map(|line| listener(line, state)).collect()
}

/// `sl local_address rem_address st …`, numbers in hex.
fn listener(line: &str, state: Option<&str>) -> Option<Listener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[_, local, _, is, ..] = fields.as_slice() else { return None };
    if state.is_some_and(|wanted| wanted != is) {
        return None;
    }
    let (address, port) = local.rsplit_once(':')?;
    let loopback = match address.len() {
        8 => address.get(if cfg!(target_endian = "little") { 6..8 } else { 0..2 }) == Some("7F"),
        _ => {
            address
                == if cfg!(target_endian = "little") {
                    "00000000000000000000000001000000"
                } else {
                    "00000000000000000000000000000001"
                }
        }
    };
    Some(Listener { loopback, port: u16::from_str_radix(port, 16).ok()? })
}

/// Ports that the kernel gives to outgoing sockets.
fn ephemeral() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_whitespace().map(str::parse::<u16>);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// Those of them that it keeps for who asks for them: `8080,9148-9150`.
fn reserved() -> BTreeSet<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let range = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some(low.parse::<u16>().ok()?..=high.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_wait_are_told_from_others() {
        #[rustfmt::skip]
        let rows = [
            // line, state, port and loopback, why
            ("0: 00000000:0016 00000000:0000 0A 0", Some("0A"), Some((22, false)), "every address"),
            ("0: 0100007F:0016 00000000:0000 0A 0", Some("0A"), Some((22, true)),  "loopback"),
            ("0: 00000000000000000000000001000000:0016 0:0 0A 0", Some("0A"), Some((22, true)), "loopback by IPv6"),
            ("0: 00000000000000000000000000000000:0016 0:0 0A 0", Some("0A"), Some((22, false)), "every address by IPv6"),
            ("0: 0100000A:0016 0200000A:A0F3 01 0", Some("0A"), None,              "a session"),
            ("0: 0100000A:0035 00000000:0000 07 0", None,       Some((53, false)), "UDP"),
            ("sl local_address rem_address st",     None,       None,              "heading"),
        ];
        for (line, state, wanted, why) in rows {
            assert_eq!(listener(line, state).map(|one| (one.port, one.loopback)), wanted, "{why}");
        }
    }
}
