//! What stands in a set: an element's key, and which set holds which door.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use spa_core::grantee::Grantee;
use spa_core::lease::{Door, Limit};
use spa_core::service::{Service, Transport};

use super::narrow;
use super::set::Family;
use crate::firewall::plan::{InterfaceName, Session};

/// One element's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Address(IpAddr),
    Net(IpAddr, u8),
    /// Any address of the family of this one, by an interface.
    Interface(IpAddr, InterfaceName),
    Port(u16),
    /// A client and the port that it sends from.
    Source(IpAddr, Transport, u16),
    /// A link-local address, by an interface.
    Link(Ipv6Addr, InterfaceName),
    Door(IpAddr, Service),
    /// The first address of a prefix, its length, and what its addresses may reach.
    Prefix(IpAddr, u8, Service),
    /// Two ends of a TCP session, and the port of the first.
    Session(IpAddr, u16, IpAddr),
    /// A client, the inner service that it reaches, and the host of that.
    Flow(IpAddr, Service, IpAddr),
}

impl Key {
    pub(super) fn door(address: IpAddr, service: Service) -> Self {
        Self::Door(address.to_canonical(), service)
    }

    /// The set that holds this door, and its key there; `None` for one that is kept by its interface (`links.rs`), or that
    /// nothing can ask for.
    pub(super) fn of(door: &Door) -> Option<(Cow<'static, str>, Self)> {
        let family = Family::of(door.grantee.address());
        let names = family.names();
        match (door.grantee, door.limit) {
            (Grantee::Address(address), Limit::None) => {
                Some((names.grants.into(), Self::door(address, door.service)))
            }
            (Grantee::Address(address), Limit::Once) => {
                Some((names.once.into(), Self::door(address, door.service)))
            }
            (Grantee::Address(address), Limit::SourcePort(port)) => Some((
                narrow::of_ports(family, door.service).into(),
                Self::Source(address.to_canonical(), door.service.transport(), port),
            )),
            (Grantee::Prefix { first, bits }, Limit::None) => {
                Some((names.prefixes.into(), Self::Prefix(first, bits, door.service)))
            }
            _ => None,
        }
    }

    pub(super) fn client(session: &Session) -> Self {
        Self::Session(session.client().ip(), session.client().port(), session.server().ip())
    }

    pub(super) fn server(session: &Session) -> Self {
        Self::Session(session.server().ip(), session.server().port(), session.client().ip())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Net(address, length) => write!(f, "{address}/{length}"),
            Self::Interface(any, name) => write!(f, "{any}/0,{name}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Source(address, transport, port) => write!(f, "{address},{transport}:{port}"),
            Self::Link(address, name) => write!(f, "{address},{name}"),
            Self::Door(address, service) => {
                write!(f, "{address},{}:{}", service.transport(), service.port())
            }
            Self::Prefix(first, bits, service) => {
                write!(f, "{first}/{bits},{}:{}", service.transport(), service.port())
            }
            Self::Session(one, port, other) => write!(f, "{one},tcp:{port},{other}"),
            Self::Flow(client, service, host) => {
                write!(f, "{client},{}:{},{host}", service.transport(), service.port())
            }
        }
    }
}
