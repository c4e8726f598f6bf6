//! TCP sessions of this host's services, asked of the kernel by sock_diag(7), and their end.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use serde::{Deserialize, Serialize};
use spa_core::service::{Protected, Transport};

use super::error::{Aim, FirewallError};
use super::netlink::Channel;
use super::plan::Session;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Length of `struct inet_diag_req_v2`, and of `struct inet_diag_sockid` in it, which names one socket.
const REQUEST: usize = 56;
const NAME: usize = 48;
/// Length of `struct inet_diag_msg`; attributes follow.
const MESSAGE: usize = 72;

/// Asks for `struct tcp_info` as well (`1 << (INET_DIAG_INFO - 1)`), which is the attribute INET_DIAG_INFO.
const TCP_INFO: u8 = 1 << 1;
const INET_DIAG_INFO: u16 = 2;

/// TCP_ESTABLISHED.
const ESTABLISHED: u8 = 1;

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
    let sockets = sockets(&mut Channel::open(NETLINK_SOCK_DIAG)?, 0)?;
    let here = |socket: Socket| ports.contains(&socket.session.server().port()).then_some(socket.session);
    Ok(sockets.into_iter().filter_map(here).collect())
}

/// What live TCP connections have carried, by the kernel's own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// How many there are.
    pub connections: u32,
    /// Segments that came in.
    pub packets_in: u64,
    /// Segments that went out.
    pub packets_out: u64,
    /// Bytes that came in, without headers.
    pub bytes_in: u64,
    /// Bytes that went out and were acknowledged.
    pub bytes_out: u64,
}

impl Through {
    /// Takes another connection in.
    pub(super) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.packets_in += other.packets_in;
        self.packets_out += other.packets_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// A live TCP socket of this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) session: Session,
    /// Of this one connection.
    pub(super) through: Through,
    family: u8,
    state: u8,
    name: [u8; NAME],
}

impl Socket {
    /// Whether both ends may still send.
    pub(super) fn is_established(&self) -> bool {
        self.state == ESTABLISHED
    }
}

/// Live sockets at that port of ours, or at any if it is 0.
pub(super) fn sockets(channel: &mut Channel, port: u16) -> Result<Vec<Socket>, FirewallError> {
    let aim = Aim::Use {
        what: "the list of TCP sessions".into(),
        feature: "tcp_diag (CONFIG_INET_DIAG, CONFIG_INET_TCP_DIAG)".into(),
    };
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let answers = channel.dump(Diag::List { family, port }, &aim)?;
        sockets.extend(answers.into_iter().filter_map(Diag::socket));
    }
    Ok(sockets)
}

/// Ends a socket as if its program had aborted it: both ends are told. No error if it is gone.
///
/// # Errors
/// [`FirewallError::Unsupported`] where the kernel cannot.
pub(super) fn destroy(channel: &mut Channel, socket: Socket) -> Result<(), FirewallError> {
    let aim = Aim::Entry { what: "the end of a session", feature: "CONFIG_INET_DIAG_DESTROY" };
    match channel.tell(Diag::Destroy(socket), &aim) {
        Err(FirewallError::Absent) => Ok(()),
        outcome => outcome,
    }
}

/// A message of sock_diag about TCP sockets.
#[derive(Clone, Debug)]
enum Diag {
    /// All live sockets of a family at a port of ours, or at any if it is 0.
    List { family: u8, port: u16 },
    /// One socket is to end.
    Destroy(Socket),
    /// One socket; `None` if it is in no form that we know.
    Socket(Option<Socket>),
}

impl Diag {
    fn socket(self) -> Option<Socket> {
        match self {
            Self::Socket(socket) => socket,
            Self::List { .. } | Self::Destroy(_) => None,
        }
    }
}

impl NetlinkSerializable for Diag {
    fn message_type(&self) -> u16 {
        if matches!(self, Self::Destroy(_)) { SOCK_DESTROY } else { SOCK_DIAG_BY_FAMILY }
    }

    fn buffer_len(&self) -> usize {
        REQUEST
    }

    /// `struct inet_diag_req_v2`: family, protocol, what else to tell, a byte unused, states (4), the name of a socket, which begins with
    /// our port.
    fn serialize(&self, buffer: &mut [u8]) {
        let (family, name) = match *self {
            Self::List { family, port } => {
                let mut name = [0; NAME];
                name[..2].copy_from_slice(&port.to_be_bytes());
                (family, name)
            }
            Self::Destroy(Socket { family, name, .. }) => (family, name),
            Self::Socket(_) => return,
        };
        let head = [family, Transport::Tcp.number(), TCP_INFO, 0];
        let bytes = head.into_iter().chain(LIVE.to_ne_bytes()).chain(name);
        buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
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
fn parse(payload: &[u8]) -> Option<Socket> {
    let ([family, state, _, _], rest) = payload.split_first_chunk()?;
    let name = *rest.first_chunk()?;
    let (our_port, rest) = rest.split_first_chunk()?;
    let (peer_port, rest) = rest.split_first_chunk()?;
    let (our_address, rest) = rest.split_first_chunk()?;
    let (peer_address, _) = rest.split_first_chunk()?;
    let through = payload.get(MESSAGE..).and_then(through).unwrap_or_default();
    let end = |address: &[u8; 16], port: &[u8; 2]| {
        Some(SocketAddr::new(to_address(*family, address)?, u16::from_be_bytes(*port)))
    };
    let session = Session::new(end(peer_address, peer_port)?, end(our_address, our_port)?)?;
    Some(Socket { session, through, family: *family, state: *state, name })
}

/// From the attributes; `None` where the kernel does not tell, or tells less.
fn through(mut attributes: &[u8]) -> Option<Through> {
    loop {
        let (length, rest) = attributes.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        if u16::from_ne_bytes(*kind) == INET_DIAG_INFO {
            return tcp_info(attributes.get(4..length)?);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

/// `struct tcp_info`: at 120 `tcpi_bytes_acked`, `tcpi_bytes_received` (64 bits each), `tcpi_segs_out`, `tcpi_segs_in`
/// (32 bits each), all since Linux 4.2.
fn tcp_info(info: &[u8]) -> Option<Through> {
    let (bytes_out, rest) = info.get(120..)?.split_first_chunk()?;
    let (bytes_in, rest) = rest.split_first_chunk()?;
    let (packets_out, rest) = rest.split_first_chunk()?;
    let (packets_in, _) = rest.split_first_chunk()?;
    Some(Through {
        connections: 1,
        packets_in: u32::from_ne_bytes(*packets_in).into(),
        packets_out: u32::from_ne_bytes(*packets_out).into(),
        bytes_in: u64::from_ne_bytes(*bytes_in),
        bytes_out: u64::from_ne_bytes(*bytes_out),
    })
}

fn to_address(family: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|four| Ipv4Addr::from(*four).into()),
        AF_INET6 => Some(Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}
