//! What set elements are made of: typed fields, as nft names and numbers them and as the kernel compares
//! them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use spa_core::lease::Door;
use spa_core::service::{Service, Transport};
use spa_core::target::Target;

use crate::firewall::plan::{InterfaceName, Session};

/// Type of one field of a set's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    Interface,
    AddressType,
}

impl Field {
    /// Name in nft's text.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Interface => "ifname",
            Self::AddressType => "fib_addrtype",
        }
    }

    /// Number in a set's key type. The kernel only stores it; nft needs it for printing the set (nftables,
    /// include/datatype.h, `enum datatypes`).
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::AddressType => 38,
            Self::Interface => 41,
        }
    }

    /// Length in a key, in bytes: whole registers of 4 bytes, the rest filled with zeros.
    pub(super) const fn width(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port | Self::AddressType => 4,
            Self::Ipv6 | Self::Interface => 16,
        }
    }

    /// Whether the value is written in the host's byte order. Everything that comes out of packets is
    /// big-endian.
    pub(super) const fn in_host_order(self) -> bool {
        matches!(self, Self::Interface | Self::AddressType)
    }
}

/// Kind of a destination, as the routing table knows it (rtnetlink.h, `RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AddressType {
    Local = 2,
    Broadcast = 3,
    Anycast = 4,
    Multicast = 5,
}

/// Value of one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Protocol(Transport),
    Port(u16),
    Interface(InterfaceName),
    AddressType(AddressType),
}

/// One element's key.
pub(super) type Key = Vec<Value>;

impl Value {
    pub(super) fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }

    /// The bytes that the kernel compares.
    fn bytes(&self) -> Vec<u8> {
        let (mut bytes, width) = match self {
            Self::Ipv4(address) => (address.octets().to_vec(), Field::Ipv4.width()),
            Self::Ipv6(address) => (address.octets().to_vec(), Field::Ipv6.width()),
            Self::Protocol(transport) => (vec![transport.number()], Field::Protocol.width()),
            Self::Port(port) => (port.to_be_bytes().to_vec(), Field::Port.width()),
            Self::Interface(name) => (name.as_str().as_bytes().to_vec(), Field::Interface.width()),
            Self::AddressType(kind) => ((*kind as u32).to_ne_bytes().to_vec(), Field::AddressType.width()),
        };
        bytes.resize(width as usize, 0);
        bytes
    }
}

/// A key as the kernel compares it.
pub(super) fn bytes(key: &[Value]) -> Vec<u8> {
    key.iter().flat_map(Value::bytes).collect()
}

/// Key of an address's door in the grant sets, and of an inner host's service in the sets of protected hosts.
pub(super) fn of_door(address: IpAddr, service: Service) -> Key {
    let mut key = vec![Value::address(address)];
    key.extend(of_service(service));
    key
}

/// Key in the set of protected services.
pub(super) fn of_service(service: Service) -> Key {
    vec![Value::Protocol(service.transport()), Value::Port(service.port().get())]
}

/// Key in the sets of kept sessions.
pub(super) fn of_session(session: &Session) -> Key {
    [session.client(), session.server()]
        .into_iter()
        .flat_map(|end| [Value::address(end.ip()), Value::Port(end.port())])
        .collect()
}

/// The door whose key this is, or `None` if it is not one that we would have made.
pub(super) fn to_door(key: &[u8]) -> Option<Door> {
    let (address, rest) = to_address(key, 8)?;
    let [protocol, _, _, _, high, low, _, _] = *rest else { return None };
    let transport = Transport::from_number(protocol.into())?;
    let port = u16::from_be_bytes([high, low]).try_into().ok()?;
    Some(Door::plain(address, Service::new(transport, port)))
}

/// The session whose key this is.
pub(super) fn to_session(key: &[u8]) -> Option<Session> {
    let (client, server) = key.split_at_checked(key.len() / 2)?;
    Session::new(to_end(client)?, to_end(server)?)
}

/// The target in a map's data.
pub(super) fn to_target(data: &[u8]) -> Option<Target> {
    let end = to_end(data)?;
    Target::new(end.ip(), end.port().try_into().ok()?)
}

fn to_end(key: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = to_address(key, 4)?;
    let [high, low, _, _] = *rest else { return None };
    Some(SocketAddr::new(address, u16::from_be_bytes([high, low])))
}

/// The address at the front of a key, and the `rest` bytes behind it.
pub(super) fn to_address(key: &[u8], rest: usize) -> Option<(IpAddr, &[u8])> {
    let (address, rest) = key.split_at_checked(key.len().checked_sub(rest)?)?;
    let address = <[u8; 4]>::try_from(address)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from))
        .ok()?;
    Some((address, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way_there_and_back() {
        for (address, service) in [("192.0.2.7", "tcp/22"), ("2001:db8::7", "udp/51820")] {
            let door = Door::plain(address.parse().unwrap(), service.parse().unwrap());
            let there = bytes(&of_door(door.grantee.address(), door.service));
            assert_eq!(there.len() % 4, 0);
            assert_eq!(to_door(&there), Some(door));
        }
        for (client, server) in [("10.0.0.1:5000", "10.0.0.2:22"), ("[2001:db8::1]:5000", "[2001:db8::2]:22")]
        {
            let session = Session::new(client.parse().unwrap(), server.parse().unwrap()).unwrap();
            assert_eq!(to_session(&bytes(&of_session(&session))), Some(session));
        }
    }

    #[test]
    fn a_strange_key_is_no_door() {
        assert_eq!(to_door(&[0; 7]), None, "too short for anything");
        assert_eq!(to_door(&[10, 0, 0, 1, 1, 0, 0, 0, 0, 22, 0, 0]), None, "ICMP");
        assert_eq!(to_door(&[10, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0, 0]), None, "port 0");
        assert_eq!(to_session(&[0; 12]), None, "two ends of 6 bytes");
    }
}
