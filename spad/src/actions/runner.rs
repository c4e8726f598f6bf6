//! `spad runner`: hears what the daemon tells, and runs what spad.toml names for it. It waits for nothing but for the next word:
//! a command that hangs delays neither the daemon nor another command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use rustix::thread::CapabilitySet;
use spa_core::action::ActionName;
use tracing::{error, info, warn};

use super::host::{Fit, Host};
use super::occasion::{Wanted, wanted};
use super::orphans;
use super::queue::{Queue, RUNNING, WAITING};
use super::run::{Going, Run};
use super::table::Table;
use crate::config::Config;
use crate::exit::ExitStatus;
use crate::operator::answer::{Answer, Watching};
use crate::operator::call::{Call, CallError};
use crate::operator::event::Event;
use crate::operator::question::Question;
use crate::starter::{Options, trial_path};

/// Between two calls to a daemon that is not there.
const PAUSE: Duration = Duration::from_secs(1);
/// Before the next call after one that ended: another monitor has nothing to tell at first.
const BRIEFLY: Duration = Duration::from_millis(20);
/// A call ends with its monitor; until then it may be silent for as long as nobody knocks.
const SILENCE: Duration = Duration::from_secs(3600);

/// Runs what is named until it is interrupted.
pub fn runner(options: &Options) -> ExitStatus {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    if !rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        error!(
            "the runner may not become other users (hint: run it as root, or by its unit: systemctl start spad-runner)"
        );
        return ExitStatus::NotPermitted;
    }
    let prepared = orphans::adopt().and_then(|()| Ok(rustix::thread::set_name(c"spad-runner")?));
    if let Err(error) = prepared {
        error!("the runner cannot begin: {error}");
        return ExitStatus::Failure;
    }
    let mut runner = Runner {
        options,
        call: None,
        again: None,
        waits: false,
        row: None,
        held: None,
        queue: Queue::default(),
        running: Vec::new(),
    };
    loop {
        if let Err(status) = runner.turn() {
            return status;
        }
    }
}

/// What spad.toml says, as the daemon has it in force.
struct Held {
    fingerprint: u64,
    table: Table,
    /// Of the actions that can be run on this host.
    fit: BTreeMap<ActionName, Fit>,
}

struct Runner<'o> {
    options: &'o Options,
    call: Option<Call>,
    /// When to call next.
    again: Option<Instant>,
    /// That nobody is there was said.
    waits: bool,
    /// The next event to be heard, and of which monitor.
    row: Option<Watching>,
    /// `None` until the daemon has said which file is in force, and it was found.
    held: Option<Held>,
    queue: Queue<Wanted>,
    running: Vec<Run>,
}

