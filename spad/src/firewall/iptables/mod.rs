//! The backend iptables: rules that never change, loaded by `iptables-restore` (`rules.rs`), and sets of ipset
//! with all that does (`set.rs`), over netlink (`message.rs`).
//!
//! It does what the nftables backend does, but for this: a set's timeouts are whole seconds, rounded up, so
//! that the monitor closes a door on time and the kernel within a second of it; several changes are made one
//! after the other, not as one; and nobody tells of changes by others, so that they are looked for.

mod doors;
mod forward;
mod keeping;
mod key;
mod links;
mod loader;
mod made;
mod message;
mod narrow;
mod programs;
mod request;
mod rules;
mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netlink_packet_core::NLM_F_CREATE;
use netlink_sys::protocols::NETLINK_NETFILTER;
use spa_core::lease::{Change, Door, Limit};

pub use self::loader::{Loader, run as run_loader};

use self::forward::Held;
use self::key::Key;
use self::rules::{Ruleset, Stand};
use self::set::{Family, NEW, Set};
use super::element::Element;
use super::error::{Aim, FirewallError};
use super::netlink::Channel;
use super::nftables::{self, Order};
use super::plan::{Plan, Session};
use super::raw::Raw;
use super::standing::{self, Variant};
use super::{Firewall, Progress};

/// How often it is looked whether somebody took away rules or elements of ours.
const LOOK: Duration = Duration::from_millis(400);

/// How often the loader looks at rules that only a program can read: it starts two for it.
const LOOK_BY_PROGRAM: Duration = Duration::from_secs(1);

/// A set whose name the question says.
const ANY: &str = "of ours";

/// iptables-nft lets go of a set a moment after its rules are gone.
const LETS_GO: Duration = Duration::from_secs(3);

/// The kernel's ipset, reached by one socket that stays open, and the programs that load the rules.
pub struct Iptables {
    channel: Channel,
    variant: Variant,
    /// `None`: this process runs the programs itself.
    loader: Option<Loader>,
    /// How many elements each planned set has, once there was a plan.
    planned: BTreeMap<&'static str, u32>,
    /// Of the operator's chain, once it is listened to.
    order: Option<Order>,
    /// When the loader was last asked to look at it.
    looked: Option<Instant>,
    /// The rules of the last plan.
    ruleset: Ruleset,
    /// How many of them look into each set.
    references: BTreeMap<String, u32>,
    /// Sets made for an earlier plan, which rules may still look into.
    gone: Vec<String>,
    /// Doors that lead to them, as the kernel had them last.
    held: Held,
}

impl Iptables {
    /// - `loader`: runs the programs, if this process can not.
    pub(super) fn new(
        stand: &standing::Stand,
        variant: Variant,
        loader: Option<Loader>,
    ) -> Result<Self, FirewallError> {
        let stand = match stand {
            standing::Stand::Guard => Stand::Guard,
            standing::Stand::Attach(point) => Stand::Attach(point.chain.clone()),
        };
        let channel = Channel::open(NETLINK_NETFILTER)?;
        let ruleset = Ruleset::bare(stand);
        let references = rules::references(&ruleset);
        let (planned, held) = (BTreeMap::new(), Held::new());
        let (order, looked, gone) = (None, None, Vec::new());
        Ok(Self { channel, variant, loader, planned, order, looked, ruleset, references, gone, held })
    }

    fn guards(&self) -> bool {
        self.ruleset.stand == Stand::Guard
    }

    fn sets(&self, plan: &Plan) -> Vec<Set> {
        set::sets(plan, self.guards())
    }

