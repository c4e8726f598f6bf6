//! The rules, which never change: whatever does is in a set. As `iptables-restore` and `ip6tables-restore` read
//! them.
//!
//! They do what the chains of the nftables backend do, at the same places: `raw` comes before connection
//! tracking, `mangle` after it and before destination NAT. To go on in other people's chains of a table is
//! `RETURN` here.

use std::collections::{BTreeMap, BTreeSet};

use spa_core::service::Service;

use super::forward::Leads;
use super::narrow;
use super::set::{Family, KNOCK, Set, TCP, UDP};
use crate::firewall::plan::Plan;

mod ends;

use self::ends::CUTTING;

/// Where the rules stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Before everybody else's, with a drop.
    Guard,
    /// Reached from this chain of the table `filter`.
    Attach(String),
}

/// What the rules are made from, which is all that can make them differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruleset {
    pub(super) stand: Stand,
    pub(super) leads: Leads,
    /// What is protected.
    pub(super) services: BTreeSet<Service>,
}

impl Ruleset {
    /// One that protects nothing and leads nowhere.
    pub(super) fn bare(stand: Stand) -> Self {
        Self { stand, leads: Leads::Nowhere, services: BTreeSet::new() }
    }

    /// The one of this plan.
    pub(super) fn of(stand: Stand, plan: &Plan) -> Self {
        let services = plan.protect.iter().map(|protected| protected.service).collect();
        Self { stand, leads: Leads::of(plan), services }
    }

    /// The sets that are made for what it names: name and shape.
    pub(super) fn sets(&self) -> Vec<(String, Set)> {
        self.leads.sets().into_iter().chain(narrow::sets(&self.services)).collect()
    }
}

/// What is ours in one table.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Our chains, in an order in which they can be emptied and removed.
    pub(super) chains: &'static [&'static str],
    /// `-A CHAIN …`, one a line.
    pub(super) rules: String,
    /// The chain of others that leads to ours, and how.
    pub(super) from: String,
    pub(super) jump: String,
}

/// Every chain of ours that may be anywhere.
pub(super) const CHAINS: [(&str, &[&str]); 5] = [
    ("raw", KNOCKS),
    ("mangle", &["SPAD-GUARD", "SPAD-DOORS", CUTTING]),
    ("filter", &[ENTRANCE, "SPAD-DOORS", CUTTING]),
    ("nat", &["SPAD-FORWARD"]),
    ("nat", &["SPAD-SOURCE"]),
];
/// The chain that the operator's leads to.
pub(super) const ENTRANCE: &str = "SPAD";
const KNOCKS: &[&str] = &["SPAD-KNOCKS"];

/// The tables of a ruleset, for packets of one family.
pub(super) fn tables(ruleset: &Ruleset, family: Family) -> Vec<Table> {
    let Ruleset { stand, leads, services } = ruleset;
    let names = family.names();
    let jump = |target| format!("-m set ! --match-set {} src,src -j {target}", names.lo);
    let table = |index: usize, rules: String, from: &str| {
        let (name, chains) = CHAINS[index];
        Table { name, chains, rules, from: from.to_owned(), jump: jump(chains[0]) }
    };
    let mut tables = match stand {
        Stand::Guard => vec![
            table(0, knocks(family), "PREROUTING"),
            table(1, passage("SPAD-GUARD", family) + &doors(services, family), "PREROUTING"),
        ],
        Stand::Attach(chain) => vec![table(2, passage(ENTRANCE, family) + &accepts(services, family), chain)],
    };
    if let Leads::To(..) = leads {
        let forward = elsewhere("SPAD-FORWARD", family) + &leads.forward_rules(family);
        let source = table(4, leads.source_rules(family), "POSTROUTING");
        // What a client sends to the same inner service by a route is not ours to translate.
        let ours = format!("-m conntrack --ctstate DNAT -m set --match-set {} src,dst,dst", names.flows);
        let jump = format!("{ours} -j SPAD-SOURCE");
        tables.extend([table(3, forward, "PREROUTING"), Table { jump, ..source }]);
    }
    tables
}

/// Kinds of destination that a socket of this host takes. In IPv6, matches for several must all hold, but for
/// the first two; and it has no broadcast.
fn here(family: Family) -> &'static [&'static str] {
    match family {
        Family::V4 => &["LOCAL,BROADCAST,ANYCAST,MULTICAST"],
        Family::V6 => &["LOCAL,ANYCAST", "MULTICAST"],
    }
}

/// Drops SPA datagrams before connection tracking and without an answer.
fn knocks(family: Family) -> String {
    let mut rules = elsewhere("SPAD-KNOCKS", family);
    for kind in here(family) {
        rules += &format!(
            "-A SPAD-KNOCKS -p udp -m set --match-set {KNOCK} dst -m addrtype --dst-type {kind} -j DROP\n"
        );
    }
    rules
}

