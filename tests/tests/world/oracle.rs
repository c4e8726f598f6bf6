//! The oracle: what must hold, in sentences of docs/SPEC.md. It sees what was commanded, what was delivered, what the
//! server did and what the kernel holds; nothing of how the server came to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spa_core::crypto::key::KeyId;
use spa_core::lease::Door;
use spa_core::policy::{Admission, Effect};
use spa_core::replay::DEFAULT_SKEW;
use spa_core::request::Verb;
use spa_core::time::{BootTime, Now, UnixMillis};

use super::sentences::*;
use super::server::Outcome;
use super::site::{Command, SERVICES, holds};

/// A sentence that does not hold.
#[derive(Debug)]
pub struct Violation {
    pub sentence: &'static str,
    pub what: String,
}

/// Whether the oracle is content.
pub type Verdict = Result<(), Violation>;

fn broken<T>(sentence: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { sentence, what: what.into() })
}

/// What the world knows when a datagram was judged.
pub struct Situation {
    pub now: Now,
    /// The truth, in milliseconds.
    pub truth: i64,
    /// Whether the server's clock is right.
    pub right: bool,
    pub settled: bool,
    /// Whether the profile's file is there.
    pub present: bool,
}

#[derive(Clone, Default)]
struct Fate {
    done: bool,
    /// May be remembered without having been carried out.
    unsure: bool,
    /// The clock by which it was admitted was wrong, and then the journal was lost (SPEC.md, section 17).
    excused: bool,
    right: bool,
}

#[derive(Clone, Copy)]
struct Grant {
    asked: u64,
    until: BootTime,
}

#[derive(Clone, Copy)]
struct Close {
    key_id: KeyId,
    time: u64,
    right: bool,
}

/// All that was seen.
#[derive(Default)]
pub struct Oracle {
    pub commands: Vec<Command>,
    fates: Vec<Fate>,
    grants: BTreeMap<(Door, KeyId), Grant>,
    /// Doors whose last grant was closed, not ended.
    closed: BTreeSet<Door>,
    closes: Vec<Close>,
    /// A floor may stand here, for reasons that the oracle does not follow.
    may_stand: BTreeMap<KeyId, u64>,
    site_may_stand: u64,
    /// The newest time that may be in the memory, and that surely is.
    newest: BTreeMap<KeyId, u64>,
    newest_done: BTreeMap<KeyId, u64>,
    shut: BTreeSet<KeyId>,
    /// Which key takes the place of which.
    successors: BTreeMap<KeyId, KeyId>,
    /// Keys that ended with a journal that was lost.
    ended: BTreeSet<KeyId>,
    /// How many were carried out, so that a world in which nothing happens is not taken for a good one.
    pub carried_out: usize,
    /// How many the oracle itself demanded.
    pub demanded: usize,
}

const fn skew() -> u64 {
    DEFAULT_SKEW.as_millis() as u64
}

impl Oracle {
    /// Somebody gave a command.
    pub fn commanded(&mut self, command: Command) -> usize {
        self.commands.push(command);
        self.fates.push(Fate::default());
        self.commands.len() - 1
    }

    /// Bytes that nobody sealed were delivered.
    pub fn forged(&self, outcome: &Outcome, remembered: (usize, usize)) -> Verdict {
        match outcome {
            Outcome::Done(_) | Outcome::Unsure => broken(AS_SEALED, "bytes that nobody sealed were admitted"),
            Outcome::Dropped(reject, true) => broken(STRANGERS, format!("the operator is told: {reject}")),
            _ if remembered.0 != remembered.1 => broken(STRANGERS, format!("{remembered:?} records")),
            _ => Ok(()),
        }
    }

