//! Pairs of `SOCK_SEQPACKET` sockets between two processes: whole messages, in order, and an end that shows.
//!
//! Every message of a channel has one fixed size, known to both ends; any other size is an error of the
//! program at the other end. All sockets are close-on-exec and never block: the caller waits with `poll`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// One end of a pair.
#[derive(Debug)]
pub struct Seqpacket(OwnedFd);

/// A message and the descriptors that came with it, none to two.
pub type WithDescriptors<const N: usize> = ([u8; N], Vec<OwnedFd>);

/// What a look at the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<M> {
    /// One whole message.
    Message(M),
    /// Nothing waits now.
    Nothing,
    /// The other end is closed and everything it sent has been read.
    Closed,
}

/// Why a message was not sent or not understood.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end does not keep up; the message was not sent.
    #[error("the other end does not read its messages")]
    Full,
    /// The other end is closed; the message was not sent.
    #[error("the other end is closed")]
    Closed,
    /// The other end sent something that this channel does not carry.
    #[error("a message that this channel does not carry")]
    Protocol,
    /// Any other answer of the kernel.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for ChannelError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::AGAIN => Self::Full,
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Self::Closed,
            other => Self::Io(other.into()),
        }
    }
}

impl Seqpacket {
    /// Makes both ends.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(a), Self(b)))
    }

    /// Takes over the end that the starter handed to this process as its standard input, and leaves
    /// `/dev/null` in its place.
    ///
    /// # Errors
    /// Standard input is no such socket: this process was not started by the starter.
    pub fn from_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        if rustix::net::sockopt::socket_type(&stdin)? != SocketType::SEQPACKET {
            return Err(io::Error::other("standard input is not a channel of the starter"));
        }
        let own = stdin.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Self(own))
    }

    /// Sends one message, by `write`: the one way that the worker's sandbox leaves open.
    ///
    /// # Errors
    /// [`ChannelError::Full`] or [`ChannelError::Closed`]; a message is sent whole or not at all.
    pub fn send<const N: usize>(&self, message: &[u8; N]) -> Result<(), ChannelError> {
        self.send_packet(message)
    }

    /// The same for the answers of the control socket, whose sizes differ.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_packet(&self, message: &[u8]) -> Result<(), ChannelError> {
        loop {
            match rustix::io::write(&self.0, message) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the next message, if one waits.
    ///
    /// # Errors
    /// [`ChannelError::Protocol`] for a message of another size.
    pub fn receive<const N: usize>(&self) -> Result<Received<[u8; N]>, ChannelError> {
        let mut message = [0; N];
        loop {
            // TRUNC: the true length is returned even of a message longer than the buffer.
            match rustix::net::recv(&self.0, &mut message, RecvFlags::TRUNC) {
                Ok((_, 0)) => return Ok(Received::Closed),
                Ok((_, length)) if length == N => return Ok(Received::Message(message)),
                Ok(_) => return Err(ChannelError::Protocol),
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                // CONNRESET: the other end closed without reading all we sent. The kernel says so once, and
                // before what the other end had still sent to us.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends one message together with copies of one or two descriptors (`SCM_RIGHTS`).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_with<const N: usize>(
        &self,
        message: &[u8; N],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        // The room was measured for two.
        if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::Protocol);
        }
        loop {
            match rustix::net::sendmsg(&self.0, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the next message of a channel on which a message carries none to two descriptors.
    ///
    /// # Errors
    /// [`ChannelError::Protocol`] for another size or another number of descriptors; any that came are closed.
    pub fn receive_with<const N: usize>(&self) -> Result<Received<WithDescriptors<N>>, ChannelError> {
        let mut message = [0; N];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let answer = loop {
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut message)], &mut control, flags) {
                Ok(answer) => break answer,
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let mut descriptors = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        if answer.bytes == 0 && descriptors.is_empty() {
            return Ok(Received::Closed);
        }
        let whole = answer.bytes == N && !answer.flags.contains(ReturnFlags::CTRUNC);
        if whole && descriptors.len() <= 2 {
            Ok(Received::Message((message, descriptors)))
        } else {
            Err(ChannelError::Protocol)
        }
    }

    /// Says that nothing more will be sent; what the other end still sends can be read.
    ///
    /// # Errors
    /// It is closed already.
    pub fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)?)
    }

    /// Gives the bare descriptor away, to become a child's standard input.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

impl From<OwnedFd> for Seqpacket {
    /// For an end that arrived over another channel.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for Seqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[path = "socketpair/tests.rs"]
mod tests;
