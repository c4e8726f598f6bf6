//! The one description of our table. `text.rs` writes it as nft's text, `encode.rs` as netlink messages.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use spa_core::service::Transport;

use super::key::{AddressType, Field, Key, Value, of_door, of_service, of_session};
use super::plan::{Interfaces, Plan};

/// Name of our table, of family `inet`.
pub(super) const TABLE: &str = "spad";

/// Sets whose elements come and go while the table stands: a new plan adds to them but never empties them.
pub(super) const GRANTS: ByFamily = ByFamily { v4: "grants4", v6: "grants6" };
pub(super) const KEEP: ByFamily = ByFamily { v4: "keep4", v6: "keep6" };

/// A set's name for each address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByFamily {
    pub(super) v4: &'static str,
    pub(super) v6: &'static str,
}

impl ByFamily {
    /// The set that this address belongs to.
    pub(super) fn of(self, address: IpAddr) -> &'static str {
        if address.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }

    pub(super) fn both(self) -> [&'static str; 2] {
        [self.v4, self.v6]
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) sets: Vec<Set>,
    pub(super) chains: Vec<Chain>,
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key: &'static [Field],
    /// Whether elements may end by themselves.
    pub(super) timeouts: bool,
    pub(super) elements: BTreeSet<Key>,
}

impl Set {
    /// Whether the plan alone says what is in it, so that a new plan empties it first.
    pub(super) fn is_planned(&self) -> bool {
        is_planned(self.name)
    }
}

/// Whether the plan alone says what is in the set of that name.
pub(super) fn is_planned(set: &str) -> bool {
    !GRANTS.both().contains(&set) && !KEEP.both().contains(&set)
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Its place at prerouting; `None` for a chain that rules go to.
    pub(super) priority: Option<i32>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Match {
    /// Came in by the interface `lo`.
    Loopback,
    Transport(Transport),
    UdpPort(NonZeroU16),
    /// Packet of a connection that is established, going this way.
    Established(Direction),
    In(&'static [Selector], &'static str),
    NotIn(&'static [Selector], &'static str),
}

/// Way of a packet in its connection: `Original` is the way of the first packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Original,
    Reply,
}

/// Where one field of a key is found: in the packet, or in what the kernel knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Interface,
    AddressType,
    Protocol,
    /// Destination port, of whatever transport has one.
    Port,
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
    Drop,
    /// Drop, with a counter for the operator.
    CountAndDrop,
    Goto(&'static str),
}

/// Before connection tracking (-200): a knock leaves no trace there.
const RAW: i32 = -300;
/// After connection tracking (-200) and before destination NAT (-100): published ports are covered too.
const MANGLE: i32 = -150;

impl Table {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { sets: sets(plan), chains: vec![knocks(plan), guard(plan), doors()] }
    }
}

fn sets(plan: &Plan) -> Vec<Set> {
    use AddressType::{Anycast, Broadcast, Local, Multicast};
    use Field::{Interface, Ipv4, Ipv6, Port, Protocol};

    let set = |name, key, elements: Vec<Key>| Set {
        name,
        key,
        timeouts: GRANTS.both().contains(&name),
        elements: elements.into_iter().collect(),
    };
    let guarded = match &plan.interfaces {
        Interfaces::Any => Vec::new(),
        Interfaces::Named(names) => names.iter().map(|name| vec![Value::Interface(name.clone())]).collect(),
    };
    let protected = plan.protect.iter().filter(|p| p.host.is_none()).map(|p| of_service(p.service));
    let hosts = plan.protect.iter().filter_map(|p| Some(of_door(p.host?, p.service)));
    let (hosts4, hosts6) = by_family(hosts);
    let (always4, always6) =
        by_family(plan.always_allow.iter().map(|address| vec![Value::address(*address)]));
    let (keep4, keep6) = by_family(plan.keep.iter().map(of_session));
    // A UDP socket also takes what is sent to everybody: "local" alone would leave it open to the neighbours,
    // and a router's to the world by its anycast address.
    let here = [Local, Broadcast, Anycast, Multicast].map(|kind| vec![Value::AddressType(kind)]);
    vec![
        set("here", &[Field::AddressType], here.into()),
        set("guarded", &[Interface], guarded),
        set("protected", &[Protocol, Port], protected.collect()),
        set("protected_hosts4", &[Ipv4, Protocol, Port], hosts4),
        set("protected_hosts6", &[Ipv6, Protocol, Port], hosts6),
        set("always4", &[Ipv4], always4),
        set("always6", &[Ipv6], always6),
        set(KEEP.v4, &[Ipv4, Port, Ipv4, Port], keep4),
        set(KEEP.v6, &[Ipv6, Port, Ipv6, Port], keep6),
        set(GRANTS.v4, &[Ipv4, Protocol, Port], Vec::new()),
        set(GRANTS.v6, &[Ipv6, Protocol, Port], Vec::new()),
    ]
}

