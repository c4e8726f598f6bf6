//! The interfaces: captured, guarded, up; and whether somebody stands between them and the clients.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use super::finding::{Finding, or_ok};
use crate::config::Config;
use crate::surroundings::{Interface, Surroundings};

/// The interfaces that the configuration means, and those that it does not.
pub fn interfaces(config: &Config, surroundings: &Surroundings) -> Vec<Finding> {
    const ID: &str = "interfaces";
    let mut found = Vec::new();
    for (name, state) in &surroundings.interfaces {
        let (what, fix) = match state {
            Interface::Missing => ("is missing; spad waits for it", "mend its name in capture.interfaces"),
            Interface::Present { up: false, .. } => ("is down; spad waits for it", "set it up"),
            Interface::Present { .. } => continue,
        };
        found.push(Finding::warning(ID, format!("interface {name} {what}"), fix));
    }
    if config.interfaces.iter().any(|name| name == "lo") {
        let what = "knocks are heard on lo, where the guard never stands";
        found.push(Finding::warning(ID, what, "take lo out of capture.interfaces"));
    }
    if surroundings.interfaces.is_empty() && !surroundings.any {
        let what = "there is no default route; until there is, the guard stands on every interface";
        found.push(Finding::warning(ID, what, "name the interfaces in capture.interfaces"));
    }
    let names: Vec<&str> = surroundings.captures().map(|(name, _)| name).collect();
    let mut found = or_ok(found, ID, format!("captured, guarded and up: {}", names.join(", ")));
    found.extend(unguarded(surroundings));
    found
}

fn unguarded(surroundings: &Surroundings) -> Vec<Finding> {
    const ID: &str = "interfaces-unguarded";
    if surroundings.any || surroundings.interfaces.is_empty() {
        return vec![Finding::ok(ID, "every interface is guarded")];
    }
    let elsewhere: Vec<String> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lo" && !surroundings.interfaces.contains_key(name))
        .collect();
    if elsewhere.is_empty() {
        return vec![Finding::ok(ID, "there are no interfaces that are not guarded")];
    }
    let what = format!("not guarded, and knocks not heard: {}", elsewhere.join(", "));
    vec![Finding::warning(ID, what, "name them in capture.interfaces, unless strangers cannot come by them")]
}

/// Whether doors are open for the gateway itself: then it hides who knocked, and who comes by it.
///
/// - `open`: addresses for which doors are open now.
pub(super) fn gateway(open: &BTreeSet<IpAddr>, gateways: &BTreeSet<IpAddr>) -> Finding {
    const ID: &str = "gateway";
    let hiding: Vec<String> = gateways.intersection(open).map(IpAddr::to_string).collect();
    if hiding.is_empty() {
        return Finding::ok(ID, "no door is open for the default gateway itself");
    }
    Finding::warning(
        ID,
        format!(
            "a door is open for the default gateway, {}: if it hides its clients behind its own address, one knock \
             opens for all of them",
            hiding.join(", ")
        ),
        "let the gateway or load balancer keep the source addresses of what it forwards",
    )
}