    /// A datagram as it was sealed was delivered.
    pub fn judged(&mut self, number: usize, source: IpAddr, outcome: &Outcome, at: &Situation) -> Verdict {
        let command = self.commands[number].clone();
        let time = command.request.time.get();
        match outcome {
            Outcome::Nobody => Ok(()),
            Outcome::Dropped("rate", _) => broken(FLOOD, "refused for its rate"),
            Outcome::Dropped(reject, _) => {
                if self.must_be_admitted(number, &command, source, at) {
                    let stated = !command.request.addresses.is_empty();
                    return broken(if stated { OWN_COPY } else { ADMITTED }, format!("refused as {reject}"));
                }
                // What policy refuses is remembered all the same.
                if *reject == "forbidden" {
                    self.fates[number].unsure = true;
                    self.took_note(&command, time, at.right, false);
                }
                Ok(())
            }
            Outcome::Unsure => {
                self.fates[number].unsure = true;
                self.took_note(&command, time, at.right, false);
                Ok(())
            }
            Outcome::Done(admission) => {
                if self.must_be_admitted(number, &command, source, at) {
                    self.demanded += 1;
                }
                self.may_be_done(number, &command, source, at)?;
                let fate = &mut self.fates[number];
                (fate.done, fate.excused, fate.right) = (true, false, at.right);
                self.carried_out += 1;
                self.took_note(&command, time, at.right, true);
                self.grant(admission, at.now.boot);
                Ok(())
            }
        }
    }

    fn may_be_done(&self, number: usize, command: &Command, source: IpAddr, at: &Situation) -> Verdict {
        let (fate, time) = (&self.fates[number], command.request.time.get());
        if !at.settled {
            return broken(UNSETTLED, "admitted all the same");
        }
        if command.request.addresses.iter().any(|stated| !holds(stated, source)) {
            return broken(FORWARDED, format!("carried out for a datagram from {source}"));
        }
        if fate.done && !fate.excused {
            return broken(ONCE, "carried out a second time");
        }
        if command.monotonic {
            if self.shut.contains(&command.key_id) {
                return broken(SHUT, "its memory was lost");
            }
            let newest = self.newest_done.get(&command.key_id).copied().unwrap_or(0);
            if time + skew() <= newest {
                return broken(BEHIND, format!("{time} after {newest}"));
            }
        } else if at.now.wall.get().abs_diff(time) > skew() {
            return broken(SKEW, "clocks are further apart");
        }
        let used = self.successors.get(&command.key_id).is_some_and(|by| self.newest_done.contains_key(by));
        if used || self.ended.contains(&command.key_id) {
            return broken(SUPERSEDED, format!("{} opens, used: {used}", command.key_id.0));
        }
        let below = |close: &Close| close.key_id == command.key_id && time <= close.time;
        if self.closes.iter().any(below) {
            return broken(WITHHELD, format!("{time} after a close of a later time"));
        }
        Ok(())
    }

    /// An independent reading of sections 9 and 10: nothing speaks against this one.
    fn must_be_admitted(&self, number: usize, command: &Command, source: IpAddr, at: &Situation) -> bool {
        let (fate, request) = (&self.fates[number], &command.request);
        let time = request.time.get();
        let truth = u64::try_from(at.truth).unwrap_or(0);
        let floor = self.may_stand.get(&command.key_id).copied().unwrap_or(0);
        let in_time = if command.monotonic {
            let newest = self.newest.get(&command.key_id).copied().unwrap_or(0);
            !self.shut.contains(&command.key_id) && time + skew() > newest
        } else {
            at.right && time.abs_diff(truth) <= skew() && time > self.site_may_stand
        };
        let allowed = match &request.verb {
            Verb::Open(open) => {
                open.services.iter().all(|service| SERVICES.contains(&service.to_string().as_str()))
            }
            _ => true,
        };
        let successor = self.successors.get(&command.key_id);
        let superseded =
            self.ended.contains(&command.key_id) || successor.is_some_and(|by| self.newest.contains_key(by));
        let addressed = request.addresses.iter().all(|stated| holds(stated, source));
        at.settled
            && at.present
            && !fate.done
            && !fate.unsure
            && in_time
            && time > floor
            && allowed
            && addressed
            && !superseded
    }

