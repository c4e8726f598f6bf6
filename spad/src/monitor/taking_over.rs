//! How a new worker takes over from the old one, or is turned away.

use std::fs::File;
use std::io;

use spa_core::lease::Change;
use spa_core::service::Protected;
use spa_core::target::Target;
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::candidate::Candidate;
use super::hearing::Worker;
use super::watching::KEPT;
use super::{COMES_TO_REST, Monitor, Serving};
use crate::ask::{Message, Tally};
use crate::config::{Config, ConfigError};
use crate::control::{NewWorker, Notice, WorkerNumber};
use crate::exit::ExitStatus;
use crate::firewall::{self, Firewall, FirewallError, Interfaces, Observed, Plan};
use crate::kept::{Keeper, Kept};
use crate::operator::event::Cause;
use crate::session;
use crate::surroundings::Surroundings;
use crate::sys::clock;

/// Why a worker does not take over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
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
    #[error(transparent)]
    Itself(#[from] Itself),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<&Refusal> for ExitStatus {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Config(_) | Refusal::Standing | Refusal::Itself(_) => Self::Configuration,
            Refusal::Firewall(error) => error.into(),
            Refusal::Changed | Refusal::Io(_) => Self::Failure,
        }
    }
}

/// A worker that is ready, until the firewall is.
pub(super) struct Successor {
    number: WorkerNumber,
    serving: Serving,
    /// What the present guard does not protect yet.
    newly: Vec<Protected>,
    /// How many profiles and interfaces, for the log.
    counts: (u32, u32),
}

impl Successor {
    pub(super) fn number(&self) -> WorkerNumber {
        self.number
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.serving.plan
    }
}