    /// Whether sets of a guard, or of a stand beside the operator's rules, are there: `Some(true)` for a guard.
    pub(super) fn stands() -> Result<Option<bool>, FirewallError> {
        let mut here = Self::new(&standing::Stand::Guard, Variant::Host, None)?;
        let aim = Aim::Ipset { set: ANY, feature: super::error::IP_SET };
        let mut has = |set| match here.channel.dump(message::header(set), &aim) {
            Ok(_) => Ok(true),
            Err(FirewallError::Absent | FirewallError::Unsupported { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        Ok(if has(Family::V4.names().grants)? { Some(has(set::KNOCK)?) } else { None })
    }

    fn list(&mut self, set: &str) -> Result<Vec<Raw>, FirewallError> {
        self.channel.dump(message::list(set), &Aim::Ipset { set: ANY, feature: super::error::IP_SET })
    }

    /// Whether every set is there, holds what the last plan put there, and every rule looks into them.
    fn whole(&mut self) -> Result<bool, FirewallError> {
        let aim = Aim::Ipset { set: ANY, feature: super::error::IP_SET };
        let answers = self.channel.dump(message::headers(), &aim)?;
        let headers = message::to_headers(&answers);
        let filled = self.sets(&Plan::empty()).iter().all(|set| {
            let least = self.planned.get(set.name).copied().unwrap_or(0);
            headers.get(set.name).is_some_and(|(elements, _)| *elements >= least)
        });
        // A set that is made for what the plan names has rules that look into it.
        let referred = self
            .references
            .iter()
            .all(|(set, least)| headers.get(set.as_str()).is_some_and(|(_, references)| references >= least));
        Ok(filled && referred)
    }

    /// Gives a planned set the plan's elements, all at once.
    fn replace(&mut self, set: &Set) -> Result<(), FirewallError> {
        let aim = || Aim::Ipset { set: set.name, feature: set.kind.feature() };
        // Left over by somebody who did not come to the end of this.
        match self.channel.series(vec![(message::destroy(NEW), 0, aim())]) {
            Ok(()) | Err(FirewallError::Absent) => {}
            Err(error) => return Err(error),
        }
        let mut fill = vec![(message::create(set, NEW), NLM_F_CREATE, aim())];
        fill.extend(set.elements.iter().map(|key| (message::add(NEW, key, None, None), 0, aim())));
        self.channel.series(fill)?;
        let change = vec![(message::swap(NEW, set.name), 0, aim()), (message::destroy(NEW), 0, aim())];
        self.channel.series(change)
    }

    fn load(&mut self) -> Result<Progress, FirewallError> {
        match &mut self.loader {
            Some(loader) => loader.load(self.variant, &self.ruleset).map(|()| Progress::Waits),
            None => programs::load(self.variant, &self.ruleset)
                .map(|()| Progress::Done)
                .map_err(FirewallError::Program),
        }
    }

    /// Whether the loader found a rule before the jump when it last looked. Lets it look again when it is time.
    fn displaced(&mut self) -> bool {
        let Some(loader) = &mut self.loader else { return false };
        let displaced = loader.displaced();
        if !displaced && self.looked.is_none_or(|at| at.elapsed() >= LOOK_BY_PROGRAM) {
            self.looked = Some(Instant::now());
            // A loader that is gone is missed when rules are to be loaded.
            let _ = loader.look(self.variant, &self.ruleset.stand);
        }
        displaced
    }

    /// Did the rules get where the packets go? The kernel counts those that look into a set.
    fn loaded(&mut self, progress: Progress) -> Result<Progress, FirewallError> {
        if progress == Progress::Waits {
            return Ok(progress);
        }
        self.destroy_gone()?;
        if self.whole()? { Ok(progress) } else { Err(FirewallError::Absent) }
    }

    /// Removes the rules, by this process: the loader only loads.
    pub(super) fn unload(&self) -> Result<(), FirewallError> {
        programs::unload(self.variant).map_err(FirewallError::Program)
    }

    fn destroy(&mut self, set: &str, patience: Duration) -> Result<(), FirewallError> {
        let deadline = Instant::now() + patience;
        loop {
            let aim = Aim::Ipset { set: ANY, feature: super::error::IP_SET };
            match self.channel.series(vec![(message::destroy(set), 0, aim)]) {
                Err(FirewallError::Refused { .. }) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(10));
                }
                Ok(()) | Err(FirewallError::Absent | FirewallError::Unsupported { .. }) => return Ok(()),
                outcome => return outcome,
            }
        }
    }
}

impl fmt::Display for Iptables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ruleset.stand {
            Stand::Guard => {
                write!(f, "chains SPAD-KNOCKS and SPAD-GUARD of iptables{}", self.variant.infix())
            }
            Stand::Attach(chain) => write!(f, "filter {chain} of iptables{}", self.variant.infix()),
        }
    }
}

impl Firewall for Iptables {
    fn exists(&mut self) -> Result<bool, FirewallError> {
        self.whole()
    }

    /// Sets first, then rules. A planned set's elements change all at once, and so do the rules of a table.
    fn prepare(&mut self, plan: &Plan) -> Result<Progress, FirewallError> {
        let sets = self.sets(plan);
        let create = |set: &Set| {
            let aim = Aim::Ipset { set: set.name, feature: set.kind.feature() };
            (message::create(set, set.name), NLM_F_CREATE, aim)
        };
        self.channel.series(sets.iter().map(create).collect())?;
        for set in sets.iter().filter(|set| set.planned) {
            self.replace(set)?;
            self.planned.insert(set.name, set.elements.len().try_into().unwrap_or(u32::MAX));
        }
        self.keep(&plan.keep)?;
        self.make_sets_of(plan)?;
        self.drop_misplaced()?;
        self.held = self.read_held()?;
        let progress = self.load()?;
        self.loaded(progress)
    }

