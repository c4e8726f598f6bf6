//! The backend nftables.
//!
//! In guard mode we own one table, `inet spad`, and touch no other. In attach mode our sets and chains stand in
//! the operator's table, and one rule at the head of the operator's chain jumps to them. `model.rs` says what
//! is in it; `text.rs` and `encode.rs` write that description as nft's text and as netlink messages. Open
//! doors are elements of the grant sets, each with a timeout that the kernel keeps: a door closes even if
//! nobody is left to close it.

mod elements;
mod encode;
mod expression;
mod forward;
mod grants;
mod key;
mod listed;
mod model;
mod order;
mod others;
mod place;
mod text;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use spa_core::lease::{Change, Door};
use spa_core::prefix::PrefixLength;

pub(super) use self::order::Order;
pub(super) use self::place::Place;

use self::grants::Grants;
use self::listed::Listed;
use self::model::Table;
use self::others::{Chain, Does};
use self::place::protocol_family;
use self::watch::{Loss, Watch};
use super::element::Element;
use super::error::{Aim, FirewallError};
use super::netlink::{Channel, INTERRUPTED, PATIENCE, Step};
use super::plan::{Plan, Session};
use super::standing::Family;
use super::{Firewall, Progress};

/// How often a set is read at most until two readings agree.
const READINGS: usize = 20;

/// The kernel's nftables, reached by one socket that stays open. Works from Linux 5.10 on; starts no program.
pub struct Nftables {
    channel: Channel,
    place: Place,
    watch: Option<Watch>,
    /// Doors that lead to inner hosts, as the kernel had them last.
    held: forward::Held,
}

impl Nftables {
    /// Guard mode.
    ///
    /// # Errors
    /// Where the kernel has no nfnetlink. A missing privilege shows only when something is asked.
    pub fn guard() -> Result<Self, FirewallError> {
        Self::at(Place::Own)
    }

    /// Opens the socket.
    pub(super) fn at(place: Place) -> Result<Self, FirewallError> {
        let channel = Channel::open(NETLINK_NETFILTER)?.of_family(protocol_family(place.family()));
        Ok(Self { channel, place, watch: None, held: forward::Held::new() })
    }

    /// Where something of ours stands now: our own table, or chains of ours beside the operator's.
    pub(super) fn standing() -> Result<Vec<Self>, FirewallError> {
        let mut guard = Self::guard()?;
        let mut places = others::attached(&others::chains(&mut guard.channel)?);
        if guard.exists()? {
            places.push(Place::Own);
        }
        places.into_iter().map(Self::at).collect()
    }

