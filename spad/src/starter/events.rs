//! What the starter hears, and what follows from it.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::pulse::{Hangs, SILENCE};
use super::workers::Stage;
use super::{GRACE, Monitor, Starter};
use crate::control::Notice;
use crate::exit::ExitStatus;
use crate::socketpair::Received;

impl Starter {
    /// Takes in everything that happened. `Err` is the status with which the daemon is to end.
    pub(super) fn hear(&mut self) -> Result<(), ExitStatus> {
        let signals = self.signals.take();
        if signals.end {
            info!("asked to end");
            return Err(ExitStatus::Done);
        }
        let now = Instant::now();
        if signals.reload {
            self.trial.end();
            self.renew = true;
            self.manager.reloading();
        }
        self.renew |= signals.attempt && self.trial.begin(&self.options.config, now);
        // Messages before deaths: what a process said before it died still counts.
        self.hear_monitor(now);
        self.sender.bury(now);
        self.bury_workers(now)?;
        self.bury_monitors(now)
    }

    fn hear_monitor(&mut self, now: Instant) {
        // Not without end: signals are to be heard even if the monitor never stops talking.
        for _ in 0..64 {
            let Some(monitor) = &self.monitor else { return };
            match monitor.control.receive() {
                Ok(Received::Message(notice)) => self.obey(notice, now),
                Ok(Received::Nothing) => return,
                // It is ending, and buried when it has.
                Ok(Received::Closed) => self.forsake_monitor(now),
                Err(error) => {
                    error!("the monitor said what it cannot say ({error}), so it is killed");
                    self.forsake_monitor(now);
                    self.kill_forsaken();
                }
            }
        }
    }

    fn obey(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::Serving(number) => {
                self.workers.took_over(number, now);
                self.pulse.took_over();
                self.trial.took_over();
                self.helpless = false;
                self.manager.serving(self.renew);
            }
            Notice::Retired(number) => self.workers.dismiss(number, now + GRACE),
            Notice::Refused(number) => {
                // Otherwise it died before, and its death was counted.
                if self.workers.dismiss_newcomer(number, now + GRACE) {
                    self.worker_backoff.ended(now, Duration::ZERO);
                    self.report_refusal("the monitor turned the new worker away");
                }
            }
            Notice::Renew => self.renew = true,
            Notice::Reload => {
                self.trial.end();
                self.renew = true;
                self.asked = true;
                self.manager.reloading();
            }
            Notice::Sender => self.sender.wanted(now + GRACE),
            Notice::Alive { worker } => {
                let answered = self.pulse.answered(worker);
                self.end_who_hangs(answered, now);
                if self.pulse.is_steady() {
                    self.manager.alive();
                }
            }
        }
    }

    /// Asks the monitor, if it is time, and it whether the worker lives.
    pub(super) fn ask_who_lives(&mut self, now: Instant) {
        match self.pulse.is_due(now) {
            Ok(false) => {}
            // A monitor whose channel is full owes an answer as well.
            Ok(true) => drop(self.monitor.as_ref().map(|monitor| monitor.control.ask_whether_alive())),
            Err(hangs) => self.end_who_hangs(Err(hangs), now),
        }
    }

    fn end_who_hangs(&mut self, answered: Result<(), Hangs>, now: Instant) {
        let (who, what) = match answered {
            Ok(()) => return,
            Err(Hangs::Monitor) => ("monitor", "it is killed"),
            Err(Hangs::Worker) => ("worker", "it is killed and another started"),
        };
        error!("the {who} has not answered for {} s, so {what}", SILENCE.as_secs());
        match answered {
            Err(Hangs::Monitor) => {
                self.forsake_monitor(now);
                self.kill_forsaken();
            }
            _ => {
                self.pulse.took_over();
                self.workers.kill_serving();
                self.manager.mending("the worker");
            }
        }
    }

    pub(super) fn report_refusal(&mut self, why: &str) {
        self.renew |= self.trial.was_refused();
        self.manager.refused(self.workers.serving(), self.renew);
        if self.workers.serving() {
            warn!("reload refused: {why}; the old worker goes on");
        } else if !std::mem::replace(&mut self.helpless, true) {
            warn!("no worker serves: {why}; starting others until one does");
        }
    }

    /// Looks which workers ended.
    fn bury_workers(&mut self, now: Instant) -> Result<(), ExitStatus> {
        for death in self.workers.bury() {
            if let Some(status) = death.end.lasting().filter(|_| !self.workers.has_served()) {
                error!("the worker cannot start: {}", death.end);
                return Err(status);
            }
            match death.stage {
                Stage::Starting => {
                    self.worker_backoff.ended(now, Duration::ZERO);
                    self.report_refusal(&format!("the new worker ended ({})", death.end));
                }
                Stage::Serving { since } => {
                    self.worker_backoff.ended(now, now - since);
                    warn!("the worker ended ({}); starting another", death.end);
                    self.manager.mending("the worker");
                }
                Stage::Replaced => debug!("the old worker ended ({})", death.end),
            }
        }
        Ok(())
    }

    /// Looks whether the monitor ended. Its workers end with it, because it held their channels.
    fn bury_monitors(&mut self, now: Instant) -> Result<(), ExitStatus> {
        if self.monitor.as_mut().is_some_and(|monitor| monitor.child.ended().is_some()) {
            self.forsake_monitor(now);
        }
        let dead = self.leaving.extract_if(.., |child| child.ended().is_some());
        for end in dead.filter_map(|mut child| child.ended()) {
            if let Some(status) = end.lasting().filter(|_| !self.workers.has_served()) {
                error!("the monitor cannot start: {end}");
                return Err(status);
            }
            warn!("the monitor ended ({end}); starting another");
            self.manager.mending("the monitor");
        }
        Ok(())
    }

    fn forsake_monitor(&mut self, now: Instant) {
        if let Some(Monitor { mut child, control }) = self.monitor.take() {
            drop(control);
            self.pulse.end();
            self.monitor_backoff.ended(now, now - child.started());
            child.must_end_by(now + GRACE);
            self.leaving.push(child);
            self.workers.dismiss_all(now + GRACE);
            self.sender.dismiss(now + GRACE);
        }
    }

    fn kill_forsaken(&mut self) {
        for child in &mut self.leaving {
            child.kill();
        }
    }
}
