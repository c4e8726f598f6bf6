//! Whether monitor and worker still answer. A process that is dead is seen at once; one that hangs only by asking.

use std::time::{Duration, Instant};

/// How often the monitor is asked.
const INTERVAL: Duration = Duration::from_secs(5);
/// So many questions without an answer, and it hangs. Questions and not time: whoever was frozen together with the one who
/// asks, or slept, owes one.
const MOST: u32 = 3;

/// What was asked of the monitor that lives now, and not answered.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    next: Option<Instant>,
    monitor: u32,
    worker: u32,
}

/// Who hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hangs {
    Monitor,
    Worker,
}

/// How long whoever hangs has been silent, at least.
pub(super) const SILENCE: Duration = INTERVAL.saturating_mul(MOST);

impl Pulse {
    /// There is a new monitor.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self { next: Some(now + INTERVAL), ..Self::default() };
    }

    /// There is none.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// When to ask next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Whether to ask now; or that it is of no use any more.
    pub(super) fn is_due(&mut self, now: Instant) -> Result<bool, Hangs> {
        if self.next.is_none_or(|next| now < next) {
            return Ok(false);
        }
        if self.monitor >= MOST {
            return Err(Hangs::Monitor);
        }
        self.next = Some(now + INTERVAL);
        self.monitor += 1;
        Ok(true)
    }

    /// The monitor answered. `worker`: so did the worker meanwhile, or there is none.
    pub(super) fn answered(&mut self, worker: bool) -> Result<(), Hangs> {
        self.monitor = 0;
        self.worker = if worker { 0 } else { self.worker + 1 };
        if self.worker >= MOST { Err(Hangs::Worker) } else { Ok(()) }
    }

    /// Another worker serves.
    pub(super) fn took_over(&mut self) {
        self.worker = 0;
    }

    /// Nobody owes an answer.
    pub(super) fn is_steady(&self) -> bool {
        self.monitor == 0 && self.worker == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owes_three_answers_hangs() {
        let start = Instant::now();
        let mut pulse = Pulse::default();
        assert_eq!(pulse.is_due(start), Ok(false), "there is nobody to ask");
        pulse.begin(start);
        assert_eq!(pulse.is_due(start + INTERVAL - Duration::from_nanos(1)), Ok(false));
        for time in 1..=MOST {
            assert_eq!(pulse.is_due(start + INTERVAL * time), Ok(true), "{time}");
            assert!(!pulse.is_steady());
        }
        assert_eq!(pulse.is_due(start + INTERVAL * (MOST + 1)), Err(Hangs::Monitor));

        pulse.begin(start);
        assert_eq!(pulse.is_due(start + INTERVAL), Ok(true));
        assert_eq!((pulse.answered(false), pulse.answered(false)), (Ok(()), Ok(())));
        assert_eq!(pulse.answered(true), Ok(()));
        assert!(pulse.is_steady());
        assert_eq!((pulse.answered(false), pulse.answered(false)), (Ok(()), Ok(())));
        assert_eq!(pulse.answered(false), Err(Hangs::Worker));
        pulse.took_over();
        assert!(pulse.is_steady(), "another worker owes nothing");
    }

    #[test]
    fn a_machine_that_slept_owes_one_answer() {
        let start = Instant::now();
        let mut pulse = Pulse::default();
        pulse.begin(start);
        assert_eq!(pulse.is_due(start + INTERVAL), Ok(true));
        assert_eq!(pulse.answered(true), Ok(()));
        let later = start + Duration::from_secs(24 * 60 * 60);
        assert_eq!(pulse.is_due(later), Ok(true));
        assert_eq!(pulse.is_due(later), Ok(false), "what was missed is not made up for");
        assert_eq!(pulse.is_due(later + INTERVAL), Ok(true));
    }
}
