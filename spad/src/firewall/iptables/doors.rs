//! Doors as the kernel has them, and the messages that open and shut them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use spa_core::lease::{Change, Door, Limit};
use spa_core::service::Service;

use super::key::Key;
use super::set::Family;
use super::{ANY, Iptables, forward, message, narrow};
use crate::firewall::element::{Element, cuts, printable};
use crate::firewall::error::{Aim, FirewallError, IP_SET};
use crate::firewall::raw::Raw;

impl Iptables {
    /// Whether the kernel holds this door.
    pub(super) fn has_door(&mut self, door: &Door) -> Result<bool, FirewallError> {
        let elements = match (Key::of(door), door.limit) {
            (None, _) => self.links(door.service)?,
            (Some(_), Limit::SourcePort(_)) => self.ports(door.service)?,
            (Some((set, _)), limit) => message::to_elements(&self.list(&set)?, limit),
        };
        Ok(elements.iter().any(|element| element.door == *door))
    }

    /// The doors that are open now.
    pub(super) fn open_doors(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut grants = Vec::new();
        for family in Family::BOTH {
            let names = family.names();
            for set in [names.grants, names.prefixes] {
                grants.extend(message::to_elements(&self.list(set)?, Limit::None));
            }
            grants.extend(message::to_elements(&self.list(names.once)?, Limit::Once));
        }
        for service in self.ruleset.services.clone() {
            grants.extend(self.ports(service)?);
            grants.extend(self.links(service)?);
        }
        self.held = self.read_held()?;
        for family in Family::BOTH {
            let forwarded = message::to_elements(&self.list(family.names().forwarded)?, Limit::None);
            // One that leads nowhere is left to its own timeout.
            grants.extend(forwarded.into_iter().filter_map(|element| {
                let forward = *self.held.get(&element.door)?;
                Some(Element { forward: Some(forward), ..element })
            }));
        }
        Ok(grants)
    }

    /// The doors of source ports to a service.
    pub(super) fn ports(&mut self, service: Service) -> Result<Vec<Element>, FirewallError> {
        let mut all = Vec::new();
        for family in Family::BOTH {
            all.extend(message::to_ports(&self.list(&narrow::of_ports(family, service))?, service));
        }
        Ok(all)
    }

    /// Makes these changes, one after the other: what was refused does not hold up the rest.
    pub(super) fn change_doors(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let last: BTreeMap<Door, &Change> = changes.iter().map(|change| (change.door(), change)).collect();
        let (mut messages, mut outcome) = (Vec::new(), Ok(()));
        // What leaves a set goes first: an interface made anew may have the name of one that is gone.
        let mut in_order: Vec<_> = last.iter().collect();
        in_order.sort_by_key(|(_, change)| matches!(change, Change::Set { .. }));
        for (door, change) in in_order {
            match self.steps(door, change) {
                Ok(steps) => messages.extend(steps),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        for (door, change) in &last {
            let steps = forward::steps(change, self.held.get(door)).into_iter();
            messages.extend(steps.map(|(set, raw)| (raw, 0, Aim::Ipset { set, feature: IP_SET })));
        }
        outcome.and(self.channel.series(messages))?;
        for (door, change) in last {
            match change {
                Change::Set { forward: Some(forward), .. } => drop(self.held.insert(door, *forward)),
                Change::Set { .. } | Change::Remove { .. } => drop(self.held.remove(&door)),
            }
        }
        Ok(())
    }

    /// The messages that make a change of this host's own doors.
    fn steps(&mut self, door: &Door, change: &Change) -> Result<Vec<(Raw, u16, Aim)>, FirewallError> {
        let aim = |set| Aim::Ipset { set, feature: IP_SET };
        let Some((set, key)) = Key::of(door) else { return self.steps_on_link(door, change) };
        if !self.has(&set) {
            return Ok(Vec::new());
        }
        let names = Family::of(door.grantee.address()).names();
        let cut = cuts(change).map(|cut| {
            let (add, delete) = (message::add, message::delete);
            let message = if cut { add(names.cut, &key, None, None) } else { delete(names.cut, &key) };
            (message, 0, aim(names.cut))
        });
        let message = match change {
            Change::Set { timeout, comment, forward: None, .. } => {
                message::add(&set, &key, Some(*timeout), Some(&printable(comment)))
            }
            // What leads on is let in by other sets (`forward.rs`).
            Change::Set { .. } | Change::Remove { .. } => message::delete(&set, &key),
        };
        let named = match set {
            Cow::Borrowed(name) => name,
            Cow::Owned(_) => ANY,
        };
        // What shall end with the door is told before the door opens.
        Ok(cut.into_iter().chain([(message, 0, aim(named))]).collect())
    }
}
