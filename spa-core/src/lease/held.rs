//! The leases as an operator sees them: who holds what, since when, until when.

use std::ops::Bound;

use super::{Door, Lease, LeaseTable};
use crate::crypto::key::KeyId;
use crate::terms::{Forward, OnClose};
use crate::time::{BootTime, UnixMillis};

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which door.
    pub door: Door,
    /// Who holds it open.
    pub holder: KeyId,
    /// When it was last asked for, by the holder's clock.
    pub asked: UnixMillis,
    /// When it was opened; `None` if that was before this process: the kernel keeps the end, not the beginning.
    pub since: Option<BootTime>,
    /// When it ends.
    pub until: BootTime,
    /// What becomes of its sessions then.
    pub on_close: OnClose,
    /// Where it leads, if not to this host's own service.
    pub forward: Option<Forward>,
}

impl LeaseTable {
    /// The leases behind that one, in an order that opening and closing do not disturb; all of them behind `None`. So a list
    /// that is read slowly costs whoever writes it no memory.
    pub fn held_after(&self, after: Option<(Door, KeyId)>) -> impl Iterator<Item = Held> {
        let from = after.map_or(Bound::Unbounded, |(door, _)| Bound::Included(door));
        self.doors.range((from, Bound::Unbounded)).flat_map(move |(&door, leases)| {
            let mut leases: Vec<&Lease> = leases.iter().collect();
            leases.sort_by_key(|lease| lease.holder.0);
            let behind =
                |lease: &&Lease| after.is_none_or(|after| (door, lease.holder.0) > (after.0, after.1.0));
            leases.into_iter().filter(behind).map(move |lease| Held::new(door, lease)).collect::<Vec<_>>()
        })
    }
}

impl Held {
    fn new(door: Door, lease: &Lease) -> Self {
        let &Lease { holder, asked, since, until, on_close, forward, .. } = lease;
        Self { door, holder, asked, since, until, on_close, forward }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ceiling::Ceiling;
    use crate::grantee::Grantee;
    use crate::lease::Change;
    use crate::service::Service;
    use crate::terms::Terms;

    fn at(seconds: u64) -> BootTime {
        BootTime::new(Duration::from_secs(seconds))
    }

    fn asked(seconds: u64) -> UnixMillis {
        UnixMillis::clamped(Duration::from_secs(seconds))
    }

    fn ceiling(service: Service) -> Ceiling {
        Ceiling {
            services: [service].into(),
            prefixes: [].into(),
            forward: [].into(),
            forward_sources: [].into(),
            max_window: Duration::from_secs(3600),
            max_grants: 9,
            max_grants_per_profile: 9,
        }
    }

    fn table(holders: &[(u8, u32)]) -> LeaseTable {
        let mut table = LeaseTable::default();
        for &(host, holder) in holders {
            let door = Door::plain([192, 0, 2, host].into(), "tcp/22".parse().unwrap());
            let terms = Terms::plain(Duration::from_secs(30));
            let ceiling = ceiling(door.service);
            let opened = table.open(door, KeyId(holder), asked(u64::from(host)), &terms, at(100), &ceiling);
            assert!(matches!(opened, Ok(Change::Set { .. })));
        }
        table
    }

    fn ids(table: &LeaseTable, after: Option<(Door, KeyId)>) -> Vec<(Grantee, u32)> {
        table.held_after(after).map(|held| (held.door.grantee, held.holder.0)).collect()
    }

    #[test]
    fn a_list_goes_on_behind_any_lease_though_it_has_gone() {
        let table = table(&[(8, 1), (7, 9), (7, 3), (9, 2)]);
        let all = ids(&table, None);
        let host = |last: u8| Grantee::Address([192, 0, 2, last].into());
        assert_eq!(all, [(host(7), 3), (host(7), 9), (host(8), 1), (host(9), 2)]);
        for (n, held) in table.held_after(None).enumerate() {
            assert_eq!(ids(&table, Some((held.door, held.holder))), all[n + 1..], "behind number {n}");
        }
        let gone = table.held_after(None).next().unwrap().door;
        assert_eq!(ids(&table, Some((gone, KeyId(5)))), all[1..], "behind one that is not there");
    }

    #[test]
    fn a_refreshed_lease_is_open_since_its_beginning_and_a_restored_one_since_nobody_knows() {
        let mut table = table(&[(7, 1)]);
        let held = table.held_after(None).next().unwrap();
        assert_eq!((held.since, held.until), (Some(at(100)), at(130)));
        let terms = Terms::plain(Duration::from_secs(30));
        let ceiling = ceiling(held.door.service);
        let refreshed = table.open(held.door, held.holder, asked(500), &terms, at(120), &ceiling).unwrap();
        let again = table.held_after(None).next().unwrap();
        assert_eq!((again.since, again.until, again.asked), (Some(at(100)), at(150), asked(500)));
        let Change::Set { comment, timeout, .. } = refreshed else { panic!("a door is set") };
        let mut next = LeaseTable::default();
        next.restore(held.door, timeout, &comment, None, at(120));
        let restored = next.held_after(None).next().unwrap();
        assert_eq!(restored, Held { since: None, ..again });
    }
}
