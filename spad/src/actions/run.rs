//! One command while it runs, as the runner sees it: a supervisor, a channel that says how it ended, a pipe with its output.

use std::io::{self, PipeReader, Read as _};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::process::Pid;
use tracing::{info, warn};

use super::command::Job;
use super::host::Fit;
use super::occasion::Wanted;
use super::output::Output;
use super::supervisor::End;
use super::table::Action;
use crate::role::Role;
use crate::socketpair::{Received, Seqpacket};

/// How much longer than its command a supervisor may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Read of one command before others have their turn.
const TURN: usize = 64 * 1024;

pub(super) struct Run {
    wanted: Wanted,
    supervisor: Child,
    channel: Seqpacket,
    /// `None` once nobody holds its other end.
    pipe: Option<PipeReader>,
    output: Output,
    limit: Duration,
    begun: Instant,
}

/// Whether it goes on.
pub(super) enum Going {
    On,
    Ended,
    /// The supervisor ended without a word: what it left behind is for the runner to end.
    Orphaned,
}

impl Run {
    /// Starts a supervisor for it.
    pub(super) fn start(wanted: Wanted, action: &Action, fit: &Fit) -> io::Result<Self> {
        let (channel, theirs) = Seqpacket::pair()?;
        let (pipe, output) = io::pipe()?;
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let own = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        let job = Job {
            argv: action.argv.iter().chain(&wanted.argument).cloned().collect(),
            environment: wanted.environment.iter().map(own).collect(),
            uid: fit.uid,
            gid: fit.gid,
            limit: u64::try_from(action.limit.as_millis()).unwrap_or(u64::MAX),
        };
        job.send(&channel).map_err(io::Error::other)?;
        let supervisor = Role::Supervisor.command().stdin(theirs.into_descriptor()).stdout(output).spawn()?;
        let begun = Instant::now();
        Ok(Self {
            wanted,
            supervisor,
            channel,
            pipe: Some(pipe),
            output: Output::default(),
            limit: action.limit,
            begun,
        })
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.supervisor.id()).ok()?)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        let pipe = self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        pipe.into_iter().chain([PollFd::new(&self.channel, PollFlags::IN)])
    }

    /// When its supervisor is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.begun + self.limit + PATIENCE
    }

    /// Reads what it says, and whether it ended.
    pub(super) fn hear(&mut self, now: Instant) -> Going {
        self.read();
        if now >= self.deadline() {
            warn!("{}: its supervisor hangs, and is ended", self.name());
            let _ = self.supervisor.kill();
        }
        let end = match self.channel.receive::<{ End::SIZE }>() {
            Ok(Received::Nothing) => return Going::On,
            Ok(Received::Message(bytes)) => End::decode(bytes),
            Ok(Received::Closed) | Err(_) => None,
        };
        // All that held the pipe has ended with it, so that this reads to its end.
        while self.read() {}
        let _ = self.supervisor.wait();
        self.say_end(end);
        if end.is_some() { Going::Ended } else { Going::Orphaned }
    }

    /// Takes in some of its output; says whether there was any.
    fn read(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut some = vec![0; TURN];
        match pipe.read(&mut some) {
            Ok(length) if length > 0 => {
                let lines = self.output.more(some.get(..length).unwrap_or_default());
                lines.iter().for_each(|line| info!("action={}: {line}", self.wanted.action));
                true
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                false
            }
            Ok(_) | Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    fn say_end(&mut self, end: Option<End>) {
        let name = self.name();
        let (rest, dropped) = std::mem::take(&mut self.output).end();
        if let Some(line) = rest {
            info!("action={}: {line}", self.wanted.action);
        }
        if dropped {
            warn!("{name}: more output was dropped");
        }
        let took = humantime::format_duration(Duration::from_millis(
            u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        ));
        match end {
            Some(End::Status(0)) => info!("{name}: done after {took}"),
            Some(End::Status(status)) => warn!("{name}: ended with status {status} after {took}"),
            Some(End::Signal(signal)) => warn!("{name}: ended by signal {signal} after {took}"),
            Some(End::Limit) => {
                warn!("{name}: killed after its limit of {}", humantime::format_duration(self.limit));
            }
            None => warn!("{name}: its supervisor ended; what it left behind is killed"),
        }
    }

    fn name(&self) -> String {
        format!("action={} event={}", self.wanted.action, self.wanted.occasion.name())
    }
}
