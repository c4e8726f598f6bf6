//! The monitor: may change the firewall, and sees neither packet nor key. It holds every ask against the ceiling, which
//! comes from `spad.toml` alone, and owns the leases: a door closes even if the worker is dead, and the kernel's own
//! timeout closes it if the monitor is as well.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use spa_core::lease::{Change, Door, LeaseTable};
use spa_core::service::Protected;
use spa_core::time::BootTime;
use tracing::{debug, error, info, warn};

use crate::ask::{self, Ask, Message};
use crate::config::{Config, ConfigError};
use crate::control::{MonitorEnd, NewWorker, Notice, WorkerNumber};
use crate::exit::ExitStatus;
use crate::firewall::iptables::Loader;
use crate::firewall::{self, Firewall, FirewallError, Interfaces, Plan};
use crate::report::Reporter;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};
use crate::starter::Options;
use crate::surroundings::{Routes, Surroundings, Watcher};
use crate::sys::clock;

/// Several changes of the surroundings come together: a link, its addresses, its routes.
const COMES_TO_REST: Duration = Duration::from_millis(300);
/// How long a worker may take to load its profiles.
const GETS_READY: Duration = Duration::from_secs(30);
/// How soon a firewall call that failed is tried again.
const REPAIR: Duration = Duration::from_secs(1);
/// How often it is looked whether a kept session has ended.
const KEPT: Duration = Duration::from_secs(30);

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

/// Runs the monitor until its control channel is closed.
pub fn run(options: &Options, control: Seqpacket) -> ExitStatus {
    let monitor = match Monitor::confined(options, control) {
        Ok(monitor) => monitor,
        Err((status, reason)) => {
            error!("{reason}");
            return status;
        }
    };
    monitor.serve()
}

/// A worker that was announced and is not ready yet.
struct Candidate {
    /// When it must be.
    deadline: BootTime,
    number: WorkerNumber,
    channel: Seqpacket,
    config: OwnedFd,
}

/// The worker that serves, and what it was made for.
struct Serving {
    number: WorkerNumber,
    /// `None` once the worker is gone: the guard stands whether somebody listens or not.
    channel: Option<Seqpacket>,
    config: Config,
    plan: Plan,
    surroundings: u64,
}

struct Monitor<'o> {
    options: &'o Options,
    control: MonitorEnd,
    /// Chosen by the first configuration, for good.
    firewall: Option<Box<dyn Firewall>>,
    /// Until then; it may be of use.
    loader: Option<Loader>,
    routes: Routes,
    watcher: Watcher,
    timer: OwnedFd,
    candidate: Option<Candidate>,
    serving: Option<Serving>,
    /// Channel of the worker before: told to go, and heard until it went.
    retiring: Option<Seqpacket>,
    leases: LeaseTable,
    reporter: Reporter,
    /// When to look at the surroundings again.
    look: Option<BootTime>,
    /// When to bring the kernel back to what the leases say.
    repair: Option<BootTime>,
    /// The firewall can no longer be changed by this process.
    helpless: bool,
    /// When to ask whether something of ours was taken away, where nobody tells.
    watch: Option<BootTime>,
    /// When to look at kept sessions; `None` once there are none.
    kept: Option<BootTime>,
}

