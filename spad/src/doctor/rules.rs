//! The living firewall: what of ours stands in it, what becomes of a stranger in it, and of who has knocked.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use spa_core::service::{Protected, Service, Transport};

use super::Facts;
use super::finding::{Finding, or_ok};
use super::ports::listeners;
use crate::firewall::standing::{Backend, Stand};
use crate::firewall::{self, FirewallError};
use crate::foreign::{self, Fate, Packet};

/// Whether what stands in the kernel is what spad.toml makes.
pub(super) fn whole(facts: &Facts) -> Finding {
    const ID: &str = "guard";
    let fix = "systemctl start spad, or reload it if spad.toml was changed; a running spad mends this within a second";
    match firewall::differences(&facts.config.standing, &facts.plan) {
        Ok(found) if found.is_empty() => {
            Finding::ok(ID, "spad's rules and sets are there, whole, and in their place")
        }
        Ok(mut found) => {
            let more = found.len().saturating_sub(3);
            found.truncate(3);
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            let what =
                format!("what stands in the kernel is not what spad.toml makes: {}{more}", found.join("; "));
            Finding::bad(ID, what, fix)
        }
        Err(FirewallError::Program(reason)) => Finding::warning(
            ID,
            format!("spad's rules cannot be compared with what they should be: {reason}"),
            "run this as root, with the programs nft or iptables installed",
        ),
        Err(FirewallError::NoChain(chain)) => Finding::bad(
            ID,
            format!("there is no chain {chain} to attach to"),
            "load the operator's rules, or mend firewall.attach",
        ),
        Err(error) => Finding::bad(ID, error.to_string(), "see spad(8), \"What is needed\""),
    }
}

/// How a stranger fares who is not dropped for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    Open,
    Perhaps,
    Answered,
}

/// Whether each protected service is dropped for who has not knocked.
///
/// - `whole`: whether our rules are.
pub(super) fn strangers(facts: &Facts, whole: bool) -> Vec<Finding> {
    const ID: &str = "stranger";
    // What its sets hold is not walked through; the rules are either whole or not.
    let by_sets = facts.config.standing.stand == Stand::Guard
        && !facts.rules.is_walkable(&facts.config.standing.backend);
    let mut found = Vec::new();
    for one in &facts.config.protect {
        let said: BTreeSet<(Sure, String, &str)> = foreign::packets(*one, &facts.captured)
            .filter_map(|packet| {
                let fate = together(&facts.rules.fates(&packet));
                let (sure, why) = match fate {
                    _ if by_sets && whole => return None,
                    Fate { accept: None, reject: None, .. } => return None,
                    Fate { accept: None, reject: Some(rule), .. } => {
                        (Sure::Answered, format!("{rule} answers a stranger to {one} with an error"))
                    }
                    Fate { accept: Some(rule), drop: None, .. } => {
                        (Sure::Open, format!("nothing drops a stranger to {one}: {rule}"))
                    }
                    Fate { accept: Some(rule), .. } => {
                        (Sure::Perhaps, format!("a stranger to {one} may pass: {rule}"))
                    }
                };
                Some((sure, why, if packet.v6 { "IPv6" } else { "IPv4" }))
            })
            .collect();
        for (sure, why, family) in said {
            let what = format!("{why} ({family})");
            found.push(match (sure, &facts.config.standing.stand) {
                (Sure::Answered, _) => Finding::warning(ID, what, "let it drop instead: an answer tells that somebody is there"),
                (Sure::Perhaps, _) => Finding::warning(ID, what, "see whether that rule is meant for strangers"),
                (Sure::Open, Stand::Guard) => Finding::bad(ID, what, "see the finding guard"),
                (Sure::Open, Stand::Attach(point)) => Finding::bad(
                    ID,
                    what,
                    format!("give {point} the policy drop, or end it with a rule that drops; or use mode = \"guard\""),
                ),
            });
        }
    }
    or_ok(found, ID, "every protected service is dropped for a stranger")
}

/// One fate of all chains on the way: it is out where one is sure to keep it out.
fn together(fates: &[(String, foreign::Hook, Fate)]) -> Fate {
    let name = |chain: &str, by: &str| match by {
        "its policy" => format!("the policy of {chain}"),
        by => format!("{by} of {chain}"),
    };
    let mut all = Fate::default();
    for (chain, _, fate) in fates {
        if fate.accept.is_none() {
            let out = |by: &Option<String>| by.as_ref().map(|by| name(chain, by));
            return Fate { accept: None, drop: out(&fate.drop), reject: out(&fate.reject) };
        }
        all.drop = all.drop.or_else(|| fate.drop.as_ref().map(|by| name(chain, by)));
        all.reject = all.reject.or_else(|| fate.reject.as_ref().map(|by| name(chain, by)));
        // The last word is what decides, and a rule says more than a policy.
        all.accept = fate.accept.as_ref().map(|by| name(chain, by));
    }
    all.accept.get_or_insert_with(|| "no chain of others stands there".to_owned());
    all
}