    /// Whether it is the same place, whichever chain leads there.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.place.family() == place.family()
            && self.place.table() == place.table()
            && (self.place == Place::Own) == (*place == Place::Own)
    }

    /// The rules of the operator's table that do nothing but jump to our chain: their chain and handle.
    fn jumps(&mut self) -> Result<Vec<(String, u64)>, FirewallError> {
        let rules = others::rules(&mut self.channel, self.place.family(), self.place.table())?;
        let entrance = Does::Jump(self.place.names().entrance.to_owned());
        let jumps = rules.into_iter().filter(|rule| rule.does == entrance);
        Ok(jumps.map(|rule| (rule.chain, rule.handle)).collect())
    }

    /// The sets of prefixes that are there, of this plan or of an earlier one.
    fn prefixes(&mut self) -> Result<Vec<PrefixLength>, FirewallError> {
        let names = others::sets(&mut self.channel, self.place.family(), self.place.table())?;
        let lengths = names.iter().filter_map(|name| match Grants::named(&self.place, name)? {
            Grants::Prefix(length) => Some(length),
            _ => None,
        });
        Ok(lengths.collect())
    }

    /// What it takes to have exactly one jump, at the head of the operator's chain. Nothing is done where that
    /// is so: the operator's rules keep their handles and their order.
    fn jump(&mut self) -> Result<Vec<Step>, FirewallError> {
        let Place::Beside { family, table, chain } = self.place.clone() else { return Ok(Vec::new()) };
        let what = self.to_string();
        self.channel.get(encode::get_chain(&self.place, &chain), &Aim::Chain { what })?;
        let jumps = self.jumps()?;
        let rules = others::rules(&mut self.channel, family, &table)?;
        let head = rules.into_iter().find(|rule| rule.chain == chain).map(|rule| (rule.chain, rule.handle));
        if jumps.len() == 1 && head.as_ref() == jumps.first() {
            return Ok(Vec::new());
        }
        let remove = jumps.iter().map(|(chain, handle)| encode::remove_rule(&self.place, chain, *handle));
        Ok(remove.chain([encode::new_jump(&self.place, &chain)]).collect())
    }

    /// Whether that chain of ours is there.
    fn has_chain(&mut self, chain: &str) -> Result<bool, FirewallError> {
        match self.channel.get(encode::get_chain(&self.place, chain), &Aim::Elements { set: "none" }) {
            Ok(()) => Ok(true),
            Err(FirewallError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What it takes to remove the chains that lead on. Each would cost every new connection of the host a look.
    fn no_forwarding(&mut self) -> Result<Vec<Step>, FirewallError> {
        let names = self.place.names();
        let mut steps = Vec::new();
        for chain in [names.forward, names.forward_source] {
            if self.has_chain(chain)? {
                steps.extend(encode::remove_chain(&self.place, chain));
            }
        }
        Ok(steps)
    }

    /// Asks the kernel which doors lead where.
    fn read_held(&mut self) -> Result<forward::Held, FirewallError> {
        let place = self.place.clone();
        let pairs = |listed: Vec<Listed>| listed.into_iter().map(|one| (one.key, one.data)).collect();
        forward::held(place.names(), |set| Ok(pairs(self.elements(set)?)))
    }

    /// Shuts the doors that lead where the plan leads no more: nobody else may find them open meanwhile.
    fn shut_without_target(&mut self, plan: &Plan) -> Result<Vec<Step>, FirewallError> {
        let held = match self.read_held() {
            // No table yet, or that of a version without targets.
            Err(FirewallError::Absent) => return Ok(Vec::new()),
            held => held?,
        };
        let gone = held.iter().filter(|(_, forward)| !plan.forward.contains(&forward.to));
        let changes: Vec<_> = gone.map(|(door, _)| Change::Remove { door: *door }).collect();
        Ok(forward::apply(&self.place, &changes, &held))
    }

    /// All elements of a set. The kernel moves a set that has grown to a larger table a moment later, and whoever reads
    /// it meanwhile may miss some: so it is read until two readings have the same keys.
    fn elements(&mut self, set: &'static str) -> Result<Vec<Listed>, FirewallError> {
        let mut before: Vec<Listed> = Vec::new();
        for reading in 0..READINGS {
            let answers = self.channel.dump(listed::question(&self.place, set), &Aim::Elements { set })?;
            let now = listed::read(&answers);
            if reading > 0 && listed::keys(&before) == listed::keys(&now) {
                return Ok(now);
            }
            before = now;
        }
        Err(FirewallError::from_code(INTERRUPTED, &Aim::Elements { set }))
    }

    /// Tries a transaction that removes elements a second time: one that was there when it began may have
    /// reached its end before it was removed, which older kernels call an error.
    fn insist(&mut self, steps: impl Fn(&Place) -> Vec<Step>) -> Result<(), FirewallError> {
        match self.channel.transaction(steps(&self.place)) {
            Err(FirewallError::Absent) => self.channel.transaction(steps(&self.place)),
            outcome => outcome,
        }
    }
}

impl fmt::Display for Nftables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Own => f.write_str("table inet spad"),
            Place::Beside { family, table, chain } if chain.is_empty() => {
                write!(f, "chain spad of table {} {table}", family.name())
            }
            Place::Beside { family, table, chain } => write!(f, "{} {table} {chain}", family.name()),
        }
    }
}