/// What is left alone because of the interface it came in by. The jump leaves out loopback.
fn elsewhere(chain: &str, family: Family) -> String {
    let names = family.names();
    format!(
        "-A {chain} -m set --match-set {} src -m set ! --match-set {} src,src -j RETURN\n",
        names.named, names.guarded
    )
}

/// Picks out what is on its way to a protected service.
fn passage(chain: &str, family: Family) -> String {
    let mut rules = elsewhere(chain, family);
    for kind in here(family) {
        for (transport, set) in [("tcp", TCP), ("udp", UDP)] {
            rules += &format!(
                "-A {chain} -p {transport} -m set --match-set {set} dst -m addrtype --dst-type {kind} -g \
                 SPAD-DOORS\n"
            );
        }
    }
    rules + &format!("-A {chain} -m set --match-set {} dst,dst -g SPAD-DOORS\n", family.names().hosts)
}

/// Lets through what has a reason to pass, and drops the rest silently.
fn doors(services: &BTreeSet<Service>, family: Family) -> String {
    let (chain, pass) = ("SPAD-DOORS", "RETURN");
    let own = |chain| kept(chain, family) + &forwarded(chain, family);
    ends::first(family)
        + &known(pass, family)
        + &own(chain)
        + &granted(chain, pass, services, family)
        + &ends::begun(pass, family)
        + &shut(chain, family)
        + &ends::cutting(pass, &own(CUTTING), services, family)
}

/// Lets through what has a reason to pass, and leaves the rest to the operator's chain.
fn accepts(services: &BTreeSet<Service>, family: Family) -> String {
    let (chain, pass) = ("SPAD-DOORS", "ACCEPT");
    ends::first(family)
        + &known(pass, family)
        + &granted(chain, pass, services, family)
        + &ends::begun(pass, family)
        + &ends::cutting(pass, "", services, family)
}

fn kept(chain: &str, family: Family) -> String {
    let names = family.names();
    format!(
        "-A {chain} -p tcp -m set --match-set {} src,src,dst -m set --match-set {} dst,dst,src -j RETURN\n",
        names.keep, names.keep_to
    )
}

/// What is addressed to this host itself and will be led on.
fn forwarded(chain: &str, family: Family) -> String {
    let forwarded = family.names().forwarded;
    format!("-A {chain} -m addrtype --dst-type LOCAL -m set --match-set {forwarded} src,dst -j RETURN\n")
}

fn granted(chain: &str, pass: &str, services: &BTreeSet<Service>, family: Family) -> String {
    let names = family.names();
    let passes = |set| format!("-A {chain} -m set --match-set {set} src,dst -j {pass}\n");
    passes(names.grants) + &passes(names.prefixes) + &narrow::rules(chain, pass, services, family)
}

/// Drops what nothing before let through. The set is looked into so that the kernel counts the rule.
fn shut(chain: &str, family: Family) -> String {
    format!("-A {chain} -m set ! --match-set {} src,dst -j DROP\n", family.names().grants)
}

/// Sessions begun from outside, and for UDP only answers to what this host began. See `nftables/model.rs`.
fn known(pass: &str, family: Family) -> String {
    format!(
        "-A SPAD-DOORS -p tcp -m conntrack --ctstate ESTABLISHED --ctdir ORIGINAL -j {pass}\n\
         -A SPAD-DOORS -p udp -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j {pass}\n"
    ) + &always("SPAD-DOORS", pass, family)
}

fn always(chain: &str, pass: &str, family: Family) -> String {
    format!("-A {chain} -m set --match-set {} src -j {pass}\n", family.names().always)
}

