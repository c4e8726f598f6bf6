//! The process called `spad`: starts monitor, worker and sender, and starts them again. It keeps root's rights for
//! that, so it understands nothing but its arguments, exit statuses and one-byte messages, and reads no file.
//!
//! ```text
//!            control (socketpair)            channel (one for each worker)
//!  starter ──────────────────────▶ monitor ◀──────────────────────────────── worker
//!     │  NewWorker ▶   ◀ Serving, Retired, Refused, Renew                       ▲
//!     └────────────────────────── started by, killed by ────────────────────────┘
//! ```
//! Where spad.toml allows receipts there is a sender as well, at the end of a channel that only the monitor writes to.
//! The starter holds no end of a worker's channel, and monitor and worker end when the channel they were given
//! is closed. So the end of any process, even by SIGKILL, ends exactly those that are of no use without it.

mod backoff;
mod child;
mod events;
mod manager;
mod newcomer;
mod pulse;
mod sender;
mod signals;
mod trial;
mod workers;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use tracing::{debug, error};

use crate::control::{self, StarterEnd};
use crate::exit::ExitStatus;
use crate::role::Role;
use backoff::Backoff;
use child::Child;
use manager::Manager;
use newcomer::{StartError, stand_in, start_worker};
use pulse::Pulse;
use sender::Sender;
use signals::Signals;
use trial::Trial;
use workers::Workers;

pub use trial::{LONGEST, path as trial_path};

/// How long a process may take to end by itself once its channel is closed.
const GRACE: Duration = Duration::from_secs(5);
/// The same when the whole daemon ends.
const GRACE_AT_END: Duration = Duration::from_secs(3);
/// How long a killed process may take to vanish.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// What the starter passes on to its children.
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of spad.toml.
    pub config: PathBuf,
    /// Folder of the journals.
    pub state_dir: PathBuf,
    /// The arguments that say how much to log, as they were given.
    pub log: Vec<OsString>,
    /// The firewall is left alone, and no receipt is sent.
    pub observe: bool,
    /// To a worker: the one before could not begin, and that was said.
    pub again: bool,
}

/// Runs the daemon until it is asked to end, or cannot be started at all.
pub fn run(options: Options) -> ExitStatus {
    match Signals::listen() {
        Ok(signals) => Starter::new(options, signals).run(),
        Err(error) => {
            error!("cannot listen for signals: {error}");
            ExitStatus::Failure
        }
    }
}

struct Starter {
    options: Options,
    signals: Signals,
    manager: Manager,
    monitor: Option<Monitor>,
    pulse: Pulse,
    monitor_backoff: Backoff,
    workers: Workers,
    worker_backoff: Backoff,
    /// No worker serves nor can begin, which was said.
    helpless: bool,
    sender: Sender,
    /// The monitor whose control channel is closed, until its end was noticed.
    leaving: Vec<Child>,
    /// Somebody asked for a new worker, and none was started since.
    renew: bool,
    /// The operator did, by the control socket, and waits for the outcome.
    asked: bool,
    trial: Trial,
}

struct Monitor {
    child: Child,
    control: StarterEnd,
}

impl Starter {
    fn new(options: Options, signals: Signals) -> Self {
        Self {
            options,
            signals,
            manager: Manager::of_this_process(),
            monitor: None,
            pulse: Pulse::default(),
            monitor_backoff: Backoff::default(),
            workers: Workers::default(),
            worker_backoff: Backoff::default(),
            helpless: false,
            sender: Sender::default(),
            leaving: Vec::new(),
            renew: false,
            asked: false,
            trial: Trial::default(),
        }
    }

    fn run(mut self) -> ExitStatus {
        loop {
            let now = Instant::now();
            let started = self.start_what_is_missing(now);
            self.kill_overdue(now);
            self.ask_who_lives(now);
            self.renew |= self.trial.is_over(now);
            let heard = started.and_then(|()| {
                self.wait(self.next_deadline());
                self.hear()
            });
            if let Err(status) = heard {
                return self.end(status);
            }
        }
    }

