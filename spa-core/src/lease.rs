//! Who holds which door open, and until when. The kernel's element for a door is the union of the leases behind it: it
//! ends with the latest of them, and goes early only with the last.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use crate::ceiling::{AboveCeiling, Ceiling};
use crate::crypto::key::KeyId;
use crate::grantee::Grantee;
use crate::service::Service;
use crate::terms::{Forward, OnClose, SourceNat, Terms};
use crate::time::{BootTime, UnixMillis};

mod ends;
mod held;

pub use self::ends::MOST_ONCE;
pub use self::held::Held;

use self::ends::Extension;

/// What a grant opens: one service for one grantee. One element in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Door {
    /// For whom.
    pub grantee: Grantee,
    /// To what.
    pub service: Service,
    /// Which packets alone may pass.
    pub limit: Limit,
}

/// Which packets alone may pass a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// All of its grantee.
    None,
    /// Those from this port.
    SourcePort(u16),
    /// Those of one connection: the door ends with the first handshake that is completed.
    Once,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.service, self.grantee)?;
        match self.limit {
            Limit::None => Ok(()),
            Limit::SourcePort(port) => write!(f, " from port {port}"),
            Limit::Once => f.write_str(" once"),
        }
    }
}

impl Door {
    /// A door for one address, not limited.
    pub const fn plain(address: IpAddr, service: Service) -> Self {
        Self { grantee: Grantee::Address(address), service, limit: Limit::None }
    }
}

/// What the firewall must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add the element, or give it this time and comment.
    Set {
        /// Which.
        door: Door,
        /// From now on.
        timeout: Duration,
        /// Names its holders, for the operator and for a monitor that starts anew.
        comment: String,
        /// What becomes of its sessions at its end: what the lease says that ends last.
        on_close: OnClose,
        /// Where it leads, if not to this host's own service.
        forward: Option<Forward>,
    },
    /// Remove the element.
    Remove {
        /// Which.
        door: Door,
    },
}

impl Change {
    /// The door of the element.
    pub const fn door(&self) -> Door {
        match self {
            Self::Set { door, .. } | Self::Remove { door } => *door,
        }
    }

    /// The door that shuts by it, if one does.
    pub const fn closes(&self) -> Option<Door> {
        match self {
            Self::Set { .. } => None,
            Self::Remove { door } => Some(*door),
        }
    }
}

/// A lease that ended, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which door.
    pub door: Door,
    /// Who held it.
    pub holder: KeyId,
    /// Whether somebody else still holds it open.
    pub still_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    holder: KeyId,
    /// When it was asked for, by the holder's clock: a close ends only what was asked for before it.
    asked: UnixMillis,
    /// When it was opened, if this process did that.
    since: Option<BootTime>,
    until: BootTime,
    on_close: OnClose,
    forward: Option<Forward>,
    extension: Option<Extension>,
}

/// The leases of a host.
#[derive(Default)]
pub struct LeaseTable {
    /// In the order of doors, so that those of one address and service stand together.
    doors: BTreeMap<Door, Vec<Lease>>,
    by_end: BTreeSet<(BootTime, Door, KeyId)>,
    /// When to look whether a door is in use.
    looks: BTreeSet<(BootTime, Door, KeyId)>,
    /// Doors that ended, and whose sessions must end.
    to_cut: Vec<Door>,
    held: HashMap<KeyId, usize>,
    /// How many leases lead beyond this host.
    forwards: usize,
}

