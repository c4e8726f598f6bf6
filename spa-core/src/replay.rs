//! Replay memory (SPEC.md, "Freshness"), after RFC 6479 and WireGuard, with times for counters: what was admitted is
//! remembered as (time, id), and nothing at or below the floor is admitted. The smallest time is forgotten first and
//! forgetting raises the floor to it, so that no order of arrival, eviction or clock step makes anything fresh again.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::address::Bound;
use crate::crypto::key::KeyId;
use crate::grantee::Grantee;
use crate::keyring::Keyring;
use crate::profile::{Freshness, JournalEpoch, Profile};
use crate::rate::Bucket;
use crate::reject::Reject;
use crate::request::{Request, RequestId, Verb};
use crate::time::{Now, UnixMillis};

/// Distance between the clocks that is allowed, unless spad.toml says otherwise.
pub const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// Most requests remembered for one profile.
pub const MAX_REMEMBERED: usize = 4096;
/// Requests of a profile that are remembered however old they are.
const MIN_REMEMBERED: usize = 16;

/// One change of the memory, as it stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A request was admitted.
    Admitted {
        /// Of which profile.
        key_id: KeyId,
        /// Its time.
        time: UnixMillis,
        /// Its id.
        id: RequestId,
    },
    /// A profile's floor was raised.
    Floor {
        /// Of which profile.
        key_id: KeyId,
        /// To this time.
        time: UnixMillis,
    },
    /// The floor of every clock profile was raised.
    SiteFloor(UnixMillis),
    /// The journal was begun after a loss, and from here on it is known what may be fresh.
    Settled,
}

/// A request seen for the first time. Only [`Replay::admit`] can make one.
pub struct Fresh<'k> {
    profile: &'k Profile,
    request: Request,
    grantees: Vec<Grantee>,
    superseded: bool,
}

impl<'k> Fresh<'k> {
    /// Profile, request, and for whom. Consumes the proof.
    pub fn into_parts(self) -> (&'k Profile, Request, Vec<Grantee>) {
        (self.profile, self.request, self.grantees)
    }

    /// Whose request it is.
    pub const fn profile(&self) -> &'k Profile {
        self.profile
    }

    /// What it says.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// For whom.
    pub fn grantees(&self) -> &[Grantee] {
        &self.grantees
    }

    /// Whether the key that takes the place of this one's was used before.
    pub const fn is_superseded(&self) -> bool {
        self.superseded
    }
}

#[derive(Default)]
struct Memory {
    floor: Option<UnixMillis>,
    seen: BTreeSet<(UnixMillis, RequestId)>,
    /// The latest that was admitted: the copy of a `close` lies at the floor that the close has raised, and is a replay
    /// all the same.
    last: Option<(UnixMillis, RequestId)>,
    bucket: Bucket,
}

impl Memory {
    fn raise(&mut self, floor: UnixMillis) {
        self.floor = self.floor.max(Some(floor));
        self.seen.retain(|&(time, _)| time > floor);
    }

    fn forget_oldest(&mut self) {
        let Some((time, _)) = self.seen.pop_first() else { return };
        self.floor = self.floor.max(Some(time));
        while self.oldest() == Some(time) {
            self.seen.pop_first();
        }
    }

    fn oldest(&self) -> Option<UnixMillis> {
        self.seen.first().map(|&(time, _)| time)
    }

    /// Of anything that was ever admitted, something is left: forgetting raises the floor.
    fn newest(&self) -> Option<UnixMillis> {
        self.seen.last().map(|&(time, _)| time).or(self.floor)
    }
}

/// The memory of a site.
pub struct Replay {
    memories: HashMap<KeyId, Memory>,
    site_floor: UnixMillis,
    epoch: JournalEpoch,
    settled: bool,
    skew: Duration,
}

impl Replay {
    /// A memory that holds what these records of a journal say, in their order.
    pub fn restore(
        epoch: JournalEpoch,
        settled: bool,
        skew: Duration,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let mut replay =
            Self { memories: HashMap::new(), site_floor: UnixMillis::EPOCH, epoch, settled, skew };
        for record in records {
            replay.apply(record);
        }
        replay
    }