/// Keys that begin with an IPv4 address, and the others.
fn by_family(keys: impl Iterator<Item = Key>) -> (Vec<Key>, Vec<Key>) {
    keys.partition(|key| matches!(key.first(), Some(Value::Ipv4(_))))
}

/// Drops SPA datagrams before connection tracking and without an answer. Captures see them all the same.
fn knocks(plan: &Plan) -> Chain {
    let mut rules = elsewhere(plan);
    rules.push(rule(
        [Match::UdpPort(plan.spa_port), Match::In(&[Selector::AddressType], "here")],
        Verdict::Drop,
    ));
    Chain { name: "knocks", priority: Some(RAW), rules }
}

/// Picks out what is on its way to a protected service.
fn guard(plan: &Plan) -> Chain {
    use Selector::{AddressType, DestinationV4, DestinationV6, Port, Protocol};

    let mut rules = elsewhere(plan);
    let to_doors = Verdict::Goto("doors");
    rules.extend([
        // Transit to the same port is none of our business: only what is addressed here, or to a host named
        // in the plan.
        rule([Match::In(&[Protocol, Port], "protected"), Match::In(&[AddressType], "here")], to_doors),
        rule([Match::In(&[DestinationV4, Protocol, Port], "protected_hosts4")], to_doors),
        rule([Match::In(&[DestinationV6, Protocol, Port], "protected_hosts6")], to_doors),
    ]);
    Chain { name: "guard", priority: Some(MANGLE), rules }
}

/// Lets through what has a reason to pass, and drops the rest silently.
fn doors() -> Chain {
    use Selector::{
        DestinationV4, DestinationV6, Port, Protocol, SourceV4, SourceV6, TcpDestination, TcpSource,
    };

    let rules = vec![
        // Sessions begun from outside. Never the reply direction: a session that was cut would come back as
        // the reply to the server's next packet. Never `related`.
        rule([Match::Transport(Transport::Tcp), Match::Established(Direction::Original)], Verdict::Accept),
        // Only answers to what this host began: a client's door closes with its window.
        rule([Match::Transport(Transport::Udp), Match::Established(Direction::Reply)], Verdict::Accept),
        rule([Match::In(&[SourceV4], "always4")], Verdict::Accept),
        rule([Match::In(&[SourceV6], "always6")], Verdict::Accept),
        // Connection tracking may not know sessions that are older than the guard.
        rule([Match::In(&[SourceV4, TcpSource, DestinationV4, TcpDestination], KEEP.v4)], Verdict::Accept),
        rule([Match::In(&[SourceV6, TcpSource, DestinationV6, TcpDestination], KEEP.v6)], Verdict::Accept),
        rule([Match::In(&[SourceV4, Protocol, Port], GRANTS.v4)], Verdict::Accept),
        rule([Match::In(&[SourceV6, Protocol, Port], GRANTS.v6)], Verdict::Accept),
        rule([], Verdict::CountAndDrop),
    ];
    Chain { name: "doors", priority: None, rules }
}

/// What is left alone because of the interface it came in by. Loopback always is.
fn elsewhere(plan: &Plan) -> Vec<Rule> {
    let mut rules = vec![rule([Match::Loopback], Verdict::Accept)];
    if plan.interfaces != Interfaces::Any {
        rules.push(rule([Match::NotIn(&[Selector::Interface], "guarded")], Verdict::Accept));
    }
    rules
}

fn rule<const N: usize>(matches: [Match; N], verdict: Verdict) -> Rule {
    Rule { matches: matches.into(), verdict }
}
