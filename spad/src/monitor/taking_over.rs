//! How a new worker takes over from the old one, or is turned away.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use spa_core::crypto::key::KeyId;
use spa_core::lease::Change;
use spa_core::service::Protected;
use spa_core::target::Target;
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::asks::log_closed;
use super::watching::KEPT;
use super::{COMES_TO_REST, Monitor, Serving};
use crate::ask::{self, MOST_IDS, Message, NotAMessage};
use crate::config::{Config, ConfigError};
use crate::control::{NewWorker, Notice, WorkerNumber};
use crate::exit::ExitStatus;
use crate::firewall::{self, FirewallError, Interfaces, Plan};
use crate::kept::{Keeper, Kept};
use crate::session;
use crate::socketpair::{Received, Seqpacket};
use crate::surroundings::Surroundings;
use crate::sys::clock;

/// How long a worker may take to load its profiles.
const GETS_READY: Duration = Duration::from_secs(30);

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

/// A worker that was announced and is not ready yet.
pub(super) struct Candidate {
    /// When it must be.
    pub(super) deadline: BootTime,
    number: WorkerNumber,
    pub(super) channel: Seqpacket,
    config: OwnedFd,
    /// What it has said so far of whom it serves, ascending.
    serves: Vec<KeyId>,
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

impl Candidate {
    /// Reads on. `None`: it is not ready yet.
    fn hear(&mut self, now: BootTime) -> Option<Result<Message, NotAMessage>> {
        loop {
            match self.channel.receive::<{ ask::SIZE }>() {
                Ok(Received::Nothing) if now < self.deadline => return None,
                Ok(Received::Message(bytes)) => match Message::decode(&bytes) {
                    Ok(Message::Serves(ids)) if self.goes_on(&ids) => self.serves.extend(ids),
                    Ok(ready @ Message::Ready { .. }) => return Some(Ok(ready)),
                    _ => return Some(Err(NotAMessage)),
                },
                // It is too late, or it ended before it was ready and has said why itself.
                Ok(Received::Nothing | Received::Closed) | Err(_) => return Some(Err(NotAMessage)),
            }
        }
    }