impl LeaseTable {
    /// How many doors are open.
    pub fn len(&self) -> usize {
        self.doors.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// Opens a door on these terms from `now` on, or refreshes it; never shortens what anybody holds.
    pub fn open(
        &mut self,
        door: Door,
        holder: KeyId,
        asked: UnixMillis,
        terms: &Terms,
        now: BootTime,
        ceiling: &Ceiling,
    ) -> Result<Change, AboveCeiling> {
        let window = ceiling.permit(door.service, door.grantee, terms.window)?;
        if let Some(forward) = &terms.forward {
            ceiling.permit_forward(forward)?;
            if !is_forwardable(door, forward) {
                return Err(AboveCeiling::Unforwardable);
            }
        }
        if self.leads_elsewhere(door, holder, terms.forward, now) {
            return Err(AboveCeiling::LeadsElsewhere);
        }
        let old = self.lease(door, holder);
        if old.is_none() {
            let held = self.held.get(&holder).copied().unwrap_or(0);
            if held >= ceiling.max_grants_per_profile {
                return Err(AboveCeiling::ProfileFull);
            }
            if terms.most_doors.is_some_and(|most| held >= most.get() as usize) {
                return Err(AboveCeiling::ProfileDoors);
            }
            let most = if door.limit == Limit::Once {
                ceiling.max_grants.min(MOST_ONCE)
            } else {
                ceiling.max_grants
            };
            if self.doors.len() >= most && !self.doors.contains_key(&door) {
                return Err(AboveCeiling::Full);
            }
        }
        let Terms { on_close, forward, .. } = *terms;
        let extension = terms.extend_to.map(|longest| Extension::new(window, longest, now));
        let since = Some(now);
        let mut lease = Lease { holder, asked, since, until: now.plus(window), on_close, forward, extension };
        if let Some(old) = old {
            lease.asked = lease.asked.max(old.asked);
            lease.since = old.since;
            lease.until = lease.until.max(old.until);
            lease.extension = lease.extension.max(old.extension);
        }
        self.take(door, holder);
        self.put(door, lease);
        Ok(self.element(door, now))
    }

    /// Ends what `holder` asked for before `before`: these services, or all if none is named, for whatever address. A
    /// device may have changed its address since, and of the copies for IPv4 and IPv6 only the first is admitted.
    pub fn close(
        &mut self,
        holder: KeyId,
        services: &[Service],
        before: UnixMillis,
        now: BootTime,
    ) -> Vec<Change> {
        let doomed = |door: &Door, lease: &Lease| {
            lease.holder == holder
                && lease.asked < before
                && (services.is_empty() || services.contains(&door.service))
        };
        let doors: Vec<Door> = self
            .doors
            .iter()
            .filter(|(door, leases)| leases.iter().any(|lease| doomed(door, lease)))
            .map(|(&door, _)| door)
            .collect();
        doors
            .into_iter()
            .filter_map(|door| {
                self.end(door, holder);
                self.left(door, now)
            })
            .collect()
    }

    /// Removes and returns the leases that ended at or before `now`. The kernel has closed their doors by itself.
    pub fn expire(&mut self, now: BootTime) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some(&(until, door, holder)) = self.by_end.first()
            && until <= now
        {
            self.end(door, holder);
            ended.push(Ended { door, holder, still_open: self.doors.contains_key(&door) });
        }
        ended
    }

    /// When the next lease ends, or is to be looked at ([`Self::to_look_at`]).
    pub fn next_deadline(&self) -> Option<BootTime> {
        [&self.by_end, &self.looks].into_iter().filter_map(|times| times.first()).map(|&(at, _, _)| at).min()
    }

    /// Ends every lease that the ceiling no longer allows: of a service that is not protected any more, say, or that leads to
    /// a target that is not named any more.
    pub fn retain(&mut self, ceiling: &Ceiling) -> Vec<Change> {
        let led_away = |lease: &Lease| lease.forward.is_some_and(|to| ceiling.permit_forward(&to).is_err());
        self.end_of(|door, leases| {
            ceiling.allows(door.service, door.grantee).is_err() || leases.iter().any(led_away)
        })
    }

    /// Ends every lease of such doors, whoever holds it.
    pub fn end_where(&mut self, doomed: impl Fn(&Door) -> bool) -> Vec<Change> {
        self.end_of(|door, _| doomed(door))
    }

    fn end_of(&mut self, doomed: impl Fn(&Door, &[Lease]) -> bool) -> Vec<Change> {
        let gone: Vec<Door> =
            self.doors.iter().filter(|(door, leases)| doomed(door, leases)).map(|(&door, _)| door).collect();
        for &door in &gone {
            let mut leases = self.doors.get(&door).cloned().unwrap_or_default();
            leases.sort_by_key(|lease| lease.until);
            for lease in leases {
                self.end(door, lease.holder);
            }
        }
        gone.into_iter().map(|door| Change::Remove { door }).collect()
    }

