//! What the kernel's connection tracking knows of a service, asked over netlink (linux/netfilter/nfnetlink_conntrack.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_sys::protocols::NETLINK_NETFILTER;
use spa_core::service::{Service, Transport};

use super::error::{Aim, FirewallError};
use super::netlink::Channel;
use super::raw::{Attributes, Raw, get};

/// `NFNL_SUBSYS_CTNETLINK`; `IPCTNL_MSG_CT_GET`, `_DELETE`.
const SUBSYSTEM: u8 = 1;
const GET: u8 = 1;
const DELETE: u8 = 2;

/// `CTA_*` of an entry.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const PROTOCOL_INFO: u16 = 4;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;

/// `CTA_FILTER_F_CTA_PROTO_NUM`, `_DST_PORT`: what of the tuple is to be compared.
const BY_SERVICE: u32 = 1 << 3 | 1 << 5;

/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// `TCP_CONNTRACK_ESTABLISHED`.
const ESTABLISHED: u8 = 3;

/// A connection that is tracked.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Address and port of the client.
    pub(super) client: (IpAddr, u16),
    /// Whether both ends may still send. UDP has no end but a time without datagrams.
    pub(super) is_established: bool,
    /// What the kernel is told to delete it.
    name: Attributes,
    family: u8,
}

/// The kernel's table.
pub(super) struct Conntrack(Channel);

impl Conntrack {
    pub(super) fn open() -> Result<Self, FirewallError> {
        Channel::open(NETLINK_NETFILTER).map(Self)
    }

    /// Connections to a service by the number that the client knows: those that the client began, and those that are
    /// taken for the server's because their beginning is forgotten.
    pub(super) fn of(&mut self, service: Service) -> Result<Vec<Entry>, FirewallError> {
        let mut entries = Vec::new();
        for family in FAMILIES {
            for direction in [ORIGINAL, REPLY] {
                let answers = self.0.dump(question(service, family, direction), &aim())?;
                entries.extend(answers.iter().filter_map(|answer| to_entry(answer, service, direction)));
            }
        }
        Ok(entries)
    }

    /// Forgets connections; the next packet of each is one of an unknown connection.
    pub(super) fn forget(&mut self, entries: Vec<Entry>) -> Result<(), FirewallError> {
        let delete = |Entry { name, family, .. }| {
            (Raw { subsystem: SUBSYSTEM, kind: DELETE, family, attributes: name }, 0, aim())
        };
        match self.0.series(entries.into_iter().map(delete).collect()) {
            Err(FirewallError::Absent) => Ok(()),
            outcome => outcome,
        }
    }
}

fn aim() -> Aim {
    Aim::Entry { what: "the table of connections", feature: "nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)" }
}

/// Linux from 5.8 on answers with what was asked for only; what else comes is left out here.
fn question(service: Service, family: u8, direction: u16) -> Raw {
    let port = service.port().get().to_be_bytes();
    let transport = Attributes::default().bytes(1, &[service.transport().number()]).big_endian(3, &port);
    let tuple = Attributes::default().nest(2, &transport);
    let (original, reply) = if direction == ORIGINAL { (BY_SERVICE, 0) } else { (0, BY_SERVICE) };
    let filter = Attributes::default().bytes(1, &original.to_ne_bytes()).bytes(2, &reply.to_ne_bytes());
    let attributes = Attributes::default().nest(direction, &tuple).nest(FILTER, &filter);
    Raw { subsystem: SUBSYSTEM, kind: GET, family, attributes }
}

/// A tuple has addresses (1: IPv4 source 1, IPv6 source 3) and transport (2: number 1, source port 2, destination
/// port 3).
fn to_entry(answer: &Raw, service: Service, direction: u16) -> Option<Entry> {
    let all = &answer.attributes;
    let tuple = all.get(direction)?;
    let transport = get(tuple, 2)?;
    let port = |kind| get(transport, kind)?.try_into().map(u16::from_be_bytes).ok();
    if get(transport, 1)? != [service.transport().number()] || port(3)? != service.port().get() {
        return None;
    }
    let addresses = get(tuple, 1)?;
    let four = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(get(addresses, 1)?).ok()?).into());
    let six = || Some(Ipv6Addr::from(<[u8; 16]>::try_from(get(addresses, 3)?).ok()?).into());
    let state = || get(get(all.get(PROTOCOL_INFO)?, 1)?, 1);
    // Without a tuple the kernel would take the request for one to delete everything.
    let mut name = Attributes::default().nested(ORIGINAL, all.get(ORIGINAL)?);
    for kind in [ID, ZONE] {
        if let Some(value) = all.get(kind) {
            name = name.big_endian(kind, value);
        }
    }
    Some(Entry {
        client: (four().or_else(six)?, port(2)?),
        is_established: service.transport() == Transport::Udp || state() == Some(&[ESTABLISHED]),
        name,
        family: answer.family,
    })
}