    /// What the memory may hold from now on.
    fn took_note(&mut self, command: &Command, time: u64, right: bool, surely: bool) {
        let key_id = command.key_id;
        let newest = self.newest.entry(key_id).or_default();
        *newest = time.max(*newest);
        if surely {
            let newest = self.newest_done.entry(key_id).or_default();
            *newest = time.max(*newest);
        }
        if matches!(command.request.verb, Verb::Close(_)) {
            let floor = self.may_stand.entry(key_id).or_default();
            *floor = time.max(*floor);
            if surely {
                self.closes.push(Close { key_id, time, right });
            }
        }
    }

    fn grant(&mut self, admission: &Admission, now: BootTime) {
        let (holder, asked) = (admission.key_id(), admission.time().get());
        match admission.effect() {
            Effect::Open { services, narrowing, terms } => {
                for door in narrowing.doors(admission.grantees(), services) {
                    let new = Grant { asked, until: now.plus(terms.window) };
                    let grant = self.grants.entry((door, holder)).or_insert(new);
                    (grant.asked, grant.until) = (grant.asked.max(asked), grant.until.max(new.until));
                }
            }
            Effect::Invoke(_) => {}
            Effect::Close { services } => {
                let ends = |door: &Door, grant: &Grant| {
                    grant.asked < asked && (services.is_empty() || services.contains(&door.service))
                };
                let closed = &mut self.closed;
                self.grants.retain(|(door, by), grant| {
                    let keep = *by != holder || !ends(door, grant);
                    if !keep {
                        closed.insert(*door);
                    }
                    keep
                });
            }
        }
    }

    /// Compares what the kernel holds open with what was granted.
    pub fn doors(&mut self, open: &[(Door, u128)], now: BootTime) -> Verdict {
        self.grants.retain(|_, grant| grant.until > now);
        let mut granted: BTreeMap<Door, u128> = BTreeMap::new();
        for ((door, _), grant) in &self.grants {
            let left = granted.entry(*door).or_default();
            *left = grant.until.since(now).as_millis().max(*left);
        }
        for (door, left) in open {
            let most = granted.get(door).copied().unwrap_or(0);
            if *left > most {
                let sentence = if self.closed.contains(door) { CLOSED } else { WINDOW };
                return broken(sentence, format!("{door:?} is open for {left} ms, granted were {most}"));
            }
        }
        for (door, left) in granted {
            self.closed.remove(&door);
            let held = open.iter().find(|(other, _)| *other == door).map_or(0, |(_, left)| *left);
            if held < left {
                return broken(UNION, format!("{door:?} is open for {held} ms, granted were {left}"));
            }
        }
        Ok(())
    }

    /// The machine started anew: the kernel's table is gone.
    pub fn rebooted(&mut self) {
        self.grants.clear();
    }

    /// The server found its journal lost.
    pub fn journal_lost(&mut self) {
        for fate in self.fates.iter_mut().filter(|fate| fate.done && !fate.right) {
            fate.excused = true;
        }
        self.closes.retain(|close| close.right);
        let monotonic = self.commands.iter().filter(|command| command.monotonic);
        self.shut.extend(monotonic.map(|command| command.key_id));
        self.ended.extend(self.successors.keys());
    }

    /// A key was made, at this time, with whose first use the one before ends.
    pub fn rotated(&mut self, before: KeyId, after: KeyId, created: UnixMillis) {
        self.successors.insert(before, after);
        self.may_stand.insert(after, created.get());
    }

    /// Keys that were made before a loss, whether they were used or not.
    pub fn shut(&mut self, key_id: KeyId) {
        self.shut.insert(key_id);
    }

    /// Nothing is admitted yet; the site's floor will be at most here.
    pub fn unsettled(&mut self, truth: i64) {
        self.site_may_stand = u64::try_from(truth).unwrap_or(0) + skew();
    }

    /// The profile's file was away: its memory shrank to a floor.
    pub fn absent(&mut self, key_id: KeyId) {
        let newest = self.newest.get(&key_id).copied().unwrap_or(0);
        let floor = self.may_stand.entry(key_id).or_default();
        *floor = newest.max(*floor);
    }
}