impl Monitor<'_> {
    /// A new worker was started; of two that are not ready the later counts.
    pub(super) fn announced(&mut self, new: NewWorker) {
        let NewWorker { number, asked, channel, config } = new;
        if asked {
            self.is_awaited(number);
        }
        let now = BootTime::new(clock::boottime());
        let candidate = Candidate::new(number, channel, config, now);
        if let Some(old) = self.candidate.replace(candidate) {
            self.notify(Notice::Refused(old.number));
            self.reload_ended(old.number, Some("another worker was started meanwhile".into()), now);
        }
    }

    /// A candidate says whom it serves, and that it is ready; then it takes over or is turned away.
    pub(super) fn hear_candidate(&mut self) -> Result<(), ExitStatus> {
        if self.preparing.is_some() {
            return Ok(());
        }
        let now = BootTime::new(clock::boottime());
        let Some(message) = self.candidate.as_mut().and_then(|candidate| candidate.hear(now)) else {
            return Ok(());
        };
        let Some(candidate) = self.candidate.take() else { return Ok(()) };
        let Ok(ready) = message else {
            if self.is_heard() {
                warn!("reload refused; everything stays as it was");
            }
            self.notify(Notice::Refused(candidate.number));
            self.reload_ended(candidate.number, Some(candidate.reason()), now);
            return Ok(());
        };
        let number = candidate.number;
        match self.succession(candidate, &ready) {
            Ok(successor) => self.prepare_for(successor),
            Err(refusal) => self.refuse(number, &refusal),
        }
    }

    /// Turns a worker away.
    pub(super) fn refuse(&mut self, number: WorkerNumber, refusal: &Refusal) -> Result<(), ExitStatus> {
        self.notify(Notice::Refused(number));
        self.reload_ended(number, Some(refusal.to_string()), BootTime::new(clock::boottime()));
        if self.serving.is_some() {
            if self.is_heard() {
                error!("reload refused; everything stays as it was: {refusal}");
            }
            self.helpless |= matches!(refusal, Refusal::Firewall(FirewallError::LoaderGone(_)));
            // It may have come as far as the new table.
            self.repair = Some(BootTime::new(clock::boottime()));
            return Ok(());
        }
        error!("{refusal}");
        Err(ExitStatus::from(refusal))
    }

    /// What is to serve, if nothing speaks against it.
    fn succession(&mut self, candidate: Candidate, ready: &Message) -> Result<Successor, Refusal> {
        let &Message::Ready { port, profiles, interfaces, surroundings, config: read } = ready else {
            return Err(Refusal::Changed);
        };
        let Candidate { number, channel, config, profiles: served, .. } = candidate;
        let mut config =
            Config::read(&mut File::from(config), &self.options.config).map_err(Refusal::Config)?;
        if config.fingerprint != read {
            return Err(Refusal::Changed);
        }
        config.receipts &= !self.options.observe;
        let standing = self.serving.as_ref().map(|serving| &serving.config.standing);
        if standing.is_some_and(|standing| *standing != config.standing) {
            return Err(Refusal::Standing);
        }
        let stands_on = Surroundings::read(&config.interfaces, &self.routes)?;
        refuse_itself(&config, &stands_on)?;
        if self.firewall.is_none() {
            let loader = self.loader.take();
            let (mut firewall, why) = if self.options.observe {
                warn!("observing: nothing is guarded; what is said to be opened would have been");
                (Box::new(Observed) as Box<dyn Firewall>, "spad --observe".to_owned())
            } else {
                firewall::choose(&config.standing, loader)?
            };
            firewall.listen()?;
            info!("firewall: {firewall} ({why})");
            self.firewall = Some(firewall);
            self.why = why;
        }
        // Whoever is connected to a service before it is guarded, stays connected.
        let newly = self.newly_protected(&config)?;
        let mut plan = config.plan(guarded(&config, &stands_on), port);
        plan.keep = firewall::sessions(&newly)?;
        let serving = Serving {
            number,
            worker: Worker {
                channel: Some(channel),
                actions: config.table.to_invoke(),
                tally: Tally::default(),
                spoke: true,
            },
            config,
            plan,
            surroundings,
            profiles: served,
            since: BootTime::new(clock::boottime()),
        };
        Ok(Successor { number, serving, newly, counts: (profiles, interfaces) })
    }

    /// The firewall is ready for it: it serves from now on.
    pub(super) fn take_over(&mut self, successor: Successor) -> Result<(), Refusal> {
        let Successor { number, mut serving, newly, counts: (profiles, interfaces) } = successor;
        let now = BootTime::new(clock::boottime());
        // And whoever came in between the look and the guard.
        let keep = firewall::sessions(&newly)?;
        self.firewall()?.keep(&keep)?;
        if let Some(line) = session::live_on(&serving.config.standing.stand, &keep) {
            info!("{line}");
        }
        let strange = if self.serving.is_none() { self.take_stock(now)? } else { Vec::new() };
        if self.serving.is_none() {
            self.inherit_cuts(now)?;
        }
        // Nothing is refused from here on: what the kernel does not take now is repaired.
        let unprotected = self.leases.retain(&serving.config.ceiling);
        let unserved = self.leases.retain_holders(|holder| serving.serves(holder), now);
        self.apply(&[&strange[..], &unprotected, &unserved].concat());
        self.say_closed(&strange, Cause::Strange);
        self.say_closed(&unprotected, Cause::Configuration);
        self.say_closed(&unserved, Cause::Profile);
        self.check_others();
        self.kept = Some(now.plus(KEPT));
        self.watch_from(now);
        self.look = Some(now.plus(COMES_TO_REST));
        serving.plan.keep.clear();
        let port = serving.plan.spa_port;
        let stands_on = serving.plan.interfaces.clone();
        serving.since = now;
        self.reload_ended(number, None, now);
        let fingerprint = serving.config.fingerprint;
        let kept = Kept { config: serving.config.clone(), interfaces: stands_on, spa_port: port };
        if let Some(old) = self.serving.replace(serving) {
            // Said before it goes: the starter would take its end for a death.
            self.notify(Notice::Retired(old.number));
            // What it has put on disk it may still ask for: nobody else will, as it is a replay from then on.
            let before = std::mem::replace(&mut self.retiring, old.worker);
            self.retiring.channel.take_if(|channel| channel.finish().is_err());
            self.counted.add(&before.tally);
        }
        self.notify(Notice::Serving(number));
        self.desk.runner.configured(fingerprint);
        self.want_sender();
        self.keep(&kept);
        info!("serving port={port} profiles={profiles} interfaces={interfaces} open={}", self.leases.len());
        Ok(())
    }

    /// Keeps what is in force now for the next boot.
    fn keep(&mut self, kept: &Kept) {
        let Some(keeper) = &mut self.keeper else { return };
        let outcome = keeper.keep(kept);
        self.unkept = outcome.is_err();
        if let Err(error) = outcome {
            warn!(
                "this configuration cannot be kept, so that `spad guard` would load an earlier one: {error}"
            );
        }
    }

    /// What the present guard does not protect yet; everything if there is none.
    fn newly_protected(&mut self, config: &Config) -> Result<Vec<Protected>, FirewallError> {
        let old = if let Some(serving) = &self.serving {
            serving.plan.protect.clone()
        } else if self.firewall()?.exists()? {
            // A guard of `spad guard`, or one that outlived a monitor: who was connected before it is in its sets.
            let kept = self.keeper.as_ref().and_then(Keeper::kept);
            kept.map_or_else(|| config.protect.clone(), |kept| kept.config.protect)
        } else {
            Vec::new()
        };
        Ok(config.protect.iter().filter(|protected| !old.contains(protected)).copied().collect())
    }

    /// Takes over the doors that the kernel holds open. What has no end was not made by us, and is shut; and so is what
    /// names leases that are over: somebody put back what he had saved.
    fn take_stock(&mut self, now: BootTime) -> Result<Vec<Change>, FirewallError> {
        let mut strange = Vec::new();
        for element in self.firewall()?.grants()? {
            let door = element.door;
            if let Some(remaining) = element.remaining {
                self.leases.restore(door, remaining, &element.comment, element.forward, now);
            }
            if element.remaining.is_none() || self.leases.is_stray(door, &element.comment) {
                strange.push(Change::Remove { door });
            }
        }
        Ok(strange)
    }
}

/// A target that is this host: a forward there would walk around the guard of its inner port.
#[derive(Debug, thiserror::Error)]
#[error("firewall.forward: {0} is this host itself, not an inner host (hint: protect that service instead)")]
pub struct Itself(Target);

/// Refuses a target at an address of this host.
pub fn refuse_itself(config: &Config, surroundings: &Surroundings) -> Result<(), Itself> {
    let own = |target: &&Target| surroundings.addresses.contains(&target.address());
    config.forward.iter().find(own).map_or(Ok(()), |target| Err(Itself(*target)))
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
