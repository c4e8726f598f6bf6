//! Frames that a capture's ring had no room for: knocks may have been among them, so the operator is told. It takes a flood
//! to lose any, so nothing is asked while there is none, and one line a minute says how many it were.

use std::time::Duration;

use spa_core::time::BootTime;
use tracing::warn;

/// How long after frames of a flood the kernel is asked.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines.
const QUIET: Duration = Duration::from_secs(60);

/// What was lost, and what was said of it.
#[derive(Debug, Default)]
pub struct Overflow {
    /// When to ask next.
    look: Option<BootTime>,
    said: Option<BootTime>,
    /// Lost since the last line.
    unsaid: u64,
    /// Lost since the start.
    lost: u64,
}

impl Overflow {
    /// Takes note that frames of a flood came.
    pub fn flooded(&mut self, now: BootTime) {
        self.look.get_or_insert(now.plus(LOOK));
    }

    /// Asks how many frames were lost since the last question, if it is time for that, and says so if it is time for
    /// that too.
    pub fn catch_up(&mut self, now: BootTime, lost: impl FnOnce() -> u64) {
        if self.look.is_none_or(|at| now < at) {
            return;
        }
        let lost = lost();
        self.unsaid += lost;
        self.lost += lost;
        self.look = None;
        if self.unsaid == 0 {
            return;
        }
        if let Some(next) = self.said.map(|said| said.plus(QUIET)).filter(|next| now < *next) {
            self.look = Some(next);
            return;
        }
        warn!(
            "lost frames={} the captures had no room for them, and knocks may have been among them: a flood, or too busy a machine",
            self.unsaid
        );
        self.said = Some(now);
        self.unsaid = 0;
    }

    /// When [`Self::catch_up`] should next be called.
    pub const fn next_deadline(&self) -> Option<BootTime> {
        self.look
    }

    /// How many frames were lost since the start, as far as the kernel was asked.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_after_a_flood_and_one_line_a_minute_counts_all() {
        let at = |s| BootTime::new(Duration::from_secs(s));
        let mut overflow = Overflow::default();
        overflow.catch_up(at(99), || panic!("there was no flood"));
        #[rustfmt::skip]
        let steps = [
            // when, flooded, lost, unsaid after it, next deadline, why
            (100, true,  None,    0,  Some(101), "a flood begins: asked in a second"),
            (101, true,  Some(0), 0,  None,      "none lost"),
            (102, true,  None,    0,  Some(103), "it goes on"),
            (103, false, Some(7), 0,  None,      "said at once"),
            (104, true,  None,    0,  Some(105), "again"),
            (105, true,  Some(5), 5,  Some(163), "kept for the minute's end"),
            (130, true,  None,    5,  Some(163), "not asked meanwhile"),
            (163, false, Some(4), 0,  None,      "said, all of it"),
        ];
        for (when, flooded, lost, unsaid, next, why) in steps {
            if flooded {
                overflow.flooded(at(when));
            }
            let mut asked = false;
            overflow.catch_up(at(when), || {
                asked = true;
                lost.unwrap_or_default()
            });
            assert_eq!((asked, overflow.unsaid), (lost.is_some(), unsaid), "{why}");
            assert_eq!(overflow.next_deadline(), next.map(at), "{why}");
        }
        assert_eq!(overflow.lost(), 16);
    }
}
