//! What was found: one fact each, with the cure where there is something to mend.

use std::fmt;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Names the check, for scripts; it never changes.
    pub id: &'static str,
    /// How it is.
    pub state: State,
    /// One sentence.
    pub what: String,
    /// One sentence, where something is to be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How bad it is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A door is open, or a knock would not open it.
    Bad,
    /// It works, and somebody should know this.
    Warning,
    /// As it should be.
    Ok,
}

impl Finding {
    /// As it should be.
    pub fn ok(id: &'static str, what: impl Into<String>) -> Self {
        Self { id, state: State::Ok, what: what.into(), fix: None }
    }

    /// Worth knowing.
    pub fn warning(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, state: State::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    /// To be mended.
    pub fn bad(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, state: State::Bad, what: what.into(), fix: Some(fix.into()) }
    }
}

/// One line, with a mark that needs no colour.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Bad => "BAD ",
            State::Warning => "warn",
            State::Ok => "ok  ",
        };
        write!(f, "{mark}  {}: {}", self.id, self.what)?;
        match &self.fix {
            Some(fix) => write!(f, " (fix: {fix})"),
            None => Ok(()),
        }
    }
}

/// What is wrong; where nothing is, one sentence that says so.
pub(super) fn or_ok(found: Vec<Finding>, id: &'static str, what: impl Into<String>) -> Vec<Finding> {
    if found.is_empty() { vec![Finding::ok(id, what)] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_an_object_say_the_same() {
        let finding = Finding::bad("listener", "nobody listens", "start it");
        assert_eq!(finding.to_string(), "BAD   listener: nobody listens (fix: start it)");
        let json = serde_json::to_value(&finding).unwrap();
        let expected = serde_json::json!({"id": "listener", "state": "bad", "what": "nobody listens", "fix": "start it"});
        assert_eq!(json, expected);
        let json = serde_json::to_value(Finding::ok("clock", "right")).unwrap();
        assert_eq!(json, serde_json::json!({"id": "clock", "state": "ok", "what": "right"}));
    }
}
