//! Rules of others that translate a destination: whoever comes by one of them is looked for at its outer port, and the
//! service behind it need not be guarded there (attack G7).

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use spa_core::service::Protected;

use super::nft::plain;
use super::packet::Packet;
use super::walk::{Does, Hook};
use super::{Ruleset, packets};

/// Where a rule sends what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Another address; `None` for one of this host.
    pub(super) address: Option<IpAddr>,
    /// Other ports, from the first to the last; `None` leaves them.
    pub(super) ports: Option<(u16, u16)>,
    /// The ports that it takes, as the rule has them.
    pub(super) from: Option<String>,
}

impl Target {
    /// The targets of `dnat` and `redirect`: one, or as many as a map has.
    ///
    /// - `ports`: what the rule says of the destination port.
    /// - `pairs`: gives the keys and data of a map.
    pub(super) fn of_json(
        value: &Value,
        redirect: bool,
        ports: Option<&str>,
        pairs: impl Fn(&Value) -> Vec<(Value, Value)>,
    ) -> Vec<Self> {
        let from = ports.map(str::to_owned);
        let (address, port) = (&value["addr"], &value["port"]);
        let mapped = [address, port].into_iter().find(|one| one["map"].is_object());
        let Some(map) = mapped.map(|one| &one["map"]["data"]) else {
            let address = if redirect { None } else { plain(address).parse().ok() };
            return vec![Self { address, ports: range(&plain(port)), from }];
        };
        let target = |(key, data): (Value, Value)| {
            let parts = data["concat"].as_array().cloned().unwrap_or_else(|| vec![data]);
            let word = |at: usize| parts.get(at).map(plain).unwrap_or_default();
            let key = key["concat"].as_array().and_then(|parts| parts.last().cloned()).unwrap_or(key);
            Self {
                address: word(0).parse().ok().or_else(|| plain(address).parse().ok()),
                ports: range(&word(parts.len() - 1)).or_else(|| range(&plain(port))),
                from: from.clone().or_else(|| Some(plain(&key))),
            }
        };
        pairs(map).into_iter().map(target).collect()
    }

    /// The target of `-j DNAT --to-destination` and of `-j REDIRECT --to-ports`.
    pub(super) fn of_words(to: Option<&str>, redirect: bool, from: Option<String>) -> Self {
        let to = to.unwrap_or_default();
        if redirect {
            return Self { address: None, ports: range(to), from };
        }
        // 10.0.0.1:22, [fd00::1]:22, or an address alone.
        let (address, ports) = match to.rsplit_once(':') {
            Some((address, ports)) if !address.contains(':') || address.ends_with(']') => (address, ports),
            _ => (to, ""),
        };
        let first = address.split('-').next().unwrap_or_default();
        Self { address: first.trim_matches(['[', ']']).parse().ok(), ports: range(ports), from }
    }

    /// Whether both lead to the same service of another host.
    fn is_to(&self, other: &Self) -> bool {
        self.address.is_some()
            && (self.address, self.ports) == (other.address, other.ports)
            && self.ports.is_some()
    }

    fn ends_at(&self, one: Protected, own: &BTreeSet<IpAddr>) -> bool {
        let port = one.service.port().get();
        let at_port = self.ports.map(|(low, high)| (low..=high).contains(&port));
        match (one.host, self.address) {
            // A port that is left as it is, is guarded as it is.
            (None, None) => at_port == Some(true),
            (None, Some(address)) => at_port == Some(true) && own.contains(&address),
            (Some(host), address) => address == Some(host) && at_port != Some(false),
        }
    }
}

/// `22` or `22-25`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

/// One sentence for each rule by which a stranger reaches a protected service through a port that nobody guards.
pub fn ways_round(ruleset: &Ruleset, protect: &[Protected], interfaces: &[String]) -> Vec<String> {
    let guarded = |port: u16, one: &Protected| {
        let outer = |other: &&Protected| {
            other.host.is_none()
                && other.service.transport() == one.service.transport()
                && other.service.port().get() == port
        };
        protect.iter().find(outer).is_some()
    };
    let mut found = BTreeSet::new();
    for one in protect {
        // It is addressed to this host, by whatever port.
        let outer = Protected { host: None, ..*one };
        for packet in packets(outer, interfaces) {
            // A published port leads to a room that may have another door.
            let room: Vec<Target> = match one.host {
                None => ruleset.translations(&packet).into_iter().map(|(_, _, target)| target).collect(),
                Some(_) => Vec::new(),
            };
            let whichever = Packet { port: None, ..packet };
            for (place, rule, target) in ruleset.translations(&whichever) {
                let same = target.from.as_ref().and_then(|from| from.parse::<u16>().ok());
                let ends = target.ends_at(*one, &ruleset.own) || room.iter().any(|other| target.is_to(other));
                if !ends || same.is_some_and(|port| guarded(port, one)) {
                    continue;
                }
                let from = target.from.as_deref().unwrap_or("any port");
                found.insert(format!("{place}: {rule} leads from {from} to {one}, past the guard"));
            }
        }
    }
    found.into_iter().collect()
}

impl Ruleset {
    /// Translations of the destination that this packet may meet: chain, rule, target.
    pub(super) fn translations(&self, packet: &Packet) -> Vec<(String, String, Target)> {
        let chains = self.chains(packet);
        let mut found = Vec::new();
        // Chains that others jump to, and those of the hook.
        let passed = chains.iter().filter(|chain| {
            let ours = chain.table == "inet spad" || chain.name.to_lowercase().starts_with("spad");
            !ours && chain.base.is_none_or(|at| at.hook == Hook::Prerouting)
        });
        for chain in passed {
            for rule in chain.rules.iter().filter(|rule| rule.meets != Some(false)) {
                if let Does::To(target) = &rule.does {
                    found.push((
                        format!("{} {}", chain.table, chain.name),
                        rule.name.clone(),
                        target.clone(),
                    ));
                }
            }
        }
        found
    }
}
