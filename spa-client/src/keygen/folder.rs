//! The folders of a site.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::args::Place;
use crate::failure::{Failure, Status};
use crate::owner::{Owner, give, owner_in};
use crate::secret_file::{self, plain};

/// Where a site lies.
pub(super) struct Folders {
    config: PathBuf,
    state: PathBuf,
}

impl Folders {
    pub(super) fn of(place: &Place) -> Self {
        Self { config: place.config_dir.clone(), state: place.state_dir.clone() }
    }

    /// Site id, site key, SPA port.
    pub(super) fn site(&self) -> PathBuf {
        self.config.join("site.toml")
    }

    /// What the daemon goes by.
    pub(super) fn configuration(&self) -> PathBuf {
        self.config.join("spad.toml")
    }

    /// The servers' halves.
    pub(super) fn profiles(&self) -> PathBuf {
        self.config.join("profiles")
    }

    /// The server's half of one profile.
    pub(super) fn profile(&self, name: &str) -> PathBuf {
        self.profiles().join(format!("{name}.toml"))
    }

    /// Where those are kept that were revoked, for their key ids.
    pub(super) fn retired(&self) -> PathBuf {
        self.profiles().join("retired")
    }

    /// Where the journal lies.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The two files of the journal.
    pub(super) fn journal(&self) -> [PathBuf; 2] {
        ["journal.a", "journal.b"].map(|name| self.state.join(name))
    }

    /// Makes those that are missing, and refuses those into which others could put a file.
    pub(super) fn make(&self) -> Result<(), Failure> {
        for folder in [&self.config, &self.profiles(), &self.state] {
            make(folder, None)?;
            secret_file::refuse_loose_folder(folder)?;
        }
        Ok(())
    }
}

/// Makes a folder, and those above it, unless it is there. What is made is its owner's alone (0700): `owner`, or whose
/// the folder above is.
pub(super) fn make(folder: &Path, owner: Owner) -> Result<(), Failure> {
    make_one(folder, owner).map_err(|error| cannot("make", folder, &error))
}

fn make_one(folder: &Path, owner: Owner) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make_one(above, owner)?;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "elsewhere a folder has no mode"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Somebody else made it meanwhile; what lies there is judged by whoever reads it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    match owner.or_else(|| owner_in(above)) {
        None => Ok(()),
        owner => give(&File::open(folder)?, owner),
    }
}

/// How it is said that something could not be done to a file.
pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "run spa-keygen as root: sudo spa-keygen …",
        ErrorKind::AlreadyExists => "nothing is ever overwritten; remove it first if you do not need it",
        ErrorKind::StorageFull => "make room on the disk; nothing half-written was left",
        _ => "check the path and the disk; nothing half-written was left",
    };
    let status = if error.kind() == ErrorKind::AlreadyExists { Status::File } else { Status::Other };
    Failure::new(status, format!("cannot {what} {}: {}", path.display(), plain(error)), hint)
}
