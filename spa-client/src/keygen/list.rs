//! Which profiles there are. Reads, and changes nothing; no key is shown.

use std::path::PathBuf;

use serde::Serialize;
use spa_core::crypto::key::KeyId;
use spa_core::file::profile::ProfileFile;
use spa_core::name::ProfileName;
use spa_core::profile::{Freshness, Profile, Successor};
use spa_core::time::UnixMillis;

use super::args::List;
use super::folder::Folders;
use super::halves::{self, Half, Place};
use super::journal::Journal;
use super::site::Site;
use crate::clock;
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::usage::listed;

/// What `--json` prints.
#[derive(Serialize)]
struct Listed {
    port: u16,
    /// Two keys of the site are valid: a rotation that is not finished.
    site_key_rotating: bool,
    /// Whether it is known what was used.
    journal: bool,
    profiles: Vec<Line>,
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    profile: String,
    /// Where the server's half stands.
    file: PathBuf,
    key_id: String,
    /// The key before the present one.
    previous: bool,
    open: Vec<String>,
    invoke: Vec<String>,
    freshness: &'static str,
    created: String,
    expires: Option<String>,
    expired: bool,
    /// It ends sooner if the present key is used.
    until_used: bool,
    /// By the client's clock.
    last_used: Option<String>,
}

/// `spa-keygen list`.
pub(super) fn run(list: &List, now: UnixMillis) -> Result<(), Failure> {
    let folders = Folders::of(&list.place);
    let site = Site::load(&folders)?;
    let mut listed = Listed {
        port: site.file.port.get(),
        site_key_rotating: site.file.previous_key.is_some(),
        journal: site.journal.is_ok(),
        profiles: Vec::new(),
        unreadable: Vec::new(),
    };
    for Half { place, name, profile } in halves::all(&folders)? {
        match (name, profile) {
            (Some(name), Ok(file)) => listed.profiles.extend(lines(&name, &place, &file, &site, now)),
            (_, Err(why)) => listed.unreadable.push(format!("{place}: {why}")),
            // Whoever has no name has a reason for that.
            (None, Ok(_)) => {}
        }
    }
    if list.json {
        say(&serde_json::to_string(&listed).unwrap_or_default());
        return Ok(());
    }
    say(&table(&listed.profiles));
    listed.unreadable.iter().for_each(|why| complain(&format!("note: {why}")));
    if let Err(why) = &site.journal {
        complain(&format!("note: when they were last used is not known: the replay journal {why}"));
    }
    if listed.site_key_rotating {
        complain("note: two keys of the site are valid, until: spa-keygen rotate --site --finish");
    }
    Ok(())
}

/// A line for each key of a profile that is valid, or that will be missed.
fn lines(name: &ProfileName, place: &Place, file: &ProfileFile, site: &Site, now: UnixMillis) -> Vec<Line> {
    let line =
        |key_id: KeyId, expires: Option<UnixMillis>, created: UnixMillis, previous: Option<&Profile>| Line {
            profile: name.to_string(),
            file: place.path.clone(),
            key_id: format!("{:08x}", key_id.0),
            previous: previous.is_some(),
            open: file.open.iter().map(ToString::to_string).collect(),
            invoke: file.invoke.iter().map(ToString::to_string).collect(),
            freshness: match file.freshness() {
                Freshness::Clock => "clock",
                Freshness::Monotonic(_) => "monotonic",
            },
            created: clock::utc(created),
            expires: expires.map(clock::utc),
            expired: expires.is_some_and(|expires| expires <= now),
            until_used: previous.is_some_and(|old| old.successor.is_some()),
            last_used: site
                .journal
                .as_ref()
                .ok()
                .and_then(|journal| journal.last.get(&key_id))
                .map(|&at| clock::utc(at)),
        };
    let mut lines = vec![line(file.key_id(), file.expires, file.created, None)];
    if let Some(old) = previous(name, file, site, now) {
        lines.push(line(old.key_id, old.expires, old.created, Some(&old)));
    }
    lines
}

/// The profile by its key before, as long as that works: as long as it may, where the journal cannot be read.
pub(super) fn previous(
    name: &ProfileName,
    file: &ProfileFile,
    site: &Site,
    now: UnixMillis,
) -> Option<Profile> {
    let old = file.previous_profile(name.as_str().into(), site.file.id)?;
    let superseded = |successor: Successor| {
        let ends = |journal: &Journal| {
            successor.has_taken_over(journal.epoch, |key_id| journal.last.contains_key(&key_id))
        };
        site.journal.as_ref().is_ok_and(ends)
    };
    (old.expires > Some(now) && !old.successor.is_some_and(superseded)).then_some(old)
}

fn table(lines: &[Line]) -> String {
    const NONE: &str = "-";
    let mut rows =
        vec![["PROFILE", "KEY", "OPENS", "INVOKES", "CREATED", "EXPIRES", "LAST USED"].map(str::to_owned)];
    for line in lines {
        let until = match (&line.expires, line.expired) {
            (Some(at), true) => format!("expired {}", short(at)),
            (Some(at), false) if line.until_used => format!("{} or new one used", short(at)),
            (Some(at), false) => short(at).to_owned(),
            (None, _) => NONE.to_owned(),
        };
        let note = if line.previous { " (before)" } else { "" };
        rows.push([
            format!("{}{note}", line.profile),
            line.key_id.clone(),
            listed(&line.open, NONE),
            listed(&line.invoke, NONE),
            short(&line.created).to_owned(),
            until,
            line.last_used.as_deref().map_or(NONE, short).to_owned(),
        ]);
    }
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let text = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// To the minute.
fn short(moment: &str) -> &str {
    moment.get(..16).unwrap_or(moment)
}
