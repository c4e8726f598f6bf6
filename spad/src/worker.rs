//! The worker: sees packets and keys, and can only ask. Everything it needs is opened first, then everything else is
//! given up, and only then the first packet is read.

mod opening;

use std::io;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spa_core::file::fields::write_moment;
use spa_core::frame::Datagram;
use spa_core::gate::{Gate, Verdict};
use spa_core::policy::Admission;
use spa_core::reject::Reject;
use spa_core::replay::Record;
use spa_core::settling::Settling;
use spa_core::time::{BootTime, Now, UnixMillis};
use tracing::{debug, error, info, warn};

use crate::ask::{Ask, Message, Tally, Telling};
use crate::capture::{BATCH, Listener};
use crate::exit::ExitStatus;
use crate::journal::Journal;
use crate::offers::Offers;
use crate::overflow::Overflow;
use crate::report::Reporter;
use crate::socketpair::{ChannelError, Seqpacket};
use crate::starter::Options;
use crate::sys::clock;
use crate::witness::Witness;
use opening::{Unfit, prepare};

/// How often an unsettled worker looks at the clock.
const SETTLING: Duration = Duration::from_millis(250);

/// So many frames at one waking are a flood. Of a whole batch there is more to come, and no time for gathering.
const FLOOD: std::ops::Range<usize> = 32..BATCH;
/// How long frames of a flood gather in the ring: a waking for each would cost thirty times its judgement.
const GATHER: Duration = Duration::from_micros(300);

/// Runs a worker until its channel is closed.
pub fn run(options: &Options, channel: Seqpacket) -> ExitStatus {
    match prepare(options, &channel) {
        Ok(mut worker) => {
            let status = worker.serve();
            worker.say(&Message::Tally(worker.tally()));
            info!("{} lost={}", worker.gate.counters(), worker.overflow.lost());
            status
        }
        Err(Unfit::Channel(ChannelError::Closed)) => ExitStatus::Done,
        Err(unfit) => {
            if options.again {
                debug!("{unfit}");
            } else {
                error!("{unfit}");
            }
            for piece in Message::unfit(&unfit.to_string()) {
                let _ = send(&channel, &piece);
            }
            ExitStatus::from(&unfit)
        }
    }
}

struct Worker<'c> {
    channel: &'c Seqpacket,
    listeners: Vec<Listener>,
    gate: Gate,
    journal: Journal,
    settling: Option<Settling>,
    skew: Duration,
    clock_trusted: bool,
    witness: Witness,
    /// When it was last asked whether the clock is synchronised, and what it said.
    asked: Option<(BootTime, bool)>,
    reporter: Reporter,
    /// For how long frames gather before the next look; `None` to be woken by the next one.
    gather: Option<Duration>,
    overflow: Overflow,
    /// The journal could not be written, and whether that was said.
    deaf: bool,
    /// Profiles that cannot be used, and monotonic ones whose memory was lost.
    unusable: (u32, u32),
    /// Its keys may reach the swap.
    unlocked: bool,
    telling: Telling,
    /// `None` where spad.toml allows no receipts.
    offers: Option<Offers>,
}

/// What came of the frames that waited.
#[derive(Default)]
struct Judged {
    admitted: Vec<Admission>,
    /// Receipts for what policy refused.
    denied: Vec<Message>,
}

