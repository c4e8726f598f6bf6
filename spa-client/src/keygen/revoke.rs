//! Takes profiles away. Their halves are kept aside for their key ids, which are never used again.

use std::fs;
use std::path::PathBuf;

use spa_core::name::ProfileName;
use spa_core::terms::OnClose;

use super::args::Revoke;
use super::edit;
use super::folder::{self, Folders, cannot};
use super::halves::{self, Half, Place};
use super::profile::{refuse_existing, write};
use super::reload::{Reload, reload};
use super::rotate::replace;
use super::told::{Told, Touched};
use crate::failure::{Failure, Status};
use crate::new_file::{Created, sync_folder_of};
use crate::owner::owner_in;
use crate::random::{Random, random};
use crate::secret_file::quoted;
use crate::usage::without_repeats;

const SESSIONS: &str = "sessions that came in before live on, as on_close is not \"cut\"; if a thief may be among them, end them at the service";

/// A profile that goes, and where its half goes.
struct Leaving {
    name: ProfileName,
    half: Half,
    to: PathBuf,
}

/// `spa-keygen revoke`.
pub(super) fn run(revoke: &Revoke, told: &mut Told) -> Result<(), Failure> {
    let folders = Folders::of(&revoke.place);
    let names = without_repeats(&revoke.names);
    let _lock = halves::lock(&folders);
    let leaving = names.iter().map(|name| leaving(&folders, name)).collect::<Result<Vec<_>, _>>()?;
    refuse_existing(leaving.iter().map(|one| &*one.to))?;
    folder::make(&folders.retired(), None)?;
    let mut random = random()?;
    let mut failed = None;
    for Leaving { name, half, to } in &leaving {
        // Anew for each: who stands before it in its file may have gone just now.
        let moved = halves::find(&folders, name).and_then(|now| take_away(&now.place, to, &mut random));
        match moved {
            Ok(()) => {
                told.say(&format!("revoked {name}: its half is {} now, and may be removed", quoted(to)));
                let key_id = half.profile.as_ref().ok().map(|file| file.key_id());
                told.object().profiles.push(Touched::new(name, key_id, to.clone()));
            }
            Err(failure) => failed = Some(failure),
        }
    }
    // Even if one could not be moved, the others are to end now.
    let sessions_live =
        leaving.iter().any(|one| one.half.profile.as_ref().is_ok_and(|file| file.on_close == OnClose::Keep));
    take_up(&folders, &names, sessions_live, told)?;
    failed.map_or(Ok(()), Err)
}

fn take_up(
    folders: &Folders,
    names: &[ProfileName],
    sessions_live: bool,
    told: &mut Told,
) -> Result<(), Failure> {
    match reload(folders.state()) {
        Reload::Taken => {
            told.object().taken_up = Some(true);
            told.say("spad has taken it up: the doors are closed, and knocks open none");
            if sessions_live {
                told.note(SESSIONS.to_owned());
            }
        }
        Reload::NotRunning => {
            told.object().taken_up = Some(false);
            told.say("no spad runs with this state folder: there was nobody to tell");
        }
        Reload::Refused(why) => {
            let names = names.iter().map(ProfileName::as_str).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(
                Status::Other,
                format!("{names} still opens doors until spad reads its files anew, which failed: {why}"),
                "mend that, and run spad reload; or stop spad meanwhile, its guard stays: systemctl stop spad",
            ));
        }
    }
    Ok(())
}

/// Where the half is, and where it goes: under the id of its key too, as a name may come back. One that cannot be read as a
/// profile is revoked all the same.
fn leaving(folders: &Folders, name: &ProfileName) -> Result<Leaving, Failure> {
    let half = halves::find(folders, name)?;
    let id = half
        .profile
        .as_ref()
        .map_or_else(|_| "unreadable".to_owned(), |file| format!("{:08x}", file.key_id().0));
    let to = folders.retired().join(format!("{name}-{id}.toml"));
    Ok(Leaving { name: name.clone(), half, to })
}

/// Moves a file that holds the one, or takes the one out of a file of several.
fn take_away(place: &Place, to: &PathBuf, random: &mut Random) -> Result<(), Failure> {
    let Place { path, .. } = place;
    if let Some(at) = place.at() {
        let text = halves::read(path)?.text;
        let (left, taken) = edit::without(&text, at).map_err(|hint| unchanged(place, hint))?;
        if let Some(left) = left {
            // The copy first: a key id that is forgotten might be given to another key.
            let copy: Created = write(to, &taken, to.parent().and_then(owner_in), random)?;
            replace(path, &left, random)?;
            copy.keep();
            return Ok(());
        }
    }
    let moved = fs::rename(path, to).and_then(|()| sync_folder_of(to)).and_then(|()| sync_folder_of(path));
    moved.map_err(|error| cannot("move", path, &error))
}

/// How it is said that a file of several cannot be changed without touching more of it.
pub(super) fn unchanged(place: &Place, hint: edit::Unchanged) -> Failure {
    let sentence = format!("{place} cannot be changed without changing more of the file; nothing was");
    Failure::new(Status::File, sentence, hint)
}
