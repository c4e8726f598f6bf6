//! Doors that lead to inner hosts. ipset has no maps, so every target has a set of its own, of the doors that lead
//! there, and one fixed rule; and so has every address that inner hosts may see as the sender. Their names say
//! what they are for, so that a new plan never turns the doors of an old one.
//!
//! As with nftables, `forwarded` lets a door's packets past the guard and has the window's timeout; the others outlive
//! it and open nothing on their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use spa_core::lease::{Change, Door};
use spa_core::service::{Service, Transport};
use spa_core::target::Target;
use spa_core::terms::{Forward, SourceNat};

use super::key::Key;
use super::message;
use super::set::{Family, Kind, MOST, Set};
use crate::firewall::element::printable;
use crate::firewall::plan::Plan;
use crate::firewall::raw::Raw;

/// Which doors lead where, as the kernel has it.
pub(super) type Held = BTreeMap<Door, Forward>;

/// What the rules of NAT are to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Leads {
    /// There are none, and none are wanted.
    #[default]
    Nowhere,
    /// There may be some from before.
    NoLonger,
    /// To these, and in the name of these.
    To(Vec<Target>, Vec<IpAddr>),
}

/// What the names of sets begin with that are made for a target or a sender.
const OF_TARGET: &str = "spad_t";
const OF_SOURCE: &str = "spad_s";

/// How much longer than its door an element is there; the longest are found by the others.
const FLOWS_OUTLIVE: Duration = Duration::from_secs(1);
const TARGETS_OUTLIVE: Duration = Duration::from_secs(2);

/// Names a set of one target or sender: 31 bytes are the most that ipset takes, and an IPv6 address with its port
/// needs 24 of this alphabet.
fn name(prefix: &str, address: IpAddr, port: Option<u16>) -> String {
    const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.";
    let (family, mut bytes) = match address {
        IpAddr::V4(v4) => ('4', v4.octets().to_vec()),
        IpAddr::V6(v6) => ('6', v6.octets().to_vec()),
    };
    bytes.extend(port.map(u16::to_be_bytes).iter().flatten());
    let mut name = format!("{prefix}{family}");
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let digit = |at: usize| ALPHABET.get(bits as usize >> (18 - 6 * at) & 63).copied().unwrap_or(b'0');
        name.extend((0..=three.len()).map(|at| char::from(digit(at))));
    }
    name
}

pub(super) fn of_target(target: Target) -> String {
    name(OF_TARGET, target.address(), Some(target.port().get()))
}

pub(super) fn of_source(address: IpAddr) -> String {
    name(OF_SOURCE, address, None)
}

/// Whether a set of that name was made for a target or a sender.
pub(super) fn is_made(name: &str) -> bool {
    [OF_TARGET, OF_SOURCE]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['4', '6'])))
}

/// Whether a set of that name was made for a target.
pub(super) fn is_of_target(name: &str) -> bool {
    is_made(name) && name.starts_with(OF_TARGET)
}

/// The sets that are always there.
pub(super) fn sets(family: Family) -> [Set; 2] {
    let names = family.names();
    let forwarded = shape(names.forwarded, Kind::Door, family);
    [Set { comments: true, ..forwarded }, shape(names.flows, Kind::Session, family)]
}

fn shape(name: &'static str, kind: Kind, family: Family) -> Set {
    let (comments, planned) = (false, false);
    Set {
        name,
        kind,
        family: Some(family),
        timeouts: true,
        comments,
        most: MOST,
        planned,
        elements: BTreeSet::new(),
    }
}

impl Leads {
    pub(super) fn of(plan: &Plan) -> Self {
        if plan.forward.is_empty() {
            return Self::Nowhere;
        }
        Self::To(plan.forward.clone(), plan.forward_sources.clone())
    }

    pub(super) fn targets(&self) -> &[Target] {
        if let Self::To(targets, _) = self { targets } else { &[] }
    }

    pub(super) fn sources(&self) -> &[IpAddr] {
        if let Self::To(_, sources) = self { sources } else { &[] }
    }

    /// The sets made for them: name and shape.
    pub(super) fn sets(&self) -> Vec<(String, Set)> {
        let to = self.targets().iter().map(|target| {
            (of_target(*target), shape("of a target", Kind::Door, Family::of(target.address())))
        });
        let from = self
            .sources()
            .iter()
            .map(|source| (of_source(*source), shape("of a sender", Kind::Session, Family::of(*source))));
        to.chain(from).collect()
    }

    /// The rules that lead packets on, for one family.
    pub(super) fn forward_rules(&self, family: Family) -> String {
        let mut rules = String::new();
        for target in self.targets().iter().filter(|target| Family::of(target.address()) == family) {
            for transport in [Transport::Tcp, Transport::Udp] {
                rules += &format!(
                    "-A SPAD-FORWARD -p {transport} -m addrtype --dst-type LOCAL -m set --match-set {} src,dst -m set \
                     --match-set {} src,dst -j DNAT --to-destination {target}\n",
                    family.names().forwarded,
                    of_target(*target)
                );
            }
        }
        rules
    }

