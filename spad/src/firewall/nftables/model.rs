//! The one description of what is ours: a table (guard), or sets and chains in the operator's table (attach).
//! `text.rs` writes it as nft's text, `encode.rs` as netlink messages.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use spa_core::prefix::PrefixLength;
use spa_core::service::Transport;

use super::forward;
use super::grants::Grants;
use super::key::{AddressType, Field, Key, Value, of_host, of_service, of_session};
use super::place::{Names, Place};
use crate::firewall::plan::{Interfaces, Plan};
use crate::firewall::standing::Family;

mod ends;

use self::ends::{begun, completed, cutting, ended};

#[derive(Debug)]
pub(super) struct Table<'p> {
    pub(super) place: &'p Place,
    pub(super) sets: Vec<Set>,
    pub(super) chains: Vec<Chain>,
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key: &'static [Field],
    /// What a map's keys lead to; nothing in a set.
    pub(super) data: &'static [Field],
    /// Whether elements may end by themselves.
    pub(super) timeouts: bool,
    /// Whether rules add to it and take from it. The kernel then lets it hold 65,535 elements.
    pub(super) dynamic: bool,
    /// Whether the plan alone says what is in it, so that a new plan empties it first.
    pub(super) planned: bool,
    pub(super) elements: BTreeSet<Key>,
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its place at its hook; `None` for a chain that rules go to.
    pub(super) priority: Option<i32>,
    pub(super) rules: Vec<Rule>,
}

/// Type and hook of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `filter`, at prerouting.
    Filter,
    /// `nat`, at prerouting.
    DestinationNat,
    /// `nat`, at postrouting.
    SourceNat,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    /// What it does to sets before its verdict.
    pub(super) updates: Vec<Update>,
    pub(super) verdict: Verdict,
}

/// What a rule does to a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) operation: Operation,
    pub(super) key: &'static [Selector],
    pub(super) set: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// Adds the packet's key, for that time. If there is no room, the rule does not match.
    Add(Duration),
    /// Takes it away, if it is there.
    Delete,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Match {
    /// Came in by the interface `lo`.
    Loopback,
    /// Addressed to an address of this host's own.
    ToThisHost,
    /// Of a connection whose destination is translated.
    Translated,
    Transport(Transport),
    UdpPort(NonZeroU16),
    /// Packet of a connection that is established, going this way.
    Established(Direction),
    /// First packet of a connection.
    New,
    /// TCP segment of a handshake, once the rule has seen that it is TCP.
    Segment(Segment),
    In(&'static [Selector], &'static str),
    NotIn(&'static [Selector], &'static str),
    /// Protocol, port, and what such a prefix leaves of the source, in a set.
    InPrefix(PrefixLength, &'static str),
}

/// Way of a packet in its connection: `Original` is the way of the first packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Original,
    Reply,
}

/// Segment of a handshake by its flags (RFC 9293, 3.5): of SYN, RST and ACK it has this one alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Segment {
    Syn,
    Ack,
}

/// Where one field of a key is found: in the packet, or in what the kernel knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Interface,
    InterfaceIndex,
    AddressType,
    Protocol,
    /// Destination port, of whatever transport has one.
    Port,
    /// Source port, of whatever transport has one.
    SourcePort,
    SourceV4,
    DestinationV4,
    SourceV6,
    DestinationV6,
    TcpSource,
    TcpDestination,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Accept,
    /// Back to the chain that jumped here.
    Return,
    Drop,
    /// Drop, with a counter for the operator.
    CountAndDrop,
    Goto(&'static str),
    /// To the address and port that a map has for these fields.
    Dnat(Family, &'static [Selector], &'static str),
    /// In the name of the address that a map has for these fields.
    Snat(Family, &'static [Selector], &'static str),
    /// In the name of the interface that it leaves by.
    Masquerade,
}

/// Before connection tracking (-200): a knock leaves no trace there.
const RAW: i32 = -300;
/// After connection tracking (-200) and before destination NAT (-100): published ports are covered too.
const MANGLE: i32 = -150;

impl<'p> Table<'p> {
    pub(super) fn new(place: &'p Place, plan: &Plan) -> Self {
        let names = place.names();
        let mut chains = match place {
            Place::Own => {
                vec![knocks(plan, names), guard(plan, names), doors(plan, place), cutting(plan, place)]
            }
            Place::Beside { .. } => vec![passage(plan, names), accepts(plan, place), cutting(plan, place)],
        };
        chains.extend(forward::chains(plan, names));
        // In a table of one family a rule for the other would match nothing.
        for chain in &mut chains {
            chain.rules.retain(|rule| rule.family().is_none_or(|family| place.family().carries(family)));
        }
        Self { place, sets: sets(plan, place), chains }
    }
}

