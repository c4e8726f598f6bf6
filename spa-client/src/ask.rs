//! Questions, for somebody at a terminal.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _, stderr, stdin};

use zeroize::Zeroizing;

use crate::failure::{Failure, Status};
use crate::secret_file::{LARGEST, plain};

/// Whether there is anybody to ask.
pub(crate) fn is_somebody_there() -> bool {
    stdin().is_terminal()
}

/// Whether somebody who is asked says yes. `None` if nobody is there.
pub(crate) fn sure(question: &str) -> Option<bool> {
    if !is_somebody_there() {
        return None;
    }
    let _ = write!(stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let _ = stdin().lock().take(64).read_line(&mut answer);
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// One line of standard input. Says what is wanted if somebody sits there.
pub(crate) fn line(wanted: &str) -> Result<String, Failure> {
    invite(&format!("{wanted}, then press Enter:"));
    let mut line = String::new();
    stdin().lock().take(LARGEST).read_line(&mut line).map_err(|error| unreadable(&error))?;
    Ok(line)
}

/// All of standard input: a text that is pasted, perhaps with keys in it.
pub(crate) fn text(wanted: &str) -> Result<Zeroizing<String>, Failure> {
    invite(&format!("{wanted}, then press Ctrl-D at the beginning of a line:"));
    let mut text = Zeroizing::new(String::new());
    // At once in its whole size: a string that grows leaves copies of the keys behind.
    text.reserve_exact(usize::try_from(LARGEST).unwrap_or_default());
    stdin().lock().take(LARGEST).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text)
}

fn invite(words: &str) {
    if stdin().is_terminal() {
        let _ = writeln!(stderr().lock(), "{words}");
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    let sentence = format!("cannot read standard input: {}", plain(error));
    Failure::new(Status::Other, sentence, "paste text, and no file of another kind")
}
