//! What `spad watch` shows: a picture of text for a terminal, or lines for a pipe. Nothing here asks or prints.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::answer::{Event, Grant, Status};
use super::words;

/// Reasons by which a datagram shows that it is none of a profile's.
const STRANGERS: [&str; 5] = ["frame", "length", "header", "unknown-key", "mac"];
/// Events that are remembered.
const EVENTS: usize = 200;

/// Datagrams of each kind since the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    strangers: u64,
    knocks: u64,
    refused: u64,
    lost: u64,
}

impl Rates {
    fn totals(status: &Status) -> Self {
        let all: u64 = status.refused.values().sum();
        let strangers = status
            .refused
            .iter()
            .filter(|(name, _)| STRANGERS.contains(&name.as_str()))
            .map(|(_, count)| count)
            .sum();
        Self { strangers, knocks: status.admitted, refused: all - strangers, lost: status.lost }
    }

    /// From one look to the next; a monitor that was started anew counts from nothing.
    fn between(before: &Self, now: &Self) -> Self {
        Self {
            strangers: now.strangers.saturating_sub(before.strangers),
            knocks: now.knocks.saturating_sub(before.knocks),
            refused: now.refused.saturating_sub(before.refused),
            lost: now.lost.saturating_sub(before.lost),
        }
    }

    /// One line; `None` where nothing came.
    pub(super) fn line(&self) -> Option<String> {
        let Self { strangers, knocks, refused, lost } = self;
        (*self != Self::default())
            .then(|| format!("strangers={strangers}/s knocks={knocks}/s refused={refused}/s lost={lost}/s"))
    }
}

/// What is known.
#[derive(Default)]
pub(super) struct View {
    status: Option<Status>,
    totals: Option<Rates>,
    pub(super) rates: Rates,
    grants: Vec<Grant>,
    events: VecDeque<Event>,
}

impl View {
    pub(super) fn status(&mut self, status: Status) {
        let totals = Rates::totals(&status);
        self.rates = self.totals.map(|before| Rates::between(&before, &totals)).unwrap_or_default();
        self.totals = Some(totals);
        self.status = Some(status);
    }

    pub(super) fn grants(&mut self, grants: Vec<Grant>) {
        self.grants = grants;
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A second went by.
    pub(super) fn tick(&mut self) {
        for grant in &mut self.grants {
            grant.remaining = grant.remaining.saturating_sub(1);
        }
        self.grants.retain(|grant| grant.remaining > 0);
    }

    /// The picture, in so many columns and rows at most.
    pub(super) fn picture(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(status) = &self.status {
            let state = if status.degraded.is_empty() { "all is well" } else { "degraded" };
            lines.push(format!(
                "spad {}  up {}  {} profiles  {} doors open  {state}",
                status.version,
                words::span(status.uptime),
                status.profiles,
                status.doors
            ));
            lines.extend(status.degraded.iter().take(3).map(|complaint| format!("  ! {complaint}")));
        }
        let Rates { strangers, knocks, refused, lost } = self.rates;
        lines.push(format!(
            "a second: strangers {strangers}  knocks {knocks}  refused {refused}  lost {lost}"
        ));
        // Half of what is left for the doors, and what they leave for the events.
        let left = rows.saturating_sub(lines.len() + 2);
        let shown = self.grants.len().min(left / 2);
        lines.push(format!("DOORS ({})", self.grants.len()));
        for grant in self.grants.iter().take(shown) {
            let mut line = String::new();
            let (left, who) = (words::span(grant.remaining), words::who(grant));
            // Writing to a String cannot fail.
            let _ = write!(line, "  {left:>8}  {who:<16}  {} for {}", words::what(grant), words::whom(grant));
            lines.push(line);
        }
        lines.push("EVENTS".to_owned());
        let room = left.saturating_sub(shown);
        let skipped = self.events.len().saturating_sub(room);
        let text =
            |event: &Event| format!("  {}  {:<9}  {}", clock(&event.at), event.event.name(), event.text);
        lines.extend(self.events.iter().skip(skipped).map(text));
        lines.truncate(rows);
        lines.into_iter().map(|line| line.chars().take(columns).collect()).collect()
    }
}

/// `12:00:00` of a moment.
fn clock(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::operator::answer::Reloads;
    use crate::operator::event::Kind;

    fn status(admitted: u64, mac: u64, replayed: u64) -> Status {
        Status {
            version: "0.1.0".into(),
            uptime: 3661,
            serving: Some(1),
            port: Some(4242),
            profiles: 2,
            firewall: None,
            interfaces: BTreeMap::new(),
            doors: 1,
            clock: "trusted".into(),
            admitted,
            refused: [("mac".to_owned(), mac), ("replayed".to_owned(), replayed)].into(),
            lost: 0,
            reload: None,
            events: BTreeMap::new(),
            reloads: Reloads::default(),
            runner: None,
            parts: BTreeSet::new(),
            degraded: vec!["interface eth1 is down".into()],
        }
    }

    fn grant(remaining: u64) -> Grant {
        Grant {
            profile: Some("laptop".into()),
            key_id: "00c0ffee".into(),
            service: "tcp/22".into(),
            grantee: "192.0.2.7".into(),
            source_port: None,
            once: false,
            forward: None,
            since: None,
            asked: String::new(),
            until: String::new(),
            remaining,
            cut: false,
            through: None,
        }
    }

    #[test]
    fn a_picture_has_rates_doors_that_count_down_and_the_last_events() {
        let mut view = View::default();
        view.status(status(5, 100, 7));
        assert_eq!(view.rates.line(), None, "the first look has nothing to compare with");
        view.status(status(6, 130, 7));
        assert_eq!(view.rates.line().as_deref(), Some("strangers=30/s knocks=1/s refused=0/s lost=0/s"));
        view.grants(vec![grant(30), grant(1)]);
        view.tick();
        for second in 0..9 {
            let (at, event) = (format!("2026-11-21T12:00:0{second}Z"), Kind::Opened);
            let text = "opened tcp/22 for 192.0.2.7".into();
            view.event(Event { at, event, text, ..Event::default() });
        }
        let expected = [
            "spad 0.1.0  up 1h 1m 1s  2 profiles  1 doors open  degraded",
            "  ! interface eth1 is down",
            "a second: strangers 30  knocks 1  refused 0  lost 0",
            "DOORS (1)",
            "       29s  laptop            tcp/22 for 192.0.2.7",
            "EVENTS",
            "  12:00:07  opened     opened tcp/22 for 192.0.2.7",
            "  12:00:08  opened     opened tcp/22 for 192.0.2.7",
        ];
        assert_eq!(view.picture(80, 8), expected);
        assert!(view.picture(20, 4).iter().all(|line| line.len() <= 20));
        assert_eq!(view.picture(20, 4).len(), 4);
        view.status(status(0, 0, 0));
        assert_eq!(view.rates, Rates::default(), "a new monitor counts from nothing");
    }
}
