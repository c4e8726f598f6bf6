//! The backend iptables: rules that never change, loaded by `iptables-restore` (`rules.rs`), and sets of ipset
//! with all that does (`set.rs`), over netlink (`message.rs`).
//!
//! It does what the nftables backend does, but for this: a set's timeouts are whole seconds, rounded up, so
//! that the monitor closes a door on time and the kernel within a second of it; several changes are made one
//! after the other, not as one; and nobody tells of changes by others, so that they are looked for.

mod forward;
mod loader;
mod message;
mod programs;
mod rules;
mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netlink_packet_core::NLM_F_CREATE;
use netlink_sys::protocols::NETLINK_NETFILTER;
use spa_core::grantee::Grantee;
use spa_core::lease::{Change, Door, Limit};

pub use self::loader::{Loader, run as run_loader};

use self::forward::{Held, Leads};
use self::rules::Stand;
use self::set::{Family, Key, NEW, Set};
use super::element::{Element, cuts, printable};
use super::error::{Aim, FirewallError};
use super::netlink::Channel;
use super::nftables::{self, Order};
use super::plan::{Plan, Session};
use super::raw::Raw;
use super::standing::{self, Variant};
use super::{Firewall, Progress};

/// How often it is looked whether somebody took away rules or elements of ours.
const LOOK: Duration = Duration::from_millis(400);

/// What other backends can and this one cannot, from the types of set that the kernel has. A rule for each service could
/// make up for it; but the rules are fixed, and the loader takes no service from the monitor.
const NO_SOURCE_PORT: &str =
    "iptables with ipset cannot bind a door to a source port: no type of set has two ports";
const NO_LINK: &str = "iptables with ipset cannot open for a link-local address: no type of set has an address, a port \
                       and an interface";
pub(super) const LACKS: [&str; 2] = [NO_SOURCE_PORT, NO_LINK];

/// How often the loader looks at rules that only a program can read: it starts two for it.
const LOOK_BY_PROGRAM: Duration = Duration::from_secs(1);
/// A set whose name the question says.
const ANY: &str = "of ours";

/// How long the monitor waits for that, of a set that does no harm.
const SOON: Duration = Duration::from_millis(50);

/// iptables-nft lets go of a set a moment after its rules are gone.
const LETS_GO: Duration = Duration::from_secs(3);

