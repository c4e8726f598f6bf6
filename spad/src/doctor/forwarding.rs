//! Doors that lead to inner hosts: whether this host forwards, and in whose name.

use std::fs;

use super::finding::{Finding, or_ok};
use crate::config::Config;
use crate::surroundings::Surroundings;

/// What the targets of `firewall.forward` need of this host, which spad never changes.
pub fn forwarding(config: &Config, surroundings: &Surroundings) -> Vec<Finding> {
    const ID: &str = "forwarding";
    #[rustfmt::skip]
    let switches = [
        // IPv4 or not, its name, where the kernel has it, what sets it
        (true,  "IPv4", "/proc/sys/net/ipv4/ip_forward",          "net.ipv4.ip_forward=1"),
        (false, "IPv6", "/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding=1"),
    ];
    let mut found = Vec::new();
    for (v4, family, path, setting) in switches {
        let wanted = config.forward.iter().any(|target| target.address().is_ipv4() == v4);
        let on = fs::read_to_string(path).is_ok_and(|value| value.trim() != "0");
        if wanted && !on {
            found.push(Finding::bad(
                ID,
                format!("firewall.forward leads to {family}, but this host forwards none"),
                format!("`sysctl -w {setting}`, and put it into /etc/sysctl.d (spad never changes it)"),
            ));
        }
    }
    for source in config.forward_sources.iter().filter(|source| !surroundings.addresses.contains(source)) {
        found.push(Finding::warning(
            ID,
            format!("firewall.forward_sources: {source} is no address of this host; answers to it may go elsewhere"),
            "give the address to an interface, or take it out",
        ));
    }
    or_ok(found, ID, "this host forwards what doors lead to")
}