impl Rule {
    /// The one address family whose packets it can match; `None` for both.
    fn family(&self) -> Option<Family> {
        if let Verdict::Dnat(family, ..) | Verdict::Snat(family, ..) = self.verdict {
            return Some(family);
        }
        self.matches.iter().find_map(|m| match m {
            Match::In(selectors, _) | Match::NotIn(selectors, _) => {
                selectors.iter().find_map(|selector| selector.family())
            }
            Match::InPrefix(length, _) => Some(if length.is_ipv6() { Family::Ip6 } else { Family::Ip }),
            _ => None,
        })
    }
}

impl Selector {
    fn family(self) -> Option<Family> {
        match self {
            Self::SourceV4 | Self::DestinationV4 => Some(Family::Ip),
            Self::SourceV6 | Self::DestinationV6 => Some(Family::Ip6),
            _ => None,
        }
    }
}

fn sets(plan: &Plan, place: &Place) -> Vec<Set> {
    use AddressType::{Anycast, Broadcast, Local, Multicast};
    use Field::{Interface, Ipv4, Ipv6, Port, Protocol};

    let names = place.names();
    let set = |name, key, elements: Vec<Key>| Set {
        name,
        key,
        data: &[],
        timeouts: names.shaking.both().contains(&name),
        dynamic: [names.once, names.shaking].iter().any(|sets| sets.both().contains(&name)),
        planned: place.is_planned(name),
        elements: elements.into_iter().collect(),
    };
    let guarded = match &plan.interfaces {
        Interfaces::Any => Vec::new(),
        Interfaces::Named(interfaces) => {
            interfaces.iter().map(|name| vec![Value::Interface(name.clone())]).collect()
        }
    };
    let protected = plan.protect.iter().filter(|p| p.host.is_none()).map(|p| of_service(p.service));
    let hosts = plan.protect.iter().filter_map(|p| Some(of_host(p.host?, p.service)));
    let (hosts4, hosts6) = by_family(hosts);
    let (always4, always6) =
        by_family(plan.always_allow.iter().map(|address| vec![Value::address(*address)]));
    let (keep4, keep6) = by_family(plan.keep.iter().map(of_session));
    // A UDP socket also takes what is sent to everybody: "local" alone would leave it open to the neighbours,
    // and a router's to the world by its anycast address.
    let here = [Local, Broadcast, Anycast, Multicast].map(|kind| vec![Value::AddressType(kind)]);
    let mut sets = vec![
        set(names.here, &[Field::AddressType], here.into()),
        set(names.guarded, &[Interface], guarded),
        set(names.protected, &[Protocol, Port], protected.collect()),
        set(names.hosts.v4, &[Ipv4, Protocol, Port], hosts4),
        set(names.hosts.v6, &[Ipv6, Protocol, Port], hosts6),
        set(names.always.v4, &[Ipv4], always4),
        set(names.always.v6, &[Ipv6], always6),
    ];
    if place.keeps_sessions() {
        sets.extend([
            set(names.keep.v4, &[Ipv4, Port, Ipv4, Port], keep4),
            set(names.keep.v6, &[Ipv6, Port, Ipv6, Port], keep6),
        ]);
    }
    let open =
        |grants: Grants| Set { timeouts: true, ..set(grants.name(place), grants.fields(), Vec::new()) };
    sets.extend(grants(plan).map(open));
    sets.extend([
        set(names.shaking.v4, &[Ipv4, Port, Ipv4, Port], Vec::new()),
        set(names.shaking.v6, &[Ipv6, Port, Ipv6, Port], Vec::new()),
        set(names.cut.v4, &[Ipv4, Protocol, Port], Vec::new()),
        set(names.cut.v6, &[Ipv6, Protocol, Port], Vec::new()),
    ]);
    sets.extend(forward::sets(names));
    sets
}

/// The sets of open doors that this plan has.
fn grants(plan: &Plan) -> impl Iterator<Item = Grants> {
    Grants::FIXED.into_iter().chain(plan.prefixes.iter().copied().map(Grants::Prefix))
}

/// Keys that begin with an IPv4 address, and the others.
fn by_family(keys: impl Iterator<Item = Key>) -> (Vec<Key>, Vec<Key>) {
    keys.partition(|key| matches!(key.first(), Some(Value::Ipv4(_))))
}

/// Drops SPA datagrams before connection tracking and without an answer. Captures see them all the same.
fn knocks(plan: &Plan, names: &Names) -> Chain {
    let mut rules = elsewhere(plan, names, Verdict::Accept);
    rules.push(rule(
        [Match::UdpPort(plan.spa_port), Match::In(&[Selector::AddressType], names.here)],
        Verdict::Drop,
    ));
    Chain { name: "knocks", kind: Kind::Filter, priority: Some(RAW), rules }
}

