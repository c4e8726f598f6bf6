//! TCP sessions of protected services that exist already, asked of the kernel by sock_diag(7).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use spa_core::service::{Protected, Transport};

use super::error::{Aim, FirewallError};
use super::netlink::Channel;
use super::plan::Session;

const SOCK_DIAG_BY_FAMILY: u16 = 20;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Length of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;

/// States in which data or acknowledgements still flow (net/tcp_states.h): ESTABLISHED, FIN_WAIT1, FIN_WAIT2,
/// CLOSE_WAIT, LAST_ACK, CLOSING.
const LIVE: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// Sessions that live now on the protected TCP ports of this host.
///
/// # Errors
/// [`FirewallError::Unsupported`] where the kernel has no `inet_diag` and `tcp_diag`.
pub fn sessions(protect: &[Protected]) -> Result<Vec<Session>, FirewallError> {
    let ports: BTreeSet<u16> = protect
        .iter()
        .filter(|p| p.host.is_none() && p.service.transport() == Transport::Tcp)
        .map(|p| p.service.port().get())
        .collect();
    if ports.is_empty() {
        return Ok(Vec::new());
    }
    let aim = Aim::Use {
        what: "the list of TCP sessions".into(),
        feature: "tcp_diag (CONFIG_INET_DIAG, CONFIG_INET_TCP_DIAG)".into(),
    };
    let mut channel = Channel::open(NETLINK_SOCK_DIAG)?;
    let mut sessions = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let answers = channel.dump(Diag::Request { family }, &aim)?;
        sessions.extend(answers.into_iter().filter_map(Diag::session));
    }
    sessions.retain(|session| ports.contains(&session.server().port()));
    Ok(sessions)
}

/// A message of sock_diag about TCP sockets.
#[derive(Clone, Debug)]
enum Diag {
    /// All live sockets of a family.
    Request { family: u8 },
    /// One socket; `None` if it is in no form that we know.
    Socket(Option<Session>),
}

impl Diag {
    fn session(self) -> Option<Session> {
        match self {
            Self::Socket(session) => session,
            Self::Request { .. } => None,
        }
    }
}

impl NetlinkSerializable for Diag {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        REQUEST
    }

    /// `struct inet_diag_req_v2`: family, protocol, two bytes unused, states; the rest would name one socket.
    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
        if let (Self::Request { family }, [first, protocol, _, _, rest @ ..]) = (self, buffer) {
            *first = *family;
            *protocol = Transport::Tcp.number();
            rest[..4].copy_from_slice(&LIVE.to_ne_bytes());
        }
    }
}

impl NetlinkDeserializable for Diag {
    type Error = Infallible;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self::Socket(parse(payload)))
    }
}

/// `struct inet_diag_msg`: family, state, timer, retransmissions; then our port, the peer's port (both
/// big-endian), our address, the peer's address (16 bytes each).
fn parse(payload: &[u8]) -> Option<Session> {
    let ([family, _, _, _], rest) = payload.split_first_chunk()?;
    let (our_port, rest) = rest.split_first_chunk()?;
    let (peer_port, rest) = rest.split_first_chunk()?;
    let (our_address, rest) = rest.split_first_chunk()?;
    let (peer_address, _) = rest.split_first_chunk()?;
    let end = |address: &[u8; 16], port: &[u8; 2]| {
        Some(SocketAddr::new(to_address(*family, address)?, u16::from_be_bytes(*port)))
    };
    Session::new(end(peer_address, peer_port)?, end(our_address, our_port)?)
}

fn to_address(family: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|four| Ipv4Addr::from(*four).into()),
        AF_INET6 => Some(Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}