/// How many rules look into each set: the kernel counts the same, and counts less when somebody takes one away.
pub(super) fn references(ruleset: &Ruleset) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for table in Family::BOTH.into_iter().flat_map(|family| tables(ruleset, family)) {
        let text = format!("{} {}", table.rules, table.jump);
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if let "--match-set" | "--add-set" | "--del-set" = word
                && let Some(set) = words.next()
            {
                *counts.entry(set.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

impl Table {
    /// The text that loads the table beside what is there: ours is emptied and filled, and the jump is put at
    /// the head of the chain that leads to it, unless it is there and the only one.
    ///
    /// - `saved`: what `iptables-save` says of this table.
    pub(super) fn restore(&self, saved: &str) -> String {
        let mut text = format!("*{}\n", self.name);
        for chain in self.chains {
            text += &format!(":{chain} - [0:0]\n");
        }
        text += &self.rules;
        if !self.comes_first(saved) {
            for jump in jumps(saved, self.chains) {
                text += &format!("-D {}\n", jump.trim_start_matches("-A "));
            }
            text += &format!("-I {} 1 {}\n", self.from, self.jump);
        }
        text + "COMMIT\n"
    }

    /// Whether the jump is at the head of its chain, and the only one.
    pub(super) fn comes_first(&self, saved: &str) -> bool {
        let from = format!("-A {} ", self.from);
        let jumps = jumps(saved, self.chains);
        jumps.len() == 1 && saved.lines().find(|line| line.starts_with(&from)) == jumps.first().copied()
    }
}

/// The text that removes our chains and all jumps to them; `None` if there are none.
pub(super) fn remove(table: &str, chains: &[&str], saved: &str) -> Option<String> {
    let ours: Vec<_> = chains
        .iter()
        .filter(|chain| saved.lines().any(|line| line.starts_with(&format!(":{chain} "))))
        .collect();
    if ours.is_empty() {
        return None;
    }
    let mut text = format!("*{table}\n");
    for jump in jumps(saved, chains) {
        text += &format!("-D {}\n", jump.trim_start_matches("-A "));
    }
    for option in ["-F", "-X"] {
        for chain in &ours {
            text += &format!("{option} {chain}\n");
        }
    }
    Some(text + "COMMIT\n")
}

/// Rules of others that lead to a chain of ours.
fn jumps<'s>(saved: &'s str, chains: &[&str]) -> Vec<&'s str> {
    let leads = |line: &&str| chains.iter().any(|chain| line.ends_with(&format!(" -j {chain}")));
    let ours = |line: &&str| chains.iter().any(|chain| line.starts_with(&format!("-A {chain} ")));
    saved.lines().filter(leads).filter(|line| !ours(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::forward;
    use super::*;

    const JUMP: &str = "-A INPUT -m set ! --match-set spad_lo4 src,src -j SPAD";

    #[test]
    fn the_jump_is_put_at_the_head_once() {
        let table = tables(&Ruleset::bare(Stand::Attach("INPUT".to_owned())), Family::V4).remove(0);
        let other = "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT";
        #[rustfmt::skip]
        let rows = [
            // what is there, jumps taken away, jumps added, why
            (String::new(),                       0, 1, "nothing"),
            (format!("{other}\n"),                0, 1, "others only"),
            (format!("{JUMP}\n{other}\n"),        0, 0, "where it belongs"),
            (format!("{other}\n{JUMP}\n"),        1, 1, "behind another"),
            (format!("{JUMP}\n{JUMP}\n"),         2, 1, "twice"),
            (format!("-A ufw {}\n", &JUMP[9..]),  1, 1, "in another chain"),
        ];
        for (saved, taken, added, why) in rows {
            let text = table.restore(&saved);
            assert_eq!(text.matches("\n-D ").count(), taken, "{why}:\n{text}");
            assert_eq!(text.matches("\n-I INPUT 1 ").count(), added, "{why}:\n{text}");
        }
    }

    #[test]
    fn every_rule_that_opens_or_shuts_is_counted_by_a_set() {
        let leads = Leads::To(
            vec!["10.0.0.5:443".parse().unwrap(), "[fd00::5]:443".parse().unwrap()],
            vec!["192.0.2.1".parse().unwrap()],
        );
        let services = BTreeSet::from(["tcp/22", "udp/53"].map(|service| service.parse().unwrap()));
        let all = |stand| Ruleset { stand, leads: leads.clone(), services: services.clone() };
        let attached = || Stand::Attach("INPUT".to_owned());
        for ruleset in [all(Stand::Guard), all(attached())] {
            for table in Family::BOTH.into_iter().flat_map(|family| tables(&ruleset, family)) {
                assert!(table.jump.contains("--match-set"));
                let uncounted: Vec<_> =
                    table.rules.lines().filter(|rule| !rule.contains("--match-set")).collect();
                // Without one of these a session hangs, but nothing is open.
                assert!(uncounted.iter().all(|rule| rule.contains("ESTABLISHED")), "{uncounted:?}");
            }
        }
        let (bare, full) = (references(&Ruleset::bare(Stand::Guard)), references(&all(Stand::Guard)));
        assert_eq!(bare["spad_lo4"], 2);
        assert_eq!(bare[TCP], 3);
        assert_eq!(full["spad_lo4"], 3);
        assert_eq!(full[&forward::of_target(leads.targets()[0])], 2, "for both transports");
        for service in &services {
            assert_eq!(full[&narrow::of_ports(Family::V6, *service)], 2, "in both chains");
            assert_eq!(full[&narrow::of_links(*service)], 2, "in both chains");
        }
        assert_eq!(references(&all(attached())).get("spad_keep4"), None);
    }

    #[test]
    fn what_is_ours_is_removed_and_nothing_else() {
        let saved = format!(":INPUT DROP [0:0]\n:SPAD - [0:0]\n:SPADE - [0:0]\n{JUMP}\n-A INPUT -j SPADE\n");
        let text = remove("filter", &["SPAD", "SPAD-DOORS"], &saved).unwrap();
        assert_eq!(
            text,
            format!("*filter\n-D {}\n-F SPAD\n-X SPAD\nCOMMIT\n", &JUMP[3..]),
            "SPAD-DOORS is not there, and SPADE somebody else's"
        );
        assert_eq!(remove("raw", KNOCKS, &saved), None);
    }
}