impl Worker<'_> {
    fn serve(&mut self) -> ExitStatus {
        loop {
            match self.wait() {
                Ok(true) => {}
                Ok(false) => return ExitStatus::Done,
                Err(error) => {
                    error!("{error}");
                    return ExitStatus::Failure;
                }
            }
            let now = self.now();
            if self.settling.is_some() {
                self.settle(now);
            }
            let listeners = self.listeners.len();
            let Judged { admitted, denied } = self.judge_waiting(now);
            self.overflow.catch_up(now.boot, || {
                self.listeners.iter_mut().map(|listener| u64::from(listener.lost())).sum()
            });
            if self.listeners.len() < listeners {
                // The other captures go on until the new worker has all again.
                self.say(&Message::Renew);
            }
            if self.remember() {
                for admission in &admitted {
                    for offer in self.offers.into_iter().flat_map(|offers| offers.of(&self.gate, admission)) {
                        self.say(&offer);
                    }
                    self.say(&Message::Ask(Ask::from(admission)));
                }
                denied.iter().for_each(|receipt| self.say(receipt));
                self.reporter.catch_up(now.boot);
            }
            self.tell(now.boot);
        }
    }

    /// Waits for frames, a deadline, or the end of the channel, which is the word to go.
    fn wait(&self) -> io::Result<bool> {
        let now = BootTime::new(clock::boottime());
        let settling = self.settling.is_some().then(|| now.plus(SETTLING));
        let gathering = self.gather.map(|pause| now.plus(pause));
        let lines =
            [self.reporter.next_deadline(), self.overflow.next_deadline(), self.telling.next_deadline()];
        let deadline = [settling, gathering].into_iter().chain(lines).flatten().min();
        let timeout = deadline.and_then(|at| Timespec::try_from(at.since(now)).ok());
        let mut descriptors = vec![PollFd::new(self.channel, PollFlags::IN)];
        if self.gather.is_none() {
            descriptors.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        }
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let left = descriptors.first().is_some_and(|channel| !channel.revents().is_empty());
        Ok(!left)
    }

    fn judge_waiting(&mut self, now: Now) -> Judged {
        let Self { listeners, gate, reporter, offers, .. } = self;
        let mut judged = Judged::default();
        let mut frames = 0;
        listeners.retain_mut(|listener| {
            let received = listener.receive(|link, interface, frame| {
                let Ok(datagram) = Datagram::parse(link, interface, frame) else {
                    return gate.count(Reject::Frame);
                };
                match gate.judge(&datagram, now) {
                    Verdict::Admit(admission) => {
                        reporter.admitted(admission.profile(), now.boot);
                        judged.admitted.push(admission);
                    }
                    Verdict::Drop(dropped) => {
                        reporter.dropped(&dropped, now.boot);
                        judged.denied.extend(offers.and_then(|offers| offers.denied(gate, &dropped)));
                    }
                }
            });
            match received {
                Ok(count) => frames += count,
                Err(ref error) => warn!("{}: {error}; waiting for the interface", listener.name()),
            }
            received.is_ok()
        });
        self.gather = match frames {
            few if few < FLOOD.start => None,
            many if FLOOD.contains(&many) => Some(GATHER),
            _ => Some(Duration::ZERO),
        };
        if self.gather.is_some() {
            self.overflow.flooded(now.boot);
        }
        judged
    }

    /// Puts on disk what was admitted. If that cannot be done, nothing of it is carried out.
    fn remember(&mut self) -> bool {
        let records = self.gate.take_remembered();
        if records.is_empty() {
            return true;
        }
        let written = self.journal.append(&records, self.gate.replay());
        match (&written, self.deaf) {
            (Ok(()), true) => warn!("the journal can be written again; knocks open"),
            (Err(error), false) => {
                error!(
                    "the journal cannot be written, nothing opens until it can: {error} (hint: is the disk full?)"
                );
            }
            _ => {}
        }
        self.deaf = written.is_err();
        written.is_ok()
    }

    /// Where the monitor has gone, this process ends next.
    fn say(&self, message: &Message) {
        let _ = send(self.channel, message);
    }

    /// Says what was refused, and how it does if that is due.
    fn tell(&mut self, now: BootTime) {
        for refusal in self.reporter.take_said() {
            self.say(&Message::Refused(refusal));
        }
        let tally = self.tally();
        if self.telling.is_due(&tally, now) {
            self.say(&Message::Tally(tally));
        }
    }

    /// How it does, for the operator.
    fn tally(&self) -> Tally {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (left_out, shut) = self.unusable;
        Tally {
            counters: self.gate.counters().clone(),
            lost: self.overflow.lost(),
            captures: count(self.listeners.len()),
            unfiltered: count(self.listeners.iter().filter(|listener| !listener.is_filtered()).count()),
            left_out,
            shut,
            unsettled: self.settling.is_some(),
            deaf: self.deaf,
            unlocked: self.unlocked,
        }
    }

    /// What there is to do and to say before the first packet.
    fn begin(&mut self) {
        let now = self.now();
        if !self.gate.replay().is_settled() {
            self.settling = Some(Settling::begin(now));
            self.settle(now);
        }
        self.tell(now.boot);
        debug!("worker ready to judge");
    }

    /// Looks whether it is known now what may be fresh.
    fn settle(&mut self, now: Now) {
        let Some(floor) = self.settling.as_mut().and_then(|settling| settling.floor(now, self.skew)) else {
            return;
        };
        let replay = self.gate.replay();
        for record in [Record::SiteFloor(floor), Record::Settled] {
            // Each flushed by itself: a journal that says settled must hold the floor. Known before it is written, as
            // a write that fails is followed by one of all that is known.
            replay.apply(record);
            if let Err(error) = self.journal.append(&[record], replay) {
                if !self.deaf {
                    error!("the journal cannot be written, nothing opens until it can: {error}");
                }
                self.deaf = true;
                return;
            }
        }
        self.deaf = false;
        self.settling = None;
        let wait = floor.get().saturating_sub(now.wall.get()).div_ceil(1000);
        info!("settled: knocks sealed after {} open, that is in {wait} s", write_moment(floor));
    }

    /// Both clocks, and what was said of the one within the last second: a system call that not every frame
    /// has to pay.
    fn now(&mut self) -> Now {
        let boot = BootTime::new(clock::boottime());
        if self.asked.is_none_or(|(at, _)| boot.since(at) >= Duration::from_secs(1)) {
            self.asked = Some((boot, self.clock_trusted || self.witness.vouches()));
        }
        Now { wall: wall(), boot, synchronised: self.asked.is_some_and(|(_, synchronised)| synchronised) }
    }
}

fn wall() -> UnixMillis {
    UnixMillis::clamped(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Sends a message, waiting while the monitor does not keep up.
fn send(channel: &Seqpacket, message: &Message) -> Result<(), ChannelError> {
    let message = message.encode();
    loop {
        match channel.send(&message) {
            // An error here shows in the next try to send.
            Err(ChannelError::Full) => {
                let _ = poll(&mut [PollFd::new(channel, PollFlags::OUT)], None);
            }
            sent => return sent,
        }
    }
}
