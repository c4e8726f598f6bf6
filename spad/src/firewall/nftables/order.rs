//! Whether a jump that iptables-nft made is still the first rule of its chain, of which nobody tells. iptables-legacy keeps
//! its rules elsewhere, where the loader looks.

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::others;
use crate::firewall::error::FirewallError;
use crate::firewall::netlink::Channel;
use crate::firewall::standing::Family;

/// The order of a chain of iptables' table `filter`, in both families.
pub(in crate::firewall) struct Order {
    channel: Channel,
    chain: String,
    /// Where the jump leads.
    target: &'static str,
    /// The kernel's number of the last change of nf_tables that was looked at.
    generation: Option<u32>,
    displaced: Option<bool>,
    changed: bool,
}

impl Order {
    pub(in crate::firewall) fn new(chain: &str, target: &'static str) -> Result<Self, FirewallError> {
        let channel = Channel::open(NETLINK_NETFILTER)?;
        let chain = chain.to_owned();
        Ok(Self { channel, chain, target, generation: None, displaced: None, changed: false })
    }

    /// Whether a rule stands before the jump now; `None` if the jump is not in nf_tables.
    pub(in crate::firewall) fn displaced(&mut self) -> Option<bool> {
        // An error: a kernel without nf_tables.
        let generation = others::generation(&mut self.channel).ok()?;
        if generation != self.generation {
            self.generation = generation;
            self.changed = true;
            let mut one = |family| self.displaced_in(family).unwrap_or_default();
            let (v4, v6) = (one(Family::Ip), one(Family::Ip6));
            self.displaced = v4.max(v6);
        }
        self.displaced
    }

    fn displaced_in(&mut self, family: Family) -> Result<Option<bool>, FirewallError> {
        let rules = others::rules(&mut self.channel, family, "filter")?;
        let mut of_chain = rules.iter().filter(|rule| rule.chain == self.chain);
        Ok(of_chain.position(|rule| rule.leads_to.as_deref() == Some(self.target)).map(|at| at > 0))
    }

    /// Whether anything in nf_tables changed since the last call, as far as [`Self::displaced`] has seen.
    pub(in crate::firewall) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