impl Runner<'_> {
    fn turn(&mut self) -> Result<(), ExitStatus> {
        self.call()?;
        self.wait();
        self.hear()?;
        self.hear_commands();
        self.begin();
        Ok(())
    }

    /// Calls, unless there is a call.
    fn call(&mut self) -> Result<(), ExitStatus> {
        if self.call.is_some() || self.again.is_some_and(|again| Instant::now() < again) {
            return Ok(());
        }
        match Call::ask(&self.options.state_dir, &Question::Run) {
            Ok(call) => {
                self.call = Some(call);
                Ok(())
            }
            Err(error) => self.lost(&error),
        }
    }

    /// A call came to its end, or to nothing.
    fn lost(&mut self, error: &CallError) -> Result<(), ExitStatus> {
        self.call = None;
        self.again = Some(Instant::now() + PAUSE);
        match error {
            CallError::NotPermitted(_) | CallError::Refused(_) => {
                error!("{error}");
                return Err(error.into());
            }
            // The next call finds out how much was missed.
            CallError::Ended => self.again = Some(Instant::now() + BRIEFLY),
            error if !self.waits => {
                warn!("{error}; waiting until there is one to hear");
                self.waits = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn wait(&self) {
        let now = Instant::now();
        let again = self.again.filter(|_| self.call.is_none());
        let deadline = self.running.iter().map(|run| run.deadline()).chain(again).min();
        let left = deadline.map_or(SILENCE, |at| at.saturating_duration_since(now));
        let timeout = Timespec::try_from(left).ok();
        let mut descriptors: Vec<PollFd<'_>> =
            self.call.iter().map(|call| PollFd::new(call, PollFlags::IN)).collect();
        descriptors.extend(self.running.iter().flat_map(|run| run.descriptors()));
        // Interrupted or not, what there is to hear is looked for next.
        let _ = poll(&mut descriptors, timeout.as_ref());
    }

    /// Hears all that was told.
    fn hear(&mut self) -> Result<(), ExitStatus> {
        while let Some(call) = &mut self.call {
            match call.next_within(Duration::ZERO) {
                Ok(None) => return Ok(()),
                Ok(Some(Answer::Watching(watching))) => self.begins(watching),
                Ok(Some(Answer::Configuration(fingerprint))) => self.configure(fingerprint),
                Ok(Some(Answer::Event(event))) => self.happened(&event),
                Ok(Some(_)) => self.lost(&CallError::OtherVersion)?,
                Err(error) => self.lost(&error)?,
            }
        }
        Ok(())
    }

    fn begins(&mut self, watching: Watching) {
        info!("running the actions of spad from event {} on", watching.next);
        self.waits = false;
        self.missed(self.row.map_or(0, |before| before.missed_until(watching)));
        self.row = Some(watching);
    }

    fn missed(&self, events: u64) {
        if events > 0 {
            warn!("{events} events were missed: nothing was run for them");
        }
    }

    /// Finds the file that the daemon has in force. It was read already, or it is there as it was read; else nothing is run.
    fn configure(&mut self, fingerprint: u64) {
        if self.held.as_ref().is_some_and(|held| held.fingerprint == fingerprint) {
            return;
        }
        let (own, trial) = (self.options.config.clone(), trial_path(&self.options.config));
        let found = [own, trial]
            .iter()
            .find_map(|path| Config::open(path).ok().filter(|config| config.fingerprint == fingerprint));
        let Some(config) = found else {
            error!(
                "{} is not what spad has in force: nothing is run (hint: `spad reload`, or --config)",
                self.options.config.display()
            );
            self.held = None;
            return;
        };
        let host = Host::read();
        let mut fit = BTreeMap::new();
        for (name, action) in &config.table.actions {
            match host.fit(action) {
                Ok(ids) => drop(fit.insert(name.clone(), ids)),
                Err(why) => error!("action.{name} is not run: {why}"),
            }
        }
        info!("actions={} of them can be run={}", config.table.actions.len(), fit.len());
        self.held = Some(Held { fingerprint, table: config.table, fit });
    }

    fn happened(&mut self, event: &Event) {
        if let Some((row, number)) = self.row.as_mut().zip(event.number) {
            let missed = row.follow(number);
            self.missed(missed);
        }
        let Some(held) = &self.held else { return };
        for wanted in wanted(&held.table, event) {
            if self.queue.offer(wanted) {
                warn!("{RUNNING} commands run and {WAITING} wait: more are dropped");
            }
        }
    }

    /// Begins what waits, as far as there is room.
    fn begin(&mut self) {
        while let Some(wanted) = self.queue.next() {
            let (name, occasion) = (wanted.action.clone(), wanted.occasion.name());
            if let Err(why) = self.run(wanted) {
                error!("action={name} event={occasion}: not run: {why}");
                self.queue.ended();
            }
        }
        if let Some(dropped) = self.queue.settled() {
            warn!("{dropped} commands were dropped, as too many were to be run at once");
        }
    }

    fn run(&mut self, wanted: Wanted) -> Result<(), String> {
        // By what is in force now: the operator may have taken it away since.
        let known = self
            .held
            .as_ref()
            .and_then(|held| Some((held.table.actions.get(&wanted.action)?, held.fit.get(&wanted.action)?)));
        let Some((action, fit)) = known else { return Err("it is not to be had any more".to_owned()) };
        if wanted.argument.as_ref().is_some_and(|argument| !action.arguments.contains(argument)) {
            return Err("it does not take this argument any more".to_owned());
        }
        let run = Run::start(wanted, action, fit).map_err(|error| error.to_string())?;
        self.running.push(run);
        Ok(())
    }

    fn hear_commands(&mut self) {
        let (now, mut orphaned) = (Instant::now(), false);
        let queue = &mut self.queue;
        self.running.retain_mut(|run| {
            let going = run.hear(now);
            if !matches!(going, Going::On) {
                queue.ended();
            }
            orphaned |= matches!(going, Going::Orphaned);
            matches!(going, Going::On)
        });
        if orphaned {
            let known: Vec<Pid> = self.running.iter().filter_map(|run| run.pid()).collect();
            if !orphans::end_all_but(&known).unwrap_or(false) {
                error!("what a command left behind does not end");
            }
        }
    }
}