    /// Makes the change that a record describes.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Admitted { key_id, time, id } => {
                let memory = self.memories.entry(key_id).or_default();
                if memory.floor < Some(time) {
                    memory.seen.insert((time, id));
                }
                while memory.seen.len() > MAX_REMEMBERED {
                    memory.forget_oldest();
                }
            }
            Record::Floor { key_id, time } => self.memories.entry(key_id).or_default().raise(time),
            Record::SiteFloor(time) => self.site_floor = self.site_floor.max(time),
            Record::Settled => self.settled = true,
        }
    }

    /// Whether anything may be admitted yet.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether the profile is monotonic and its memory was lost: it stays shut until it gets a new key.
    pub fn has_lost(&self, profile: &Profile) -> bool {
        matches!(profile.freshness, Freshness::Monotonic(epoch) if epoch != self.epoch)
    }

    /// Whether the profile's key has ended with the first use of its successor.
    fn is_superseded(&self, profile: &Profile) -> bool {
        let was_used = |key_id| self.memories.get(&key_id).is_some_and(|memory| memory.newest().is_some());
        profile.successor.is_some_and(|successor| successor.has_taken_over(self.epoch, was_used))
    }

    /// Steps 8 to 10: admits a request once, within the profile's rate, and remembers it.
    ///
    /// The rate counts fresh requests only. Before freshness, a stranger who replays one captured datagram often enough
    /// would use up the tokens of its owner. What the rate refuses is not remembered.
    ///
    /// Exactly `skew` of distance is still accepted, in either direction: a clock that runs ahead would otherwise let
    /// a captured datagram outlive its window.
    ///
    /// # Errors
    /// [`Reject::Unsettled`], [`Reject::Old`], [`Reject::Replayed`], [`Reject::Skewed`] or [`Reject::Rate`]; nothing is remembered then.
    ///
    /// Source: RFC 6479; RFC 4120 section 1.6 (loosely synchronised clocks).
    pub fn admit<'k>(
        &mut self,
        bound: Bound<'k>,
        now: Now,
    ) -> Result<(Fresh<'k>, Record), (&'k Profile, Reject)> {
        let profile = bound.profile();
        let Request { time, id, ref verb, .. } = *bound.request();
        let closes = matches!(verb, Verb::Close(_));
        self.judge(profile, time, id, now).map_err(|reject| (profile, reject))?;
        // An admitted close must not be undone by an open that was withheld on the path: it raises the floor.
        let key_id = profile.key_id;
        let memory = self.memories.entry(key_id).or_default();
        if !memory.bucket.take(now.boot) {
            return Err((profile, Reject::Rate));
        }
        memory.last = Some((time, id));
        let record =
            if closes { Record::Floor { key_id, time } } else { Record::Admitted { key_id, time, id } };
        self.apply(record);
        if profile.freshness == Freshness::Clock && now.synchronised {
            self.age(key_id, now.wall);
        }
        let superseded = self.is_superseded(profile);
        let (profile, request, grantees) = bound.into_parts();
        Ok((Fresh { profile, request, grantees, superseded }, record))
    }

    fn judge(&self, profile: &Profile, time: UnixMillis, id: RequestId, now: Now) -> Result<(), Reject> {
        if !self.settled || self.has_lost(profile) {
            return Err(Reject::Unsettled);
        }
        let memory = self.memories.get(&profile.key_id);
        if memory.is_some_and(|memory| memory.last == Some((time, id)) || memory.seen.contains(&(time, id))) {
            return Err(Reject::Replayed);
        }
        let clock = profile.freshness == Freshness::Clock;
        let floor = memory.and_then(|memory| memory.floor).unwrap_or(UnixMillis::EPOCH);
        // What is below a floor of the memory says nothing of a clock: it may be the replay of a year-old datagram.
        if time <= floor || clock && time <= self.site_floor {
            return Err(Reject::Old);
        }
        let by = time.skew(now.wall);
        match profile.freshness {
            Freshness::Clock if by > self.skew => Err(Reject::Skewed { by, ahead: time > now.wall }),
            _ if time <= profile.created => Err(Reject::Old),
            // A datagram withheld on the path is good until the next one is admitted, and `skew` beyond.
            Freshness::Monotonic(_)
                if memory.and_then(Memory::newest).is_some_and(|newest| time <= newest.minus(self.skew)) =>
            {
                Err(Reject::Old)
            }
            _ => Ok(()),
        }
    }

    /// Forgets what is out of reach. Only by a clock that is known to be right: one that ran ahead would forget
    /// everything and raise the floor over honest requests.
    fn age(&mut self, key_id: KeyId, now: UnixMillis) {
        let horizon = now.minus(self.skew * 2);
        let Some(memory) = self.memories.get_mut(&key_id) else { return };
        while memory.seen.len() > MIN_REMEMBERED && memory.oldest().is_some_and(|time| time < horizon) {
            memory.forget_oldest();
        }
    }

    /// Shrinks the memory of keys that are not in the keyring to their floor. It is never dropped: a profile whose
    /// file had a typing error comes back.
    pub fn forget_absent(&mut self, keyring: &Keyring) {
        for (key_id, memory) in &mut self.memories {
            if let (None, Some(newest)) = (keyring.profile(*key_id), memory.newest()) {
                memory.raise(newest);
                memory.last = None;
            }
        }
    }

    /// Forgets the oldest requests of each profile until at most `most` records are needed, as far as floors allow.
    pub fn forget_down_to(&mut self, most: usize) {
        let quota = (most / (self.memories.len() + 2)).saturating_sub(1);
        if self.snapshot().count() <= most {
            return;
        }
        for memory in self.memories.values_mut() {
            while memory.seen.len() > quota {
                memory.forget_oldest();
            }
        }
    }

    /// The records that say all this anew, in the order in which they are to be written.
    pub fn snapshot(&self) -> impl Iterator<Item = Record> {
        let site = (self.site_floor > UnixMillis::EPOCH).then_some(Record::SiteFloor(self.site_floor));
        let settled = self.settled.then_some(Record::Settled);
        let profiles = self.memories.iter().flat_map(|(&key_id, memory)| {
            let floor = memory.floor.map(|time| Record::Floor { key_id, time });
            let seen = memory.seen.iter().map(move |&(time, id)| Record::Admitted { key_id, time, id });
            floor.into_iter().chain(seen)
        });
        site.into_iter().chain(settled).chain(profiles)
    }
}

#[cfg(test)]
mod tests;
