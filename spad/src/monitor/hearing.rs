//! What a worker may say, and what that is held against before anything comes of it. Anything else ends the worker.
//!
//! | it says | what comes of it | only if |
//! |---|---|---|
//! | `Ask` to open | doors, and leases of them | its key id is served, and the ceiling allows service, address, length of prefix, window, target and numbers (`asks.rs`, `spa_core::ceiling`) |
//! | `Ask` to close | leases of its key id end | its key id is served |
//! | `Ask` to invoke | the runner hears of it | its key id is served, and spad.toml has the action and the argument (`running.rs`) |
//! | `Offer` | a receipt waits for the next ask | it has that ask's key id and time, and goes to whom that was for (`answering.rs`) |
//! | `Denied` | a receipt goes out | spad.toml allows receipts, and there are not too many (`answering.rs`) |
//! | `Renew` | another worker is started | the starter finds that it is time |
//! | `Refused`, `Tally` | operators are told | – |

use spa_core::action::Actions;
use spa_core::time::BootTime;
use tracing::{error, info};

use super::Monitor;
use super::asks::Work;
use crate::ask::{self, Message, Tally};
use crate::control::Notice;
use crate::operator::event::{Facts, Kind};
use crate::report::Refusal;
use crate::socketpair::{Received, Seqpacket};
use crate::sys::clock;

/// Messages that are heard before what they ask is done: a worker that never stops talking keeps nobody from being heard.
const TURN: usize = 1024;

/// A worker: the one that serves, or the one before it, which goes.
#[derive(Default)]
pub(super) struct Worker {
    /// `None` once it is gone: the guard stands whether somebody listens or not.
    pub(super) channel: Option<Seqpacket>,
    /// What it may have invoked, by the file that it was made for.
    pub(super) actions: Actions,
    /// As it last said.
    pub(super) tally: Tally,
    /// Whether it has said anything since the starter asked last.
    pub(super) spoke: bool,
}

impl Monitor<'_> {
    /// Carries out what the workers ask, all that waits in one transaction.
    pub(super) fn hear_workers(&mut self) {
        let mut work = Work::default();
        let mut retiring = std::mem::take(&mut self.retiring);
        self.hear(&mut retiring, &mut work);
        self.retiring = retiring;
        if let Some(mut worker) = self.serving.as_mut().map(|serving| std::mem::take(&mut serving.worker)) {
            self.hear(&mut worker, &mut work);
            if let Some(serving) = &mut self.serving {
                serving.worker = worker;
            }
        }
        self.finish(work);
    }

    /// Tells the starter that this process lives, and whether the worker has said anything since it asked last.
    pub(super) fn answer_for_the_worker(&mut self) {
        let there = self.serving.as_mut().map(|serving| &mut serving.worker);
        let there = there.filter(|worker| worker.channel.is_some());
        let worker = there.is_none_or(|worker| std::mem::take(&mut worker.spoke));
        self.notify(Notice::Alive { worker });
    }

    /// Whether a worker serves.
    pub(super) fn is_heard(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.worker.channel.is_some())
    }

    /// Reads what waits in its channel.
    fn hear(&mut self, worker: &mut Worker, work: &mut Work) {
        for _ in 0..TURN {
            let Some(channel) = &worker.channel else { return };
            let message = match channel.receive::<{ ask::SIZE }>() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(bytes)) => Message::decode(&bytes),
                // The starter sees it as well, and starts another.
                Ok(Received::Closed) => return worker.channel = None,
                Err(_) => Err(ask::NotAMessage),
            };
            worker.spoke = true;
            match message {
                Ok(Message::Ask(ask)) => {
                    let offered = self.answering.offered_for(&ask);
                    let granted = self.carry_out(&ask, &worker.actions, work);
                    work.receipts.extend(offered.map(|offered| (offered, ask.grantees, granted)));
                }
                Ok(Message::Offer(offer)) => self.answering.offer(offer),
                Ok(Message::Denied(sealed)) => self.answer(sealed, BootTime::new(clock::boottime())),
                Ok(Message::Renew) => self.notify(Notice::Renew),
                Ok(Message::Refused(refusal)) => self.tell_refusal(&refusal),
                Ok(Message::Tally(told)) => {
                    if told.lost > worker.tally.lost {
                        self.lost_at = Some(BootTime::new(clock::boottime()));
                    }
                    worker.tally = told;
                }
                Ok(Message::Ready { .. } | Message::Serves(_) | Message::Unfit(_))
                | Err(ask::NotAMessage) => {
                    error!("the worker sent what no worker sends; it is ended");
                    return worker.channel = None;
                }
            }
        }
    }

    /// Does it, and tells of it: somebody waits for the door, nobody for the line.
    fn finish(&mut self, work: Work) {
        let done = work.changes.is_empty() || self.apply(&work.changes);
        for profile in work.admitted {
            self.tell_admitted(&profile);
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

    pub(super) fn tell_admitted(&mut self, profile: &str) {
        let text = format!("admitted a request of profile={profile}");
        let facts = Facts { profile: Some(profile.to_owned()), ..Facts::default() };
        self.desk.tell(Kind::Admitted, &text, facts);
    }

    fn tell_refusal(&mut self, refusal: &Refusal) {
        let facts = Facts {
            profile: Some(refusal.profile.to_string()),
            times: Some(refusal.times.into()),
            ..Facts::because(refusal.reason)
        };
        self.desk.tell(Kind::Refused, &refusal.to_string(), facts);
    }
}
