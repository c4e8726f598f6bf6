//! What time brings, and what others do to the firewall and to the host.

use std::time::Duration;

use spa_core::lease::Change;
use spa_core::time::BootTime;
use tracing::{error, info, warn};

use super::asks::log_closed;
use super::{COMES_TO_REST, Monitor, due};
use crate::control::Notice;
use crate::firewall::{self, FirewallError};
use crate::surroundings::Surroundings;
use crate::sys::clock;

/// How soon a firewall call that failed is tried again.
const REPAIR: Duration = Duration::from_secs(1);
/// How often it is looked whether a kept session has ended.
pub(super) const KEPT: Duration = Duration::from_secs(30);

impl Monitor<'_> {
    pub(super) fn apply(&mut self, changes: &[Change]) {
        if let Err(error) = self.firewall().and_then(|firewall| firewall.apply(changes)) {
            error!("the firewall could not be changed, trying again: {error}");
            self.repair = Some(BootTime::new(clock::boottime()));
        }
    }

    /// What time brings: ended leases, a changed host, a flushed table.
    pub(super) fn keep_up(&mut self, now: BootTime) {
        self.extend_used(now);
        // The kernel has closed these by itself, unless the host slept: its timeouts stand still meanwhile.
        let ended = self.leases.expire(now).into_iter().filter(|ended| !ended.still_open);
        let shut: Vec<Change> = ended.map(|ended| Change::Remove { door: ended.door }).collect();
        if !shut.is_empty() {
            self.apply(&shut);
            log_closed(&shut, "its window ended");
        }
        self.cut_ended(now);
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
}
