//! One child process.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus as Status, Stdio};
use std::time::Instant;

use tracing::warn;

use super::{Options, manager};
use crate::exit::ExitStatus;
use crate::role::Role;

/// A child, from its start until its end was noticed.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    role: Role,
    started: Instant,
    end: Option<End>,
    kill_at: Option<Instant>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End(Option<Status>);

impl End {
    /// The status of a failure that would only be repeated.
    pub(super) fn lasting(self) -> Option<ExitStatus> {
        ExitStatus::lasting(self.code()?)
    }

    /// Its exit status, if it was not killed.
    pub(super) fn code(self) -> Option<i32> {
        self.0?.code()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => status.fmt(f),
            None => f.write_str("how is not known"),
        }
    }
}

impl Child {
    /// Starts this very program anew in a role, with `channel` as its standard input. Standard error, the log,
    /// is shared.
    pub(super) fn start(role: Role, options: &Options, channel: OwnedFd, now: Instant) -> io::Result<Self> {
        let process = role
            .command()
            .arg("--config")
            .arg(&options.config)
            .arg("--state-dir")
            .arg(&options.state_dir)
            .args(&options.log)
            .args(options.observe.then_some("--observe"))
            .args(options.again.then_some("--again"))
            .env_remove(manager::VARIABLE)
            .stdin(channel)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, role, started: now, end: None, kill_at: None })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has. Never waits.
    pub(super) fn ended(&mut self) -> Option<End> {
        if self.end.is_none() {
            self.end = match self.process.try_wait() {
                Ok(status) => status.map(|status| End(Some(status))),
                // Not our child any more, so not alive either.
                Err(_) => Some(End(None)),
            };
        }
        self.end
    }

    /// Gives it until `deadline`, or until an earlier one.
    pub(super) fn must_end_by(&mut self, deadline: Instant) {
        self.kill_at = Some(self.kill_at.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kill_at
    }

    pub(super) fn kill_if_overdue(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|deadline| deadline <= now) {
            warn!("{} {} does not end by itself, so it is killed", self.role.name(), self.id());
            self.kill();
        }
    }

    /// Kills it. Its end is noticed later.
    pub(super) fn kill(&mut self) {
        self.kill_at = None;
        if let Err(error) = self.process.kill() {
            warn!("cannot kill {} {}: {error}", self.role.name(), self.id());
        }
    }
}