    /// Starts a monitor if there is none (nor an old one still ending: two would share the firewall), and a
    /// worker if there is none or a new one is wanted.
    fn start_what_is_missing(&mut self, now: Instant) -> Result<(), ExitStatus> {
        if self.monitor.is_none() && self.leaving.is_empty() && self.monitor_backoff.allows(now) {
            self.monitor_backoff.started(now);
            match self.start_monitor(now) {
                Ok(monitor) => {
                    self.monitor = Some(monitor);
                    self.pulse.begin(now);
                }
                Err(error) => {
                    error!("cannot start the monitor: {error}");
                    self.monitor_backoff.ended(now, Duration::ZERO);
                }
            }
        }
        if let Some(monitor) = &self.monitor {
            self.sender.start_if_missing(&self.options, &monitor.control, now);
        }
        let wanted = self.wants_worker() && self.worker_backoff.allows(now);
        if let (Some(monitor), true) = (&self.monitor, wanted) {
            self.renew = false;
            let asked = std::mem::take(&mut self.asked);
            self.worker_backoff.started(now);
            let options = Options { again: self.helpless, ..self.trial.options(&self.options).into_owned() };
            match start_worker(&options, &monitor.control, &mut self.workers, asked, now) {
                Ok(()) => {}
                Err(StartError::Config(error)) if !self.workers.has_served() => {
                    error!(
                        "{}: cannot be opened: {error} (hint: begin with a spad.toml of profiles/, or name another \
                         with --config)",
                        self.options.config.display()
                    );
                    return Err(ExitStatus::Configuration);
                }
                Err(error) => {
                    if asked {
                        stand_in(&error, &monitor.control, &mut self.workers);
                    }
                    self.worker_backoff.ended(now, Duration::ZERO);
                    self.report_refusal(&error.to_string());
                }
            }
        }
        Ok(())
    }

    fn start_monitor(&self, now: Instant) -> io::Result<Monitor> {
        let (control, theirs) = control::pair()?;
        let child = Child::start(Role::Monitor, &self.options, theirs, now)?;
        debug!("monitor started, pid {}", child.id());
        Ok(Monitor { child, control })
    }

    /// One newcomer at a time: a wish that comes while one is starting is granted after it.
    fn wants_worker(&self) -> bool {
        !self.workers.starting() && (self.renew || !self.workers.serving())
    }

    fn kill_overdue(&mut self, now: Instant) {
        self.workers.kill_overdue(now);
        self.sender.kill_overdue(now);
        for child in &mut self.leaving {
            child.kill_if_overdue(now);
        }
    }

    /// When something is to be done even if nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        let start = match &self.monitor {
            None if self.leaving.is_empty() => self.monitor_backoff.next_start(),
            Some(_) if self.wants_worker() => self.worker_backoff.next_start(),
            _ => None,
        };
        let kills = self.leaving.iter().filter_map(Child::deadline).chain(self.workers.next_deadline());
        kills
            .chain(start)
            .chain(self.sender.next_deadline())
            .chain(self.trial.ends())
            .chain(self.pulse.next_deadline())
            .min()
    }

    /// Waits for a signal, a message, or the deadline.
    fn wait(&self, deadline: Option<Instant>) {
        let mut descriptors = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(monitor) = &self.monitor {
            descriptors.push(PollFd::from_borrowed_fd(monitor.control.as_fd(), PollFlags::IN));
        }
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A duration that does not fit would be centuries away: then without end.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // The one error possible, EINTR, means that a signal waits: it is heard next.
        let _ = rustix::event::poll(&mut descriptors, timeout.as_ref());
    }

    /// Ends everything: first by closing the control channel, then by SIGKILL.
    fn end(mut self, status: ExitStatus) -> ExitStatus {
        self.manager.stopping();
        let mut children: Vec<Child> = self.leaving.drain(..).chain(self.workers.drain()).collect();
        children.extend(self.monitor.take().map(|monitor| monitor.child));
        children.extend(self.sender.drain());
        for (patience, kill) in [(GRACE_AT_END, false), (AFTER_KILL, true)] {
            if kill {
                children.iter_mut().for_each(Child::kill);
            }
            let deadline = Instant::now() + patience;
            loop {
                children.retain_mut(|child| child.ended().is_none());
                if children.is_empty() {
                    return status;
                }
                if Instant::now() >= deadline {
                    break;
                }
                self.wait(Some(deadline));
                self.signals.take();
            }
        }
        for child in children {
            error!("process {} does not end, not even by SIGKILL", child.id());
        }
        status
    }
}
