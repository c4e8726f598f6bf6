//! The loader: a process that runs `iptables-restore` with the rules of `rules.rs`, and can do nothing else.
//!
//! The monitor may start no program and open no file, and that shall stay so. So it starts the loader before
//! its own sandbox closes, and tells it by a message of fixed size which of the fixed texts to load: at every
//! start, reload and repair, never for a grant. Where nobody else can, it also looks whether the jump is still first. A host with nftables does not need it, and the monitor ends it
//! when its configuration says so.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::{debug, error};

use super::programs;
use super::request::{ANSWER, REQUEST, Task, answer, request, understand};
use super::rules::{Ruleset, Stand};
use crate::exit::ExitStatus;
use crate::firewall::Progress;
use crate::firewall::error::FirewallError;
use crate::firewall::standing::Variant;
use crate::role::Role;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};

/// The programs of both families may each wait 10 s for a lock.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long it may take to end.
const ENDS: Duration = Duration::from_secs(1);

/// The monitor's end.
pub struct Loader {
    /// `None` once it is not to be heard any more.
    channel: Option<Seqpacket>,
    child: Child,
    /// What was asked and is not answered yet.
    asked: VecDeque<Task>,
    /// The rules that were asked for last.
    ruleset: Option<Ruleset>,
    /// When the last of it is answered at the latest.
    deadline: Option<Instant>,
    displaced: bool,
}

impl Loader {
    /// Starts it, with the rights of this process.
    ///
    /// - `log`: the arguments that say how much to log.
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(log: &[std::ffi::OsString]) -> io::Result<Self> {
        let (channel, theirs) = Seqpacket::pair()?;
        let child =
            Role::Loader.command().args(log).stdin(theirs.into_descriptor()).stdout(Stdio::null()).spawn()?;
        let (asked, ruleset) = (VecDeque::new(), None);
        Ok(Self { channel: Some(channel), child, asked, ruleset, deadline: None, displaced: false })
    }

    /// Begins to load the rules. Of two that are begun one after the other the first is enough, if the text is the same.
    pub(super) fn load(&mut self, variant: Variant, ruleset: &Ruleset) -> Result<(), FirewallError> {
        if self.asked.contains(&Task::Load) && self.ruleset.as_ref() == Some(ruleset) {
            return Ok(());
        }
        self.ruleset = Some(ruleset.clone());
        self.tell(Task::Load, variant, ruleset)
    }

    /// Begins to look whether the jump is still at the head of its chain.
    pub(super) fn look(&mut self, variant: Variant, stand: &Stand) -> Result<(), FirewallError> {
        if self.asked.contains(&Task::Look) {
            return Ok(());
        }
        self.tell(Task::Look, variant, &Ruleset::bare(stand.clone()))
    }

    fn tell(&mut self, task: Task, variant: Variant, ruleset: &Ruleset) -> Result<(), FirewallError> {
        let channel = self.channel.as_ref().ok_or_else(|| gone(&"it was ended"))?;
        channel.send(&request(task, variant, ruleset)).map_err(|error| gone(&error))?;
        self.asked.push_back(task);
        self.deadline = Some(Instant::now() + PATIENCE);
        Ok(())
    }

    /// Readable when there is an answer; `None` while no rules are being loaded.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().filter(|_| self.asked.contains(&Task::Load)).map(AsFd::as_fd)
    }

    /// Whether the rules are loaded.
    pub(super) fn progress(&mut self) -> Result<Progress, FirewallError> {
        let loaded = self.hear()?;
        if self.asked.contains(&Task::Load) {
            return Ok(Progress::Waits);
        }
        loaded.map_or(Ok(Progress::Done), |reason| Err(FirewallError::Program(reason)))
    }

    /// Whether the jump was not at the head when that was last looked at.
    pub(super) fn displaced(&mut self) -> bool {
        // A loader that is gone is missed when rules are to be loaded.
        !self.asked.contains(&Task::Load) && self.hear().is_ok() && self.displaced
    }

    /// Reads what answers there are, which come in the order of the requests. Returns why rules could not be loaded.
    fn hear(&mut self) -> Result<Option<String>, FirewallError> {
        let mut failed = None;
        while let Some(&task) = self.asked.front() {
            let channel = self.channel.as_ref().ok_or_else(|| gone(&"it was ended"))?;
            let reason = match channel.receive::<ANSWER>() {
                Ok(Received::Message([length, reason @ ..])) => {
                    let reason = reason.get(..usize::from(length)).unwrap_or_default();
                    String::from_utf8_lossy(reason).into_owned()
                }
                Ok(Received::Nothing) if self.deadline.is_some_and(|deadline| Instant::now() < deadline) => {
                    break;
                }
                // What it would say later would be taken for the answer to another request.
                Ok(Received::Nothing) => return Err(self.give_up(&"it did not answer")),
                Ok(Received::Closed) => return Err(self.give_up(&"it ended")),
                Err(error) => return Err(self.give_up(&error)),
            };
            self.asked.pop_front();
            match task {
                Task::Load if reason.is_empty() => (failed, self.displaced) = (None, false),
                Task::Load => failed = Some(reason),
                Task::Look => self.displaced = !reason.is_empty(),
            }
        }
        Ok(failed)
    }

    fn give_up(&mut self, reason: &dyn std::fmt::Display) -> FirewallError {
        self.channel = None;
        gone(reason)
    }
}

fn gone(reason: &dyn std::fmt::Display) -> FirewallError {
    FirewallError::LoaderGone(reason.to_string())
}

impl Drop for Loader {
    fn drop(&mut self) {
        // It ends when its channel does. One that hangs in a program is left behind: it is root's, and the monitor
        // cannot kill it.
        drop(self.channel.take());
        let deadline = Instant::now() + ENDS;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(1));
        }
    }
}

/// The loader itself: runs until its channel is closed.
pub fn run(channel: &Seqpacket) -> ExitStatus {
    match sandbox::seal_loader() {
        Ok(()) => debug!("loader waits"),
        Err(error) => {
            error!("{error}");
            return (&error).into();
        }
    }
    loop {
        let waited = poll(&mut [PollFd::new(channel, PollFlags::IN)], None);
        let request = match channel.receive::<REQUEST>() {
            Ok(Received::Message(bytes)) => understand(&bytes),
            Ok(Received::Nothing) if waited.is_ok() => continue,
            Ok(Received::Closed) => return ExitStatus::Done,
            _ => None,
        };
        let Some((task, variant, ruleset)) = request else {
            error!("the monitor sent what no monitor sends; the loader ends");
            return ExitStatus::Failure;
        };
        let outcome = match task {
            Task::Load => programs::load(variant, &ruleset),
            Task::Look => programs::look(variant, &ruleset.stand),
        };
        if channel.send(&answer(outcome.err().as_deref())).is_err() {
            return ExitStatus::Done;
        }
    }
}
