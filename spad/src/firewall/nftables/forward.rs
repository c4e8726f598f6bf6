//! Doors that lead to inner hosts: their sets and maps, their chains, and their elements.
//!
//! Such a door is an element of `forwarded`, which lets its packets past the guard and has the window's timeout. The map
//! `targets` says where they go, `masquerades` and `sources` in whose name. Those outlive the door by a second or
//! two: on their own they open nothing, and a door that is still open must not lead anywhere else.

use std::collections::BTreeMap;
use std::time::Duration;

use spa_core::lease::{Change, Door};
use spa_core::terms::{Forward, SourceNat};

use super::elements::{self, Item};
use super::grants::Grants;
use super::key::{self, Field, Key, Value};
use super::model::{Chain, Kind, Match, Rule, Selector, Set, Verdict, elsewhere, rule};
use super::place::{Names, Place};
use crate::firewall::element::Element;
use crate::firewall::error::FirewallError;
use crate::firewall::netlink::Step;
use crate::firewall::plan::Plan;
use crate::firewall::standing::Family;

/// Before the destination NAT of others (-100), so that a port that they publish as well leads where the door says.
const DESTINATION_NAT: i32 = -101;
/// Before the source NAT of others (100), for the same reason.
const SOURCE_NAT: i32 = 99;

/// How much longer than its door an element of these is there. The later one is what the earlier is found by.
const SOURCES_OUTLIVE: Duration = Duration::from_secs(1);
const TARGETS_OUTLIVE: Duration = Duration::from_secs(2);

/// Which doors lead where, as the kernel has it.
pub(super) type Held = BTreeMap<Door, Forward>;

/// There even where no target is named: a kernel's set takes no room, and a plan that names one adds only chains.
pub(super) fn sets(names: &Names) -> Vec<Set> {
    use Field::{Ipv4, Ipv6, Port, Protocol};

    let set = |name, key, data| Set {
        name,
        key,
        data,
        timeouts: true,
        dynamic: false,
        planned: false,
        elements: std::collections::BTreeSet::new(),
    };
    vec![
        set(names.forwarded.v4, &[Ipv4, Protocol, Port], &[]),
        set(names.forwarded.v6, &[Ipv6, Protocol, Port], &[]),
        set(names.targets.v4, &[Ipv4, Protocol, Port], &[Ipv4, Port]),
        set(names.targets.v6, &[Ipv6, Protocol, Port], &[Ipv6, Port]),
        set(names.masquerades.v4, &[Ipv4, Protocol, Ipv4, Port], &[]),
        set(names.masquerades.v6, &[Ipv6, Protocol, Ipv6, Port], &[]),
        set(names.sources.v4, &[Ipv4, Protocol, Ipv4, Port], &[Ipv4]),
        set(names.sources.v6, &[Ipv6, Protocol, Ipv6, Port], &[Ipv6]),
    ]
}

/// A door's key in packets on their way to this host.
const V4: &[Selector] = &[Selector::SourceV4, Selector::Protocol, Selector::Port];
const V6: &[Selector] = &[Selector::SourceV6, Selector::Protocol, Selector::Port];
/// The key of what goes on to an inner host.
const ON_V4: &[Selector] = &[Selector::SourceV4, Selector::Protocol, Selector::DestinationV4, Selector::Port];
const ON_V6: &[Selector] = &[Selector::SourceV6, Selector::Protocol, Selector::DestinationV6, Selector::Port];

/// Lets past the guard what is addressed to this host itself and will be led on.
pub(super) fn forwarded(names: &Names) -> Vec<Rule> {
    vec![
        rule([Match::ToThisHost, Match::In(V4, names.forwarded.v4)], Verdict::Accept),
        rule([Match::ToThisHost, Match::In(V6, names.forwarded.v6)], Verdict::Accept),
    ]
}

/// The chains that lead packets on. A connection is judged by its first packet only, so it outlives its door.
pub(super) fn chains(plan: &Plan, names: &Names) -> Vec<Chain> {
    if plan.forward.is_empty() {
        return Vec::new();
    }
    let mut forward = elsewhere(plan, names, Verdict::Accept);
    let lead = |family, selectors, forwarded, targets| {
        rule([Match::ToThisHost, Match::In(selectors, forwarded)], Verdict::Dnat(family, selectors, targets))
    };
    forward.extend([
        lead(Family::Ip, V4, names.forwarded.v4, names.targets.v4),
        lead(Family::Ip6, V6, names.forwarded.v6, names.targets.v6),
    ]);
    // What a client sends to the same inner service by a route is not ours to translate.
    let source = vec![
        rule([Match::Translated, Match::In(ON_V4, names.masquerades.v4)], Verdict::Masquerade),
        rule([Match::Translated, Match::In(ON_V6, names.masquerades.v6)], Verdict::Masquerade),
        rule([Match::Translated], Verdict::Snat(Family::Ip, ON_V4, names.sources.v4)),
        rule([Match::Translated], Verdict::Snat(Family::Ip6, ON_V6, names.sources.v6)),
    ];
    let priority = Some(DESTINATION_NAT);
    vec![
        Chain { name: names.forward, kind: Kind::DestinationNat, priority, rules: forward },
        Chain {
            name: names.forward_source,
            kind: Kind::SourceNat,
            priority: Some(SOURCE_NAT),
            rules: source,
        },
    ]
}

