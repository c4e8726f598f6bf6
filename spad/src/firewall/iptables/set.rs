//! The sets of ipset that the rules look into, as `ipset restore` reads them. Whatever can change is in a set;
//! the rules (`rules.rs`) are always the same.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spa_core::service::Transport;

use super::forward;
use super::key::Key;
use crate::firewall::plan::{Interfaces, Plan};

/// Address family of a set and of the rules that look into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Sets of both families: a port has none.
pub(super) const TCP: &str = "spad_tcp";
pub(super) const UDP: &str = "spad_udp";
pub(super) const KNOCK: &str = "spad_knock";
/// Takes a planned set's new elements until both change places.
pub(super) const NEW: &str = "spad_new";

/// Names of the sets of one family.
pub(super) struct Names {
    /// The interface `lo`, always.
    pub(super) lo: &'static str,
    /// Every address, if the guard stands on named interfaces only; else empty.
    pub(super) named: &'static str,
    pub(super) guarded: &'static str,
    pub(super) hosts: &'static str,
    pub(super) always: &'static str,
    /// Kept sessions: client, its port, server; the server's port is the comment.
    pub(super) keep: &'static str,
    /// The same from the other end: server, its port, client. No type of set has room for both ports.
    pub(super) keep_to: &'static str,
    pub(super) grants: &'static str,
    /// Grants for prefixes, of whatever length.
    pub(super) prefixes: &'static str,
    /// Doors for one connection each.
    pub(super) once: &'static str,
    /// Connections that began by those and are not complete: client, its port, server.
    pub(super) shaking: &'static str,
    /// Doors whose sessions end with them.
    pub(super) cut: &'static str,
    /// Doors that lead to inner hosts.
    pub(super) forwarded: &'static str,
    /// What goes on from them in another name: client, inner port, inner host.
    pub(super) flows: &'static str,
}

const V4: Names = Names {
    lo: "spad_lo4",
    named: "spad_named4",
    guarded: "spad_guarded4",
    hosts: "spad_hosts4",
    always: "spad_always4",
    keep: "spad_keep4",
    keep_to: "spad_keep_to4",
    grants: "spad_grants4",
    prefixes: "spad_prefixes4",
    once: "spad_once4",
    shaking: "spad_shaking4",
    cut: "spad_cut4",
    forwarded: "spad_forwarded4",
    flows: "spad_flows4",
};

const V6: Names = Names {
    lo: "spad_lo6",
    named: "spad_named6",
    guarded: "spad_guarded6",
    hosts: "spad_hosts6",
    always: "spad_always6",
    keep: "spad_keep6",
    keep_to: "spad_keep_to6",
    grants: "spad_grants6",
    prefixes: "spad_prefixes6",
    once: "spad_once6",
    shaking: "spad_shaking6",
    cut: "spad_cut6",
    forwarded: "spad_forwarded6",
    flows: "spad_flows6",
};

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) fn names(self) -> &'static Names {
        match self {
            Self::V4 => &V4,
            Self::V6 => &V6,
        }
    }

    /// As it stands in names of ours.
    pub(super) fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    /// As ipset's text has it.
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "inet",
            Self::V6 => "inet6",
        }
    }

    fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The upper half of all addresses; the lower begins at the unspecified one.
    fn upper_half(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(128, 0, 0, 0).into(),
            Self::V6 => Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0).into(),
        }
    }
}

/// Type of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Net,
    Interface,
    /// The same with comments.
    Link,
    Port,
    Door,
    Prefixes,
    Session,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "hash:ip",
            Self::Net => "hash:net",
            Self::Interface | Self::Link => "hash:net,iface",
            Self::Port => "bitmap:port",
            Self::Door => "hash:ip,port",
            Self::Prefixes => "hash:net,port",
            Self::Session => "hash:ip,port,ip",
        }
    }

    /// The oldest revision that can do what we ask for, so that old kernels know it.
    pub(super) const fn revision(self) -> u8 {
        match self {
            Self::Address | Self::Net | Self::Port => 0,
            // The network 0.0.0.0/0.
            Self::Interface => 2,
            // Comments.
            Self::Door | Self::Session => 3,
            // The same, in types that changed more often.
            Self::Link => 4,
            Self::Prefixes => 5,
        }
    }

    /// What to look for in a kernel that lacks it.
    pub(super) const fn feature(self) -> &'static str {
        match self {
            Self::Address => "hash:ip (CONFIG_IP_SET_HASH_IP)",
            Self::Net => "hash:net (CONFIG_IP_SET_HASH_NET)",
            Self::Interface | Self::Link => "hash:net,iface (CONFIG_IP_SET_HASH_NETIFACE)",
            Self::Port => "bitmap:port (CONFIG_IP_SET_BITMAP_PORT)",
            Self::Door => "hash:ip,port (CONFIG_IP_SET_HASH_IPPORT)",
            Self::Prefixes => "hash:net,port (CONFIG_IP_SET_HASH_NETPORT)",
            Self::Session => "hash:ip,port,ip (CONFIG_IP_SET_HASH_IPPORTIP)",
        }
    }
}

