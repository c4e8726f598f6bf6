//! How a door ends, but for its window: with its first connection, with its sessions, or later because it is in use.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Change, Door, Lease, LeaseTable, Limit};
use crate::ceiling::MAX_EXTENDED;
use crate::crypto::key::KeyId;
use crate::grantee::Grantee;
use crate::service::{Service, Transport};
use crate::terms::OnClose;
use crate::time::BootTime;

/// Most doors that are open for one connection each: the kernel bounds a set that its own rules change.
pub const MOST_ONCE: usize = 32_768;

/// How long before its end a door is looked at, if its window is not shorter than four times that.
const AHEAD: Duration = Duration::from_secs(2);

/// A lease goes on while its door is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extension {
    /// Not beyond this.
    longest: BootTime,
    /// That much at a time.
    window: Duration,
}

impl Extension {
    pub(super) fn new(window: Duration, longest: Duration, now: BootTime) -> Self {
        Self { longest: now.plus(longest.min(MAX_EXTENDED)), window }
    }

    /// What a comment may make of it.
    pub(super) fn within_reason(self, now: BootTime) -> Self {
        Self { longest: self.longest.min(now.plus(MAX_EXTENDED)), ..self }
    }
}

impl Lease {
    /// When it is to be looked at whether its door is in use; `None` if it cannot go on.
    pub(super) fn look(&self) -> Option<BootTime> {
        let extension = self.extension.filter(|extension| self.until < extension.longest)?;
        let ahead = AHEAD.min(extension.window / 4);
        Some(BootTime::new(self.until.get().saturating_sub(ahead)))
    }
}

impl LeaseTable {
    /// Doors that are about to end, and go on if they are in use ([`Self::extend`]). Each is told once.
    pub fn to_look_at(&mut self, now: BootTime) -> Vec<(Door, KeyId)> {
        let mut due = Vec::new();
        while let Some(&look @ (at, door, holder)) = self.looks.first()
            && at <= now
        {
            self.looks.remove(&look);
            due.push((door, holder));
        }
        due
    }

    /// Lets a lease go on for another window, at most until its longest time is over.
    pub fn extend(&mut self, door: Door, holder: KeyId, now: BootTime) -> Option<Change> {
        let old = self.lease(door, holder)?;
        let Extension { longest, window } = old.extension?;
        let until = old.until.plus(window).min(longest);
        if until <= old.until || old.until <= now {
            return None;
        }
        self.take(door, holder);
        self.put(door, Lease { until, ..old });
        Some(self.element(door, now))
    }

    /// Doors that ended since the last call and whose sessions must end with them, unless something else is open for that
    /// address to that service ([`Self::lets_in`]): the lease that ended last said so.
    pub fn to_cut(&mut self) -> Vec<Door> {
        std::mem::take(&mut self.to_cut)
    }

    /// Forgets a door for one connection that the kernel no longer has.
    pub fn forget(&mut self, door: Door) {
        for lease in self.doors.get(&door).cloned().unwrap_or_default() {
            self.take(door, lease.holder);
        }
    }

    /// Whether somebody holds this very door.
    pub fn holds(&self, door: Door) -> bool {
        self.doors.contains_key(&door)
    }

    /// Whether any door to that service is open for that address.
    pub fn lets_in(&self, address: IpAddr, service: Service) -> bool {
        let first = |grantee| Door { grantee, service, limit: Limit::None };
        let own = first(Grantee::Address(address));
        let prefixes = Grantee::Prefix { first: Ipv4Addr::UNSPECIFIED.into(), bits: 0 };
        self.doors.range(own..=Door { limit: Limit::Once, ..own }).next().is_some()
            || self
                .doors
                .range(first(prefixes)..)
                .map(|(door, _)| door)
                .take_while(|door| matches!(door.grantee, Grantee::Prefix { .. }))
                .any(|door| door.service == service && door.grantee.includes(address))
    }

    /// What the kernel is told of a door after one of its leases ended early. Nothing, if others hold it for one
    /// connection: its element may be gone with that, and must not come back. What is there ends with the last of them.
    pub(super) fn left(&self, door: Door, now: BootTime) -> Option<Change> {
        let perhaps_spent = door.limit == Limit::Once && self.doors.contains_key(&door);
        (!perhaps_spent).then(|| self.element(door, now))
    }

    /// Ends a lease, and remembers what is to be cut.
    pub(super) fn end(&mut self, door: Door, holder: KeyId) {
        let Some(lease) = self.take(door, holder) else { return };
        // UDP has no sessions.
        let sessions = door.service.transport() == Transport::Tcp;
        if sessions && lease.on_close == OnClose::Cut && !self.holds(door) {
            self.to_cut.push(door);
        }
    }
}

/// What a lease's end adds to its text in a comment.
pub(super) fn to_text(lease: &Lease) -> String {
    let cut = if lease.on_close == OnClose::Cut { ":c" } else { "" };
    let millis = |span: Duration| span.as_millis();
    match lease.extension {
        None => cut.to_owned(),
        Some(Extension { longest, window }) => {
            format!("{cut}:w{:x}:l{:x}", millis(window), millis(longest.get()))
        }
    }
}

/// The same, read again; `None` for what no lease of ours has.
pub(super) fn parse<'t>(fields: impl Iterator<Item = &'t str>) -> Option<(OnClose, Option<Extension>)> {
    let (mut on_close, mut window, mut longest) = (OnClose::Keep, None, None);
    let millis = |digits| u64::from_str_radix(digits, 16).ok().map(Duration::from_millis);
    for field in fields {
        match field.split_at_checked(1)? {
            ("c", "") => on_close = OnClose::Cut,
            ("w", digits) => window = Some(millis(digits)?),
            ("l", digits) => longest = Some(BootTime::new(millis(digits)?)),
            _ => return None,
        }
    }
    let extension = window.zip(longest).map(|(window, longest)| Extension { longest, window });
    Some((on_close, extension))
}

#[cfg(test)]
mod tests;