    /// The rules that say in whose name. The jump to them leaves out what is not ours to translate.
    pub(super) fn source_rules(&self, family: Family) -> String {
        let mut rules = String::new();
        for source in self.sources().iter().filter(|source| Family::of(**source) == family) {
            rules += &format!(
                "-A SPAD-SOURCE -m set --match-set {} src,dst,dst -j SNAT --to-source {source}\n",
                of_source(*source)
            );
        }
        let flows = family.names().flows;
        rules + &format!("-A SPAD-SOURCE -m set --match-set {flows} src,dst,dst -j MASQUERADE\n")
    }
}

/// One message to a set of that name.
pub(super) type Step = (&'static str, Raw);

/// The messages for a change of one door. What lets packets in comes last, and goes first.
///
/// - `old`: where it led until now.
pub(super) fn steps(change: &Change, old: Option<&Forward>) -> Vec<Step> {
    let (Change::Set { door, .. } | Change::Remove { door }) = change;
    let names = Family::of(door.grantee.address()).names();
    let here = Key::door(door.grantee.address(), door.service);
    let new = match change {
        Change::Set { forward, .. } => *forward,
        Change::Remove { .. } => None,
    };
    let mut steps = Vec::new();
    if new.is_none() || old.is_some_and(|old| Some(*old) != new) {
        steps.push((names.forwarded, message::delete(names.forwarded, &here)));
    }
    if let Some(old) = old.filter(|old| Some(**old) != new) {
        steps.push(("of a target", message::delete(&of_target(old.to), &here)));
        let flow = flow(door, old);
        if let SourceNat::Address(source) = old.source {
            steps.push(("of a sender", message::delete(&of_source(source), &flow)));
        }
        if old.source != SourceNat::Keep {
            steps.push((names.flows, message::delete(names.flows, &flow)));
        }
    }
    let (Change::Set { timeout, comment, .. }, Some(new)) = (change, new) else { return steps };
    let (flow, longer) = (flow(door, &new), *timeout + FLOWS_OUTLIVE);
    let longest = *timeout + TARGETS_OUTLIVE;
    steps.push(("of a target", message::add(&of_target(new.to), &here, Some(longest), None)));
    if let SourceNat::Address(source) = new.source {
        steps.push(("of a sender", message::add(&of_source(source), &flow, Some(longest), None)));
    }
    if new.source != SourceNat::Keep {
        steps.push((names.flows, message::add(names.flows, &flow, Some(longer), None)));
    }
    let comment = printable(comment);
    steps.push((names.forwarded, message::add(names.forwarded, &here, Some(*timeout), Some(&comment))));
    steps
}

/// What goes on through a door.
fn flow(door: &Door, forward: &Forward) -> Key {
    let service = Service::new(door.service.transport(), forward.to.port());
    Key::Flow(door.grantee.address().to_canonical(), service, forward.to.address())
}

/// In whose name what goes through a door goes on.
///
/// - `flows`: what is translated at all. `sources`: in the name of which address.
pub(super) fn source_of(
    door: &Door,
    to: Target,
    flows: &BTreeSet<Key>,
    sources: &BTreeMap<Key, IpAddr>,
) -> Forward {
    let keep = Forward { to, source: SourceNat::Keep };
    let flow = flow(door, &keep);
    let source = match sources.get(&flow) {
        Some(source) => SourceNat::Address(*source),
        None if flows.contains(&flow) => SourceNat::Masquerade,
        None => SourceNat::Keep,
    };
    Forward { source, ..keep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_name_of_its_own_that_ipset_takes() {
        let targets: Vec<Target> = [
            "10.0.0.5:443",
            "10.0.0.5:22",
            "10.0.0.6:443",
            "255.0.0.1:65535",
            "[fd00::5]:443",
            "[fd00::5]:22",
            "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ]
        .into_iter()
        .filter_map(|text| text.parse().ok())
        .collect();
        assert_eq!(targets.len(), 6, "255.0.0.1 is no host");
        let names: BTreeSet<String> = targets.iter().map(|target| of_target(*target)).collect();
        assert_eq!(names.len(), targets.len());
        assert!(names.iter().all(|name| name.len() <= 31 && is_made(name)), "{names:?}");
        assert_eq!(of_target("10.0.0.5:443".parse().unwrap()), "spad_t42W001G6x");
        let sources = ["192.0.2.1", "2001:db8::1"].map(|address| of_source(address.parse().unwrap()));
        assert!(sources.iter().all(|name| name.len() <= 31 && is_made(name)), "{sources:?}");
        for other in ["spad_tcp", "spad_grants4", "spad_s", "others_t4"] {
            assert!(!is_made(other), "{other}");
        }
    }
}
