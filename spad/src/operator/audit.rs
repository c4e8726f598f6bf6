//! `spad audit`: a small process that only reads the control socket and keeps what it says. The daemon does not wait for it:
//! what it missed, for whatever reason, it counts by the events' numbers and says so.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use spa_core::file::fields::write_moment;
use spa_core::time::UnixMillis;
use tracing::{error, info, warn};

use super::answer::{Answer, Watching};
use super::call::{Call, CallError};
use super::event::{Event, Facts, Kind};
use super::question::Question;
use super::sink::{Sink, Target};
use super::through;
use crate::exit::ExitStatus;

/// Between two calls to a daemon that is not there.
const PAUSE: Duration = Duration::from_secs(1);
/// A call ends with its monitor; until then it may be silent for as long as nobody knocks.
const SILENCE: Duration = Duration::from_secs(3600);

/// Keeps what happens until it is interrupted.
pub fn audit(state_dir: &Path, target: &Target) -> ExitStatus {
    let mut sink = match Sink::open(target) {
        Ok(sink) => sink,
        Err(error) => {
            error!("cannot write there: {error} (hint: a file in a folder that exists, or --journald)");
            return ExitStatus::Failure;
        }
    };
    let (mut row, mut waits) = (Row::default(), false);
    loop {
        match listen(state_dir, &mut sink, &mut row, &mut waits) {
            CallError::NotPermitted(path) => {
                error!("{}", CallError::NotPermitted(path));
                return ExitStatus::NotPermitted;
            }
            // The next call finds out how much was missed.
            CallError::Ended => {}
            error if !waits => {
                warn!("{error}; waiting until there is one to hear");
                waits = true;
            }
            _ => {}
        }
        sleep(PAUSE);
    }
}

/// Keeps what one monitor tells; returns why it ended.
fn listen(state_dir: &Path, sink: &mut Sink, row: &mut Row, waits: &mut bool) -> CallError {
    let mut call = match Call::ask(state_dir, &Question::Watch) {
        Ok(call) => call,
        Err(error) => return error,
    };
    loop {
        let events = match call.next_within(SILENCE) {
            Ok(None) => continue,
            Ok(Some(Answer::Watching(watching))) => {
                info!("hearing spad from event {} on", watching.next);
                *waits = false;
                row.begins(watching)
            }
            Ok(Some(Answer::Event(mut event))) => {
                if event.event == Kind::Closed {
                    through::count_event(&mut event.facts);
                }
                row.follows(*event)
            }
            Ok(Some(_)) => return CallError::OtherVersion,
            Err(error) => return error,
        };
        for event in events {
            keep(sink, row, &event);
        }
    }
}

/// What cannot be written is missed, and said as soon as something can be.
fn keep(sink: &mut Sink, row: &mut Row, event: &Event) {
    let told = match row.unwritten {
        0 => Ok(()),
        missed => sink.put(&missing(missed, "target", "they could not be written")),
    };
    match told.inspect(|()| row.unwritten = 0).and_then(|()| sink.put(event)) {
        Ok(()) => row.said = false,
        Err(error) => {
            // What an event stands for that says how many were missed is missed as well.
            row.unwritten = row.unwritten.saturating_add(event.facts.missed.unwrap_or(1));
            if !std::mem::replace(&mut row.said, true) {
                error!("events are missed, as they cannot be written: {error}");
            }
        }
    }
}

/// How far it has come.
#[derive(Default)]
struct Row {
    /// The monitor, and the next event to be heard of it.
    at: Option<Watching>,
    unwritten: u64,
    said: bool,
}

impl Row {
    /// A call was taken: what is to be kept of that.
    fn begins(&mut self, watching: Watching) -> Vec<Event> {
        match self.at.replace(watching) {
            None => {
                let text = format!("the audit begins with event {} of this monitor", watching.next);
                vec![own(Kind::Begun, text, Facts::default())]
            }
            Some(before) if before.monitor == watching.monitor => {
                let missed = before.missed_until(watching);
                let said = || missing(missed, "slow", "the audit did not keep up, or was not heard");
                (missed > 0).then(said).into_iter().collect()
            }
            Some(before) => {
                let why = "of a monitor that is new; what the one before told last may be missing too";
                vec![missing(before.missed_until(watching), "monitor", why)]
            }
        }
    }

    /// An event came: what is to be kept of that.
    fn follows(&mut self, event: Event) -> Vec<Event> {
        let Some((at, number)) = self.at.as_mut().zip(event.number) else { return vec![event] };
        let missed = at.follow(number);
        let gap = (missed > 0).then(|| missing(missed, "slow", "the audit did not keep up"));
        gap.into_iter().chain([event]).collect()
    }
}

fn missing(missed: u64, reason: &str, why: &str) -> Event {
    let facts = Facts { missed: Some(missed), ..Facts::because(reason) };
    own(Kind::Missed, format!("{missed} events were missed: {why}"), facts)
}

fn own(event: Kind, text: String, facts: Facts) -> Event {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Event { at: write_moment(UnixMillis::clamped(wall)), event, text, number: None, facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call by its monitor and next number, or an event by its number; what is kept: `0` for the event, else how many were missed.
    enum Heard {
        Call(u64, u64),
        Event(u64),
    }
    use Heard::{Call as Calls, Event as Comes};

    #[test]
    fn what_was_missed_is_counted_by_the_numbers() {
        #[rustfmt::skip]
        let rows = [
            (Calls(1, 5),  vec![None],            "the audit begins, and nothing is missed that it was not there for"),
            (Comes(5),     vec![None],            "in order"),
            (Comes(6),     vec![None],            "in order"),
            (Comes(9),     vec![Some(2), None],   "7 and 8 are missing"),
            (Calls(1, 10), vec![],                "it called again, and missed nothing"),
            (Calls(1, 14), vec![Some(4)],         "it called again, and missed four"),
            (Comes(14),    vec![None],            "in order"),
            (Calls(2, 3),  vec![Some(2)],         "a new monitor has told two"),
            (Calls(3, 1),  vec![Some(0)],         "another, of which none is known to be missing"),
        ];
        let mut row = Row::default();
        for (heard, expected, why) in rows {
            let kept = match heard {
                Calls(monitor, next) => row.begins(Watching { monitor, next }),
                Comes(number) => row.follows(Event { number: Some(number), ..Event::default() }),
            };
            assert_eq!(kept.iter().map(|event| event.facts.missed).collect::<Vec<_>>(), expected, "{why}");
        }
    }
}