/// Whether a knock would open what it asks for.
pub(super) fn knocks(facts: &Facts) -> Vec<Finding> {
    const ID: &str = "knock";
    let fix = "mend that rule: an accept of spad's does not overrule the drop of another chain";
    let config = &facts.config;
    let denied = foreign::deny(&facts.rules, &config.protect, &config.standing, &facts.captured);
    let mut found: Vec<Finding> =
        denied.into_iter().map(|sentence| Finding::bad(ID, sentence, fix)).collect();
    let held = foreign::held_back(&facts.rules, &config.forward, &facts.captured);
    found.extend(held.into_iter().map(|sentence| Finding::bad(ID, sentence, fix)));
    let unread = facts.rules.unread.iter();
    found
        .extend(unread.map(|why| {
            Finding::warning(ID, why.clone(), "install nftables' programs, and run this as root")
        }));
    let beside = facts.rules.managers();
    let beside =
        if beside.is_empty() { String::new() } else { format!("; beside it: {}", beside.join(", ")) };
    or_ok(found, ID, format!("nobody drops what spad accepts{beside}"))
}

/// Ways to a protected service by a port that is not guarded.
pub(super) fn ways_round(facts: &Facts) -> Vec<Finding> {
    const ID: &str = "way-round";
    let ways = foreign::ways_round(&facts.rules, &facts.config.protect, &facts.captured);
    let fix = "protect that port as well, or remove the rule";
    let found = ways.into_iter().map(|way| Finding::bad(ID, way, fix)).collect();
    or_ok(found, ID, "no rule of others leads to a protected service by another port")
}

/// Whether datagrams to the SPA port vanish.
///
/// - `whole`: whether our rules are.
pub(super) fn spa_port(facts: &Facts, whole: bool) -> Vec<Finding> {
    const ID: &str = "spa-port";
    let port = facts.site.file.port;
    if facts.config.standing.stand == Stand::Guard {
        return vec![match whole {
            true => Finding::ok(ID, format!("udp/{port} is dropped before connection tracking, unanswered")),
            false => Finding::warning(
                ID,
                format!("whether udp/{port} is dropped unanswered is not known"),
                "see the finding guard",
            ),
        }];
    }
    let answers = answering(facts, Service::new(Transport::Udp, port));
    let found = answers.into_iter().map(|(family, why)| {
        let what = format!("this host answers a datagram to udp/{port} by {family}: {why}");
        Finding::bad(ID, what, "let the operator's chain drop it: an answer tells where to knock")
    });
    or_ok(found.collect(), ID, format!("udp/{port} is dropped, unanswered"))
}

/// Whether protected ports are silent among others that answer (attack G8).
pub(super) fn scan(facts: &Facts) -> Vec<Finding> {
    const ID: &str = "scan";
    let mut found = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        let Some(port) = unused(facts, transport) else { continue };
        let families: Vec<_> =
            answering(facts, Service::new(transport, port)).into_iter().map(|(family, _)| family).collect();
        if !families.is_empty() {
            found.push(Finding::warning(
                ID,
                format!(
                    "a closed port ({transport}/{port}) answers by {}, and what spad guards does not: a scan tells \
                     which ports those are",
                    families.join(" and ")
                ),
                "drop the rest as well: an input chain with policy drop that accepts what is meant for everybody",
            ));
        }
    }
    or_ok(found, ID, "closed ports are as silent as guarded ones")
}

/// The families in which a stranger to that port of this host is not dropped, and why.
fn answering(facts: &Facts, service: Service) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let one = Protected { service, host: None };
    for packet in foreign::packets(one, &facts.captured) {
        let family = if packet.v6 { "IPv6" } else { "IPv4" };
        let fate = together(&facts.rules.fates(&Packet { granted: false, ..packet }));
        // What may be dropped is not called an answer.
        let why = match fate {
            Fate { accept: Some(rule), drop: None, .. } => Some(rule),
            Fate { accept: None, drop: None, reject } => reject,
            _ => None,
        };
        if let Some(why) = why.filter(|_| !found.iter().any(|(known, _)| *known == family)) {
            found.push((family, why));
        }
    }
    found
}

/// A port at which nobody listens and that is not spad's.
fn unused(facts: &Facts, transport: Transport) -> Option<NonZeroU16> {
    let used: BTreeSet<u16> = listeners(transport).iter().map(|one| one.port).collect();
    let ours = |port: NonZeroU16| {
        port == facts.site.file.port
            || facts.config.protect.iter().any(|one| one.service == Service::new(transport, port))
    };
    (9_900..10_000).rev().filter_map(NonZeroU16::new).find(|port| !used.contains(&port.get()) && !ours(*port))
}

/// Which backend it is, and whether what another one loaded still stands.
pub(super) fn backend(facts: &Facts) -> Finding {
    const ID: &str = "kernel-firewall";
    match firewall::choose(&facts.config.standing, None) {
        Ok((_, why)) => {
            let name = match facts.config.standing.backend {
                Backend::Iptables(_) => "iptables with ipset",
                Backend::Nftables | Backend::Auto => "nftables",
            };
            Finding::ok(ID, format!("the backend is {name}, {why}"))
        }
        Err(error) => Finding::bad(ID, error.to_string(), "see spad(8), \"What is needed\""),
    }
}
