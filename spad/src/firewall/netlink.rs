//! One netlink socket: requests and their answers, and changes that happen as a whole or not at all.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_ALIGNTO,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, NetfilterSubsystem};
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt};

use super::error::{Aim, FirewallError};
use super::raw::Raw;

/// How long the kernel may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel packs the parts of a list into datagrams of at most 32 KiB.
const RECEIVE: usize = 64 * 1024;

/// Below this a transaction fits into the send buffer that every socket has (net.core.wmem_default).
const ALWAYS_FITS: usize = 64 * 1024;

/// How often a list is asked for that keeps changing while the kernel writes it.
const TRIES: usize = 8;

/// `EINTR`: a list changed while it was written.
pub(super) const INTERRUPTED: i32 = Errno::INTR.raw_os_error();

/// One message of a transaction.
pub(super) struct Step {
    pub(super) message: NfTablesMessage,
    /// `NLM_F_CREATE`, `NLM_F_APPEND` or 0.
    pub(super) flags: u16,
    pub(super) aim: Aim,
}

/// Messages in one datagram of a series: as many as leave room for an error of each in the receive buffer.
const PER_SERIES: usize = 256;

/// A socket that talks with one part of the kernel.
pub(super) struct Channel {
    socket: Socket,
    family: NetfilterProtoFamily,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Channel {
    /// Opens a socket of that protocol (`NETLINK_NETFILTER`, `NETLINK_SOCK_DIAG`).
    pub(super) fn open(protocol: isize) -> Result<Self, FirewallError> {
        let failed = |error| FirewallError::from_socket(error, PATIENCE);
        let mut socket = Socket::new(protocol).map_err(failed)?;
        let port = socket.bind_auto().map_err(failed)?.port_number();
        // Once connected to the kernel, a socket takes nothing from other processes.
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        // An error need not quote the whole message that caused it.
        socket.set_cap_ack(true).map_err(failed)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(|error| failed(error.into()))?;
        let family = NetfilterProtoFamily::Unspec;
        Ok(Self { socket, family, port, sequence: 0, buffer: vec![0; RECEIVE] })
    }

    /// Speaks of tables of this family.
    pub(super) fn of_family(mut self, family: NetfilterProtoFamily) -> Self {
        self.family = family;
        self
    }

    /// The kernel's name for this socket, which stands in the events that its changes cause.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Makes all these changes in one transaction. If any is refused, none is made.
    pub(super) fn transaction(&mut self, steps: Vec<Step>) -> Result<(), FirewallError> {
        if steps.is_empty() {
            return Ok(());
        }
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        let mut aims = vec![Aim::whole()];
        self.write(&mut bytes, control(ControlMessage::BatchBegin), NLM_F_REQUEST);
        let count = steps.len();
        for (index, Step { message, flags, aim }) in steps.into_iter().enumerate() {
            // The kernel reports every error; success it reports only where asked, and once is enough.
            let ack = if index + 1 == count { NLM_F_ACK } else { 0 };
            let message = self.nftables(message);
            self.write(&mut bytes, message, NLM_F_REQUEST | flags | ack);
            aims.push(aim);
        }
        let last = self.sequence;
        self.write(&mut bytes, control(ControlMessage::BatchEnd), NLM_F_REQUEST);
        self.send(&bytes)?;
        self.await_outcome(first, last, &aims, true)
    }

    /// Makes these changes one after the other, each by itself: what was refused does not hold up the rest.
    ///
    /// # Errors
    /// That of the first change that was refused.
    pub(super) fn series(&mut self, changes: Vec<(Raw, u16, Aim)>) -> Result<(), FirewallError> {
        let mut outcome = Ok(());
        let mut rest = changes.into_iter().peekable();
        while rest.peek().is_some() {
            let first = self.sequence.wrapping_add(1);
            let (mut bytes, mut aims) = (Vec::new(), Vec::new());
            while let Some((message, flags, aim)) = rest.next() {
                let ends = aims.len() + 1 == PER_SERIES || rest.peek().is_none();
                let ack = if ends { NLM_F_ACK } else { 0 };
                self.write(&mut bytes, message, NLM_F_REQUEST | flags | ack);
                aims.push(aim);
                if ends {
                    break;
                }
            }
            self.send(&bytes)?;
            outcome = outcome.and(self.await_outcome(first, self.sequence, &aims, false));
        }
        outcome
    }

    /// Reads answers until the fate of all messages is known, of which the first has the sequence number
    /// `first`, and the last that is answered in any case has `last`.
    ///
    /// - `whole`: the first message begins a transaction, and an error of it is the only answer.
    fn await_outcome(
        &mut self,
        first: u32,
        last: u32,
        aims: &[Aim],
        whole: bool,
    ) -> Result<(), FirewallError> {
        let unknown = Aim::whole();
        let mut outcome = Ok(());
        loop {
            let answers = match self.receive::<Raw>() {
                Ok(answers) => answers,
                // A refusal that was heard explains more than the silence after it.
                Err(error) => return outcome.and(Err(error)),
            };
            for (header, payload) in answers {
                // Anything else is a late answer to a request that was given up on.
                let offset = header.sequence_number.wrapping_sub(first);
                if offset > last.wrapping_sub(first) {
                    continue;
                }
                let NetlinkPayload::Error(answer) = payload else { continue };
                let aim = aims.get(offset as usize).unwrap_or(&unknown);
                if let Some(code) = refusal(&answer) {
                    outcome = outcome.and(Err(FirewallError::from_code(code, aim)));
                }
                if whole && offset == 0 || header.sequence_number == last {
                    return outcome;
                }
            }
        }
    }

    /// Asks about one thing; nothing of the answer but that there is one.
    pub(super) fn get(&mut self, message: NfTablesMessage, aim: &Aim) -> Result<(), FirewallError> {
        self.ask(self.nftables(message), NLM_F_ACK).map(drop).map_err(|failure| failure.meaning(aim))
    }

    /// Asks about one thing, and reads the answer.
    pub(super) fn read(&mut self, request: Raw, aim: &Aim) -> Result<Vec<Raw>, FirewallError> {
        self.ask(request, NLM_F_ACK).map_err(|failure| failure.meaning(aim))
    }

    /// Asks for a list of things, in any netlink protocol.
    pub(super) fn dump<M>(&mut self, request: M, aim: &Aim) -> Result<Vec<M>, FirewallError>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        for _ in 0..TRIES {
            match self.ask(request.clone(), NLM_F_DUMP) {
                Err(Failure::Answer(INTERRUPTED)) => {}
                answer => return answer.map_err(|failure| failure.meaning(aim)),
            }
        }
        Err(FirewallError::from_code(INTERRUPTED, aim))
    }

