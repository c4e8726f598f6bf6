//! Opening: whatever a worker needs, then giving up everything else, then its turn after the worker before it.

use std::io;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use spa_core::address::OwnAddresses;
use spa_core::crypto::header::HeaderKey;
use spa_core::gate::Gate;
use spa_core::journal::Loss;
use spa_core::keyring::Keyring;
use spa_core::replay::Replay;
use tracing::{debug, error, warn};

use super::{Worker, send, wall};
use crate::ask::{MOST_PROFILES, Message, Telling};
use crate::capture::{CaptureError, Listener};
use crate::config::{Config, ConfigError};
use crate::exit::ExitStatus;
use crate::journal::{Opened, Past};
use crate::offers::Offers;
use crate::overflow::Overflow;
use crate::report::Reporter;
use crate::sandbox::{self, Descriptors};
use crate::site::Site;
use crate::socketpair::{ChannelError, Seqpacket};
use crate::starter::Options;
use crate::surroundings::{Routes, Surroundings};
use crate::witness::Witness;

/// Where a reboot clears what is written.
const RUN_DIR: &str = "/run/spad";
/// Why a worker ends before it serves.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Config(ConfigError),
    #[error("{0} (hint: {1})")]
    State(String, &'static str),
    #[error(transparent)]
    Capture(CaptureError),
    #[error("the worker cannot be confined: {0}")]
    Sandbox(#[from] sandbox::SandboxError),
    #[error("the monitor does not answer: {0}")]
    Channel(#[from] ChannelError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<&Unfit> for ExitStatus {
    fn from(unfit: &Unfit) -> Self {
        match unfit {
            Unfit::Config(_) | Unfit::State(..) => Self::Configuration,
            Unfit::Capture(_) => Self::NotPermitted,
            Unfit::Sandbox(error) => error.into(),
            Unfit::Channel(_) | Unfit::Io(_) => Self::Failure,
        }
    }
}

/// Makes a worker that has the journal, and nothing left to give up.
pub(super) fn prepare<'c>(options: &Options, channel: &'c Seqpacket) -> Result<Worker<'c>, Unfit> {
    let mut config = Config::open(&options.config).map_err(Unfit::Config)?;
    // A receipt would say that a door is open.
    config.receipts &= !options.observe;
    let site = Site::open(&options.config, wall()).map_err(Unfit::Config)?;
    for reason in &site.left_out {
        warn!("left out, and what it opened is closed: {reason}");
    }
    for unknown in site.unknown_actions(&config.table) {
        warn!("{unknown}; what the profile opens is not touched by that");
    }
    if site.profiles.len() > MOST_PROFILES {
        let what = format!("{} profiles are too many, {MOST_PROFILES} can be served", site.profiles.len());
        return Err(Unfit::State(what, "give some of them to another site"));
    }
    let surroundings = Surroundings::read(&config.interfaces, &Routes::open()?)?;
    let listeners = listen(&surroundings, site.file.port, &site.file.header_keys())?;
    let opened = Opened::open(&options.state_dir, Path::new(RUN_DIR), site.file.id, site.file.machine())
        .map_err(|error| {
            let what = format!("{}: the journal cannot be opened: {error}", options.state_dir.display());
            Unfit::State(what, "make the folder with `install -d -m 700`, or name another with --state-dir")
        })?;
    let captures: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let writable: Vec<BorrowedFd<'_>> = opened.descriptors().map(AsFd::as_fd).collect();
    let descriptors = Descriptors { captures: &captures, channel: channel.as_fd(), writable: &writable };
    let (swaps, witness) = (swaps(), Witness::find());
    let report = sandbox::seal_worker(descriptors)?;
    debug!("worker {report}");

    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let ready = Message::Ready {
        port: site.file.port,
        profiles: count(site.profiles.len()),
        interfaces: count(listeners.len()),
        surroundings: surroundings.fingerprint(),
        config: config.fingerprint,
    };
    let mut profiles: Vec<_> =
        site.profiles.iter().map(|profile| (profile.key_id, profile.name.clone())).collect();
    profiles.sort_unstable();
    for message in Message::serves(&profiles) {
        send(channel, &message)?;
    }
    send(channel, &ready)?;
    // Held by the old worker until it has gone, so that no datagram is judged by two memories.
    let (journal, past) = opened.lock_and_load()?;
    let keyring = Keyring::new(site.profiles);
    let replay = recall(past, &keyring, &config);
    let shut = keyring.profiles().filter(|profile| replay.has_lost(profile)).count();
    let mut worker = Worker {
        channel,
        listeners,
        journal,
        settling: None,
        gate: Gate::new(
            site.file.header_keys(),
            keyring,
            replay,
            OwnAddresses::from_iter(surroundings.addresses).with_links(surroundings.on_link),
        )
        .with_actions(config.table.to_invoke()),
        skew: config.skew,
        clock_trusted: config.clock_trusted,
        witness,
        asked: None,
        reporter: Reporter::default(),
        gather: None,
        overflow: Overflow::default(),
        deaf: false,
        unusable: (count(site.left_out.len()), count(shut)),
        unlocked: swaps && report.locked == Some(false),
        telling: Telling::default(),
        offers: Offers::new(&config),
    };
    worker.begin();
    Ok(worker)
}

/// Opens what can be listened on. A missing interface is waited for: the monitor asks for a new worker when it comes.
fn listen(surroundings: &Surroundings, port: NonZeroU16, keys: &[HeaderKey]) -> Result<Vec<Listener>, Unfit> {
    let mut listeners = Vec::new();
    for (name, index) in surroundings.captures() {
        match Listener::open(name, index, port, keys) {
            Ok(listener) => listeners.push(listener),
            Err(error @ CaptureError::NotPermitted(_)) => return Err(Unfit::Capture(error)),
            Err(error) => warn!("cannot listen on {error}; waiting for the interface"),
        }
    }
    Ok(listeners)
}

/// The replay memory, as far as the journal still has it.
fn recall(past: Past, keyring: &Keyring, config: &Config) -> Replay {
    let Past { epoch, settled, records, loss } = past;
    let mut replay = Replay::restore(epoch, settled, config.skew, records);
    replay.forget_absent(keyring);
    if let Some(loss) = loss {
        tell_of(loss, config);
    }
    for profile in keyring.profiles().filter(|profile| replay.has_lost(profile)) {
        error!(
            "profile={} is shut: it is monotonic and its memory was lost (hint: make it anew with spa-keygen)",
            profile.name
        );
    }
    replay
}

fn tell_of(loss: Loss, config: &Config) {
    let until = if config.clock_trusted {
        format!("until {} from now", humantime::format_duration(config.skew))
    } else {
        format!(
            "until the clock is synchronised and {} have passed since now",
            humantime::format_duration(config.skew)
        )
    };
    warn!("unsettled: the journal {loss}; nothing is admitted {until}, so that no old datagram opens a door");
}

/// Whether this host has a swap: a heading, and a line for each (proc(5)).
fn swaps() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}