/// Picks out what is on its way to a protected service.
fn guard(plan: &Plan, names: &Names) -> Chain {
    let mut rules = elsewhere(plan, names, Verdict::Accept);
    rules.extend(to_doors(names));
    Chain { name: "guard", kind: Kind::Filter, priority: Some(MANGLE), rules }
}

/// The same where the operator's chain jumps to: what is no business of ours goes back there.
fn passage(plan: &Plan, names: &Names) -> Chain {
    let mut rules = elsewhere(plan, names, Verdict::Return);
    rules.extend(to_doors(names));
    Chain { name: names.entrance, kind: Kind::Filter, priority: None, rules }
}

fn to_doors(names: &Names) -> [Rule; 3] {
    use Selector::{AddressType, DestinationV4, DestinationV6, Port, Protocol};

    let to_doors = Verdict::Goto(names.doors);
    [
        // Transit to the same port is none of our business: only what is addressed here, or to a host named
        // in the plan.
        rule(
            [Match::In(&[Protocol, Port], names.protected), Match::In(&[AddressType], names.here)],
            to_doors,
        ),
        rule([Match::In(&[DestinationV4, Protocol, Port], names.hosts.v4)], to_doors),
        rule([Match::In(&[DestinationV6, Protocol, Port], names.hosts.v6)], to_doors),
    ]
}

/// Lets through what has a reason to pass, and drops the rest silently.
fn doors(plan: &Plan, place: &Place) -> Chain {
    let names = place.names();
    let rules = [
        completed(names),
        ended(names),
        known(names),
        kept(names),
        granted(plan, place),
        forward::forwarded(names),
        begun(names),
        vec![rule([], Verdict::CountAndDrop)],
    ];
    Chain {
        name: names.doors,
        kind: Kind::Filter,
        priority: None,
        rules: rules.into_iter().flatten().collect(),
    }
}

/// Lets through what has a reason to pass, and leaves the rest to the operator's chain.
fn accepts(plan: &Plan, place: &Place) -> Chain {
    let names = place.names();
    let rules = [completed(names), ended(names), known(names), granted(plan, place), begun(names)];
    Chain {
        name: names.doors,
        kind: Kind::Filter,
        priority: None,
        rules: rules.into_iter().flatten().collect(),
    }
}

fn known(names: &Names) -> Vec<Rule> {
    vec![
        // Sessions begun from outside. Never the reply direction: a session that was cut would come back as
        // the reply to the server's next packet. Never `related`.
        rule([Match::Transport(Transport::Tcp), Match::Established(Direction::Original)], Verdict::Accept),
        // Only answers to what this host began: a client's door closes with its window.
        rule([Match::Transport(Transport::Udp), Match::Established(Direction::Reply)], Verdict::Accept),
    ]
    .into_iter()
    .chain(always(names))
    .collect()
}

fn always(names: &Names) -> Vec<Rule> {
    vec![
        rule([Match::In(&[Selector::SourceV4], names.always.v4)], Verdict::Accept),
        rule([Match::In(&[Selector::SourceV6], names.always.v6)], Verdict::Accept),
    ]
}

/// Connection tracking may not know sessions that are older than the guard.
fn kept(names: &Names) -> Vec<Rule> {
    use Selector::{DestinationV4, DestinationV6, SourceV4, SourceV6, TcpDestination, TcpSource};

    let (v4, v6) = (names.keep.v4, names.keep.v6);
    vec![
        rule([Match::In(&[SourceV4, TcpSource, DestinationV4, TcpDestination], v4)], Verdict::Accept),
        rule([Match::In(&[SourceV6, TcpSource, DestinationV6, TcpDestination], v6)], Verdict::Accept),
    ]
}

fn granted(plan: &Plan, place: &Place) -> Vec<Rule> {
    let lasting = grants(plan).filter(|grants| !grants.is_once());
    lasting.map(|grants| rule([grants.holds(place)], Verdict::Accept)).collect()
}

/// What is left alone because of the interface it came in by. Loopback always is.
pub(super) fn elsewhere(plan: &Plan, names: &Names, verdict: Verdict) -> Vec<Rule> {
    let mut rules = vec![rule([Match::Loopback], verdict)];
    if plan.interfaces != Interfaces::Any {
        rules.push(rule([Match::NotIn(&[Selector::Interface], names.guarded)], verdict));
    }
    rules
}

pub(super) fn rule<const N: usize>(matches: [Match; N], verdict: Verdict) -> Rule {
    Rule { matches: matches.into(), updates: Vec::new(), verdict }
}
