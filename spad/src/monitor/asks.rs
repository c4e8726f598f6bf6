//! What workers ask for: held against the ceiling, made leases, carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::lease::{Change, Door, Limit};
use spa_core::policy::Effect;
use spa_core::time::BootTime;
use tracing::{error, info};

use super::answering::Offered;
use super::ending::is_spent;
use super::{Monitor, words};
use crate::ask::{self, Ask, Message, Tally};
use crate::control::Notice;
use crate::operator::event::{Cause, Facts, Kind};
use crate::report::Refusal;
use crate::socketpair::{Received, Seqpacket};
use crate::sys::clock;

/// What the workers asked for, to be done at once and told afterwards.
#[derive(Default)]
struct Work {
    /// Profiles whose requests these are.
    admitted: Vec<Arc<str>>,
    changes: Vec<Change>,
    /// The kind of event, what the log says of it, and what is known.
    lines: Vec<(Kind, String, Facts)>,
    /// Receipts that were offered, for whom, and whether all was granted.
    receipts: Vec<(Offered, Vec<Grantee>, bool)>,
    /// Somebody said something.
    heard: bool,
    /// It is the worker that retires who says it.
    retires: bool,
}

/// Lines and fields; `profile` is whose doors they were, where that is known.
fn closed(changes: &[Change], cause: Cause, profile: Option<&str>) -> Vec<(String, Facts)> {
    let closed = changes.iter().filter_map(|change| match change {
        Change::Remove { door } => Some(*door),
        Change::Set { .. } => None,
    });
    let why = match profile {
        Some(profile) if cause == Cause::Asked => format!("profile={profile} asked for it"),
        _ => cause.words().to_owned(),
    };
    let told = words::of_doors(closed).into_iter();
    told.map(|told| {
        let (profile, reason) = (profile.map(str::to_owned), Some(cause.name().to_owned()));
        (format!("closed {}: {why}", told.text), Facts { profile, reason, ..told.facts })
    })
    .collect()
}

