//! The text of the files: TOML with `format = 1`, unknown fields refused. Text in, values out; reading files and
//! looking at their permissions is the programs' business.

pub mod client;
pub mod encrypted;
pub mod fields;
pub mod pending;
pub mod profile;
pub mod profiles;
pub mod site;

use std::fmt;

use serde::de::DeserializeOwned;

/// A file that cannot be used: where, and what is wrong. Never holds the value of a secret field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Counted from 1; `None` if the fault has no place, like a missing field at the end.
    pub line: Option<usize>,
    /// One sentence.
    pub reason: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for BadFile {}

/// Whether a file holds keys, so that no value of it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Holds keys.
    Secret,
    /// Holds none.
    Public,
}

/// Reads a file of one format.
///
/// # Errors
/// [`BadFile`] with the line, for syntax, unknown or missing or repeated fields, and values that are none.
pub fn parse<T: DeserializeOwned>(text: &str, secrecy: Secrecy) -> Result<T, BadFile> {
    toml::from_str(text).map_err(|error| bad(&error, text, secrecy))
}

fn bad(error: &toml::de::Error, text: &str, secrecy: Secrecy) -> BadFile {
    let line = error.span().map(|span| line_at(text, span.start));
    // What is missing is missing everywhere; the span would be the whole file.
    let line = line.filter(|_| !error.message().starts_with("missing field"));
    let reason = match secrecy {
        Secrecy::Public => error.message().to_owned(),
        Secrecy::Secret => without_values(error.message()),
    };
    BadFile { line, reason: reason.replace('\n', "; ") }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The TOML reader quotes what it did not understand, which may be a key that was pasted onto the wrong line.
fn without_values(message: &str) -> String {
    let quoted_kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    if quoted_kinds.iter().any(|kind| message.starts_with(kind)) {
        let expected = message.rsplit_once("expected ").map_or("another value", |(_, expected)| expected);
        return format!("not a valid value; expected {expected}");
    }
    // Field names are short; a longer quotation is not one.
    const LONGEST_NAME: usize = 20;
    message
        .split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 && part.len() > LONGEST_NAME { "…" } else { part })
        .collect::<Vec<_>>()
        .join("`")
}

#[cfg(test)]
mod tests {
    use crate::file::profile::ProfileFile;

    const KEY: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";

    #[test]
    fn a_fault_is_named_with_its_line_and_no_secret() {
        let good = format!(
            "format = 1\nkey_id = 7\nkey = \"{KEY}\"\nsuite = \"aes256gcm\"\nopen = [\"tcp/22\"]\nwindow = \"30s\"\n\
             max_window = \"5m\"\ncreated = 2026-11-20T10:00:00Z\n"
        );
        assert!(ProfileFile::parse(&good).is_ok());
        #[rustfmt::skip]
        let rows = [
            // replace, by, line, part of the reason
            ("format = 1",       "format = 2",               Some(1), "format"),
            ("key_id = 7",       "key_id = 0",               Some(2), "key_id"),
            ("key_id = 7",       "kye_id = 7",               Some(2), "unknown field `kye_id`"),
            ("key_id = 7",       "key_id = \"seven\"",       Some(2), "expected"),
            ("suite = \"aes256gcm\"", "suite = \"rot13\"",   Some(4), "no such suite"),
            ("open = [\"tcp/22\"]", "open = [\"ssh\"]",      Some(5), "\"ssh\" is not a service"),
            ("open = [\"tcp/22\"]", "open = []",             None,    "at least one service"),
            ("open = [\"tcp/22\"]\n", "",                  None,    "at least one service"),
            ("open = [\"tcp/22\"]", "open = []\ninvoke = []", None, "or in invoke an action"),
            ("open = [\"tcp/22\"]", "open = []\ninvoke = [\"a b\"]", Some(6), "not the name of an action"),
            ("window = \"30s\"\n", "window = \"soon\"\n",    Some(6), "duration"),
            ("window = \"30s\"\n", "window = \"10m\"\n",     None,    "longer than max_window"),
            ("created = 2026-11-20T10:00:00Z", "created = 2026-11-20", Some(8), "date"),
            ("suite = \"aes256gcm\"\n", "",                  None,    "missing field `suite`"),
            ("format = 1\n", "format = 1\nprefixes = [\"ipv4/33\"]\n", Some(2), "no length of a prefix"),
            ("format = 1\n", "format = 1\nmax_doors = 0\n",  Some(2), "expected a nonzero u32"),
        ];
        for (from, to, line, reason) in rows {
            let error = ProfileFile::parse(&good.replace(from, to)).err().expect(to);
            assert_eq!(error.line, line, "{to}: {error}");
            assert!(error.reason.contains(reason), "{to}: {error}");
        }
        let more = format!("{good}prefixes = [\"ipv4/24\", \"ipv6/64\"]\nmax_doors = 3\n");
        let written = ProfileFile::parse(&more).map(|profile| profile.to_text());
        assert_eq!(written.as_deref().map(|text| text.split_once('\n').unwrap().1), Ok(more.as_str()));
        let key_line = format!("key = \"{KEY}\"");
        for broken in [
            format!("key = \"{KEY}"),
            format!("key = {KEY}"),
            KEY.to_owned(),
            format!("{} = 1", &KEY[..43]),
            format!("key = [\"{KEY}\"]"),
            format!("key = \"{}\"", &KEY[1..]),
            format!("key = \"{KEY}\"\nkey = \"{KEY}\""),
            format!("suite = \"{KEY}\"\n#"),
        ] {
            let text = good.replace(&key_line, &broken);
            let error = ProfileFile::parse(&text).err().expect(&broken).to_string();
            assert!(!error.contains(&KEY[4..20]), "{broken}: {error}");
        }
    }
}