    /// Ends every lease of a holder that is not served any more: its profile was removed, or is none.
    pub fn retain_holders(&mut self, serves: impl Fn(KeyId) -> bool, now: BootTime) -> Vec<Change> {
        let gone: HashSet<KeyId> = self.held.keys().copied().filter(|holder| !serves(*holder)).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let held = |leases: &[Lease]| leases.iter().any(|lease| gone.contains(&lease.holder));
        let doors: Vec<Door> =
            self.doors.iter().filter(|(_, leases)| held(leases)).map(|(&door, _)| door).collect();
        doors
            .into_iter()
            .filter_map(|door| {
                let mut leases = self.doors.get(&door).cloned().unwrap_or_default();
                leases.retain(|lease| gone.contains(&lease.holder));
                leases.sort_by_key(|lease| lease.until);
                for lease in leases {
                    self.end(door, lease.holder);
                }
                self.left(door, now)
            })
            .collect()
    }

    /// All elements as the kernel should hold them, for a table that somebody flushed. Not those for one connection:
    /// whether there was one is not known here, and a door that ended must not come back.
    pub fn elements(&self, now: BootTime) -> Vec<Change> {
        let known = |door: &&Door| door.limit != Limit::Once;
        self.doors.keys().filter(known).map(|&door| self.element(door, now)).collect()
    }

    /// Every door that is open.
    pub fn doors(&self) -> impl Iterator<Item = &Door> {
        self.doors.keys()
    }

    /// Takes over an element that the kernel held when this process started. Its comment names the leases; an element
    /// without a comment of ours is left to its own timeout.
    ///
    /// - `forward`: where the kernel has it lead.
    pub fn restore(
        &mut self,
        door: Door,
        remaining: Duration,
        comment: &str,
        forward: Option<Forward>,
        now: BootTime,
    ) {
        let end = now.plus(remaining);
        // Who put back a ruleset that was saved with its doors, after a boot perhaps, gives them a time anew.
        let ours = |lease: &Lease| lease.until <= end.plus(ROUNDING);
        for lease in comment.split(' ').filter_map(parse).filter(ours) {
            // Whatever the comment says, nothing is held longer than the kernel holds it.
            let until = lease.until.min(end);
            if until > now && self.lease(door, lease.holder).is_none() {
                let extension = lease.extension.map(|extension| extension.within_reason(now));
                self.put(door, Lease { until, extension, forward, ..lease });
            }
        }
    }

    /// Whether packets of this door would go elsewhere because of another one, or the other's because of this one: the
    /// kernel leads all that comes from one address to one port the same way. What one profile holds it may change.
    fn leads_elsewhere(&self, door: Door, holder: KeyId, forward: Option<Forward>, now: BootTime) -> bool {
        if forward.is_none() && self.forwards == 0 {
            return false;
        }
        self.doors.iter().any(|(other, leases)| {
            let mut held = leases.iter().filter(|lease| lease.until > now);
            if *other == door {
                return held.any(|lease| lease.holder != holder && lease.forward != forward);
            }
            if !other.grantee.meets(door.grantee) {
                return false;
            }
            let one_way = |lease: &Lease| other.service == door.service && lease.forward != forward;
            held.any(|lease| {
                one_way(lease) || are_told_apart_by_nothing(other, lease.forward, &door, forward)
            })
        })
    }

    /// Whether an element of the kernel names leases of which none is left here.
    pub fn is_stray(&self, door: Door, comment: &str) -> bool {
        !self.doors.contains_key(&door) && comment.split(' ').any(|lease| parse(lease).is_some())
    }

    fn lease(&self, door: Door, holder: KeyId) -> Option<Lease> {
        self.doors.get(&door)?.iter().find(|lease| lease.holder == holder).copied()
    }

