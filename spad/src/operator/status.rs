//! The programs that ask: `spad status`, `grants`, `revoke` and `reload`.

use std::path::Path;

use serde::Serialize;
use tracing::error;

use super::answer::{Answer, Grant, Status};
use super::call::{Call, CallError};
use super::question::{Question, Whose};
use super::{through, words};
use crate::doctor::Form;
use crate::exit::ExitStatus;

pub(super) fn outcome(done: Result<ExitStatus, CallError>) -> ExitStatus {
    done.unwrap_or_else(|failed| {
        error!("{failed}");
        (&failed).into()
    })
}

/// For a pipe that nobody reads any more it is no fault that this cannot be written.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn tell<T: Serialize>(form: Form, answer: &T, words: impl FnOnce() -> String) {
    match form {
        Form::Lines => say(words().trim_end()),
        Form::Json => say(&serde_json::to_string(answer).unwrap_or_default()),
    }
}

pub(super) fn ask_status(state_dir: &Path) -> Result<Box<Status>, CallError> {
    match Call::ask(state_dir, &Question::Status)?.next()? {
        Answer::Status(status) => Ok(status),
        _ => Err(CallError::OtherVersion),
    }
}

/// How it goes. Status [`ExitStatus::Unwell`] if something is not as it should be.
pub fn status(state_dir: &Path, form: Form) -> ExitStatus {
    outcome(ask_status(state_dir).map(|status| {
        tell(form, &status, || words::status(&status));
        if status.degraded.is_empty() { ExitStatus::Done } else { ExitStatus::Unwell }
    }))
}

/// Who holds what open.
pub fn grants(state_dir: &Path, form: Form) -> ExitStatus {
    outcome(ask_grants(state_dir).map(|mut grants| {
        through::count(&mut grants);
        tell(form, &grants, || words::grants(&grants));
        ExitStatus::Done
    }))
}

pub(super) fn ask_grants(state_dir: &Path) -> Result<Vec<Grant>, CallError> {
    let call = Call::ask(state_dir, &Question::Grants)?;
    let mut all = Vec::new();
    loop {
        match call.next()? {
            Answer::Grants(none) if none.is_empty() => return Ok(all),
            Answer::Grants(some) => all.extend(some),
            _ => return Err(CallError::OtherVersion),
        }
    }
}

/// Closes doors at once, and says which.
pub fn revoke(state_dir: &Path, whose: &str, form: Form) -> ExitStatus {
    let Ok(of) = whose.parse::<Whose>() else {
        error!("{whose:?} is neither an address, nor a profile's name, nor a key id");
        return ExitStatus::Usage;
    };
    let asked = Call::ask(state_dir, &Question::Revoke(of)).and_then(|call| call.next());
    outcome(asked.and_then(|answer| {
        let Answer::Revoked(revoked) = answer else { return Err(CallError::OtherVersion) };
        tell(form, &revoked, || words::revoked(&revoked, whose));
        Ok(if revoked.done { ExitStatus::Done } else { ExitStatus::Firewall })
    }))
}

/// Has the files read anew, and says whether they are in force.
pub fn reload(state_dir: &Path, form: Form) -> ExitStatus {
    outcome(Call::ask(state_dir, &Question::Reload).and_then(|call| call.next()).and_then(|answer| {
        let Answer::Reloaded(reloaded) = answer else { return Err(CallError::OtherVersion) };
        match (&reloaded.reason, form) {
            (Some(reason), Form::Lines) => error!("reload refused, everything stays as it was: {reason}"),
            _ => tell(form, &reloaded, || "reloaded: the files as they are now are in force".to_owned()),
        }
        Ok(if reloaded.taken { ExitStatus::Done } else { ExitStatus::Configuration })
    }))
}
