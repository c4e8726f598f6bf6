//! A file of the folder `profiles`: one profile that is called as the file, or several, each a table `[[profile]]` with a
//! name. Of several, one that is wrong does not take the others with it.

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::profile::ProfileFile;
use super::{BadFile, Secrecy, bad, fields, line_at};
use crate::name::ProfileName;

/// What a file holds.
pub enum Profiles {
    /// One profile.
    One(Box<ProfileFile>),
    /// Any number of them, in the order of the file.
    Several(Vec<Entry>),
}

/// A table of a file of several.
pub struct Entry {
    /// What it is called, as far as that can be read.
    pub name: Option<ProfileName>,
    /// Where it begins, counted from 1.
    pub line: usize,
    /// The profile, or why it is none.
    pub profile: Result<ProfileFile, BadFile>,
}

impl Profiles {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`BadFile`] if it is neither. What is wrong with one of several is said in its [`Entry`].
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        let table = DeTable::parse(text).map_err(|error| bad(&error, text, Secrecy::Secret))?.into_inner();
        match table.contains_key("profile") {
            true => several(table, text).map(Self::Several),
            false => Ok(Self::One(Box::new(ProfileFile::parse(text)?))),
        }
    }

    /// Every profile, and its name unless that is the file's.
    pub fn into_good(self) -> Vec<(Option<ProfileName>, ProfileFile)> {
        match self {
            Self::One(profile) => vec![(None, *profile)],
            Self::Several(entries) => {
                entries.into_iter().filter_map(|entry| Some((entry.name, entry.profile.ok()?))).collect()
            }
        }
    }
}

fn several(table: DeTable<'_>, text: &str) -> Result<Vec<Entry>, BadFile> {
    let mut tables = None;
    let mut format = false;
    for (key, value) in table {
        let line = Some(line_at(text, key.span().start));
        let refuse = |reason: &str| Err(BadFile { line, reason: reason.to_owned() });
        match key.get_ref().as_ref() {
            "format" => {
                fields::format(ValueDeserializer::from(value))
                    .map_err(|error| BadFile { line, ..bad(&error, text, Secrecy::Secret) })?;
                format = true;
            }
            "profile" => match value.into_inner() {
                DeValue::Array(array) => tables = Some(array),
                _ => return refuse("write [[profile]] before the fields of each"),
            },
            // Not quoted: it may be a key on the wrong line.
            _ => return refuse("before the first [[profile]] stands format and nothing else"),
        }
    }
    if !format {
        return Err(BadFile { line: None, reason: "missing field `format`".to_owned() });
    }
    let entry = |table: Spanned<DeValue<'_>>| {
        let line = line_at(text, table.span().start);
        let named = table.get_ref().get("name").and_then(|name| name.get_ref().as_str());
        let name = named.and_then(|name| name.parse().ok());
        let read = ProfileFile::deserialize(ValueDeserializer::from(table));
        let read = read.map_err(|error| bad(&error, text, Secrecy::Secret));
        let profile = read.and_then(ProfileFile::among_others).map(|(_, profile)| profile);
        // What has no place of its own has that of its table.
        let profile = profile.map_err(|bad| BadFile { line: bad.line.or(Some(line)), ..bad });
        Entry { name, line, profile }
    };
    Ok(tables.into_iter().flatten().map(entry).collect())
}

#[cfg(test)]
mod tests;