    fn goes_on(&self, ids: &[KeyId]) -> bool {
        self.serves.last() < ids.first() && self.serves.len() + ids.len() <= MOST_IDS
    }
}

impl Monitor<'_> {
    /// A new worker was started; of two that are not ready the later counts.
    pub(super) fn announced(&mut self, new: NewWorker) {
        let NewWorker { number, channel, config } = new;
        let deadline = BootTime::new(clock::boottime()).plus(GETS_READY);
        let candidate = Candidate { deadline, number, channel, config, serves: Vec::new() };
        if let Some(old) = self.candidate.replace(candidate) {
            self.notify(Notice::Refused(old.number));
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
            if self.serving.is_some() {
                warn!("reload refused; everything stays as it was");
            }
            self.notify(Notice::Refused(candidate.number));
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
        if self.serving.is_some() {
            error!("reload refused; everything stays as it was: {refusal}");
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
        let Candidate { number, channel, config, serves, .. } = candidate;
        let config = Config::read(&mut File::from(config), &self.options.config).map_err(Refusal::Config)?;
        if config.fingerprint != read {
            return Err(Refusal::Changed);
        }
        let standing = self.serving.as_ref().map(|serving| &serving.config.standing);
        if standing.is_some_and(|standing| *standing != config.standing) {
            return Err(Refusal::Standing);
        }
        let stands_on = Surroundings::read(&config.interfaces, &self.routes)?;
        refuse_itself(&config, &stands_on)?;
        if self.firewall.is_none() {
            let (mut firewall, why) = firewall::choose(&config.standing, self.loader.take())?;
            firewall.listen()?;
            info!("firewall: {firewall} ({why})");
            self.firewall = Some(firewall);
        }
        // Whoever is connected to a service before it is guarded, stays connected.
        let newly = self.newly_protected(&config)?;
        let mut plan = config.plan(guarded(&config, &stands_on), port);
        plan.keep = firewall::sessions(&newly)?;
        let serving = Serving { number, channel: Some(channel), config, plan, surroundings, serves };
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
        log_closed(&strange, "it had no end, or was put back after it");
        log_closed(&unprotected, "spad.toml no longer allows it");
        log_closed(&unserved, "its profile is gone");
        self.check_others();
        self.kept = Some(now.plus(KEPT));
        self.watch_from(now);
        self.look = Some(now.plus(COMES_TO_REST));
        serving.plan.keep.clear();
        let port = serving.plan.spa_port;
        let stands_on = serving.plan.interfaces.clone();
        let kept = Kept { config: serving.config.clone(), interfaces: stands_on, spa_port: port };
        if let Some(old) = self.serving.replace(serving) {
            // Said before it goes: the starter would take its end for a death.
            self.notify(Notice::Retired(old.number));
            // What it has put on disk it may still ask for: nobody else will, as it is a replay from then on.
            self.retiring = old.channel.filter(|channel| channel.finish().is_ok());
        }
        self.notify(Notice::Serving(number));
        self.want_sender();
        self.keep(&kept);
        info!("serving port={port} profiles={profiles} interfaces={interfaces} open={}", self.leases.len());
        Ok(())
    }

    /// Keeps what is in force now for the next boot.
    fn keep(&mut self, kept: &Kept) {
        let Some(keeper) = &mut self.keeper else { return };
        if let Err(error) = keeper.keep(kept) {
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::ask::IDS;

    const NOW: BootTime = BootTime::new(Duration::from_secs(1));

    fn candidate() -> (Seqpacket, Candidate) {
        let (worker, channel) = Seqpacket::pair().unwrap();
        let config = File::open("/dev/null").unwrap().into();
        let (number, deadline) = (WorkerNumber::default(), NOW.plus(GETS_READY));
        (worker, Candidate { deadline, number, channel, config, serves: Vec::new() })
    }

    fn serves(ids: &[u32]) -> Message {
        Message::Serves(ids.iter().copied().map(KeyId).collect())
    }

    fn ready() -> Message {
        Message::Ready { port: NonZeroU16::MIN, profiles: 0, interfaces: 0, surroundings: 0, config: 0 }
    }

    #[test]
    fn a_hundred_thousand_profiles_are_named_in_no_time() {
        let (worker, mut candidate) = candidate();
        let ids: Vec<u32> = (0..100_000).map(|n| n * 7).collect();
        let begun = std::time::Instant::now();
        for some in ids.chunks(IDS) {
            let message = serves(some).encode();
            while worker.send(&message).is_err() {
                assert_eq!(candidate.hear(NOW), None, "not ready yet");
            }
        }
        while worker.send(&ready().encode()).is_err() {
            assert_eq!(candidate.hear(NOW), None, "not ready yet");
        }
        assert_eq!(candidate.hear(NOW), Some(Ok(ready())));
        println!("{:?}", begun.elapsed());
        assert!(candidate.serves.iter().map(|id| id.0).eq(ids));
    }

    #[test]
    fn a_candidate_says_whom_it_serves_in_order_and_then_that_it_is_ready() {
        #[rustfmt::skip]
        let rows = [
            (vec![ready()],                                  true,  "nobody"),
            (vec![serves(&[1, 2]), serves(&[3]), ready()],   true,  "three"),
            (vec![serves(&[1, 2]), serves(&[2]), ready()],   false, "one twice"),
            (vec![serves(&[9]), serves(&[3]), ready()],      false, "falling"),
            (vec![Message::Renew],                           false, "what only a worker says that serves"),
        ];
        for (messages, good, why) in rows {
            let (worker, mut candidate) = candidate();
            messages.iter().for_each(|message| worker.send(&message.encode()).unwrap());
            assert_eq!(candidate.hear(NOW), Some(if good { Ok(ready()) } else { Err(NotAMessage) }), "{why}");
        }
        let (_worker, mut silent) = candidate();
        assert_eq!(silent.hear(NOW), None);
        assert_eq!(silent.hear(NOW.plus(GETS_READY)), Some(Err(NotAMessage)), "too late");
        let (_worker, mut endless) = candidate();
        endless.serves = (0..1 << 20).map(KeyId).collect();
        assert!(!endless.goes_on(&[KeyId(u32::MAX)]), "more than can be");
    }
}
