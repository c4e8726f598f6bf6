//! A knock that waits a moment for its receipts: what the server says of it, if it says anything.
//!
//! Whatever comes is opened with the keys of the profile for the very datagram that was sent, or is not there: noise, a
//! forgery and a copy of an old receipt are all read over, and the wait goes on.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use spa_core::crypto::suite::ReceiptKeys;
use spa_core::receipt::Receipt;
use spa_core::receipt::sealed::{self, Binding};
use spa_core::scheme::native::SealingKeys;
use spa_core::time::UnixMillis;

use super::knock::{Knock, Plan, Sent, before_repeat, note};
use super::resolve::Family;
use crate::clock::{now, utc};
use crate::failure::Failure;
use crate::random::Random;

/// How long it is waited after the last datagram. Longer than most round trips, shorter than patience.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same once one address family has its receipt: the other's may have no way.
const OTHERS: Duration = Duration::from_millis(250);
/// How often the sockets are looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Of one socket so many datagrams are read at a look; somebody may send more than can be read.
const AT_A_LOOK: usize = 32;

/// A datagram that is out, and the socket that hears what comes back for it.
pub(super) struct Pending {
    family: Family,
    server: SocketAddr,
    socket: UdpSocket,
    binding: Binding,
    sent: Instant,
    /// This machine's clock at that moment.
    at: UnixMillis,
}

/// A receipt, and this machine's clock when the server's was read.
pub(super) struct Answer {
    /// The server that sent it.
    pub(super) server: SocketAddr,
    pub(super) receipt: Receipt,
    /// This machine's clock, halfway between the datagram and its receipt.
    pub(super) at: UnixMillis,
}

impl Pending {
    /// Takes the socket over. `None` if it cannot be listened on, which costs the receipt only.
    pub(super) fn new(knock: &Knock, socket: UdpSocket, datagram: &[u8]) -> Option<Self> {
        let server = knock.route.server;
        // From now on the kernel hears the server only.
        socket.connect(server).ok()?;
        socket.set_nonblocking(true).ok()?;
        let (family, binding) = (Family::of(server.ip()), Binding::of(datagram)?);
        Some(Self { family, server, socket, binding, sent: Instant::now(), at: now() })
    }

    fn look(&self, keys: &ReceiptKeys) -> Option<Answer> {
        let mut buffer = [0; sealed::MAX + 1];
        for _ in 0..AT_A_LOOK {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let bytes = buffer.get(..length)?;
                    if let Some(receipt) = sealed::open(keys, &self.binding, bytes) {
                        let at = self.at.plus(self.sent.elapsed() / 2);
                        return Some(Answer { server: self.server, receipt, at });
                    }
                }
                // Nothing waits; or somebody on the path says that nobody is there, which anybody can say.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }
}

/// Sends all copies of everything, as [`Plan::send`] does, but stops where a receipt has come.
///
/// Returns the addresses that were sent to, and one receipt for each address family that has one.
pub(super) fn send(
    plan: &Plan,
    keys: &SealingKeys,
    receipt_keys: &ReceiptKeys,
    mut saved: Option<Vec<u8>>,
    verbose: bool,
    random: &mut Random,
) -> Result<(Vec<SocketAddr>, Vec<Answer>), Failure> {
    let mut sent = Sent::awaited();
    let mut heard = Heard { keys: receipt_keys, answers: Vec::new(), verbose };
    for group in &plan.groups {
        for copy in 0..plan.copies.get() {
            let repeat = copy > 0;
            if repeat {
                heard.wait(&sent, before_repeat(random));
            }
            let missing = |knock: &&Knock| !heard.has(Family::of(knock.route.server.ip()));
            sent.group(group.iter().filter(missing), repeat, keys, &mut saved, verbose, random)?;
        }
    }
    heard.wait(&sent, PATIENCE);
    let answers = heard.answers;
    sent.outcome().map(|reached| (reached, answers))
}

struct Heard<'k> {
    keys: &'k ReceiptKeys,
    answers: Vec<Answer>,
    verbose: bool,
}

impl Heard<'_> {
    fn has(&self, family: Family) -> bool {
        self.answers.iter().any(|answer| Family::of(answer.server.ip()) == family)
    }

    /// Looks for so long, or until there is a receipt for each family that was sent to.
    fn wait(&mut self, sent: &Sent, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        let pending = sent.pending.as_deref().unwrap_or_default();
        loop {
            for one in pending {
                if !self.has(one.family)
                    && let Some(answer) = one.look(self.keys)
                {
                    note(self.verbose, || {
                        let clock = utc(answer.receipt.time);
                        format!("{} -> a receipt, by the server's clock {clock}", answer.server)
                    });
                    self.answers.push(answer);
                    deadline = deadline.min(Instant::now() + OTHERS);
                }
            }
            let waits: BTreeSet<bool> = pending.iter().map(|one| self.has(one.family)).collect();
            if !waits.contains(&false) || Instant::now() >= deadline {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}
