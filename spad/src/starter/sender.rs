//! The sender, where the monitor wants one: started, and started again, like a worker, but nothing waits for it.

use std::io;
use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use super::Options;
use super::backoff::Backoff;
use super::child::Child;
use crate::control::StarterEnd;
use crate::exit::ExitStatus;
use crate::role::Role;
use crate::socketpair::Seqpacket;

/// At most one that is of use, and those that were.
#[derive(Debug, Default)]
pub(super) struct Sender {
    wanted: bool,
    child: Option<Child>,
    leaving: Vec<Child>,
    backoff: Backoff,
}

impl Sender {
    /// The monitor wants one, and has none.
    pub(super) fn wanted(&mut self, deadline: Instant) {
        self.dismiss(deadline);
        self.wanted = true;
    }

    /// Nobody wants it any more: its channel is closed.
    pub(super) fn dismiss(&mut self, deadline: Instant) {
        self.wanted = false;
        self.leaving.extend(self.child.take());
        self.leaving.iter_mut().for_each(|child| child.must_end_by(deadline));
    }

    /// Starts it if it is missing, and hands its channel to the monitor.
    pub(super) fn start_if_missing(&mut self, options: &Options, control: &StarterEnd, now: Instant) {
        if !self.wanted || self.child.is_some() || !self.backoff.allows(now) {
            return;
        }
        self.backoff.started(now);
        match start(options, control, now) {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                warn!("cannot start the sender, so no receipts are sent: {error}");
                self.backoff.ended(now, Duration::ZERO);
            }
        }
    }

    /// Looks whether it ended, and whether that was what was wanted.
    pub(super) fn bury(&mut self, now: Instant) {
        self.leaving.retain_mut(|child| child.ended().is_none());
        let Some(child) = &mut self.child else { return };
        let Some(end) = child.ended() else { return };
        let lived = now - child.started();
        self.child = None;
        if end.is_done() {
            // The monitor has no use for it any more.
            self.wanted = false;
        } else if end.lasting().is_some() {
            self.wanted = false;
            error!("the sender cannot start ({end}); no receipts are sent until the next reload");
        } else {
            warn!("the sender ended ({end}); starting another");
            self.backoff.ended(now, lived);
        }
    }

    pub(super) fn kill_overdue(&mut self, now: Instant) {
        self.leaving.iter_mut().for_each(|child| child.kill_if_overdue(now));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let start = self.backoff.next_start().filter(|_| self.wanted && self.child.is_none());
        self.leaving.iter().filter_map(Child::deadline).chain(start).min()
    }

    /// Gives them all away.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Child> {
        self.child.take().into_iter().chain(self.leaving.drain(..))
    }
}

fn start(options: &Options, control: &StarterEnd, now: Instant) -> io::Result<Child> {
    let (channel, theirs) = Seqpacket::pair()?;
    let child = Child::start(Role::Sender, options, theirs.into_descriptor(), now)?;
    debug!("sender started, pid {}", child.id());
    // Should this fail, the sender sees the end of its channel, and ends.
    if let Err(error) = control.announce_sender(&channel) {
        debug!("the monitor cannot be told of the sender: {error}");
    }
    Ok(child)
}

impl super::child::End {
    fn is_done(self) -> bool {
        self.code() == Some(ExitStatus::Done as i32)
    }
}
