//! Refusals of authentic requests in the log: at most one line a minute for each profile and reason, with a count.
//! Strangers never come here: whoever could write into the log could fill it, or have a real user banned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use spa_core::gate::Dropped;
use spa_core::reject::Reject;
use spa_core::time::BootTime;
use tracing::warn;

const QUIET: Duration = Duration::from_secs(60);

struct Since {
    said: BootTime,
    /// Not said since then, and the latest of it.
    kept: u32,
    last: Reject,
}

/// How long after a request its own second copy may come: a client sends each twice, against loss.
const COPIES: Duration = Duration::from_secs(5);

/// What has been said, and what was kept back.
#[derive(Default)]
pub struct Reporter {
    admitted: HashMap<Arc<str>, BootTime>,
    since: HashMap<(Arc<str>, usize), Since>,
}

impl Reporter {
    /// Takes note that a request was admitted: what comes within seconds as a replay is its copy.
    pub fn admitted(&mut self, profile: &Arc<str>, now: BootTime) {
        self.admitted.insert(profile.clone(), now);
    }

    /// Says why a datagram was dropped, if it was authentic and nothing like it was said within a minute.
    pub fn dropped(&mut self, dropped: &Dropped, now: BootTime) {
        let Some(profile) = &dropped.profile else { return };
        let copy = || self.admitted.get(profile).is_some_and(|&at| now.since(at) < COPIES);
        if dropped.reject == Reject::Replayed && copy() {
            return;
        }
        let key = (profile.clone(), dropped.reject.index());
        match self.since.get_mut(&key) {
            Some(since) => {
                since.kept += 1;
                since.last = dropped.reject;
            }
            None => {
                say(profile, dropped.reject, 1);
                self.since.insert(key, Since { said: now, kept: 0, last: dropped.reject });
            }
        }
    }

    /// Says what was kept back and is due.
    pub fn catch_up(&mut self, now: BootTime) {
        self.since.retain(|(profile, _), since| {
            if now.since(since.said) < QUIET {
                return true;
            }
            if since.kept == 0 {
                return false;
            }
            say(profile, since.last, since.kept);
            since.said = now;
            since.kept = 0;
            true
        });
    }

    /// When [`Self::catch_up`] should next be called.
    pub fn next_deadline(&self) -> Option<BootTime> {
        self.since.values().map(|since| since.said.plus(QUIET)).min()
    }
}

fn say(profile: &str, reject: Reject, times: u32) {
    let reason = reject.name();
    warn!("refused profile={profile} reason={reason} times={times} {reject}");
}
