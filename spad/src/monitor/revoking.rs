//! `spad revoke`: doors that the operator shuts before their time.

use spa_core::crypto::key::KeyId;
use spa_core::lease::Change;
use spa_core::time::BootTime;

use super::{Monitor, words};
use crate::operator::answer::{Answer, NAMED, Revoked};
use crate::operator::event::Cause;
use crate::operator::question::Whose;

impl Monitor<'_> {
    /// Closes the doors of somebody, and says which.
    pub(super) fn revoke(&mut self, whose: &Whose, now: BootTime) -> Answer {
        let (changes, holder) = match whose {
            Whose::Address(address) => (self.leases.end_where(|door| door.grantee.includes(*address)), None),
            Whose::Name(name) => match self.holders(name.as_str()) {
                holders if holders.is_empty() => {
                    let what = "no profile that is served is called so, and nothing is open by such a key id";
                    return Answer::Refused(what.into());
                }
                holders => {
                    let only = holders.first().copied().filter(|_| holders.len() == 1);
                    (self.leases.retain_holders(|holder| !holders.contains(&holder), now), only)
                }
            },
        };
        let done = changes.is_empty() || self.apply(&changes);
        self.say_closed_of(&changes, Cause::Operator, holder);
        let (closed, open): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| change.closes().is_some());
        let [mut closed, mut still_open] = [closed, open].map(|changes| {
            let doors = changes.iter().map(|change| change.door());
            words::of_doors(doors).into_iter().map(|told| told.text).collect::<Vec<_>>()
        });
        let all = closed.len() + still_open.len();
        closed.truncate(NAMED);
        still_open.truncate(NAMED);
        let more = all - closed.len() - still_open.len();
        Answer::Revoked(Revoked { closed, still_open, more, done })
    }

    /// Key ids of the profile of that name; else the one that is written so, if it is served or holds a door.
    fn holders(&self, name: &str) -> Vec<KeyId> {
        let called = self.serving.as_ref().map(|serving| serving.profiles.called(name)).unwrap_or_default();
        if !called.is_empty() {
            return called;
        }
        let id = u32::from_str_radix(name, 16).ok().filter(|_| name.len() == 8).map(KeyId);
        let known = |id: &KeyId| {
            self.serving.as_ref().is_some_and(|serving| serving.profiles.contains(*id))
                || self.leases.held_after(None).any(|held| held.holder == *id)
        };
        id.filter(known).into_iter().collect()
    }
}