impl Firewall for Nftables {
    fn exists(&mut self) -> Result<bool, FirewallError> {
        if self.place != Place::Own {
            return self.has_chain(self.place.names().entrance);
        }
        match self.channel.get(encode::get_table(), &Aim::Elements { set: "none" }) {
            Ok(()) => Ok(true),
            Err(FirewallError::Absent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// In one transaction.
    fn prepare(&mut self, plan: &Plan) -> Result<Progress, FirewallError> {
        let mut steps = if plan.forward.is_empty() { self.no_forwarding()? } else { Vec::new() };
        let jump = self.jump()?;
        let there = self.prefixes()?.into_iter().filter(|length| !plan.prefixes.contains(length));
        let unused: Vec<_> = there.map(|length| Grants::Prefix(length).name(&self.place)).collect();
        steps.extend(encode::prepare(&Table::new(&self.place, plan), &unused));
        steps.extend(self.shut_without_target(plan)?);
        steps.extend(jump);
        self.channel.transaction(steps)?;
        self.held = self.read_held()?;
        Ok(Progress::Done)
    }

    fn defeated(&mut self) -> Result<Vec<String>, FirewallError> {
        let Place::Beside { family, table, chain } = self.place.clone() else { return Ok(Vec::new()) };
        let chains = others::chains(&mut self.channel)?;
        let is_own = |one: &Chain| one.family == family && one.table == table && one.name == chain;
        let mut found = Vec::new();
        let own = chains.iter().find(|one| is_own(one)).and_then(|own| own.hook);
        if own.is_none() {
            found.push(format!(
                "chain {self} hangs at no hook itself: who jumps to it decides what gets there"
            ));
        }
        let hook = own.map_or(others::INPUT, |(hook, _)| hook);
        let rivals: Vec<_> = chains.into_iter().filter(|one| !is_own(one)).collect();
        let what = self.to_string();
        found.extend(others::defeats(&mut self.channel, &rivals, family, hook, &what)?);
        if family != Family::Inet {
            let other = if family == Family::Ip { "IPv6" } else { "IPv4" };
            found.push(format!("{self} sees no {other}: a knock that comes by it opens nothing"));
        }
        Ok(found)
    }

    fn holds(&mut self, door: &Door) -> Result<bool, FirewallError> {
        let Some(grants) = Grants::of(door) else { return Ok(false) };
        let listed = self.elements(grants.name(&self.place))?;
        Ok(listed.iter().any(|one| grants.door(&one.key) == Some(*door)))
    }

    fn grants(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut grants = Vec::new();
        let prefixes = self.prefixes()?.into_iter().map(Grants::Prefix);
        for one in Grants::FIXED.into_iter().chain(prefixes) {
            let set = one.name(&self.place);
            grants.extend(elements::to_elements(one, self.elements(set)?));
        }
        self.held = self.read_held()?;
        let forwarded = self.place.names().forwarded;
        for (keys, set) in [(Grants::V4, forwarded.v4), (Grants::V6, forwarded.v6)] {
            let found = elements::to_elements(keys, self.elements(set)?);
            grants.extend(forward::led(found, &self.held));
        }
        Ok(grants)
    }

    fn cuts(&mut self) -> Result<Vec<Door>, FirewallError> {
        let mut cuts = Vec::new();
        let cut = self.place.names().cut;
        for (keys, set) in [(Grants::V4, cut.v4), (Grants::V6, cut.v6)] {
            let found = elements::to_elements(keys, self.elements(set)?);
            cuts.extend(found.into_iter().map(|element| element.door));
        }
        Ok(cuts)
    }

    fn uncut(&mut self, doors: &[Door]) -> Result<(), FirewallError> {
        self.insist(|place| elements::uncut(place, doors))
    }

    /// In one transaction. A timeout counts in whole milliseconds, and is 10 ms at least.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let steps = |here: &Self| {
            let mut steps = elements::apply(&here.place, changes);
            steps.extend(forward::apply(&here.place, changes, &here.held));
            steps
        };
        let outcome = match self.channel.transaction(steps(self)) {
            // What was held may have ended meanwhile, or somebody else changed it.
            Err(FirewallError::Absent | FirewallError::Refused { .. }) => {
                self.held = self.read_held()?;
                self.channel.transaction(steps(self))
            }
            outcome => outcome,
        };
        if outcome.is_ok() {
            forward::update(&mut self.held, changes);
        }
        outcome
    }

    fn keep(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        if !self.place.keeps_sessions() {
            return Ok(());
        }
        self.channel.transaction(elements::keep(&self.place, sessions))
    }

    fn drop_kept(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        if !self.place.keeps_sessions() {
            return Ok(());
        }
        self.insist(|place| elements::drop_kept(place, sessions))
    }

    fn kept(&mut self) -> Result<Vec<Session>, FirewallError> {
        let mut kept = Vec::new();
        let keep = self.place.names().keep;
        let keeps = self.place.keeps_sessions();
        for set in keep.both().into_iter().filter(|_| keeps) {
            kept.extend(elements::to_sessions(&self.elements(set)?));
        }
        Ok(kept)
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        if self.place == Place::Own {
            return self.channel.transaction(encode::remove_table());
        }
        let plan = Plan { prefixes: self.prefixes()?.into_iter().collect(), ..Plan::empty() };
        let jumps = self.jumps()?;
        if jumps.is_empty() && !self.exists()? {
            return Ok(());
        }
        let mut steps = self.no_forwarding()?;
        let jump = |(chain, handle): &(String, u64)| encode::remove_rule(&self.place, chain, *handle);
        steps.extend(jumps.iter().map(jump));
        steps.extend(encode::remove_parts(&Table::new(&self.place, &plan)));
        self.channel.transaction(steps)
    }

    fn listen(&mut self) -> Result<(), FirewallError> {
        let failed = |error| FirewallError::from_socket(error, PATIENCE);
        self.watch = Some(Watch::open(self.place.clone(), self.channel.port()).map_err(failed)?);
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    fn lost(&mut self) -> bool {
        match self.watch.as_mut().map_or(Loss::None, Watch::loss) {
            Loss::None => false,
            Loss::Perhaps => self.jump().map_or(true, |steps| !steps.is_empty()),
            Loss::Sure => true,
        }
    }

    fn others_changed(&mut self) -> bool {
        // A guard comes before all others, and is asked by nobody.
        let beside = self.place != Place::Own;
        self.watch.as_mut().is_some_and(Watch::take_rivals) && beside
    }
}

/// What [`Firewall::prepare`] loads into a ruleset that holds nothing of ours, as nft's text.
pub(super) fn text(place: &Place, plan: &Plan) -> String {
    Table::new(place, plan).to_string()
}

/// Names of the sets whose elements the plan alone says.
pub(super) fn planned(place: &Place, plan: &Plan) -> BTreeSet<&'static str> {
    let table = Table::new(place, plan);
    table.sets.iter().filter(|set| set.planned).map(|set| set.name).collect()
}

/// What in nf_tables drops what is accepted in a chain of iptables' table `filter`.
///
/// - `legacy`: whether that table is none of nf_tables.
pub(super) fn defeats_in_iptables(chain: &str, legacy: bool) -> Result<Vec<String>, FirewallError> {
    let mut channel = Channel::open(NETLINK_NETFILTER)?;
    let chains = match others::chains(&mut channel) {
        // A kernel without nf_tables.
        Err(FirewallError::Unsupported { .. } | FirewallError::Refused { .. }) => return Ok(Vec::new()),
        chains => chains?,
    };
    let hook = if chain == "FORWARD" { others::FORWARD } else { others::INPUT };
    let of_iptables = |one: &Chain| {
        one.family != Family::Inet && one.table == "filter" && ["INPUT", "FORWARD"].contains(&&*one.name)
    };
    let rivals: Vec<_> = chains.into_iter().filter(|one| legacy || !of_iptables(one)).collect();
    others::defeats(&mut channel, &rivals, Family::Inet, hook, &format!("filter {chain}"))
}
