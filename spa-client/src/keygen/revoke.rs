//! Takes profiles away. Their files are kept aside for their key ids, which are never used again.

use std::fs;
use std::path::PathBuf;

use spa_core::file::profile::ProfileFile;
use spa_core::name::ProfileName;

use super::args::Revoke;
use super::folder::{self, Folders, cannot};
use super::profile::refuse_existing;
use super::reload::{Reload, reload};
use crate::failure::{Failure, Status};
use crate::new_file::sync_folder_of;
use crate::output::say;
use crate::secret_file::{self, quoted};
use crate::usage::without_repeats;

/// `spa-keygen revoke`.
pub(super) fn run(revoke: &Revoke) -> Result<(), Failure> {
    let folders = Folders::of(&revoke.place);
    let names = without_repeats(&revoke.names);
    let moves = names.iter().map(|name| destination(&folders, name)).collect::<Result<Vec<_>, _>>()?;
    refuse_existing(moves.iter().map(|(_, to)| &**to))?;
    folder::make(&folders.retired(), None)?;
    let mut failed = None;
    for (name, (from, to)) in names.iter().zip(&moves) {
        let moved =
            fs::rename(from, to).and_then(|()| sync_folder_of(to)).and_then(|()| sync_folder_of(from));
        match moved {
            Ok(()) => say(&format!("revoked {name}: its file is {} now, and may be removed", quoted(to))),
            Err(error) => failed = Some(cannot("move", from, &error)),
        }
    }
    // Even if one could not be moved, the others are to end now.
    take_up(&folders, &names)?;
    failed.map_or(Ok(()), Err)
}

fn take_up(folders: &Folders, names: &[ProfileName]) -> Result<(), Failure> {
    match reload(folders.state()) {
        Reload::Taken => say("spad has taken it up: the doors are closed, and knocks open none"),
        Reload::NotRunning => say("no spad runs with this state folder: there was nobody to tell"),
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

/// Where the file is, and where it goes: under the id of its key too, as a name may come back. A file that cannot be
/// read as a profile is revoked all the same.
fn destination(folders: &Folders, name: &ProfileName) -> Result<(PathBuf, PathBuf), Failure> {
    let from = folders.profile(name.as_str());
    if from.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        let sentence = format!("there is no profile {name}: {} is missing", from.display());
        return Err(Failure::new(Status::File, sentence, "see which there are: spa-keygen list"));
    }
    let file = secret_file::read(&from).ok().and_then(|secret| ProfileFile::parse(&secret.text).ok());
    let id = file.map_or_else(|| "unreadable".to_owned(), |file| format!("{:08x}", file.key_id().0));
    let to = folders.retired().join(format!("{name}-{id}.toml"));
    Ok((from, to))
}
