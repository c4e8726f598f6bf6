//! What is said at the end: lines for people, or one object for scripts (docs/man/source/spa-keygen.1, "JSON").

use std::path::PathBuf;

use serde::Serialize;
use spa_core::crypto::key::KeyId;
use spa_core::name::ProfileName;

use crate::failure::Failure;
use crate::output;

/// Collects what a command did, and says it in one way or the other.
pub(super) struct Told {
    json: bool,
    object: Object,
}

/// Its fields keep their names and meanings. What does not belong to the command is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Object {
    /// The exit status.
    status: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Whether the site was made as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) made_site: Option<bool>,
    /// The site's UDP port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) profiles: Vec<Touched>,
    /// The line for the client that enrols, and what it must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// Whether a running spad has taken it up; false if none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) taken_up: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

/// A profile that was made, changed or taken away.
#[derive(Debug, Default, Serialize)]
pub(super) struct Touched {
    profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// The server's half, where it is now.
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_half: Option<PathBuf>,
    /// When the key before ends, if it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_until: Option<String>,
    /// Whether it ends sooner if this one is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until_used: Option<bool>,
}

impl Touched {
    pub(super) fn new(name: &ProfileName, key_id: Option<KeyId>, file: PathBuf) -> Self {
        let key_id = key_id.map(|id| format!("{:08x}", id.0));
        Self { profile: name.to_string(), key_id, file, ..Self::default() }
    }
}

impl Told {
    pub(super) fn new(json: bool) -> Self {
        Self { json, object: Object::default() }
    }

    /// What the object says.
    pub(super) const fn object(&mut self) -> &mut Object {
        &mut self.object
    }

    /// A line on standard output, for people.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            output::say(line);
        }
    }

    /// A note, beside the lines or in the object.
    pub(super) fn note(&mut self, note: String) {
        if self.json {
            self.object.notes.push(note);
        } else {
            output::complain(&format!("note: {note}"));
        }
    }

    /// The object, with how it went, if one is wished for.
    pub(super) fn end(mut self, end: &Result<(), Failure>) {
        if let Err(failure) = end {
            self.object.status = failure.status as u8;
            self.object.error = Some(failure.sentence.clone());
            self.object.hint.clone_from(&failure.hint);
        }
        if self.json {
            // A struct of texts and numbers always has a text.
            output::say(&serde_json::to_string(&self.object).unwrap_or_default());
        }
    }
}
