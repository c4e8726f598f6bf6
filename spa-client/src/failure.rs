//! How a program ends that could not do what it was asked: one sentence, one hint, one exit status.

use std::fmt;
use std::process::ExitCode;

use crate::output::complain;

/// The exit statuses that both man pages list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Anything that has no status of its own.
    Other = 1,
    /// The command line says nothing that can be done.
    Usage = 2,
    /// A profile, or the site, is missing, wrong or too readable, or exists already.
    File = 3,
    /// The server's name has no (fitting) address.
    Name = 4,
    /// No way leads to any of the server's addresses.
    NoRoute = 5,
    /// The name could not be looked up in time.
    TimedOut = 6,
    /// The service behind the door does not answer.
    Silence = 7,
    /// The service behind the door refuses.
    Refused = 8,
    /// The server's receipt says that it was not done.
    Denied = 9,
}

/// Why the program ends. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) sentence: String,
    /// What to do about it. A usage error has none, because its sentence already says it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: Status, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), hint: Some(hint.into()) }
    }

    /// A command line that cannot be carried out: one line, and nothing was done.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { status: Status::Usage, sentence: sentence.into(), hint: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.sentence))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", one_line(hint)),
            None => Ok(()),
        }
    }
}

/// A name or a path may hold line feeds and escape sequences; what is printed of it does not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The end of a program: says why, if it failed.
pub(crate) fn exit(program: &str, end: Result<(), Failure>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&format!("{program}: {failure}"));
            ExitCode::from(failure.status as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_steers_the_terminal() {
        let failure = Failure::new(Status::File, "no\nprofile \u{1b}[31m", "use\r another");
        assert_eq!(failure.to_string(), "no\u{fffd}profile \u{fffd}[31m\n  hint: use\u{fffd} another");
    }
}