/// The kernel's ipset, reached by one socket that stays open, and the programs that load the rules.
pub struct Iptables {
    channel: Channel,
    stand: Stand,
    variant: Variant,
    /// `None`: this process runs the programs itself.
    loader: Option<Loader>,
    /// How many elements each planned set has, once there was a plan.
    planned: BTreeMap<&'static str, u32>,
    /// Of the operator's chain, once it is listened to.
    order: Option<Order>,
    /// When the loader was last asked to look at it.
    looked: Option<Instant>,
    /// What the last plan says of inner hosts.
    leads: Leads,
    /// Sets of targets and senders of an earlier plan, which rules may still look into.
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
        let (planned, leads, held) = (BTreeMap::new(), Leads::Nowhere, Held::new());
        let (order, looked, gone) = (None, None, Vec::new());
        Ok(Self { channel, stand, variant, loader, planned, order, looked, leads, gone, held })
    }

    fn guards(&self) -> bool {
        self.stand == Stand::Guard
    }

    fn sets(&self, plan: &Plan) -> Vec<Set> {
        set::sets(plan, self.guards())
    }

    /// Whether sets of a guard, or of a stand beside the operator's rules, are there: `Some(true)` for a guard.
    pub(super) fn stands() -> Result<Option<bool>, FirewallError> {
        let mut here = Self::new(&standing::Stand::Guard, Variant::Host, None)?;
        let mut has = |set| match here.header(set) {
            Ok(_) => Ok(true),
            Err(FirewallError::Absent | FirewallError::Unsupported { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        Ok(if has(Family::V4.names().grants)? { Some(has(set::KNOCK)?) } else { None })
    }

    /// Elements and references of a set.
    fn header(&mut self, set: &str) -> Result<(u32, u32), FirewallError> {
        let aim = Aim::Ipset { set: ANY, feature: super::error::IP_SET };
        message::to_header(&self.channel.dump(message::header(set), &aim)?).ok_or(FirewallError::Absent)
    }

    fn list(&mut self, set: &str) -> Result<Vec<Raw>, FirewallError> {
        self.channel.dump(message::list(set), &Aim::Ipset { set: ANY, feature: super::error::IP_SET })
    }

    /// Whether every set is there, holds what the last plan put there, and every rule looks into them.
    fn whole(&mut self) -> Result<bool, FirewallError> {
        for set in self.sets(&Plan::empty()) {
            let least = self.planned.get(set.name).copied().unwrap_or(0);
            if !self.is_whole(set.name, least)? {
                return Ok(false);
            }
        }
        for (name, _) in self.leads.sets() {
            if !self.is_whole(&name, 0)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_whole(&mut self, set: &str, least: u32) -> Result<bool, FirewallError> {
        match self.header(set) {
            Err(FirewallError::Absent) => Ok(false),
            header => {
                let (elements, references) = header?;
                Ok(elements >= least && references >= rules::references(&self.stand, &self.leads, set))
            }
        }
    }

    /// Names of the sets that were made for targets and senders.
    fn made(&mut self) -> Result<Vec<String>, FirewallError> {
        let aim = Aim::Ipset { set: ANY, feature: super::error::IP_SET };
        let answers = self.channel.dump(message::names(), &aim)?;
        Ok(message::to_names(&answers).filter(|name| forward::is_made(name)).map(str::to_owned).collect())
    }

    /// Makes the sets of the plan's targets and senders, and shuts the doors that lead where it leads no more.
    fn make_leads(&mut self, plan: &Plan) -> Result<(), FirewallError> {
        let before = self.made()?;
        self.leads = match Leads::of(plan) {
            Leads::Nowhere if !before.is_empty() => Leads::NoLonger,
            leads => leads,
        };
        let made = self.leads.sets();
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
            (message, 0, Aim::Ipset { set, feature: super::error::IP_SET })
        });
        self.channel.series(shut.collect())
    }

    /// Asks the kernel which doors lead where.
    fn read_held(&mut self) -> Result<Held, FirewallError> {
        let mut flows = BTreeSet::new();
        for family in Family::BOTH {
            flows.extend(message::to_flows(&self.list(family.names().flows)?));
        }
        let mut sources = BTreeMap::new();
        for source in self.leads.sources().to_vec() {
            let of_source = message::to_flows(&self.list(&forward::of_source(source))?);
            sources.extend(of_source.into_iter().map(|flow| (flow, source)));
        }
        let mut held = Held::new();
        for target in self.leads.targets().to_vec() {
            for Element { door, .. } in
                message::to_elements(&self.list(&forward::of_target(target))?, Limit::None)
            {
                held.insert(door, forward::source_of(&door, target, &flows, &sources));
            }
        }
        Ok(held)
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
            Some(loader) => loader.load(self.variant, &self.stand, &self.leads).map(|()| Progress::Waits),
            None => programs::load(self.variant, &self.stand, &self.leads)
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
            let _ = loader.look(self.variant, &self.stand);
        }
        displaced
    }

    /// Did the rules get where the packets go? The kernel counts those that look into a set.
    fn loaded(&mut self, progress: Progress) -> Result<Progress, FirewallError> {
        if progress == Progress::Waits {
            return Ok(progress);
        }
        for set in std::mem::take(&mut self.gone) {
            match self.destroy(&set, SOON) {
                // What is still held is found again by the next plan.
                Ok(()) | Err(FirewallError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
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
        match &self.stand {
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
        self.make_leads(plan)?;
        self.held = self.read_held()?;
        let progress = self.load()?;
        self.loaded(progress)
    }

    fn prepared(&mut self) -> Result<Progress, FirewallError> {
        let progress = self.loader.as_mut().map_or(Ok(Progress::Done), Loader::progress)?;
        self.loaded(progress)
    }

    fn defeated(&mut self) -> Result<Vec<String>, FirewallError> {
        let Stand::Attach(chain) = &self.stand else { return Ok(Vec::new()) };
        nftables::defeats_in_iptables(chain, self.variant == Variant::Legacy)
    }

    fn lacks(&self, door: &Door) -> Option<&'static str> {
        match (Key::of(door), door.grantee, door.limit) {
            (Some(_), ..) => None,
            (None, _, Limit::SourcePort(_)) => Some(NO_SOURCE_PORT),
            (None, Grantee::OnLink { .. }, _) => Some(NO_LINK),
            (None, ..) => Some("iptables with ipset has no type of set for such a door"),
        }
    }

    fn holds(&mut self, door: &Door) -> Result<bool, FirewallError> {
        let Some((set, _)) = Key::of(door) else { return Ok(false) };
        let listed = message::to_elements(&self.list(set)?, door.limit);
        Ok(listed.iter().any(|element| element.door == *door))
    }

    fn grants(&mut self) -> Result<Vec<Element>, FirewallError> {
        let mut grants = Vec::new();
        for family in Family::BOTH {
            let names = family.names();
            for set in [names.grants, names.prefixes] {
                grants.extend(message::to_elements(&self.list(set)?, Limit::None));
            }
            grants.extend(message::to_elements(&self.list(names.once)?, Limit::Once));
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

    /// One after the other: what was refused does not hold up the rest.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let door_of = |change: &Change| match change {
            Change::Set { door, .. } | Change::Remove { door } => *door,
        };
        let last: BTreeMap<Door, &Change> = changes.iter().map(|change| (door_of(change), change)).collect();
        let messages = |(door, change): (Door, &Change)| {
            let aim = |set| Aim::Ipset { set, feature: super::error::IP_SET };
            // One that no set can hold was refused before.
            let Some((set, key)) = Key::of(&door) else { return Vec::new() };
            let names = Family::of(door.grantee.address()).names();
            let cut = cuts(change).map(|cut| {
                let (add, delete) = (message::add, message::delete);
                let message = if cut { add(names.cut, &key, None, None) } else { delete(names.cut, &key) };
                (message, 0, aim(names.cut))
            });
            let message = match change {
                Change::Set { timeout, comment, forward: None, .. } => {
                    message::add(set, &key, Some(*timeout), Some(&printable(comment)))
                }
                // What leads on is let in by other sets (`forward.rs`).
                Change::Set { .. } | Change::Remove { .. } => message::delete(set, &key),
            };
            // What shall end with the door is told before the door opens.
            cut.into_iter().chain([(message, 0, aim(set))]).collect()
        };
        let mut messages: Vec<_> =
            last.iter().flat_map(|(door, change)| messages((*door, *change))).collect();
        for (door, change) in &last {
            let steps = forward::steps(change, self.held.get(door)).into_iter();
            messages
                .extend(steps.map(|(set, raw)| (raw, 0, Aim::Ipset { set, feature: super::error::IP_SET })));
        }
        self.channel.series(messages)?;
        for (door, change) in last {
            match change {
                Change::Set { forward: Some(forward), .. } => drop(self.held.insert(door, *forward)),
                Change::Set { .. } | Change::Remove { .. } => drop(self.held.remove(&door)),
            }
        }
        Ok(())
    }

    fn keep(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        let both = |session: &Session| {
            let names = Family::of(session.server().ip()).names();
            let aim = |set| Aim::Ipset { set, feature: super::error::IP_SET };
            let port = session.server().port().to_string();
            [
                (message::add(names.keep, &Key::client(session), None, Some(&port)), 0, aim(names.keep)),
                (message::add(names.keep_to, &Key::server(session), None, None), 0, aim(names.keep_to)),
            ]
        };
        let sessions = sessions.iter().filter(|_| self.guards());
        self.channel.series(sessions.flat_map(both).collect())
    }

    fn drop_kept(&mut self, sessions: &[Session]) -> Result<(), FirewallError> {
        if sessions.is_empty() || !self.guards() {
            return Ok(());
        }
        let kept = self.kept()?;
        let stays = |key: &Key| kept.iter().any(|one| !sessions.contains(one) && Key::server(one) == *key);
        let mut changes = Vec::new();
        for session in sessions {
            let names = Family::of(session.server().ip()).names();
            let aim = |set| Aim::Ipset { set, feature: super::error::IP_SET };
            changes.push((message::delete(names.keep, &Key::client(session)), 0, aim(names.keep)));
            // Another session of the same client with the same service needs it as well.
            let server = Key::server(session);
            if !stays(&server) {
                changes.push((message::delete(names.keep_to, &server), 0, aim(names.keep_to)));
            }
        }
        self.channel.series(changes)
    }

    fn kept(&mut self) -> Result<Vec<Session>, FirewallError> {
        let mut kept = Vec::new();
        if !self.guards() {
            return Ok(kept);
        }
        for family in Family::BOTH {
            let listed = message::to_sessions(&self.list(family.names().keep)?);
            kept.extend(listed.into_iter().filter_map(|((client, port), server, comment)| {
                let server = SocketAddr::new(server, comment.parse().ok()?);
                Session::new(SocketAddr::new(client, port), server)
            }));
        }
        Ok(kept)
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
        if let Stand::Attach(chain) = &self.stand {
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
    let leads = Leads::of(plan);
    for (name, set) in leads.sets() {
        // Writing to a String cannot fail.
        let _ = set.write(&mut text, &name);
    }
    for (family, program) in [(Family::V4, "iptables-restore"), (Family::V6, "ip6tables-restore")] {
        text += &format!("# {program} --noflush\n");
        text.extend(rules::tables(&stand, &leads, family).iter().map(|table| table.restore("")));
    }
    text
}