    fn prepared(&mut self) -> Result<Progress, FirewallError> {
        let progress = self.loader.as_mut().map_or(Ok(Progress::Done), Loader::progress)?;
        self.loaded(progress)
    }

    fn defeated(&mut self) -> Result<Vec<String>, FirewallError> {
        let Stand::Attach(chain) = &self.ruleset.stand else { return Ok(Vec::new()) };
        nftables::defeats_in_iptables(chain, self.variant == Variant::Legacy)
    }

    fn holds(&mut self, door: &Door) -> Result<bool, FirewallError> {
        self.has_door(door)
    }

    fn grants(&mut self) -> Result<Vec<Element>, FirewallError> {
        self.open_doors()
    }

    fn cuts(&mut self) -> Result<Vec<Door>, FirewallError> {
        let mut cuts = Vec::new();
        for family in Family::BOTH {
            let found = message::to_elements(&self.list(family.names().cut)?, Limit::None);
            cuts.extend(found.into_iter().map(|element| element.door));
        }
        Ok(cuts)
    }

    fn uncut(&mut self, doors: &[Door]) -> Result<(), FirewallError> {
        let message = |door: &Door| {
            let address = door.grantee.address();
            let set = Family::of(address).names().cut;
            let aim = Aim::Ipset { set, feature: super::error::IP_SET };
            (message::delete(set, &Key::door(address, door.service)), 0, aim)
        };
        self.channel.series(doors.iter().map(message).collect())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        self.change_doors(changes)
    }

    fn keep(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        self.keep_sessions(sessions)
    }

    fn drop_kept(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        self.drop_sessions(sessions)
    }

    fn kept(&mut self) -> Result<Vec<Session>, FirewallError> {
        self.kept_sessions()
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        self.unload()?;
        for set in set::sets(&Plan::empty(), true) {
            self.destroy(set.name, LETS_GO)?;
        }
        for set in self.made()? {
            self.destroy(&set, LETS_GO)?;
        }
        self.destroy(NEW, LETS_GO)
    }

    fn listen(&mut self) -> Result<(), FirewallError> {
        if let Stand::Attach(chain) = &self.ruleset.stand {
            self.order = Some(Order::new(chain, rules::ENTRANCE)?);
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.loader.as_ref().and_then(Loader::waits)
    }

    fn interval(&self) -> Option<Duration> {
        Some(LOOK)
    }

    fn lost(&mut self) -> bool {
        let displaced = match self.order.as_mut().map(Order::displaced) {
            None => false,
            Some(Some(displaced)) => displaced,
            Some(None) => self.displaced(),
        };
        displaced || !self.whole().unwrap_or(false)
    }

    fn others_changed(&mut self) -> bool {
        self.order.as_mut().is_some_and(Order::take_changed)
    }
}

/// Names of the sets whose elements the plan alone says.
pub(super) fn planned(plan: &Plan) -> BTreeSet<&'static str> {
    set::sets(plan, true).iter().filter(|set| set.planned).map(|set| set.name).collect()
}

/// What [`Firewall::prepare`] loads into a host that holds nothing of ours: for `ipset restore`, then for
/// `iptables-restore --noflush` and `ip6tables-restore --noflush`.
pub(super) fn text(stand: &standing::Stand, plan: &Plan) -> String {
    let stand = match stand {
        standing::Stand::Guard => Stand::Guard,
        standing::Stand::Attach(point) => Stand::Attach(point.chain.clone()),
    };
    let mut text = "# ipset restore\n".to_owned();
    for set in set::sets(plan, stand == Stand::Guard) {
        text += &set.to_string();
    }
    let ruleset = Ruleset::of(stand, plan);
    for (name, set) in ruleset.sets() {
        // Writing to a String cannot fail.
        let _ = set.write(&mut text, &name);
    }
    for (family, program) in [(Family::V4, "iptables-restore"), (Family::V6, "ip6tables-restore")] {
        text += &format!("# {program} --noflush\n");
        text.extend(rules::tables(&ruleset, family).iter().map(|table| table.restore("")));
    }
    text
}