impl Monitor<'_> {
    /// Carries out what the workers ask, all that waits in one transaction.
    pub(super) fn hear_workers(&mut self) {
        let mut work = Work::default();
        if let Some(channel) = self.retiring.take() {
            let mut tally = std::mem::take(&mut self.retiring_tally);
            work.retires = true;
            self.retiring = self.hear(channel, &mut tally, &mut work);
            self.retiring_tally = tally;
        }
        if let Some(channel) = self.serving.as_mut().and_then(|serving| serving.channel.take()) {
            let mut tally =
                self.serving.as_mut().map(|serving| std::mem::take(&mut serving.tally)).unwrap_or_default();
            work.heard = false;
            work.retires = false;
            let still_open = self.hear(channel, &mut tally, &mut work);
            if let Some(serving) = &mut self.serving {
                serving.spoke |= work.heard;
                serving.channel = still_open;
                serving.tally = tally;
            }
        }
        let done = work.changes.is_empty() || self.apply(&work.changes);
        // Somebody waits for the door, nobody for the line.
        for profile in work.admitted {
            let text = format!("admitted a request of profile={profile}");
            let facts = Facts { profile: Some(profile.to_string()), ..Facts::default() };
            self.desk.tell(Kind::Admitted, &text, facts);
        }
        for (event, line, facts) in work.lines {
            if done {
                info!("{line}")
            } else {
                info!("after the repair: {line}")
            }
            self.desk.tell(event, &line, facts);
        }
        for refusal in self.reporter.take_said() {
            self.tell_refusal(&refusal);
        }
        let now = BootTime::new(clock::boottime());
        for (offered, grantees, granted) in work.receipts {
            if let Some(sealed) = offered.true_one(&grantees, granted && done) {
                self.answer(sealed, now);
            }
        }
    }

    /// Tells the starter that this process lives, and whether the worker has said anything since it asked last.
    pub(super) fn answer_for_the_worker(&mut self) {
        let there = self.serving.as_mut().filter(|serving| serving.channel.is_some());
        let worker = there.is_none_or(|serving| std::mem::take(&mut serving.spoke));
        self.notify(Notice::Alive { worker });
    }

    /// Says what was closed, and why.
    pub(super) fn say_closed(&mut self, changes: &[Change], cause: Cause) {
        self.say_closed_of(changes, cause, None);
    }

    /// The same of doors that one profile held, if it is known which.
    pub(super) fn say_closed_of(&mut self, changes: &[Change], cause: Cause, holder: Option<KeyId>) {
        let profile =
            holder.and_then(|holder| self.serving.as_ref()?.profiles.name(holder).map(str::to_owned));
        for (line, facts) in closed(changes, cause, profile.as_deref()) {
            info!("{line}");
            self.desk.tell(Kind::Closed, &line, facts);
        }
    }

    fn tell_refusal(&mut self, refusal: &Refusal) {
        let facts = Facts {
            profile: Some(refusal.profile.to_string()),
            times: Some(refusal.times.into()),
            ..Facts::because(refusal.reason)
        };
        self.desk.tell(Kind::Refused, &refusal.to_string(), facts);
    }

    /// Reads what waits in a channel; gives it back while its worker is there.
    fn hear(&mut self, channel: Seqpacket, tally: &mut Tally, work: &mut Work) -> Option<Seqpacket> {
        loop {
            let message = match channel.receive::<{ ask::SIZE }>() {
                Ok(Received::Nothing) => return Some(channel),
                Ok(Received::Message(bytes)) => Message::decode(&bytes),
                // The starter sees it as well, and starts another.
                Ok(Received::Closed) => return None,
                Err(_) => Err(ask::NotAMessage),
            };
            work.heard = true;
            match message {
                Ok(Message::Ask(ask)) => {
                    let offered = self.answering.offered_for(&ask);
                    let granted = self.carry_out(&ask, work);
                    work.receipts.extend(offered.map(|offered| (offered, ask.grantees, granted)));
                }
                Ok(Message::Offer(offer)) => self.answering.offer(offer),
                Ok(Message::Denied(sealed)) => self.answer(sealed, BootTime::new(clock::boottime())),
                Ok(Message::Renew) => self.notify(Notice::Renew),
                Ok(Message::Refused(refusal)) => self.tell_refusal(&refusal),
                Ok(Message::Tally(told)) => {
                    if told.lost > tally.lost {
                        self.lost_at = Some(BootTime::new(clock::boottime()));
                    }
                    *tally = told;
                }
                Ok(Message::Ready { .. } | Message::Serves(_) | Message::Unfit(_))
                | Err(ask::NotAMessage) => {
                    error!("the worker sent what no worker sends; it is ended");
                    return None;
                }
            }
        }
    }

    /// Returns whether all of it is granted.
    fn carry_out(&mut self, ask: &Ask, work: &mut Work) -> bool {
        let Some(serving) = &self.serving else { return false };
        let now = BootTime::new(clock::boottime());
        let profile = &ask.profile;
        // Asked for by a worker that retires, or by a captured one that makes up key ids to hold more than one may.
        if !serving.serves(ask.key_id) {
            let why = "no profile that is served has this key id";
            self.reporter.refused(profile, "unserved", why, now);
            return false;
        }
        if let Effect::Invoke(invocation) = ask.effect {
            let of = if work.retires { self.retiring_actions.clone() } else { serving.actions.clone() };
            return self.invoke(ask, invocation, &of, now);
        }
        work.admitted.push(profile.clone());
        let (services, narrowing, terms) = match &ask.effect {
            Effect::Open { services, narrowing, terms } => (services, narrowing, terms),
            Effect::Close { services } => {
                let changes = self.leases.close(ask.key_id, services, ask.time, now);
                let lines = closed(&changes, Cause::Asked, Some(profile)).into_iter();
                work.lines.extend(lines.map(|(line, facts)| (Kind::Closed, line, facts)));
                work.changes.extend(changes);
                return true;
            }
            Effect::Invoke(_) => return false,
        };
        let ceiling = &serving.config.ceiling;
        let seconds = terms.window.min(ceiling.max_window);
        let window = humantime::format_duration(seconds);
        let (mut opened, mut refreshed) = (Vec::new(), Vec::new());
        let mut refused: BTreeMap<String, Vec<Door>> = BTreeMap::new();
        for door in narrowing.doors(&ask.grantees, services) {
            let told = || {
                work.changes
                    .iter()
                    .any(|change| matches!(change, Change::Set { door: set, .. } if *set == door))
            };
            if self.leases.holds(door)
                && door.limit == Limit::Once
                && !told()
                && is_spent(self.firewall.as_mut(), door)
            {
                self.leases.forget(door);
            }
            let list = if self.leases.holds(door) { &mut refreshed } else { &mut opened };
            match self.leases.open(door, ask.key_id, ask.time, terms, now, ceiling) {
                Ok(change) => {
                    list.push(door);
                    work.changes.push(change);
                }
                Err(above) => refused.entry(above.to_string()).or_default().push(door),
            }
        }
        let led = terms.forward.map(|to| format!(" to {to}")).unwrap_or_default();
        for (event, doors) in [(Kind::Opened, opened), (Kind::Refreshed, refreshed)] {
            work.lines.extend(words::of_doors(doors).into_iter().map(|told| {
                let line = format!("opened {}{led} profile={profile} window={window}", told.text);
                let facts = Facts {
                    profile: Some(profile.to_string()),
                    window: Some(seconds.as_secs()),
                    forward: terms.forward.map(|to| to.to_string()),
                    ..told.facts
                };
                (event, line, facts)
            }));
        }
        let granted = refused.is_empty();
        for (why, doors) in refused {
            for door in words::of_doors(doors) {
                self.reporter.refused(profile, "ceiling", format!("not opened: {}: {why}", door.text), now);
            }
        }
        granted
    }
}
