//! The sets that are made for what a plan names: for targets and senders (`forward.rs`), and for services (`narrow.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netlink_packet_core::NLM_F_CREATE;
use spa_core::lease::Limit;

use super::forward::{self, Held, Leads};
use super::key::Key;
use super::rules::{self, Ruleset};
use super::set::{Family, Set};
use super::{ANY, Iptables, message, narrow};
use crate::firewall::element::Element;
use crate::firewall::error::{Aim, FirewallError, IP_SET};
use crate::firewall::plan::Plan;

/// How long the monitor waits until the kernel lets go of one that nothing needs any more. One that is left does no harm.
const SOON: Duration = Duration::from_millis(50);

impl Iptables {
    /// Names of the sets that were made for what some plan names.
    pub(super) fn made(&mut self) -> Result<Vec<String>, FirewallError> {
        let aim = Aim::Ipset { set: ANY, feature: IP_SET };
        let answers = self.channel.dump(message::names(), &aim)?;
        let is_made = |name: &&str| forward::is_made(name) || narrow::is_made(name);
        Ok(message::to_names(&answers).filter(is_made).map(str::to_owned).collect())
    }

    /// Makes the sets of what the plan names, and shuts the doors that lead where it leads no more.
    pub(super) fn make_sets_of(&mut self, plan: &Plan) -> Result<(), FirewallError> {
        let before = self.made()?;
        self.ruleset = Ruleset::of(self.ruleset.stand.clone(), plan);
        if self.ruleset.leads == Leads::Nowhere && before.iter().any(|name| forward::is_made(name)) {
            self.ruleset.leads = Leads::NoLonger;
        }
        self.references = rules::references(&self.ruleset);
        let made = self.ruleset.sets();
        let create = |(name, set): &(String, Set)| {
            let aim = Aim::Ipset { set: set.name, feature: set.kind.feature() };
            (message::create(set, name), NLM_F_CREATE, aim)
        };
        self.channel.series(made.iter().map(create).collect())?;
        self.gone = before.into_iter().filter(|old| !made.iter().any(|(name, _)| name == old)).collect();
        for old in self.gone.clone().iter().filter(|old| forward::is_of_target(old)) {
            self.shut_all_in(old)?;
        }
        Ok(())
    }

    /// Shuts the doors that lead to a target which the plan names no more: nobody else may find them open meanwhile.
    fn shut_all_in(&mut self, made: &str) -> Result<(), FirewallError> {
        let doors = message::to_elements(&self.list(made)?, Limit::None);
        let shut = doors.into_iter().map(|Element { door, .. }| {
            let set = Family::of(door.grantee.address()).names().forwarded;
            let message = message::delete(set, &Key::door(door.grantee.address(), door.service));
            (message, 0, Aim::Ipset { set, feature: IP_SET })
        });
        self.channel.series(shut.collect())
    }

    /// Asks the kernel which doors lead where.
    pub(super) fn read_held(&mut self) -> Result<Held, FirewallError> {
        let mut flows = BTreeSet::new();
        for family in Family::BOTH {
            flows.extend(message::to_flows(&self.list(family.names().flows)?));
        }
        let mut sources = BTreeMap::new();
        for source in self.ruleset.leads.sources().to_vec() {
            let of_source = message::to_flows(&self.list(&forward::of_source(source))?);
            sources.extend(of_source.into_iter().map(|flow| (flow, source)));
        }
        let mut held = Held::new();
        for target in self.ruleset.leads.targets().to_vec() {
            for Element { door, .. } in
                message::to_elements(&self.list(&forward::of_target(target))?, Limit::None)
            {
                held.insert(door, forward::source_of(&door, target, &flows, &sources));
            }
        }
        Ok(held)
    }

    /// Whether there is a set of that name, as far as this process knows: rules that look into those of an earlier plan stand
    /// until the new ones are loaded.
    pub(super) fn has(&self, set: &str) -> bool {
        !narrow::is_made(set) || self.references.contains_key(set) || self.gone.iter().any(|gone| gone == set)
    }

    /// Removes what was made for an earlier plan, once no rule looks into it.
    pub(super) fn destroy_gone(&mut self) -> Result<(), FirewallError> {
        for set in std::mem::take(&mut self.gone) {
            match self.destroy(&set, SOON) {
                // What is still held is found again by the next plan.
                Ok(()) | Err(FirewallError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
