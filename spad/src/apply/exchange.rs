//! The two files of a trial, exchanged so that each text is in one of them at every moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{ApplyError, sync_folder};

/// The changed text goes to `trial`, dated `until`, and `config` gets the text from before.
pub(super) fn set_aside(
    config: &Path,
    changed: &str,
    before: &str,
    trial: &Path,
    until: SystemTime,
) -> Result<(), ApplyError> {
    write(trial, config, changed, Some(until)).map_err(|error| ApplyError::Io(trial.to_owned(), error))?;
    write(config, config, before, None).map_err(|error| ApplyError::Io(config.to_owned(), error))
}

/// `trial` becomes `config`.
pub(super) fn confirm(trial: &Path, config: &Path) -> Result<(), ApplyError> {
    let dated = File::open(trial).and_then(|file| file.set_modified(SystemTime::now()));
    let moved = dated.and_then(|()| fs::rename(trial, config)).and_then(|()| sync_folder(config));
    moved.map_err(|error| ApplyError::Io(config.to_owned(), error))
}

/// Writes a file whole or not at all, with the owner and mode of `like`.
fn write(path: &Path, like: &Path, text: &str, modified: Option<SystemTime>) -> io::Result<()> {
    let meta = fs::metadata(like)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // What a program left that was ended here.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| fchown(&file, Some(meta.uid()), Some(meta.gid())))
        .and_then(|()| file.set_permissions(Permissions::from_mode(meta.mode() & 0o7777)))
        .and_then(|()| modified.map_or(Ok(()), |modified| file.set_modified(modified)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
