//! What profiles say, but their keys: in words, and as JSON.

use std::path::PathBuf;

use humantime::format_duration;
use serde::Serialize;
use spa_core::file::fields::write_moment;

use super::super::half::Half;
use super::super::profile::{self, Stored, place};
use crate::failure::{Failure, Status};
use crate::output::{complain, say};
use crate::usage::listed;

/// A profile. The fields are documented in the man page and keep their meaning; what is not known is `null`.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    file: PathBuf,
    server: Option<String>,
    port: Option<u16>,
    opens: Option<Vec<String>>,
    window_seconds: Option<u64>,
    suite: Option<&'static str>,
    freshness: Option<&'static str>,
    key_id: Option<u32>,
    created: Option<String>,
    encrypted: Option<bool>,
    /// Why it cannot be used.
    problem: Option<String>,
    /// What mends that.
    hint: Option<String>,
}

impl Entry {
    fn unknown(name: &str, file: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            file,
            server: None,
            port: None,
            opens: None,
            window_seconds: None,
            suite: None,
            freshness: None,
            key_id: None,
            created: None,
            encrypted: None,
            problem: None,
            hint: None,
        }
    }

    fn of(name: &str, stored: &Stored) -> Self {
        let mut entry = Self::unknown(name, stored.path.clone());
        entry.server = Some(stored.half.server().to_owned());
        entry.encrypted = Some(matches!(stored.half, Half::Encrypted(_)));
        if let Half::Plain(file) = &stored.half {
            entry.port = Some(file.port.get());
            entry.opens = Some(file.open.iter().map(ToString::to_string).collect());
            entry.window_seconds = Some(file.window.as_secs());
            entry.suite = Some(file.suite.name());
            entry.freshness = Some(file.freshness.name());
            entry.key_id = Some(file.key_id().0);
            entry.created = Some(write_moment(file.created));
        }
        entry
    }

    fn read(name: &str, path: PathBuf) -> Self {
        match Stored::read(path.clone()) {
            Ok(stored) => Self::of(name, &stored),
            Err(failure) => {
                Self { problem: Some(failure.sentence), hint: failure.hint, ..Self::unknown(name, path) }
            }
        }
    }

    /// Columns of a line; the last may be long.
    fn columns(&self) -> [String; 4] {
        let text = |text: Option<&str>| printable(text.unwrap_or("?"));
        let rest = match (&self.problem, &self.hint, self.encrypted) {
            (Some(problem), Some(hint), _) => printable(&format!("{problem} ({hint})")),
            (Some(problem), None, _) => printable(problem),
            (None, _, Some(true)) => "under a passphrase".to_owned(),
            _ => format!("created {}", self.created.as_deref().and_then(|at| at.get(..10)).unwrap_or("?")),
        };
        let opens = self.opens.as_ref().map(|opens| listed(opens, "nothing"));
        [printable(&self.name), text(self.server.as_deref()), text(opens.as_deref()), rest]
    }
}

/// A file may hold line feeds and escape sequences; what is printed of it does not.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) fn list(json: bool) -> Result<(), Failure> {
    let folder = profile::folder()?;
    let names = profile::names(&folder)?;
    let entries: Vec<Entry> = names.iter().map(|name| Entry::read(name, place(&folder, name))).collect();
    if json {
        return say_json(&entries);
    }
    if entries.is_empty() {
        complain(&format!(
            "there is no profile in {}; spa-client profiles import FILE takes one in, spa-client enrol HOST gets one",
            folder.display()
        ));
    }
    let rows: Vec<[String; 4]> = entries.iter().map(Entry::columns).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [name, server, opens, rest] in &rows {
        let [a, b, c] = widths;
        say(&format!("{name:a$}  {server:b$}  {opens:c$}  {rest}"));
    }
    Ok(())
}

pub(super) fn show(path: PathBuf, json: bool) -> Result<(), Failure> {
    let stored = Stored::read(path)?;
    let entry = Entry::of(stored.half.name(), &stored);
    if json {
        return say_json(&entry);
    }
    let mut lines =
        vec![("name", printable(&entry.name)), ("file", printable(&entry.file.display().to_string()))];
    match &stored.half {
        Half::Plain(file) => lines.extend([
            ("server", format!("{}, UDP port {}", printable(&file.server), file.port)),
            ("opens", listed(&file.open, "nothing")),
            ("window", format_duration(file.window).to_string()),
            ("suite", file.suite.to_string()),
            ("freshness", file.freshness.name().to_owned()),
            ("key id", file.key_id().0.to_string()),
            ("created", write_moment(file.created)),
            ("keys", "not shown; the file is not under a passphrase".to_owned()),
        ]),
        Half::Encrypted(file) => lines.extend([
            ("server", printable(&file.server)),
            ("keys", "under a passphrase, as is everything else".to_owned()),
        ]),
    }
    for (what, value) in lines {
        say(&format!("{what:<10}{value}"));
    }
    Ok(())
}

fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(Status::Other, format!("it cannot be written as JSON: {error}"), "try without --json")
    })?;
    say(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_listed_steers_the_terminal() {
        let entry = Entry { server: Some("a\u{1b}[2J".to_owned()), ..Entry::unknown("a\nb", PathBuf::new()) };
        assert!(entry.columns().iter().all(|column| !column.contains(char::is_control)));
    }
}
