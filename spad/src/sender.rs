//! The sender: two raw sockets and no rights. It sends a receipt when the monitor says so, and can do nothing else; it is
//! there only where spad.toml allows receipts. If it dies or blocks, a receipt is lost, and doors open all the same.
//!
//! The kernel writes the IP header and refuses a source that is no address of this host. Nothing is bound to a port, and
//! nothing is ever read from these sockets: a filter drops whatever would come in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with};
use spa_core::bpf::Instruction;
use spa_core::udp;
use tracing::{debug, error, warn};

use crate::answer::{Letter, Sealed};
use crate::exit::ExitStatus;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};
use crate::sys::filter;

/// `ret 0`: a raw socket would otherwise be given a copy of every UDP datagram of the host.
const NOTHING: [Instruction; 1] = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0 }];

/// Runs the sender until its channel is closed.
pub fn run(channel: &Seqpacket) -> ExitStatus {
    match Sender::confined(channel) {
        Ok(mut sender) => sender.serve(channel),
        Err((status, reason)) => {
            error!("no receipts can be sent: {reason}");
            status
        }
    }
}

struct Sender {
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
    /// The last one could not be sent, which was said.
    failed: bool,
}

impl Sender {
    fn confined(channel: &Seqpacket) -> Result<Self, (ExitStatus, String)> {
        let [v4, v6] = [AddressFamily::INET, AddressFamily::INET6].map(raw);
        let refused = [&v4, &v6].into_iter().find_map(|socket| socket.as_ref().err().map(io::Error::kind));
        let (v4, v6) = (v4.ok(), v6.ok());
        let sockets: Vec<BorrowedFd<'_>> = [&v4, &v6].into_iter().flatten().map(AsFd::as_fd).collect();
        if sockets.is_empty() {
            let why = refused.map_or_else(|| "no address family".to_owned(), |kind| kind.to_string());
            let hint =
                "under systemd copy packaging/drop-ins/receipts.conf to /etc/systemd/system/spad.service.d/";
            return Err((ExitStatus::NotPermitted, format!("no raw socket: {why} (hint: {hint})")));
        }
        let report = sandbox::seal_sender(&sockets, channel.as_fd())
            .map_err(|error| (ExitStatus::from(&error), error.to_string()))?;
        debug!("sender {report}");
        Ok(Self { v4, v6, failed: false })
    }

    fn serve(&mut self, channel: &Seqpacket) -> ExitStatus {
        loop {
            match channel.receive::<{ Letter::SIZE }>() {
                Ok(Received::Message(bytes)) => match Letter::decode(&bytes) {
                    Some(letter) => {
                        let sent = self.send(&letter);
                        self.told(sent, &letter);
                    }
                    None => return ExitStatus::Failure,
                },
                Ok(Received::Nothing) => match poll(&mut [PollFd::new(channel, PollFlags::IN)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => {
                        error!("{error}");
                        return ExitStatus::Failure;
                    }
                },
                Ok(Received::Closed) => return ExitStatus::Done,
                Err(error) => {
                    error!("{error}");
                    return ExitStatus::Failure;
                }
            }
        }
    }

    fn send(&self, letter: &Letter) -> io::Result<()> {
        let Sealed { way, receipt } = &letter.sealed;
        let (from, to) = (way.from, way.to);
        let source = SocketAddr::new(from, letter.port.get());
        let segment = udp::segment(source, way.destination(), receipt.bytes());
        let segment = segment.ok_or(io::ErrorKind::InvalidInput)?;
        let socket = match to {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        let socket = socket.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        // Of a raw socket only the address counts, for the source as for the destination.
        bind(socket, &SocketAddr::new(from, 0))?;
        sendto(socket, &segment, SendFlags::DONTWAIT, &SocketAddr::new(to, 0))?;
        Ok(())
    }

    /// Says what fails once, until something works again: it will be the same for everybody.
    fn told(&mut self, sent: io::Result<()>, letter: &Letter) {
        if let (Err(error), false) = (&sent, self.failed) {
            let to = letter.sealed.way.to;
            warn!(
                "receipts cannot be sent, the first to {to}: {error} (hint: a rule for what this host sends must \
                 accept UDP from port {})",
                letter.port
            );
        }
        self.failed = sent.is_err();
    }
}

fn raw(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::RAW, flags, Some(ipproto::UDP))?;
    filter::attach(socket.as_fd(), &NOTHING)?;
    Ok(socket)
}