/// Most elements of a set: ipset needs a number, and its default is below our own ceiling's.
pub(super) const MOST: u32 = 1 << 20;

/// Most connections that are under way: packets add them, and senders can be forged.
const MOST_SHAKING: u32 = u16::MAX as u32;

#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) family: Option<Family>,
    pub(super) timeouts: bool,
    pub(super) comments: bool,
    pub(super) most: u32,
    /// Whether the plan alone says what is in it, so that a new plan replaces what is there.
    pub(super) planned: bool,
    pub(super) elements: BTreeSet<Key>,
}

/// All sets of a stand.
///
/// - `guards`: whether it drops, and so has knocks to drop and sessions to keep.
pub(super) fn sets(plan: &Plan, guards: bool) -> Vec<Set> {
    let here = |transport| {
        let services = plan.protect.iter().filter(|p| p.host.is_none()).map(|p| p.service);
        services
            .filter(move |service| service.transport() == transport)
            .map(|service| Key::Port(service.port().get()))
            .collect()
    };
    let mut sets = vec![
        planned(TCP, Kind::Port, None, here(Transport::Tcp)),
        planned(UDP, Kind::Port, None, here(Transport::Udp)),
    ];
    if guards {
        sets.push(planned(KNOCK, Kind::Port, None, [Key::Port(plan.spa_port.get())].into()));
    }
    for family in Family::BOTH {
        sets.extend(of_family(plan, family));
        let names = family.names();
        if guards {
            let keep = |name, comments| Set {
                comments,
                planned: false,
                ..planned(name, Kind::Session, Some(family), BTreeSet::new())
            };
            sets.extend([keep(names.keep, true), keep(names.keep_to, false)]);
        }
        sets.extend([doors(names.grants, Kind::Door, family), doors(names.prefixes, Kind::Prefixes, family)]);
        sets.extend(ends(family));
        sets.extend(forward::sets(family));
    }
    sets
}

/// A set of doors that are open.
pub(super) fn doors(name: &'static str, kind: Kind, family: Family) -> Set {
    Set {
        timeouts: true,
        comments: true,
        planned: false,
        ..planned(name, kind, Some(family), BTreeSet::new())
    }
}

/// Doors that end with a connection, and doors whose sessions end with them.
fn ends(family: Family) -> [Set; 3] {
    let names = family.names();
    let set = |name, kind| Set { planned: false, ..planned(name, kind, Some(family), BTreeSet::new()) };
    [
        doors(names.once, Kind::Door, family),
        Set { timeouts: true, most: MOST_SHAKING, ..set(names.shaking, Kind::Session) },
        set(names.cut, Kind::Door),
    ]
}

/// The planned sets of one family.
fn of_family(plan: &Plan, family: Family) -> [Set; 5] {
    let names = family.names();
    let any = family.unspecified();
    let interfaces = match &plan.interfaces {
        Interfaces::Any => &[][..],
        Interfaces::Named(interfaces) => interfaces,
    };
    let named = plan.interfaces != Interfaces::Any;
    let halves = [Key::Net(any, 1), Key::Net(family.upper_half(), 1)];
    let lo = "lo".parse().map(|lo| Key::Interface(any, lo));
    let hosts = plan.protect.iter().filter_map(|p| Some(Key::door(p.host?, p.service)));
    let hosts = hosts.filter(|key| matches!(key, Key::Door(host, _) if Family::of(*host) == family));
    let always = plan.always_allow.iter().map(|address| address.to_canonical());
    let always = always.filter(|address| Family::of(*address) == family).map(Key::Address);
    let set = |name, kind, elements| planned(name, kind, Some(family), elements);
    [
        set(names.lo, Kind::Interface, lo.into_iter().collect()),
        set(names.named, Kind::Net, halves.into_iter().filter(|_| named).collect()),
        set(
            names.guarded,
            Kind::Interface,
            interfaces.iter().map(|name| Key::Interface(any, name.clone())).collect(),
        ),
        set(names.hosts, Kind::Door, hosts.collect()),
        set(names.always, Kind::Address, always.collect()),
    ]
}

fn planned(name: &'static str, kind: Kind, family: Option<Family>, elements: BTreeSet<Key>) -> Set {
    Set { name, kind, family, timeouts: false, comments: false, most: MOST, planned: true, elements }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.name)?;
        self.elements.iter().try_for_each(|key| writeln!(f, "add {} {key}", self.name))
    }
}

impl Set {
    /// The line that makes it, under this name.
    pub(super) fn write(&self, f: &mut impl fmt::Write, name: &str) -> fmt::Result {
        write!(f, "create {name} {}", self.kind.name())?;
        match self.family {
            Some(family) => write!(f, " family {} maxelem {}", family.name(), self.most)?,
            None => f.write_str(" range 0-65535")?,
        }
        if self.timeouts {
            f.write_str(" timeout 0")?;
        }
        if self.comments {
            f.write_str(" comment")?;
        }
        writeln!(f)
    }
}
