//! How a worker does: what it counted and what is wrong with it. Told to the monitor for whoever asks; nothing depends on it.

use std::time::Duration;

use spa_core::gate::Counters;
use spa_core::reader::Reader;
use spa_core::reject::Reject;
use spa_core::time::BootTime;

/// A flood must not cost more messages than a quiet day.
const PAUSE: Duration = Duration::from_secs(1);
/// Nor may a worker be silent for longer: the starter asks every 5 s whether it lives.
const BEAT: Duration = Duration::from_secs(4);

/// Of one worker, since its start. No address, no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams by their end.
    pub counters: Counters,
    /// Frames that the captures had no room for, as far as the kernel was asked.
    pub lost: u64,
    /// Interfaces that it listens on.
    pub captures: u32,
    /// Those of them where strangers wake it, since the kernel takes no filter for them.
    pub unfiltered: u32,
    /// Profiles that cannot be used.
    pub left_out: u32,
    /// Monotonic profiles whose memory was lost.
    pub shut: u32,
    /// The journal was lost, and it is not yet known what may be fresh: nothing is admitted.
    pub unsettled: bool,
    /// The journal cannot be written: nothing opens.
    pub deaf: bool,
    /// Its keys may reach the swap.
    pub unlocked: bool,
}

impl Tally {
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        let counts = [self.counters.admitted, self.lost].into_iter().chain(self.counters.rejected);
        counts.for_each(|count| bytes.extend_from_slice(&count.to_be_bytes()));
        for count in [self.captures, self.unfiltered, self.left_out, self.shut] {
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        bytes.extend([self.unsettled, self.deaf, self.unlocked].map(u8::from));
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Option<Self> {
        let (admitted, lost) = (r.u64().ok()?, r.u64().ok()?);
        let mut rejected = [0; Reject::COUNT];
        for count in &mut rejected {
            *count = r.u64().ok()?;
        }
        let counters = Counters { admitted, rejected };
        let [captures, unfiltered, left_out, shut] =
            [r.u32().ok()?, r.u32().ok()?, r.u32().ok()?, r.u32().ok()?];
        let (unsettled, deaf, unlocked) = (r.u8().ok()? != 0, r.u8().ok()? != 0, r.u8().ok()? != 0);
        Some(Self { counters, lost, captures, unfiltered, left_out, shut, unsettled, deaf, unlocked })
    }

    /// Adds what another worker counted; how it did otherwise is past.
    pub fn add(&mut self, before: &Self) {
        self.counters.admitted = self.counters.admitted.saturating_add(before.counters.admitted);
        for (count, before) in self.counters.rejected.iter_mut().zip(before.counters.rejected) {
            *count = count.saturating_add(before);
        }
        self.lost = self.lost.saturating_add(before.lost);
    }
}

/// When a worker tells its tally: as soon as it changed, but once a second at most; and every few seconds, as a sign of life.
#[derive(Debug, Default)]
pub struct Telling {
    told: Option<(BootTime, Tally)>,
    wants: bool,
}

impl Telling {
    /// Whether this is to be told now; if so it is taken for told.
    pub fn is_due(&mut self, tally: &Tally, now: BootTime) -> bool {
        self.wants = self.told.as_ref().is_none_or(|(_, told)| told != tally);
        let wait = self.wait();
        let due = self.told.as_ref().is_none_or(|(at, _)| now.since(*at) >= wait);
        if due {
            self.told = Some((now, tally.clone()));
            self.wants = false;
        }
        due
    }

    /// When to ask again though nothing happens; `None` before the first time.
    pub fn next_deadline(&self) -> Option<BootTime> {
        self.told.as_ref().map(|(at, _)| at.plus(self.wait()))
    }

    fn wait(&self) -> Duration {
        if self.wants { PAUSE } else { BEAT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_second_and_silence_every_four() {
        let at = |ms| BootTime::new(Duration::from_millis(ms));
        let tally =
            |admitted| Tally { counters: Counters { admitted, ..Counters::default() }, ..Tally::default() };
        #[rustfmt::skip]
        let steps = [
            // when, counted, told, next deadline, why
            (0,    0, true,  Some(4000),   "the beginning"),
            (3999, 0, false, Some(4000),   "nothing new"),
            (4000, 0, true,  Some(8000),   "a sign of life"),
            (5001, 1, true,  Some(9001),   "at once"),
            (5002, 2, false, Some(6001),   "kept back"),
            (5900, 9, false, Some(6001),   "and again"),
            (6001, 9, true,  Some(10_001), "all of it"),
        ];
        let mut telling = Telling::default();
        for (when, counted, told, next, why) in steps {
            assert_eq!(telling.is_due(&tally(counted), at(when)), told, "{why}");
            assert_eq!(telling.next_deadline(), next.map(at), "{why}");
        }
    }

    #[test]
    fn what_a_captured_worker_counts_overflows_nothing() {
        let most = Tally { lost: u64::MAX, ..Tally::default() };
        let mut sum = most.clone();
        sum.add(&most);
        assert_eq!(sum.lost, u64::MAX);
    }
}