    /// Asks for one thing to be done, in any netlink protocol.
    pub(super) fn tell<M>(&mut self, request: M, aim: &Aim) -> Result<(), FirewallError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.ask(request, NLM_F_ACK).map(drop).map_err(|failure| failure.meaning(aim))
    }

    fn ask<M>(&mut self, request: M, flags: u16) -> Result<Vec<M>, Failure>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut bytes = Vec::new();
        self.write(&mut bytes, request, NLM_F_REQUEST | flags);
        let sequence = self.sequence;
        self.send(&bytes)?;
        let mut answers = Vec::new();
        let mut whole = true;
        loop {
            for (header, payload) in self.receive::<M>()? {
                // Anything else is a late answer to a request that was given up on.
                if header.sequence_number != sequence {
                    continue;
                }
                whole &= header.flags & NLM_F_DUMP_INTR == 0;
                match payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(answer) => {
                        return refusal(&answer).map_or(Ok(answers), |code| Err(Failure::Answer(code)));
                    }
                    // The list changed while it was written.
                    NetlinkPayload::Done(_) if !whole => return Err(Failure::Answer(INTERRUPTED)),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(Failure::Answer(done.code.saturating_abs()));
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Overrun(_) => return Err(FirewallError::Overrun.into()),
                    _ => {}
                }
            }
        }
    }

    fn nftables(&self, message: NfTablesMessage) -> NetfilterMessage {
        NetfilterMessage::new(NetfilterHeader::new(self.family, 0, 0), message)
    }

    /// Appends a message with the next sequence number.
    fn write<M: NetlinkSerializable>(&mut self, bytes: &mut Vec<u8>, message: M, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len(), 0);
        message.serialize(&mut bytes[start..]);
        bytes.resize(bytes.len().next_multiple_of(NLMSG_ALIGNTO.into()), 0);
    }

    fn send(&self, bytes: &[u8]) -> Result<(), FirewallError> {
        if bytes.len() > ALWAYS_FITS {
            // A transaction is one datagram. Without the privilege to ask for room the send below fails, and
            // says so.
            let _ = sockopt::set_socket_send_buffer_size_force(&self.socket, bytes.len());
        }
        self.socket.send(bytes, 0).map(drop).map_err(|error| FirewallError::from_socket(error, PATIENCE))
    }

    /// Reads one datagram, and cuts it into messages.
    fn receive<M>(&mut self) -> Result<Vec<(NetlinkHeader, NetlinkPayload<M>)>, FirewallError>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        receive(&self.socket, &mut self.buffer, RecvFlags::empty())
    }
}

/// Reads one datagram, and cuts it into messages.
pub(super) fn receive<M>(
    socket: &Socket,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Vec<(NetlinkHeader, NetlinkPayload<M>)>, FirewallError>
where
    M: NetlinkDeserializable,
{
    let flags = (flags | RecvFlags::TRUNC).bits().cast_signed();
    let length = loop {
        match socket.recv(&mut &mut *buffer, flags) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            received => break received.map_err(|error| FirewallError::from_socket(error, PATIENCE))?,
        }
    };
    let mut rest = buffer.get(..length).ok_or_else(|| FirewallError::Answer("longer than any".into()))?;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let message = NetlinkMessage::<M>::deserialize(rest).map_err(misread)?;
        let length = (message.header.length as usize).next_multiple_of(NLMSG_ALIGNTO.into());
        rest = rest.get(length..).unwrap_or_default();
        messages.push(message.into_parts());
    }
    Ok(messages)
}

fn misread(error: DecodeError) -> FirewallError {
    FirewallError::Answer(error.to_string())
}

/// Why a request was not answered as hoped.
enum Failure {
    /// The kernel's own word: an error number, or one of ipset's.
    Answer(i32),
    Channel(FirewallError),
}

impl Failure {
    fn meaning(self, aim: &Aim) -> FirewallError {
        match self {
            Self::Answer(code) => FirewallError::from_code(code, aim),
            Self::Channel(error) => error,
        }
    }
}

impl From<FirewallError> for Failure {
    fn from(error: FirewallError) -> Self {
        Self::Channel(error)
    }
}

/// The error number in an answer, unless it says that all is well.
fn refusal(answer: &ErrorMessage) -> Option<i32> {
    answer.code.map(|code| code.get().saturating_abs())
}

/// Begin and end of a transaction name the subsystem that it is for.
fn control(message: ControlMessage) -> NetfilterMessage {
    let subsystem = u8::from(NetfilterSubsystem::NfTables).into();
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem), message)
}
