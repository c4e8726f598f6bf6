//! Preparing the firewall, which may take seconds: a program that loads rules waits for whoever holds its lock. Knocks do
//! not wait with it, as open doors are elements of sets and take no lock.

use std::time::Duration;

use spa_core::lease::Change;
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::Monitor;
use super::taking_over::Successor;
use super::watching::REPAIR;
use crate::exit::ExitStatus;
use crate::firewall::{FirewallError, Progress};
use crate::operator::event::{Facts, Kind};
use crate::sys::clock;

/// How soon a repair that failed is tried again for the first time.
const AT_FIRST: Duration = Duration::from_millis(100);

/// What the firewall is prepared for.
pub(super) enum Preparing {
    /// A new worker takes over when it is done.
    Successor(Box<Successor>),
    /// Somebody else took something away, or a change failed.
    Repair,
}

impl Monitor<'_> {
    /// Begins to prepare the firewall for a worker.
    pub(super) fn prepare_for(&mut self, successor: Successor) -> Result<(), ExitStatus> {
        let outcome = self.firewall().and_then(|firewall| firewall.prepare(successor.plan()));
        self.prepared_for(Box::new(successor), outcome)
    }

    fn prepared_for(
        &mut self,
        successor: Box<Successor>,
        outcome: Result<Progress, FirewallError>,
    ) -> Result<(), ExitStatus> {
        let number = successor.number();
        let taken_over = match outcome {
            Ok(Progress::Waits) => {
                self.wait_for(Preparing::Successor(successor));
                Ok(())
            }
            Ok(Progress::Done) => self.take_over(*successor),
            Err(error) => Err(error.into()),
        };
        taken_over.or_else(|refusal| self.refuse(number, &refusal))
    }

    /// Begins to make the kernel hold what the leases say.
    pub(super) fn repair(&mut self, now: BootTime) {
        self.repair = None;
        let (Some(serving), Some(firewall)) = (&self.serving, &mut self.firewall) else { return };
        self.repaired = Some(now);
        let outcome = firewall.prepare(&serving.plan);
        // The sets are there from now on, whether the rules are or not.
        if outcome.is_ok()
            && let Err(error) = self.bring_back(now)
        {
            self.cannot_repair(&error, now);
        }
        self.repair_went_on(outcome, now);
    }

    fn repair_went_on(&mut self, outcome: Result<Progress, FirewallError>, now: BootTime) {
        match outcome {
            Ok(Progress::Waits) => self.wait_for(Preparing::Repair),
            // A change that failed meanwhile has asked for another repair.
            Ok(Progress::Done) if self.repair.is_some() => {}
            Ok(Progress::Done) => {
                self.trouble = None;
                // What took something away may have brought something else.
                self.check.get_or_insert(now);
                let line = format!("repaired: the firewall is as it should be, open={}", self.leases.len());
                info!("{line}");
                self.desk.tell(Kind::Repair, &line, Facts::default());
            }
            Err(error) => {
                self.helpless |= matches!(error, FirewallError::LoaderGone(_));
                self.cannot_repair(&error, now);
            }
        }
    }

    /// Says so once for each reason, and tries again later.
    fn cannot_repair(&mut self, error: &FirewallError, now: BootTime) {
        let reason = error.to_string();
        let mut pause = REPAIR;
        // Another manager may just have flushed once more, as some do, and the services are open until the next try.
        if self.trouble.is_none() && matches!(error, FirewallError::Absent) {
            let line = "somebody else took away again what was being put back, trying again at once";
            warn!("{line}");
            self.desk.tell(Kind::Trouble, line, Facts::default());
            self.trouble = Some(line.to_owned());
            pause = AT_FIRST;
        } else if self.trouble.as_ref() != Some(&reason) {
            let line = format!("the firewall cannot be repaired yet, trying again every second: {reason}");
            error!("{line}");
            self.desk.tell(Kind::Trouble, &line, Facts::default());
            self.trouble = Some(reason);
            pause = AT_FIRST;
        }
        self.repair = Some(now.plus(pause));
    }

    /// Nothing else that takes a preparation begins before this one is done.
    fn wait_for(&mut self, preparing: Preparing) {
        self.preparing = Some(preparing);
        self.watch_from(BootTime::new(clock::boottime()));
    }

    /// Asks whether a preparation that took its time is done.
    pub(super) fn hear_firewall(&mut self) -> Result<(), ExitStatus> {
        let Some(preparing) = self.preparing.take() else { return Ok(()) };
        let outcome = self.firewall().and_then(|firewall| firewall.prepared());
        match preparing {
            Preparing::Successor(successor) => self.prepared_for(successor, outcome),
            Preparing::Repair => {
                self.repair_went_on(outcome, BootTime::new(clock::boottime()));
                Ok(())
            }
        }
    }

    /// Makes the sets hold the doors that the leases hold open, for the time that is left of them, and no other of ours: a
    /// removal may be what failed.
    fn bring_back(&mut self, now: BootTime) -> Result<(), FirewallError> {
        let Some(firewall) = &mut self.firewall else { return Ok(()) };
        let mut changes = self.leases.elements(now);
        let strays =
            firewall.grants()?.into_iter().filter(|one| self.leases.is_stray(one.door, &one.comment));
        changes.extend(strays.map(|one| Change::Remove { door: one.door }));
        firewall.apply(&changes)
    }
}
