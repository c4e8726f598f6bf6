//! Doors that not every packet of an address to a service passes: from one source port, or by one link. No type of set
//! has two ports, nor an address, a port and an interface. So every protected service has sets of its own for them,
//! and fixed rules that say its port; their names say which service, so that a new plan never opens another one.

use std::collections::BTreeSet;

use spa_core::service::Service;

use super::set::{Family, Kind, Set, doors};

/// What the names of such sets begin with.
const OF_PORTS: &str = "spad_ports";
const OF_LINKS: &str = "spad_links";

/// The link-local addresses of IPv6.
const LINK_LOCAL: &str = "fe80::/10";

/// The set of clients and their source ports that may reach this service.
pub(super) fn of_ports(family: Family, service: Service) -> String {
    format!("{OF_PORTS}{}_{}{}", family.digit(), service.transport(), service.port())
}

/// The set of link-local clients, each with an interface, that may reach this service.
pub(super) fn of_links(service: Service) -> String {
    format!("{OF_LINKS}_{}{}", service.transport(), service.port())
}

/// Whether a set of that name was made for a service.
pub(super) fn is_made(name: &str) -> bool {
    [OF_PORTS, OF_LINKS].iter().any(|prefix| name.starts_with(prefix))
}

/// The sets made for these services: name and shape.
pub(super) fn sets(services: &BTreeSet<Service>) -> impl Iterator<Item = (String, Set)> {
    services.iter().flat_map(|service| {
        let ports = |family| (of_ports(family, *service), doors("of source ports", Kind::Door, family));
        let links = (of_links(*service), doors("of links", Kind::Link, Family::V6));
        Family::BOTH.map(ports).into_iter().chain([links])
    })
}

/// The rules that let such doors' packets pass.
pub(super) fn rules(chain: &str, pass: &str, services: &BTreeSet<Service>, family: Family) -> String {
    let mut rules = String::new();
    for service in services {
        let (transport, port) = (service.transport(), service.port());
        let mut rule = |from: &str, set: String| {
            rules += &format!(
                "-A {chain}{from} -p {transport} -m {transport} --dport {port} -m set --match-set {set} src,src -j {pass}\n"
            );
        };
        rule("", of_ports(family, *service));
        if family == Family::V6 {
            rule(&format!(" -s {LINK_LOCAL}"), of_links(*service));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::forward;
    use super::*;

    #[test]
    fn every_service_has_sets_of_its_own_that_ipset_takes() {
        let services = ["tcp/1", "udp/1", "tcp/11", "udp/65535"].map(|service| service.parse().unwrap());
        let names: BTreeSet<_> = sets(&services.into()).map(|(name, _)| name).collect();
        assert_eq!(names.len(), 3 * services.len());
        assert!(names.iter().all(|name| name.len() <= 31 && is_made(name)), "{names:?}");
        assert!(!names.iter().any(|name| forward::is_made(name)));
        assert_eq!(of_ports(Family::V4, services[3]), "spad_ports4_udp65535");
        for other in ["spad_prefixes4", "spad_grants4", "spad_t4", "others_ports4"] {
            assert!(!is_made(other), "{other}");
        }
    }
}
