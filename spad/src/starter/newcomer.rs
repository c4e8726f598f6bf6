//! One new worker: its process, its channel, and the word to the monitor.

use std::io;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use tracing::debug;

use super::child::Child;
use super::workers::Workers;
use super::{GRACE, Options};
use crate::ask::Message;
use crate::control::{NewWorker, StarterEnd};
use crate::role::Role;
use crate::socketpair::{ChannelError, Seqpacket};

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("cannot open the configuration: {0}")]
    Config(io::Error),
    #[error("{0}")]
    Spawn(#[from] io::Error),
    #[error("the monitor cannot be told: {0}")]
    Announce(#[from] ChannelError),
}

/// Tells the monitor in the place of a worker why there is none, as that would have: whoever asked for it is waiting.
pub(super) fn stand_in(error: &StartError, control: &StarterEnd, workers: &mut Workers) {
    let mut told = || -> Result<(), StartError> {
        let config = std::fs::File::open("/dev/null")?.into();
        let (channel, theirs) = Seqpacket::pair()?;
        for message in Message::unfit(&error.to_string()) {
            theirs.send(&message.encode())?;
        }
        Ok(control.announce(&NewWorker { number: workers.skip(), asked: true, channel, config })?)
    };
    // Where that fails, he waits until his patience ends.
    if let Err(error) = told() {
        debug!("nobody was told: {error}");
    }
}

/// Starts a worker and hands its channel, and spad.toml unread, to the monitor.
pub(super) fn start_worker(
    options: &Options,
    control: &StarterEnd,
    workers: &mut Workers,
    asked: bool,
    now: Instant,
) -> Result<(), StartError> {
    // NONBLOCK: a named pipe in its place must not hold up the starter.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let config = rustix::fs::open(&options.config, flags, Mode::empty())
        .map_err(|error| StartError::Config(error.into()))?;
    let (channel, theirs) = Seqpacket::pair()?;
    let child = Child::start(Role::Worker, options, theirs.into_descriptor(), now)?;
    let number = workers.add(child);
    debug!("worker {number} started");
    // Should this fail, the worker sees the end of its channel, and ends.
    let told = control.announce(&NewWorker { number, asked, channel, config });
    if told.is_err() {
        workers.dismiss(number, now + GRACE);
    }
    Ok(told?)
}