impl<'o> Monitor<'o> {
    fn confined(options: &'o Options, control: Seqpacket) -> Result<Self, (ExitStatus, String)> {
        let failed = |error: io::Error| (ExitStatus::Failure, error.to_string());
        let routes = Routes::open().map_err(failed)?;
        // Afterwards no program can be started.
        let loader = Loader::start(&options.log).map_err(failed)?;
        let report = sandbox::seal_monitor().map_err(|error| ((&error).into(), error.to_string()))?;
        debug!("monitor {report}");
        Ok(Self {
            options,
            control: control.into(),
            firewall: None,
            loader: Some(loader),
            routes,
            watcher: Watcher::new().map_err(failed)?,
            timer: timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)
                .map_err(|error| failed(error.into()))?,
            candidate: None,
            serving: None,
            retiring: None,
            leases: LeaseTable::default(),
            reporter: Reporter::default(),
            look: None,
            repair: None,
            helpless: false,
            kept: None,
            watch: None,
        })
    }

    fn serve(mut self) -> ExitStatus {
        loop {
            if let Err(error) = self.wait() {
                error!("{error}");
                return ExitStatus::Failure;
            }
            match self.control.receive() {
                Ok(Received::Message(new)) => self.announced(new),
                Ok(Received::Nothing) => {}
                Ok(Received::Closed) => return ExitStatus::Done,
                Err(error) => {
                    error!("the starter: {error}");
                    return ExitStatus::Failure;
                }
            }
            if let Err(status) = self.hear_candidate() {
                return status;
            }
            self.hear_workers();
            self.keep_up(BootTime::new(clock::boottime()));
            if self.helpless {
                // The starter starts another, which takes over the doors from the kernel.
                return ExitStatus::Failure;
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let now = BootTime::new(clock::boottime());
        let ready = self.candidate.as_ref().map(|candidate| candidate.deadline);
        let told = self.reporter.next_deadline();
        let deadline =
            [self.leases.next_deadline(), self.look, self.repair, self.kept, self.watch, ready, told]
                .into_iter()
                .flatten()
                .min();
        // A moment of the clock since boot, which goes on while the host sleeps; zero would disarm it.
        let at = deadline.map(|at| at.max(now.plus(Duration::from_nanos(1))).get()).unwrap_or_default();
        let it_value = Timespec::try_from(at).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        let mut descriptors = vec![
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.watcher, PollFlags::IN),
        ];
        let channels = [
            self.candidate.as_ref().map(|candidate| &candidate.channel),
            self.serving.as_ref().and_then(|serving| serving.channel.as_ref()),
            self.retiring.as_ref(),
        ];
        let watch = self.firewall.as_ref().and_then(|firewall| firewall.descriptor());
        descriptors.extend(watch.into_iter().map(|watch| PollFd::from_borrowed_fd(watch, PollFlags::IN)));
        descriptors.extend(channels.into_iter().flatten().map(|channel| PollFd::new(channel, PollFlags::IN)));
        match poll(&mut descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A new worker was started; of two that are not ready the later counts.
    fn announced(&mut self, new: NewWorker) {
        let NewWorker { number, channel, config } = new;
        let deadline = BootTime::new(clock::boottime()).plus(GETS_READY);
        if let Some(old) = self.candidate.replace(Candidate { deadline, number, channel, config }) {
            self.notify(Notice::Refused(old.number));
        }
    }

    /// A candidate says one thing, that it is ready, and then takes over or is turned away.
    fn hear_candidate(&mut self) -> Result<(), ExitStatus> {
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

    /// Carries out what the workers ask, all that waits in one transaction.
    fn hear_workers(&mut self) {
        let mut work = Work::default();
        if let Some(channel) = self.retiring.take() {
            self.retiring = self.hear(channel, &mut work);
        }
        if let Some(channel) = self.serving.as_mut().and_then(|serving| serving.channel.take()) {
            let still_open = self.hear(channel, &mut work);
            if let Some(serving) = &mut self.serving {
                serving.channel = still_open;
            }
        }
        if !work.changes.is_empty() {
            self.apply(&work.changes);
        }
        // Somebody waits for the door, nobody for the line.
        for line in work.lines {
            info!("{line}");
        }
    }

    /// Reads what waits in a channel; gives it back while its worker is there.
    fn hear(&mut self, channel: Seqpacket, work: &mut Work) -> Option<Seqpacket> {
        loop {
            let message = match channel.receive::<{ ask::SIZE }>() {
                Ok(Received::Nothing) => return Some(channel),
                Ok(Received::Message(bytes)) => Message::decode(&bytes),
                // The starter sees it as well, and starts another.
                Ok(Received::Closed) => return None,
                Err(_) => Err(ask::NotAMessage),
            };
            match message {
                Ok(Message::Ask(ask)) => self.carry_out(&ask, work),
                Ok(Message::Renew) => self.notify(Notice::Renew),
                Ok(Message::Ready { .. }) | Err(ask::NotAMessage) => {
                    error!("the worker sent what no worker sends; it is ended");
                    return None;
                }
            }
        }
    }

    fn carry_out(&mut self, ask: &Ask, work: &mut Work) {
        let Some(serving) = &self.serving else { return };
        let now = BootTime::new(clock::boottime());
        let profile = &ask.profile;
        let Some(window) = ask.window else {
            let closed = self.leases.close(ask.key_id, &ask.services, ask.time, now);
            work.lines.extend(lines_of_closed(&closed, &format!("profile={profile} asked for it")));
            work.changes.extend(closed);
            return;
        };
        for &address in &ask.addresses {
            for &service in &ask.services {
                let door = Door { address, service };
                let ceiling = &serving.config.ceiling;
                match self.leases.open(door, ask.key_id, ask.time, window, now, ceiling) {
                    Ok(change) => {
                        let window = humantime::format_duration(window.min(ceiling.max_window));
                        work.lines.push(format!(
                            "opened {service} for {address} profile={profile} window={window}"
                        ));
                        work.changes.push(change);
                    }
                    Err(above) => {
                        let why = format!("not opened: {service} for {address}: {above}");
                        self.reporter.refused(profile, "ceiling", why, now);
                    }
                }
            }
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        if let Err(error) = self.firewall().and_then(|firewall| firewall.apply(changes)) {
            error!("the firewall could not be changed, trying again: {error}");
            self.repair = Some(BootTime::new(clock::boottime()));
        }
    }

    /// What time brings: ended leases, a changed host, a flushed table.
    fn keep_up(&mut self, now: BootTime) {
        // The kernel has closed these by itself, unless the host slept: its timeouts stand still meanwhile.
        let ended = self.leases.expire(now).into_iter().filter(|ended| !ended.still_open);
        let shut: Vec<Change> = ended.map(|ended| Change::Remove { door: ended.door }).collect();
        if !shut.is_empty() {
            self.apply(&shut);
            log_closed(&shut, "its window ended");
        }
        self.reporter.catch_up(now);
        self.watch_over(now);
        if due(self.repair, now) {
            self.repair = self.bring_back(now).err().map(|error| {
                error!("the firewall cannot be repaired yet: {error}");
                self.helpless |= matches!(error, FirewallError::LoaderGone(_));
                now.plus(REPAIR)
            });
        }
        // A watcher that fails may have missed anything.
        if self.watcher.drain().unwrap_or(true) {
            self.look = Some(now.plus(COMES_TO_REST));
        }
        if due(self.look, now) {
            self.look = None;
            self.look_around();
        }
        if due(self.kept, now) {
            self.kept = self.forget_ended().unwrap_or(Some(())).map(|()| now.plus(KEPT));
        }
    }

    /// The firewall, once there was a configuration.
    fn firewall(&mut self) -> Result<&mut dyn Firewall, FirewallError> {
        match &mut self.firewall {
            Some(firewall) => Ok(firewall.as_mut()),
            None => Err(FirewallError::Absent),
        }
    }

    /// Asks whether somebody else took something of ours away.
    fn watch_over(&mut self, now: BootTime) {
        let Some(firewall) = &mut self.firewall else { return };
        if let Some(interval) = firewall.interval() {
            if !due(self.watch, now) {
                return;
            }
            self.watch = Some(now.plus(interval));
        } else {
            self.watch = None;
        }
        // While a repair is due, it is known.
        if firewall.lost() && self.serving.is_some() && self.repair.is_none() {
            warn!("somebody else took away from {firewall}; putting it back");
            self.repair = Some(now);
        }
    }

    /// Makes the kernel hold what the leases say.
    fn bring_back(&mut self, now: BootTime) -> Result<(), FirewallError> {
        let (Some(serving), Some(firewall)) = (&self.serving, &mut self.firewall) else { return Ok(()) };
        firewall.prepare(&serving.plan)?;
        firewall.apply(&self.leases.elements(now))
    }

    /// Asks for a new worker if the host is no longer what the present one was made for.
    fn look_around(&mut self) {
        let Some(serving) = &self.serving else { return };
        match Surroundings::read(&serving.config.interfaces, &self.routes) {
            Ok(surroundings) if surroundings.fingerprint() != serving.surroundings => {
                info!("interfaces or addresses changed; a new worker takes over");
                self.notify(Notice::Renew);
            }
            Ok(_) => {}
            Err(error) => warn!("cannot look at the interfaces: {error}"),
        }
    }

    /// Forgets sessions older than the guard that have ended; `None` when no more are left.
    fn forget_ended(&mut self) -> Result<Option<()>, FirewallError> {
        let Some(serving) = &self.serving else { return Ok(None) };
        let Some(firewall) = &mut self.firewall else { return Ok(None) };
        let mut kept = firewall.kept()?;
        let alive = firewall::sessions(&serving.config.protect)?;
        let before = kept.len();
        kept.retain(|session| !alive.contains(session));
        firewall.drop_kept(&kept)?;
        Ok((kept.len() < before).then_some(()))
    }

    fn notify(&self, notice: Notice) {
        if let Err(error) = self.control.notify(notice) {
            warn!("the starter: {error}");
        }
    }
}

fn due(at: Option<BootTime>, now: BootTime) -> bool {
    at.is_some_and(|at| at <= now)
}

/// What the workers asked for, to be done at once and told afterwards.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    lines: Vec<String>,
}

fn lines_of_closed(changes: &[Change], why: &str) -> impl Iterator<Item = String> {
    changes.iter().filter_map(move |change| match change {
        Change::Remove { door } => Some(format!("closed {} for {}: {why}", door.service, door.address)),
        Change::Set { .. } => None,
    })
}

fn log_closed(changes: &[Change], why: &str) {
    for line in lines_of_closed(changes, why) {
        info!("{line}");
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
