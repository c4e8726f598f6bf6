//! What workers ask for, from here on only by key ids that are served: held against the ceiling and made leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use spa_core::action::Actions;
use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::lease::{Change, Door, Limit};
use spa_core::policy::Effect;
use spa_core::time::BootTime;
use tracing::info;

use super::answering::Offered;
use super::ending::is_spent;
use super::{Monitor, words};
use crate::ask::Ask;
use crate::operator::event::{Cause, Facts, Kind};
use crate::sys::clock;

/// What the workers asked for, to be done at once and told afterwards.
#[derive(Default)]
pub(super) struct Work {
    /// Profiles whose requests these are.
    pub(super) admitted: Vec<Arc<str>>,
    pub(super) changes: Vec<Change>,
    /// The kind of event, what the log says of it, and what is known.
    pub(super) lines: Vec<(Kind, String, Facts)>,
    /// Receipts that were offered, for whom, and whether all was granted.
    pub(super) receipts: Vec<(Offered, Vec<Grantee>, bool)>,
}

/// Lines and fields; `profile` is whose doors they were, where that is known.
fn closed(changes: &[Change], cause: Cause, profile: Option<&str>) -> Vec<(String, Facts)> {
    let closed = changes.iter().filter_map(Change::closes);
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

    /// Adds to the work what one ask needs, of a worker that was made for those actions. Returns whether all of it is granted.
    pub(super) fn carry_out(&mut self, ask: &Ask, of: &Actions, work: &mut Work) -> bool {
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
            return self.invoke(ask, invocation, of, now);
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