    fn put(&mut self, door: Door, lease: Lease) {
        self.forwards += usize::from(lease.forward.is_some());
        self.doors.entry(door).or_default().push(lease);
        self.by_end.insert((lease.until, door, lease.holder));
        self.looks.extend(lease.look().map(|at| (at, door, lease.holder)));
        *self.held.entry(lease.holder).or_default() += 1;
    }

    fn take(&mut self, door: Door, holder: KeyId) -> Option<Lease> {
        let leases = self.doors.get_mut(&door)?;
        let at = leases.iter().position(|lease| lease.holder == holder)?;
        let lease = leases.swap_remove(at);
        self.forwards -= usize::from(lease.forward.is_some());
        if leases.is_empty() {
            self.doors.remove(&door);
        }
        self.by_end.remove(&(lease.until, door, holder));
        lease.look().map(|at| self.looks.remove(&(at, door, holder)));
        if let Some(count) = self.held.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&holder);
            }
        }
        Some(lease)
    }

    fn element(&self, door: Door, now: BootTime) -> Change {
        let Some(leases) = self.doors.get(&door) else { return Change::Remove { door } };
        let Some(last) = leases.iter().max_by_key(|lease| lease.until) else {
            return Change::Remove { door };
        };
        Change::Set {
            door,
            timeout: last.until.since(now),
            comment: comment(leases),
            on_close: last.on_close,
            forward: last.forward,
        }
    }
}

/// Only what comes from one address can be sent on, and only within its address family.
fn is_forwardable(door: Door, forward: &Forward) -> bool {
    let same_family = |address: IpAddr| {
        address.is_ipv4() == forward.to.address().is_ipv4()
            && match forward.source {
                SourceNat::Address(source) => source.is_ipv4() == address.is_ipv4(),
                SourceNat::Keep | SourceNat::Masquerade => true,
            }
    };
    door.limit == Limit::None && matches!(door.grantee, Grantee::Address(address) if same_family(address))
}

/// Behind this host nothing tells any more by which port a packet came: the sender that an inner service sees is the
/// same for all that one address sends to it.
fn are_told_apart_by_nothing(one: &Door, to: Option<Forward>, other: &Door, there: Option<Forward>) -> bool {
    let (Some(to), Some(there)) = (to, there) else { return false };
    let same_end = one.service.transport() == other.service.transport() && to.to == there.to;
    same_end && (to.source, there.source) != (SourceNat::Keep, SourceNat::Keep)
}

/// How much less than a door has the kernel may say that it has left: ipset counts whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// nftables' own limit for a comment, its closing zero not counted.
const MAX_COMMENT: usize = 127;

/// `key:asked:until` for each lease, hexadecimal, times in milliseconds; then `:c` if its sessions are cut, and
/// `:wWINDOW:lLONGEST` if it is extended while in use. The longest-lived first, as many as fit.
/// One that does not fit costs its holder nothing but an early end, if a monitor dies and the others close.
fn comment(leases: &[Lease]) -> String {
    let mut leases: Vec<&Lease> = leases.iter().collect();
    leases.sort_by_key(|lease| std::cmp::Reverse(lease.until));
    let mut text = String::new();
    for lease in leases {
        let mut one = String::new();
        let until = lease.until.get().as_millis();
        // Writing to a String cannot fail.
        let _ = write!(one, "{:08x}:{:x}:{until:x}", lease.holder.0, lease.asked.get());
        one.push_str(&ends::to_text(lease));
        if text.len() + one.len() + 1 > MAX_COMMENT {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&one);
    }
    text
}

fn parse(text: &str) -> Option<Lease> {
    let mut fields = text.split(':');
    let mut field = || u64::from_str_radix(fields.next()?, 16).ok();
    let holder = KeyId(u32::try_from(field()?).ok()?);
    let asked = UnixMillis::new(field()?)?;
    let until = BootTime::new(Duration::from_millis(field()?));
    let (on_close, extension) = ends::parse(fields)?;
    Some(Lease { holder, asked, since: None, until, on_close, forward: None, extension })
}

#[cfg(test)]
mod tests;
