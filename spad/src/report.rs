//! Refusals of authentic requests in the log: at most one line a minute for each profile and reason, with a count.
//! Strangers never come here: whoever could write into the log could fill it, or have a real user banned.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use spa_core::gate::Dropped;
use spa_core::reject::Reject;
use spa_core::time::BootTime;
use tracing::warn;

const QUIET: Duration = Duration::from_secs(60);
/// How long after a request its own second copy may come: a client sends each twice, against loss.
const COPIES: Duration = Duration::from_secs(5);
/// Most profiles and reasons kept apart; a captured worker could make up names without end.
const MOST: usize = 100_000;

/// Most lines that are kept until somebody takes them.
const KEPT: usize = 64;

/// What was refused, as often as the log says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose it was.
    pub profile: Arc<str>,
    /// Why, in one stable word.
    pub reason: &'static str,
    /// How many were refused alike.
    pub times: u32,
    /// Why the first of them was.
    pub why: String,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, reason, times, why } = self;
        write!(f, "refused profile={profile} reason={reason} times={times} {why}")
    }
}

struct Since {
    said: BootTime,
    /// Not said since then, and the first of it: no other is put into words, as anybody can replay by the million.
    kept: u32,
    first: String,
}

/// What has been said, and what was kept back.
#[derive(Default)]
pub struct Reporter {
    admitted: HashMap<Arc<str>, BootTime>,
    since: HashMap<(Arc<str>, &'static str), Since>,
    /// When the first of them has been quiet for long enough.
    due: Option<BootTime>,
    /// Since [`Self::take_said`], for whoever watches.
    said: Vec<Refusal>,
}

impl Reporter {
    /// Takes note that a request was admitted: what comes within seconds as a replay is its copy.
    pub fn admitted(&mut self, profile: &Arc<str>, now: BootTime) {
        self.admitted.insert(profile.clone(), now);
    }

    /// Says why a datagram was dropped, if it was authentic.
    pub fn dropped(&mut self, dropped: &Dropped, now: BootTime) {
        let Some(profile) = &dropped.profile else { return };
        let copy = || self.admitted.get(profile).is_some_and(|&at| now.since(at) < COPIES);
        if dropped.reject == Reject::Replayed && copy() {
            return;
        }
        self.refused(profile, dropped.reject.name(), dropped.reject, now);
    }

    /// Says why something that a profile asked for was refused, if nothing like it was said within a minute.
    pub fn refused(&mut self, profile: &Arc<str>, reason: &'static str, why: impl Display, now: BootTime) {
        let full = self.since.len() >= MOST;
        match self.since.get_mut(&(profile.clone(), reason)) {
            Some(since) => {
                if since.kept == 0 {
                    since.first = why.to_string();
                }
                since.kept = since.kept.saturating_add(1);
            }
            None if full => {}
            None => {
                say(&mut self.said, profile, reason, 1, &why);
                let since = Since { said: now, kept: 0, first: String::new() };
                self.since.insert((profile.clone(), reason), since);
                // Later than those that wait already.
                self.due.get_or_insert(now.plus(QUIET));
            }
        }
    }

    /// Says what was kept back and is due.
    pub fn catch_up(&mut self, now: BootTime) {
        if self.next_deadline().is_none_or(|at| now < at) {
            return;
        }
        let said = &mut self.said;
        self.since.retain(|(profile, reason), since| {
            if now.since(since.said) < QUIET {
                return true;
            }
            if since.kept == 0 {
                return false;
            }
            say(said, profile, reason, since.kept, &since.first);
            since.said = now;
            since.kept = 0;
            true
        });
        self.due = self.since.values().map(|since| since.said.plus(QUIET)).min();
    }

    /// What was said since the last call, as far as it was kept.
    pub fn take_said(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.said)
    }

    /// When [`Self::catch_up`] should next be called.
    pub const fn next_deadline(&self) -> Option<BootTime> {
        self.due
    }
}

fn say(said: &mut Vec<Refusal>, profile: &Arc<str>, reason: &'static str, times: u32, why: &dyn Display) {
    let refusal = Refusal { profile: profile.clone(), reason, times, why: why.to_string() };
    warn!("{refusal}");
    if said.len() < KEPT {
        said.push(refusal);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts how often it is put into words.
    struct Counted<'a>(&'a Cell<u32>);

    impl Display for Counted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("full")
        }
    }

    #[test]
    fn one_line_a_minute_and_the_rest_is_counted() {
        let at = |s| BootTime::new(Duration::from_secs(s));
        let profile: Arc<str> = "laptop".into();
        let mut reporter = Reporter::default();
        let words = Cell::new(0);
        for _ in 0..1000 {
            reporter.refused(&profile, "ceiling", Counted(&words), at(100));
        }
        assert!(words.get() <= 2, "the first, and the first of those that wait");
        let kept = |reporter: &Reporter| reporter.since.values().map(|since| since.kept).collect::<Vec<_>>();
        assert_eq!(kept(&reporter), [999], "the first was said, the others wait");
        assert_eq!(reporter.next_deadline(), Some(at(160)));
        reporter.catch_up(at(159));
        assert_eq!(kept(&reporter), [999]);
        reporter.catch_up(at(160));
        assert_eq!(kept(&reporter), [0], "said with their count");
        reporter.catch_up(at(220));
        assert!(reporter.since.is_empty(), "a quiet minute ends it");
    }

    #[test]
    fn names_without_end_do_not_grow_it_without_end() {
        let mut reporter = Reporter::default();
        let now = BootTime::new(Duration::from_secs(1));
        reporter.since = (0..MOST)
            .map(|n| ((n.to_string().into(), "old"), Since { said: now, kept: 0, first: String::new() }))
            .collect();
        reporter.refused(&"one more".into(), "old", "", now);
        assert_eq!(reporter.since.len(), MOST);
    }
}
