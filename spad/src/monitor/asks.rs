//! What workers ask for: held against the ceiling, made leases, carried out.

use std::collections::BTreeMap;

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
use crate::socketpair::{Received, Seqpacket};
use crate::sys::clock;

/// What the workers asked for, to be done at once and told afterwards.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    /// The kind of event, and what the log says of it.
    lines: Vec<(&'static str, String)>,
    /// Receipts that were offered, for whom, and whether all was granted.
    receipts: Vec<(Offered, Vec<Grantee>, bool)>,
    /// Somebody said something.
    heard: bool,
}

fn lines_of_closed(changes: &[Change], why: &str) -> impl Iterator<Item = String> {
    let closed = changes.iter().filter_map(|change| match change {
        Change::Remove { door } => Some(*door),
        Change::Set { .. } => None,
    });
    words::of_doors(closed).into_iter().map(move |door| format!("closed {door}: {why}"))
}

impl Monitor<'_> {
    /// Carries out what the workers ask, all that waits in one transaction.
    pub(super) fn hear_workers(&mut self) {
        let mut work = Work::default();
        if let Some(channel) = self.retiring.take() {
            let mut tally = std::mem::take(&mut self.retiring_tally);
            self.retiring = self.hear(channel, &mut tally, &mut work);
            self.retiring_tally = tally;
        }
        if let Some(channel) = self.serving.as_mut().and_then(|serving| serving.channel.take()) {
            let mut tally =
                self.serving.as_mut().map(|serving| std::mem::take(&mut serving.tally)).unwrap_or_default();
            work.heard = false;
            let still_open = self.hear(channel, &mut tally, &mut work);
            if let Some(serving) = &mut self.serving {
                serving.spoke |= work.heard;
                serving.channel = still_open;
                serving.tally = tally;
            }
        }
        let done = work.changes.is_empty() || self.apply(&work.changes);
        // Somebody waits for the door, nobody for the line.
        for (event, line) in work.lines {
            if done {
                info!("{line}")
            } else {
                info!("after the repair: {line}")
            }
            self.desk.tell(event, &line);
        }
        for line in self.reporter.take_said() {
            self.desk.tell("refused", &line);
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
    pub(super) fn say_closed(&mut self, changes: &[Change], why: &str) {
        for line in lines_of_closed(changes, why) {
            info!("{line}");
            self.desk.tell("closed", &line);
        }
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
                Ok(Message::Refused(line)) => self.desk.tell("refused", &line),
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
        let (services, narrowing, terms) = match &ask.effect {
            Effect::Open { services, narrowing, terms } => (services, narrowing, terms),
            Effect::Close { services } => {
                let closed = self.leases.close(ask.key_id, services, ask.time, now);
                let why = format!("profile={profile} asked for it");
                work.lines.extend(lines_of_closed(&closed, &why).map(|line| ("closed", line)));
                work.changes.extend(closed);
                return true;
            }
        };
        let ceiling = &serving.config.ceiling;
        let window = humantime::format_duration(terms.window.min(ceiling.max_window));
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
        for (event, doors) in [("opened", opened), ("refreshed", refreshed)] {
            let lines = words::of_doors(doors).into_iter();
            work.lines.extend(
                lines.map(|door| (event, format!("opened {door}{led} profile={profile} window={window}"))),
            );
        }
        let granted = refused.is_empty();
        for (why, doors) in refused {
            for door in words::of_doors(doors) {
                self.reporter.refused(profile, "ceiling", format!("not opened: {door}: {why}"), now);
            }
        }
        granted
    }
}
