//! The client's half of a profile: which file, and what it says.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf, is_separator};

use etcetera::BaseStrategy as _;
use spa_core::file::client::ClientFile;
use spa_core::service::Service;

use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::nearest::nearest;
use crate::secret_file::{self, plain};

const ENDING: &str = ".spa.toml";

/// A profile that was read.
pub(super) struct Profile {
    pub(super) path: PathBuf,
    pub(super) file: ClientFile,
    /// The file that was read, for locking.
    pub(super) handle: File,
}

impl Profile {
    /// Finds and reads a profile: by its name or path; else the only one that was made for the server; else the only one
    /// there is.
    pub(super) fn load(wanted: Option<&Path>, server: Option<&Host>) -> Result<Self, Failure> {
        match (wanted, server) {
            (Some(path), _) if is_path(path) => Self::read(path.to_owned()),
            (Some(name), _) => Self::read(by_name(&folder()?, &name.to_string_lossy())?),
            (None, Some(server)) => made_for(&folder()?, server),
            (None, None) => Self::read(the_only(&folder()?)?),
        }
    }

    /// Whether there is any profile to go by.
    pub(super) fn expect_any(wanted: Option<&Path>) -> Result<(), Failure> {
        match wanted {
            Some(_) => Self::load(wanted, None).map(drop),
            None if names(&folder()?)?.is_empty() => the_only(&folder()?).map(drop),
            None => Ok(()),
        }
    }

    /// The profile that was made for this very server and opens the service; `wanted`: no other. One that cannot be read
    /// is none.
    pub(super) fn that_opens(
        wanted: Option<&Path>,
        server: &Host,
        service: Service,
    ) -> Result<Option<Self>, Failure> {
        let mut fitting: Vec<Self> = match wanted {
            Some(_) => vec![Self::load(wanted, None)?],
            None => {
                let folder = folder()?;
                let path = |name: String| folder.join(format!("{name}{ENDING}"));
                names(&folder)?.into_iter().filter_map(|name| Self::read(path(name)).ok()).collect()
            }
        };
        fitting.retain(|profile| profile.is_for(server) && profile.file.open.contains(&service));
        match (fitting.pop(), fitting.as_slice()) {
            (only, []) => Ok(only),
            (last, others) => {
                let names = others.iter().chain(&last).map(|profile| profile.file.name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                let sentence = format!("several profiles open {service} at {server}: {names}");
                Err(Failure::new(Status::File, sentence, "use --profile with one of them"))
            }
        }
    }

    fn is_for(&self, server: &Host) -> bool {
        self.file.server.parse().is_ok_and(|host: Host| host == *server)
    }

    fn read(path: PathBuf) -> Result<Self, Failure> {
        let read = secret_file::read(&path)?;
        let file = ClientFile::parse(&read.text).map_err(|bad| {
            secret_file::refuse(&path, &bad, "copy the file anew from the server, or correct it")
        })?;
        Ok(Self { path, file, handle: read.file })
    }
}

/// The profile for a server. One that is wrong is no reason to refuse another.
fn made_for(folder: &Path, server: &Host) -> Result<Profile, Failure> {
    let path = |name: &String| folder.join(format!("{name}{ENDING}"));
    let names = names(folder)?;
    if let [] | [_] = names.as_slice() {
        return Profile::read(the_only(folder)?);
    }
    let mut fitting: Vec<Profile> = names
        .iter()
        .filter_map(|name| Profile::read(path(name)).ok())
        .filter(|profile| profile.is_for(server))
        .collect();
    match (fitting.pop(), fitting.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::new(
            Status::File,
            format!("no profile in {} is for {server}", folder.display()),
            format!("name one with --profile: {}", names.join(", ")),
        )),
        (Some(last), _) => {
            fitting.push(last);
            let names: Vec<&str> = fitting.iter().map(|profile| profile.file.name.as_str()).collect();
            Err(Failure::new(
                Status::File,
                format!("there are {} profiles for {server}", names.len()),
                format!("use --profile with one of {}", names.join(", ")),
            ))
        }
    }
}

/// `laptop` is a name; `./laptop`, `laptop.spa.toml` and `/etc/laptop` are paths.
fn is_path(wanted: &Path) -> bool {
    let text = wanted.to_string_lossy();
    text.contains(is_separator) || text.ends_with(".toml")
}

fn folder() -> Result<PathBuf, Failure> {
    match etcetera::choose_base_strategy() {
        Ok(strategy) => Ok(strategy.config_dir().join("spa").join("profiles")),
        Err(_) => Err(Failure::new(
            Status::File,
            "it is not known where your home folder is",
            "name the profile's file: --profile PATH",
        )),
    }
}

fn by_name(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("{name}{ENDING}"));
    if fs::symlink_metadata(&path).is_ok_and(|_| !name.is_empty()) {
        return Ok(path);
    }
    let names = names(folder)?;
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}? There is {}", names.join(", ")),
        None => format!("copy the client's half to {}", path.display()),
    };
    Err(Failure::new(Status::File, format!("there is no profile {name} in {}", folder.display()), hint))
}

fn the_only(folder: &Path) -> Result<PathBuf, Failure> {
    let names = names(folder)?;
    match names.as_slice() {
        [name] => Ok(folder.join(format!("{name}{ENDING}"))),
        [] => Err(Failure::new(
            Status::File,
            format!("there is no profile in {}", folder.display()),
            format!("copy a client's half there (NAME{ENDING}, made by spa-keygen), or use --profile PATH"),
        )),
        _ => Err(Failure::new(
            Status::File,
            format!("there are {} profiles, and none was named", names.len()),
            format!("use --profile with one of {}", names.join(", ")),
        )),
    }
}

/// The names of all profiles of a folder, in order; none if there is no folder.
fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let sentence = format!("cannot read {}: {}", folder.display(), plain(&error));
            return Err(Failure::new(Status::File, sentence, "name the profile's file: --profile PATH"));
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(ENDING).map(str::to_owned))
        .filter(|name| !name.is_empty() && !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_a_path() {
        #[rustfmt::skip]
        let rows = [
            ("laptop",            false),
            ("laptop.home",       false),
            ("./laptop",          true),
            ("laptop.spa.toml",   true),
            ("/tmp/laptop",       true),
            ("keys/",             true),
        ];
        for (text, path) in rows {
            assert_eq!(is_path(Path::new(text)), path, "{text}");
        }
    }
}