/// The steps that make these changes, with what the kernel has now: what a map holds can be removed only if it is there,
/// and never be changed. Nothing where no door leads on.
pub(super) fn apply(place: &Place, changes: &[Change], held: &Held) -> Vec<Step> {
    let names = place.names();
    let mut steps = Vec::new();
    for (door, wanted) in last(changes) {
        let old = held.get(&door);
        if old.is_none() && wanted.is_none() {
            continue;
        }
        let address = door.grantee.address();
        let (forwarded, targets) = (names.forwarded.of(address), names.targets.of(address));
        let here = key::of_host(address, door.service);
        let bytes = || key::bytes(&here);
        // A set's element can be made sure of, and then removed.
        steps.extend(elements::add(place, forwarded, [bytes().into()].into_iter()));
        steps.extend(elements::remove(place, forwarded, [bytes().into()].into_iter()));
        if let Some(old) = old {
            steps.extend(elements::remove(place, targets, [bytes().into()].into_iter()));
            if let Some(set) = source_set(names, old) {
                let there = key::bytes(&beyond(&door, old));
                steps.extend(elements::remove(place, set, [there.into()].into_iter()));
            }
        }
        let Some((timeout, comment, new)) = wanted else { continue };
        let item = Item::new(bytes(), timeout).with_comment(comment);
        steps.extend(elements::add(place, forwarded, [item].into_iter()));
        let to = key::bytes(&[Value::address(new.to.address()), Value::Port(new.to.port().get())]);
        let item = Item::new(bytes(), timeout + TARGETS_OUTLIVE).with_data(to);
        steps.extend(elements::add(place, targets, [item].into_iter()));
        if let Some(set) = source_set(names, &new) {
            let mut item = Item::new(key::bytes(&beyond(&door, &new)), timeout + SOURCES_OUTLIVE);
            if let SourceNat::Address(source) = new.source {
                item = item.with_data(key::bytes(&[Value::address(source)]));
            }
            steps.extend(elements::add(place, set, [item].into_iter()));
        }
    }
    steps
}

/// What is held once these changes are made.
pub(super) fn update(held: &mut Held, changes: &[Change]) {
    for (door, wanted) in last(changes) {
        match wanted {
            Some((.., forward)) => drop(held.insert(door, forward)),
            None => drop(held.remove(&door)),
        }
    }
}

/// The last word on each door: how long it leads where, or that it leads nowhere.
fn last(changes: &[Change]) -> BTreeMap<Door, Option<(Duration, &str, Forward)>> {
    let mut last = BTreeMap::new();
    for change in changes {
        let (door, wanted) = match change {
            Change::Set { door, timeout, comment, forward, .. } => {
                (*door, forward.map(|forward| (*timeout, comment.as_str(), forward)))
            }
            Change::Remove { door } => (*door, None),
        };
        last.insert(door, wanted);
    }
    last
}

fn source_set(names: &Names, forward: &Forward) -> Option<&'static str> {
    let to = forward.to.address();
    match forward.source {
        SourceNat::Keep => None,
        SourceNat::Masquerade => Some(names.masquerades.of(to)),
        SourceNat::Address(_) => Some(names.sources.of(to)),
    }
}

/// Key of what goes on through a door.
fn beyond(door: &Door, forward: &Forward) -> Key {
    vec![
        Value::address(door.grantee.address()),
        Value::Protocol(door.service.transport()),
        Value::address(forward.to.address()),
        Value::Port(forward.to.port().get()),
    ]
}

/// Which doors lead where.
///
/// - `list`: keys and data of a set or map, as the kernel has them.
pub(super) fn held(
    names: &Names,
    mut list: impl FnMut(&'static str) -> Result<Vec<(Vec<u8>, Vec<u8>)>, FirewallError>,
) -> Result<Held, FirewallError> {
    let mut sources: BTreeMap<Vec<u8>, SourceNat> = BTreeMap::new();
    for set in names.masquerades.both() {
        sources.extend(list(set)?.into_iter().map(|(key, _)| (key, SourceNat::Masquerade)));
    }
    for set in names.sources.both() {
        let address = |data: Vec<u8>| Some(SourceNat::Address(key::to_address(&data)?));
        sources.extend(list(set)?.into_iter().filter_map(|(key, data)| Some((key, address(data)?))));
    }
    let mut held = Held::new();
    for set in names.targets.both() {
        held.extend(list(set)?.into_iter().filter_map(|(key, data)| {
            let door = Grants::plain(&key)?;
            let mut forward = Forward { to: key::to_target(&data)?, source: SourceNat::Keep };
            let there = key::bytes(&beyond(&door, &forward));
            forward.source = sources.get(&there).copied().unwrap_or_default();
            Some((door, forward))
        }));
    }
    Ok(held)
}

/// Doors as the kernel has them in `forwarded`, with where they lead. One that leads nowhere is left to its own timeout.
pub(super) fn led(found: Vec<Element>, held: &Held) -> impl Iterator<Item = Element> {
    found.into_iter().filter_map(|element| {
        let forward = *held.get(&element.door)?;
        Some(Element { forward: Some(forward), ..element })
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn the_last_word_on_a_door_counts() {
        let door = Door::plain(IpAddr::from([192, 0, 2, 7]), "tcp/443".parse().unwrap());
        let forward = Forward { to: "10.0.0.5:443".parse().unwrap(), source: SourceNat::Keep };
        let set = |forward| Change::Set {
            door,
            timeout: Duration::from_secs(30),
            comment: String::new(),
            on_close: spa_core::terms::OnClose::Keep,
            forward,
        };
        #[rustfmt::skip]
        let rows = [
            // changes, held afterwards, why
            (vec![set(Some(forward))],                            1, "opened"),
            (vec![set(Some(forward)), Change::Remove { door }],   0, "shut"),
            (vec![Change::Remove { door }, set(Some(forward))],   1, "opened anew"),
            (vec![set(None)],                                     0, "to this host"),
        ];
        for (changes, count, why) in rows {
            let mut held = Held::from([(door, forward)]);
            update(&mut held, &changes);
            assert_eq!(held.len(), count, "{why}");
        }
    }
}
