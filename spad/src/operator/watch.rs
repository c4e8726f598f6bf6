//! `spad watch`: a small process that only reads the control socket and shows what it says. On a terminal one picture is drawn
//! anew in its place; into a pipe goes a line for each event.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::warn;

use super::answer::{Answer, Event};
use super::call::{Call, CallError};
use super::event::Kind;
use super::question::Question;
use super::status::{ask_grants, ask_status, outcome};
use super::view::View;
use crate::doctor::Form;
use crate::exit::ExitStatus;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Doors may be thousands: their list is asked for when one changed, and every so many looks.
const LISTS: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Picture,
    Lines,
    Json,
}

/// Shows what happens until it is interrupted, or spad ends.
pub fn watch(state_dir: &Path, form: Form) -> ExitStatus {
    let is_screen = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let shown = match form {
        Form::Json => Shown::Json,
        Form::Lines if is_screen => Shown::Picture,
        Form::Lines => Shown::Lines,
    };
    outcome(run(state_dir, shown).map(|()| ExitStatus::Done))
}

/// Ends well when nobody reads what is shown any more.
fn run(state_dir: &Path, shown: Shown) -> Result<(), CallError> {
    let (mut view, mut screen) = (View::default(), Screen::default());
    let mut call = Call::ask(state_dir, &Question::Watch)?;
    let (mut looked, mut ticks, mut changed) = (None::<Instant>, 0_u32, true);
    loop {
        let due = looked.is_none_or(|at| at.elapsed() >= TICK);
        if due {
            looked = Some(Instant::now());
            ticks = ticks.wrapping_add(1);
            view.tick();
            if shown != Shown::Json {
                view.status(*ask_status(state_dir)?);
            }
            if shown == Shown::Picture && (changed || ticks.is_multiple_of(LISTS)) {
                view.grants(ask_grants(state_dir)?);
                changed = false;
            }
            let written = match shown {
                Shown::Picture => screen.draw(&view),
                Shown::Lines => view.rates.line().map_or(Ok(()), |line| writeln!(io::stdout(), "{line}")),
                Shown::Json => Ok(()),
            };
            if written.is_err() {
                return Ok(());
            }
        }
        let left = looked.map_or(TICK, |at| TICK.saturating_sub(at.elapsed()));
        match call.next_within(left) {
            Ok(None) => {}
            Ok(Some(Answer::Watching(_))) => {}
            // For people, what opens says that it was admitted.
            Ok(Some(Answer::Event(event))) if shown != Shown::Json && event.event == Kind::Admitted => {}
            Ok(Some(Answer::Event(event))) => {
                changed = true;
                if shown != Shown::Picture && write_event(shown, &event).is_err() {
                    return Ok(());
                }
                view.event(*event);
            }
            Ok(Some(_)) => return Err(CallError::OtherVersion),
            Err(CallError::Ended) => {
                warn!(
                    "spad ended the call: its monitor is started anew, or this reads too slowly; calling again"
                );
                call = Call::ask(state_dir, &Question::Watch)?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn write_event(shown: Shown, event: &Event) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match shown {
        Shown::Json => writeln!(out, "{}", serde_json::to_string(event).unwrap_or_default())?,
        _ => writeln!(out, "{} {}: {}", event.at, event.event.name(), event.text)?,
    }
    out.flush()
}

/// The picture as it stands on the terminal.
#[derive(Default)]
struct Screen {
    rows: usize,
}

impl Screen {
    fn draw(&mut self, view: &View) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let size = rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_col > 0 && size.ws_row > 2);
        let (columns, rows) =
            size.map_or((80, 24), |size| (size.ws_col.into(), usize::from(size.ws_row) - 1));
        let picture = view.picture(columns, rows);
        let mut text = String::new();
        if self.rows > 0 {
            // Up to its first line, and all below gone: what stood on the terminal before stays.
            text += &format!("\x1b[{}A\r\x1b[J", self.rows);
        }
        for line in &picture {
            text += line;
            text.push('\n');
        }
        self.rows = picture.len();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
