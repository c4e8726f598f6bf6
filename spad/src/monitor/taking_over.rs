//! How a new worker takes over from the old one, or is turned away.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use spa_core::lease::Change;
use spa_core::service::Protected;
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::asks::log_closed;
use super::watching::KEPT;
use super::{COMES_TO_REST, Monitor, Serving};
use crate::ask::{self, Message};
use crate::config::{Config, ConfigError};
use crate::control::{NewWorker, Notice, WorkerNumber};
use crate::exit::ExitStatus;
use crate::firewall::{self, FirewallError, Interfaces, Plan};
use crate::socketpair::{Received, Seqpacket};
use crate::surroundings::Surroundings;
use crate::sys::clock;

/// How long a worker may take to load its profiles.
const GETS_READY: Duration = Duration::from_secs(30);

/// Why a worker does not take over.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Config(ConfigError),
    #[error("spad.toml changed while it was being read; reload again")]
    Changed,
    #[error(
        "firewall.backend, mode or attach changed: what stands of the old must go first (hint: stop spad, \
         `spad teardown`, start it)"
    )]
    Standing,
    #[error("the firewall: {0}")]
    Firewall(#[from] FirewallError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<&Refusal> for ExitStatus {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Config(_) | Refusal::Standing => Self::Configuration,
            Refusal::Firewall(FirewallError::NotPermitted) => Self::NotPermitted,
            Refusal::Firewall(_) => Self::Firewall,
            Refusal::Changed | Refusal::Io(_) => Self::Failure,
        }
    }
}

/// A worker that was announced and is not ready yet.
pub(super) struct Candidate {
    /// When it must be.
    pub(super) deadline: BootTime,
    number: WorkerNumber,
    pub(super) channel: Seqpacket,
    config: OwnedFd,
}

