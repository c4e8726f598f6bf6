//! Where our sets and chains are, and what they are called there.

use std::net::IpAddr;

use netlink_packet_netfilter::NetfilterProtoFamily;

use super::grants::Grants;
use crate::firewall::standing::{AttachPoint, Family};

/// Where our sets and chains are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewall) enum Place {
    /// In a table of our own, `inet spad`.
    Own,
    /// In the operator's table, reached by a jump from a chain of it.
    Beside { family: Family, table: String, chain: String },
}

/// What our sets and chains are called.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) here: &'static str,
    pub(super) guarded: &'static str,
    pub(super) protected: &'static str,
    pub(super) hosts: ByFamily,
    pub(super) always: ByFamily,
    /// Sets whose elements come and go while the rest stands: a new plan adds to them but never empties them.
    pub(super) keep: ByFamily,
    pub(super) grants: ByFamily,
    /// Grants for one source port each.
    pub(super) ports: ByFamily,
    /// Grants for IPv6 link-local addresses.
    pub(super) links: &'static str,
    /// Doors for one connection each.
    pub(super) once: ByFamily,
    /// Connections that began by those and are not complete.
    pub(super) shaking: ByFamily,
    /// Doors whose sessions end with them.
    pub(super) cut: ByFamily,
    /// Doors that lead to inner hosts, where to, and in whose name.
    pub(super) forwarded: ByFamily,
    pub(super) targets: ByFamily,
    pub(super) masquerades: ByFamily,
    pub(super) sources: ByFamily,
    /// The chain that is jumped to.
    pub(super) entrance: &'static str,
    pub(super) doors: &'static str,
    /// Base chains, there if a target is named.
    pub(super) forward: &'static str,
    pub(super) forward_source: &'static str,
    /// The chain for packets through doors of `cut`.
    pub(super) cutting: &'static str,
}

const OWN: Names = Names {
    here: "here",
    guarded: "guarded",
    protected: "protected",
    hosts: ByFamily { v4: "protected_hosts4", v6: "protected_hosts6" },
    always: ByFamily { v4: "always4", v6: "always6" },
    keep: ByFamily { v4: "keep4", v6: "keep6" },
    grants: ByFamily { v4: "grants4", v6: "grants6" },
    ports: ByFamily { v4: "ports4", v6: "ports6" },
    links: "links",
    once: ByFamily { v4: "once4", v6: "once6" },
    shaking: ByFamily { v4: "shaking4", v6: "shaking6" },
    cut: ByFamily { v4: "cut4", v6: "cut6" },
    forwarded: ByFamily { v4: "forwarded4", v6: "forwarded6" },
    targets: ByFamily { v4: "targets4", v6: "targets6" },
    masquerades: ByFamily { v4: "masquerades4", v6: "masquerades6" },
    sources: ByFamily { v4: "sources4", v6: "sources6" },
    entrance: "guard",
    doors: "doors",
    forward: "forward",
    forward_source: "forward_source",
    cutting: "cutting",
};

/// In a table that is not ours every name says whose it is.
pub(super) const BESIDE: Names = Names {
    here: "spad_here",
    guarded: "spad_guarded",
    protected: "spad_protected",
    hosts: ByFamily { v4: "spad_protected_hosts4", v6: "spad_protected_hosts6" },
    always: ByFamily { v4: "spad_always4", v6: "spad_always6" },
    keep: ByFamily { v4: "spad_keep4", v6: "spad_keep6" },
    grants: ByFamily { v4: "spad_grants4", v6: "spad_grants6" },
    ports: ByFamily { v4: "spad_ports4", v6: "spad_ports6" },
    links: "spad_links",
    once: ByFamily { v4: "spad_once4", v6: "spad_once6" },
    shaking: ByFamily { v4: "spad_shaking4", v6: "spad_shaking6" },
    cut: ByFamily { v4: "spad_cut4", v6: "spad_cut6" },
    forwarded: ByFamily { v4: "spad_forwarded4", v6: "spad_forwarded6" },
    targets: ByFamily { v4: "spad_targets4", v6: "spad_targets6" },
    masquerades: ByFamily { v4: "spad_masquerades4", v6: "spad_masquerades6" },
    sources: ByFamily { v4: "spad_sources4", v6: "spad_sources6" },
    entrance: "spad",
    doors: "spad_doors",
    forward: "spad_forward",
    forward_source: "spad_forward_source",
    cutting: "spad_cutting",
};

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

impl Place {
    /// Beside that chain; `None` if it is one of iptables.
    pub(in crate::firewall) fn beside(point: &AttachPoint) -> Option<Self> {
        let AttachPoint { family, table, chain } = point.clone();
        Some(Self::Beside { family: family?, table, chain })
    }

    pub(super) fn family(&self) -> Family {
        match self {
            Self::Own => Family::Inet,
            Self::Beside { family, .. } => *family,
        }
    }

    pub(super) fn table(&self) -> &str {
        match self {
            Self::Own => "spad",
            Self::Beside { table, .. } => table,
        }
    }

    pub(super) fn names(&self) -> &'static Names {
        match self {
            Self::Own => &OWN,
            Self::Beside { .. } => &BESIDE,
        }
    }

    /// Whether the plan alone says what is in the set of that name.
    pub(super) fn is_planned(&self, set: &str) -> bool {
        let Names { keep, shaking, cut, forwarded, targets, masquerades, sources, .. } = *self.names();
        let moving = [keep, shaking, cut, forwarded, targets, masquerades, sources];
        Grants::named(self, set).is_none() && !moving.into_iter().any(|sets| sets.both().contains(&set))
    }

    /// Only who drops has sessions to keep.
    pub(super) fn keeps_sessions(&self) -> bool {
        *self == Self::Own
    }
}

/// The family in netlink's header.
pub(super) fn protocol_family(family: Family) -> NetfilterProtoFamily {
    match family {
        Family::Inet => NetfilterProtoFamily::Inet,
        Family::Ip => NetfilterProtoFamily::IPv4,
        Family::Ip6 => NetfilterProtoFamily::IPv6,
    }
}
