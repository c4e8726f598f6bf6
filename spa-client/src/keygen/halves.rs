//! Where the servers' halves stand: each in a file of its own, or several in one.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use spa_core::file::profile::ProfileFile;
use spa_core::file::profiles::Profiles;
use spa_core::name::ProfileName;

use super::folder::{Folders, cannot};
use crate::failure::{Failure, Status};
use crate::secret_file::{self, SecretFile};

/// Room for some sixteen thousand profiles in one file.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Where a server's half stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Which of several, and what it is called there; `None` where it has the file for itself.
    pub(super) among: Option<(usize, Option<ProfileName>)>,
}

impl Place {
    /// Which of several.
    pub(super) fn at(&self) -> Option<usize> {
        self.among.as_ref().map(|(at, _)| *at)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.among {
            Some((_, Some(name))) => write!(f, ", profile {name}"),
            _ => Ok(()),
        }
    }
}

/// What stands at a place.
pub(super) struct Half {
    pub(super) place: Place,
    /// What the profile is called, as far as that can be read.
    pub(super) name: Option<ProfileName>,
    /// The profile; or why it is none, and spad leaves it out.
    pub(super) profile: Result<Box<ProfileFile>, String>,
}

/// Reads a file of profiles.
pub(super) fn read(path: &Path) -> Result<SecretFile, Failure> {
    secret_file::read_up_to(path, LARGEST)
}

/// Everything that spad would read, by the names of the files.
pub(super) fn all(folders: &Folders) -> Result<Vec<Half>, Failure> {
    let folder = folders.profiles();
    let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(cannot("read", &folder, &error)),
    };
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|ending| ending == "toml")
    });
    paths.sort();
    Ok(paths.into_iter().flat_map(halves).collect())
}

fn halves(path: PathBuf) -> Vec<Half> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().parse::<ProfileName>();
    let read = read(&path).map_err(|failure| failure.sentence);
    let read = read.and_then(|secret| Profiles::parse(&secret.text).map_err(|bad| bad.to_string()));
    match read {
        Ok(Profiles::Several(entries)) => entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| Half {
                place: Place { path: path.clone(), among: Some((at, entry.name.clone())) },
                name: entry.name,
                profile: entry.profile.map(Box::new).map_err(|bad| bad.to_string()),
            })
            .collect(),
        Ok(Profiles::One(file)) => {
            let profile = stem.as_ref().map(|_| file).map_err(ToString::to_string);
            vec![Half { place: Place { path, among: None }, name: stem.ok(), profile }]
        }
        Err(why) => vec![Half { place: Place { path, among: None }, name: stem.ok(), profile: Err(why) }],
    }
}

/// The one that is called so.
///
/// # Errors
/// If there is none, or two.
pub(super) fn find(folders: &Folders, name: &ProfileName) -> Result<Half, Failure> {
    let mut found: Vec<Half> =
        all(folders)?.into_iter().filter(|half| half.name.as_ref() == Some(name)).collect();
    match (found.pop(), found.pop()) {
        (Some(only), None) => Ok(only),
        (Some(second), Some(first)) => Err(twice(name, &first.place, &second.place)),
        (None, _) => {
            let sentence = format!("there is no profile {name} in {}", folders.profiles().display());
            Err(Failure::new(Status::File, sentence, "see which there are: spa-keygen list"))
        }
    }
}

fn twice(name: &ProfileName, first: &Place, second: &Place) -> Failure {
    let sentence = format!("two profiles are called {name}: {first} and {second}");
    Failure::new(Status::File, sentence, "spad leaves both out: rename or remove one of them")
}

/// Refuses names that profiles have already, before anything is made.
pub(super) fn refuse_taken(folders: &Folders, names: &[ProfileName]) -> Result<(), Failure> {
    let taken = all(folders)?.into_iter().find(|half| half.name.as_ref().is_some_and(|n| names.contains(n)));
    taken.map_or(Ok(()), |half| {
        let sentence = format!("{} exists already, and nothing is ever overwritten", half.place);
        Err(Failure::new(Status::File, sentence, "choose another name, or revoke that profile first"))
    })
}

/// Keeps other runs of this program from changing the files meanwhile: what one of them revokes the other would bring back.
/// Elsewhere than on Unix a folder cannot be opened, and there is no server.
pub(super) fn lock(folders: &Folders) -> Option<File> {
    let folder = File::open(folders.profiles()).ok()?;
    // A filesystem that cannot lock is used by one alone.
    let _ = folder.lock();
    Some(folder)
}