impl Monitor<'_> {
    /// A new worker was started; of two that are not ready the later counts.
    pub(super) fn announced(&mut self, new: NewWorker) {
        let NewWorker { number, channel, config } = new;
        let deadline = BootTime::new(clock::boottime()).plus(GETS_READY);
        if let Some(old) = self.candidate.replace(Candidate { deadline, number, channel, config }) {
            self.notify(Notice::Refused(old.number));
        }
    }

    /// A candidate says one thing, that it is ready, and then takes over or is turned away.
    pub(super) fn hear_candidate(&mut self) -> Result<(), ExitStatus> {
        let Some(candidate) = &self.candidate else { return Ok(()) };
        let message = match candidate.channel.receive::<{ ask::SIZE }>() {
            Ok(Received::Nothing) if BootTime::new(clock::boottime()) < candidate.deadline => return Ok(()),
            Ok(Received::Message(bytes)) => Message::decode(&bytes).ok(),
            // It is too late, or it ended before it was ready and has said why itself.
            Ok(Received::Nothing | Received::Closed) | Err(_) => None,
        };
        let Some(candidate) = self.candidate.take() else { return Ok(()) };
        let number = candidate.number;
        let Some(ready @ Message::Ready { .. }) = message else {
            if self.serving.is_some() {
                warn!("reload refused; everything stays as it was");
            }
            self.notify(Notice::Refused(number));
            return Ok(());
        };
        let Err(refusal) = self.take_over(candidate, &ready) else { return Ok(()) };
        self.notify(Notice::Refused(number));
        if self.serving.is_some() {
            error!("reload refused; everything stays as it was: {refusal}");
            self.helpless |= matches!(refusal, Refusal::Firewall(FirewallError::LoaderGone(_)));
            // It may have come as far as the new table.
            self.repair = Some(BootTime::new(clock::boottime()));
            return Ok(());
        }
        error!("{refusal}");
        Err(ExitStatus::from(&refusal))
    }

    fn take_over(&mut self, candidate: Candidate, ready: &Message) -> Result<(), Refusal> {
        let &Message::Ready { port, profiles, interfaces, surroundings, config: read } = ready else {
            return Ok(());
        };
        let Candidate { number, channel, config, .. } = candidate;
        let config = Config::read(&mut File::from(config), &self.options.config).map_err(Refusal::Config)?;
        if config.fingerprint != read {
            return Err(Refusal::Changed);
        }
        let standing = self.serving.as_ref().map(|serving| &serving.config.standing);
        if standing.is_some_and(|standing| *standing != config.standing) {
            return Err(Refusal::Standing);
        }
        let now = BootTime::new(clock::boottime());
        let stands_on = Surroundings::read(&config.interfaces, &self.routes)?;
        let first = self.serving.is_none();
        if self.firewall.is_none() {
            let (mut firewall, why) = firewall::choose(&config.standing, self.loader.take())?;
            firewall.listen()?;
            info!("firewall: {firewall} ({why})");
            self.firewall = Some(firewall);
        }
        // Whoever is connected to a service before it is guarded, stays connected.
        let newly = self.newly_protected(&config)?;
        let keep = firewall::sessions(&newly)?;
        let plan = Plan {
            interfaces: guarded(&config, &stands_on),
            protect: config.protect.clone(),
            always_allow: config.always_allow.clone(),
            spa_port: port,
            keep,
        };
        self.firewall()?.prepare(&plan)?;
        // And whoever came in between the look and the guard.
        let keep = firewall::sessions(&newly)?;
        self.firewall()?.keep(&keep)?;
        let mut changes = if first { self.take_stock(now)? } else { Vec::new() };
        if first {
            self.inherit_cuts(now)?;
        }
        changes.extend(self.leases.retain(&config.ceiling));
        self.firewall()?.apply(&changes)?;
        match self.firewall()?.defeated() {
            Ok(defeats) => defeats.iter().for_each(|defeat| warn!("{defeat}")),
            // Worth a warning, but no reason not to serve.
            Err(error) => warn!("whether others drop what spad accepts is not known: {error}"),
        }
        log_closed(&changes, "it is no longer protected");
        self.kept = Some(now.plus(KEPT));
        self.watch = Some(now);
        self.look = Some(now.plus(COMES_TO_REST));
        let plan = Plan { keep: Vec::new(), ..plan };
        let channel = Some(channel);
        if let Some(old) = self.serving.replace(Serving { number, channel, config, plan, surroundings }) {
            // What it has put on disk it may still ask for: nobody else will, as it is a replay from then on.
            self.retiring = old.channel.filter(|channel| channel.finish().is_ok());
            self.notify(Notice::Retired(old.number));
        }
        self.notify(Notice::Serving(number));
        info!("serving port={port} profiles={profiles} interfaces={interfaces} open={}", self.leases.len());
        Ok(())
    }

    /// What the present guard does not protect yet; everything if there is none.
    fn newly_protected(&mut self, config: &Config) -> Result<Vec<Protected>, FirewallError> {
        // A guard that outlived a monitor: who was connected before it is in its sets already.
        if self.serving.is_none() && self.firewall()?.exists()? {
            return Ok(Vec::new());
        }
        let old = self.serving.as_ref().map(|serving| serving.plan.protect.as_slice()).unwrap_or_default();
        Ok(config.protect.iter().filter(|protected| !old.contains(protected)).copied().collect())
    }

    /// Takes over the doors that the kernel holds open; what has no end was not made by us, and is shut.
    fn take_stock(&mut self, now: BootTime) -> Result<Vec<Change>, FirewallError> {
        let mut endless = Vec::new();
        for element in self.firewall()?.grants()? {
            match element.remaining {
                Some(remaining) => self.leases.restore(element.door, remaining, &element.comment, now),
                None => endless.push(Change::Remove { door: element.door }),
            }
        }
        Ok(endless)
    }
}

/// Where the guard stands. A default route that is not there yet must not leave the door open until it is.
pub fn guarded(config: &Config, surroundings: &Surroundings) -> Interfaces {
    let unresolved =
        config.interfaces.iter().any(|name| name == "default-route") && surroundings.interfaces.is_empty();
    let names: Option<Vec<_>> = surroundings.interfaces.keys().map(|name| name.parse().ok()).collect();
    match names {
        Some(names) if !surroundings.any && !unresolved => Interfaces::Named(names),
        _ => Interfaces::Any,
    }
}
