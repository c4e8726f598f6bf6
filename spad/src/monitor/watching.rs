//! What time brings, and what others do to the firewall and to the host.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use spa_core::crypto::key::KeyId;
use spa_core::lease::{Change, Door};
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::{COMES_TO_REST, Monitor, due};
use crate::control::Notice;
use crate::firewall::{self, FirewallError};
use crate::operator::event::{Cause, Facts, Kind};
use crate::surroundings::Surroundings;
use crate::sys::clock;

/// How soon a firewall call that failed is tried again.
pub(super) const REPAIR: Duration = Duration::from_secs(1);
/// Two who both want to be first would else never rest.
const BETWEEN_REPAIRS: Duration = Duration::from_millis(500);
/// To read the rules of others takes long where they have many, and some change them all the time: one part in so
/// many of the time is spent on it at most.
const CHECKS: u32 = 20;
/// How often it is looked whether a kept session has ended.
pub(super) const KEPT: Duration = Duration::from_secs(30);

impl Monitor<'_> {
    /// Makes these changes, or sees to it that they are made with a repair. Returns whether they are made.
    pub(super) fn apply(&mut self, changes: &[Change]) -> bool {
        let outcome = self.firewall().and_then(|firewall| firewall.apply(changes));
        if let Err(error) = &outcome {
            error!("the firewall could not be changed, trying again: {error}");
            self.desk.tell(
                Kind::Trouble,
                &format!("the firewall could not be changed, trying again: {error}"),
                Facts::default(),
            );
            self.repair.get_or_insert(BootTime::new(clock::boottime()));
        }
        outcome.is_ok()
    }

    /// What time brings: ended leases, a changed host, a flushed table.
    pub(super) fn keep_up(&mut self, now: BootTime) {
        self.extend_used(now);
        // The kernel has closed these by itself, unless the host slept: its timeouts stand still meanwhile.
        let mut shut: BTreeMap<KeyId, Vec<Change>> = BTreeMap::new();
        for ended in self.leases.expire(now).into_iter().filter(|ended| !ended.still_open) {
            shut.entry(ended.holder).or_default().push(Change::Remove { door: ended.door });
        }
        if !shut.is_empty() {
            self.apply(&shut.values().flatten().cloned().collect::<Vec<_>>());
        }
        for (holder, shut) in shut {
            self.say_closed_of(&shut, Cause::Window, Some(holder));
        }
        self.cut_ended(now);
        self.reporter.catch_up(now);
        self.watch_over(now);
        if due(self.repair, now) && self.preparing.is_none() {
            self.repair(now);
        }
        // A watcher that fails may have missed anything.
        if self.watcher.drain().unwrap_or(true) {
            self.look = Some(now.plus(COMES_TO_REST));
        }
        if due(self.look, now) {
            self.look = None;
            self.forget_links();
            self.look_around();
        }
        if due(self.check, now) {
            self.check_others();
        }
        if due(self.kept, now) {
            self.kept = self.forget_ended().unwrap_or(Some(())).map(|()| now.plus(KEPT));
        }
    }

    /// From now on it is asked whether somebody else took something of ours away.
    pub(super) fn watch_from(&mut self, now: BootTime) {
        let interval = self.firewall.as_ref().and_then(|firewall| firewall.interval());
        self.watch = interval.map(|interval| now.plus(interval));
    }

    fn watch_over(&mut self, now: BootTime) {
        let Some(firewall) = &mut self.firewall else { return };
        if firewall.interval().is_some() {
            if !due(self.watch, now) {
                return;
            }
            self.watch_from(now);
        }
        let Some(firewall) = &mut self.firewall else { return };
        // While a repair is due or goes on, it is known. What was heard is taken out of the queue even so.
        let known = self.serving.is_none() || self.repair.is_some() || self.preparing.is_some();
        let lost = firewall.lost();
        if firewall.others_changed() && self.serving.is_some() {
            let settled = now.plus(COMES_TO_REST);
            self.check.get_or_insert(self.check_after.map_or(settled, |after| after.max(settled)));
        }
        if lost && !known {
            let line = format!(
                "somebody else changed what is spad's of {firewall}, or got before it; putting it back"
            );
            warn!("{line}");
            self.desk.tell(Kind::Trouble, &line, Facts::default());
            let earliest = self.repaired.map(|before| before.plus(BETWEEN_REPAIRS));
            self.repair = Some(earliest.map_or(now, |earliest| earliest.max(now)));
        }
    }

    /// Says what of others drops what is accepted here, each thing once, and when it no longer does.
    pub(super) fn check_others(&mut self) {
        let now = BootTime::new(clock::boottime());
        self.check = None;
        let answer = self.firewall().and_then(|firewall| firewall.defeated());
        let done = BootTime::new(clock::boottime());
        self.check_after = Some(done.plus(done.since(now) * CHECKS));
        let found = match answer {
            Ok(found) => BTreeSet::from_iter(found),
            // Worth a warning, but no reason not to serve.
            Err(error) => return warn!("whether others drop what spad accepts is not known: {error}"),
        };
        for defeat in found.difference(&self.defeats) {
            warn!("{defeat}");
            self.desk.tell(Kind::Trouble, defeat, Facts::default());
        }
        self.defeats.difference(&found).for_each(|defeat| info!("no longer so: {defeat}"));
        self.defeats = found;
    }

    /// Closes the doors for hosts of a link whose interface is gone: one that is made anew has another index.
    fn forget_links(&mut self) {
        let index = |door: &Door| door.grantee.interface();
        if !self.leases.doors().any(|door| index(door).is_some()) {
            return;
        }
        match Surroundings::indices() {
            Ok(there) => {
                let is_there = |index| {
                    NonZeroU32::new(index).is_some_and(|index| there.values().any(|one| *one == index))
                };
                let gone = self.leases.end_where(|door| index(door).is_some_and(|index| !is_there(index)));
                if !gone.is_empty() {
                    self.apply(&gone);
                    self.say_closed(&gone, Cause::Interface);
                }
            }
            Err(error) => warn!("cannot look at the interfaces: {error}"),
        }
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
}
