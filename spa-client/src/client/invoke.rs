//! The words of `--invoke`: the name of an action, and what it is to be told.

use spa_core::request::Request;

use crate::failure::Failure;

/// A word that is sent as it was typed, and printed.
pub(super) fn word(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= Request::MAX_ARGUMENT && !text.contains(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("use up to 128 bytes of text without control characters") }
}

/// Whether the first word, if there is one, may be a name; which names there are, only the server knows.
pub(super) fn check(words: &[String]) -> Result<(), Failure> {
    let good = |name: &String| {
        (1..=Request::MAX_ACTION).contains(&name.len()) && !name.contains(char::is_whitespace)
    };
    if words.first().is_none_or(good) {
        Ok(())
    } else {
        Err(Failure::usage("no name of an action: use 1 to 64 bytes without blanks"))
    }
}
