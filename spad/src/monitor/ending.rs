//! How doors end, but for their window: those that are in use go on, those for one connection are spent by it, and those
//! whose sessions end with them leave sessions to be ended.

use spa_core::lease::Door;
use spa_core::time::BootTime;
use tracing::{debug, info, warn};

use super::watching::KEPT;
use super::{Monitor, due, words};
use crate::firewall::{self, Firewall, FirewallError};
use crate::operator::event::Kind;

/// Doors that are shut, and whose sessions are to be ended.
#[derive(Default)]
pub(super) struct Cutting {
    doors: Vec<Door>,
    /// When to try again; `None` if there is nothing to be tried.
    pub(super) at: Option<BootTime>,
    /// Whether it was said that this kernel cannot.
    pub(super) said: bool,
}

impl Monitor<'_> {
    /// Lets the doors go on that are about to end and are in use.
    pub(super) fn extend_used(&mut self, now: BootTime) {
        let ending = self.leases.to_look_at(now);
        if ending.is_empty() {
            return;
        }
        let doors: Vec<Door> = ending.iter().map(|(door, _)| *door).collect();
        let used = firewall::in_use(&doors).unwrap_or_else(|error| {
            warn!("whether doors are in use is not known, so they end with their window: {error}");
            Vec::new()
        });
        let going_on = ending.into_iter().filter(|(door, _)| used.contains(door));
        let changes: Vec<_> =
            going_on.filter_map(|(door, holder)| self.leases.extend(door, holder, now)).collect();
        if !changes.is_empty() {
            debug!("{} doors are in use and go on", changes.len());
            self.apply(&changes);
        }
    }

    /// The doors whose sessions the kernel drops, and which a monitor before this one left shut.
    pub(super) fn inherit_cuts(&mut self, now: BootTime) -> Result<(), FirewallError> {
        let cuts = self.firewall()?.cuts()?;
        self.cutting.doors.extend(cuts);
        self.cutting.at = Some(now);
        Ok(())
    }

    /// Ends the sessions of doors that shut: the kernel drops their packets already, whoever lives.
    pub(super) fn cut_ended(&mut self, now: BootTime) {
        let fresh = self.leases.to_cut();
        if self.options.observe {
            return;
        }
        if fresh.is_empty() && !due(self.cutting.at, now) {
            return;
        }
        self.cutting.doors.extend(fresh);
        self.cutting.at = None;
        let (leases, serving) = (&self.leases, &self.serving);
        // Who knocked again has what that lease says.
        self.cutting.doors.retain(|door| !leases.holds(*door));
        let always =
            serving.as_ref().map(|serving| serving.config.always_allow.as_slice()).unwrap_or_default();
        let stays = |door: &&Door| {
            let address = door.grantee.address();
            leases.lets_in(address, door.service) || always.contains(&address)
        };
        let ending: Vec<Door> = self.cutting.doors.iter().filter(|door| !stays(door)).copied().collect();
        let left = self.end_sessions(&ending);
        let gone: Vec<Door> =
            self.cutting.doors.iter().filter(|door| !left.contains(door)).copied().collect();
        if let Err(error) = self.firewall().and_then(|firewall| firewall.uncut(&gone)) {
            warn!("the firewall still drops sessions that have ended, trying again: {error}");
            self.cutting.at = Some(now.plus(KEPT));
            return;
        }
        for door in gone.iter().filter(|door| ending.contains(door)) {
            let line = format!("cut {door}: its sessions ended");
            info!("{line}");
            self.desk.tell(Kind::Cut, &line, words::facts(*door));
        }
        self.cutting.doors.retain(|door| left.contains(door));
        self.cutting.at = (!self.cutting.doors.is_empty()).then(|| now.plus(KEPT));
    }

    /// Returns the doors where something may go on.
    fn end_sessions(&mut self, doors: &[Door]) -> Vec<Door> {
        if doors.is_empty() {
            return Vec::new();
        }
        let spared = self.firewall().and_then(|firewall| firewall.kept());
        spared.and_then(|spared| firewall::end(doors, &spared)).unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.cutting.said, true) {
                warn!("sessions are cut off, but their ends are not told: {error}");
            }
            doors.to_vec()
        })
    }
}

/// Whether a door for one connection is no longer in the kernel: it had its connection. If the kernel does not tell, so be
/// it: nobody is shut out by that, since it is asked for when the door is opened anew.
pub(super) fn is_spent(firewall: Option<&mut Box<dyn Firewall>>, door: Door) -> bool {
    !firewall.is_some_and(|firewall| firewall.holds(&door).unwrap_or(false))
}
