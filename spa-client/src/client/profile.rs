//! The client's half of a profile: which file, and what it says.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf, is_separator};

use etcetera::BaseStrategy as _;
use spa_core::file::client::ClientFile;
use spa_core::service::Service;
use zeroize::Zeroizing;

use super::half::Half;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::nearest::nearest;
use crate::secret_file::{self, SecretFile, plain};

/// How the file of a profile is called, behind its name.
pub(super) const ENDING: &str = ".spa.toml";

/// A profile that was read.
pub(super) struct Profile {
    pub(super) path: PathBuf,
    pub(super) file: ClientFile,
    /// The file that was read, for locking.
    pub(super) handle: File,
}

impl Profile {
    /// Finds and reads a profile: by its name or path; else the only one that was made for the server; else the only one
    /// there is. `passphrase`: the file that holds its passphrase, if it has one that is not to be asked for.
    pub(super) fn load(
        wanted: Option<&Path>,
        server: Option<&Host>,
        passphrase: Option<&Path>,
    ) -> Result<Self, Failure> {
        match (wanted, server) {
            (Some(wanted), _) => Stored::read(find(wanted)?)?,
            (None, Some(server)) => made_for(&folder()?, server)?,
            (None, None) => Stored::read(the_only(&folder()?)?)?,
        }
        .open(passphrase)
    }

    /// Whether there is any profile to go by, without asking for a passphrase.
    pub(super) fn expect_any(wanted: Option<&Path>, passphrase: Option<&Path>) -> Result<(), Failure> {
        match wanted {
            Some(wanted) => Stored::read(find(wanted)?)?.open_unasked(passphrase).map(drop),
            None if names(&folder()?)?.is_empty() => the_only(&folder()?).map(drop),
            None => Ok(()),
        }
    }

    /// The profile that was made for this very server and opens the service; `wanted`: no other. One that cannot be read
    /// is none. Nobody is asked for a passphrase.
    pub(super) fn that_opens(
        wanted: Option<&Path>,
        server: &Host,
        service: Service,
        passphrase: Option<&Path>,
    ) -> Result<Option<Self>, Failure> {
        let stored: Vec<Stored> = match wanted {
            Some(wanted) => vec![Stored::read(find(wanted)?)?],
            None => {
                let folder = folder()?;
                let read = |name: String| Stored::read(place(&folder, &name)).ok();
                names(&folder)?.into_iter().filter_map(read).collect()
            }
        };
        let for_it = stored.into_iter().filter(|stored| stored.is_for(server));
        let opened: Result<Vec<Self>, Failure> =
            for_it.map(|stored| stored.open_unasked(passphrase)).collect();
        let mut fitting = opened?;
        fitting.retain(|profile| profile.file.open.contains(&service));
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
}

/// A profile as it lies on the disk, perhaps under a passphrase.
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) half: Half,
    pub(super) text: Zeroizing<String>,
    pub(super) handle: File,
}

impl Stored {
    /// Reads one.
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        let SecretFile { text, file: handle } = secret_file::read(&path)?;
        let half = Half::parse(&text).map_err(|bad| {
            secret_file::refuse(&path, &bad, "copy the file anew from the server, or correct it")
        })?;
        Ok(Self { path, half, text, handle })
    }

    fn is_for(&self, server: &Host) -> bool {
        self.half.server().parse().is_ok_and(|host: Host| host == *server)
    }

    fn open(self, passphrase: Option<&Path>) -> Result<Profile, Failure> {
        let Self { path, half, text: _, handle } = self;
        let file = half.open(&path, passphrase)?.0;
        Ok(Profile { path, file, handle })
    }

    /// The same for who cannot wait for somebody at the terminal.
    fn open_unasked(self, passphrase: Option<&Path>) -> Result<Profile, Failure> {
        if let (Half::Encrypted(sealed), None) = (&self.half, passphrase) {
            let sentence =
                format!("the profile {} is under a passphrase, and here nobody can be asked", sealed.name);
            return Err(Failure::new(
                Status::File,
                sentence,
                "name the file that holds it: --passphrase-file FILE",
            ));
        }
        self.open(passphrase)
    }
}

/// The file that is meant by a name, or by a path.
pub(super) fn find(wanted: &Path) -> Result<PathBuf, Failure> {
    if is_path(wanted) { Ok(wanted.to_owned()) } else { by_name(&folder()?, &wanted.to_string_lossy()) }
}

/// Where the profile of this name lies, or would.
pub(super) fn place(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{ENDING}"))
}

/// The profile for a server. One that is wrong is no reason to refuse another.
fn made_for(folder: &Path, server: &Host) -> Result<Stored, Failure> {
    let names = names(folder)?;
    if let [] | [_] = names.as_slice() {
        return Stored::read(the_only(folder)?);
    }
    let read = |name: &String| Stored::read(place(folder, name)).ok();
    let mut fitting: Vec<Stored> =
        names.iter().filter_map(read).filter(|stored| stored.is_for(server)).collect();
    match (fitting.pop(), fitting.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::new(
            Status::File,
            format!("no profile in {} is for {server}", folder.display()),
            format!("name one with --profile: {}", names.join(", ")),
        )),
        (Some(last), _) => {
            fitting.push(last);
            let names: Vec<&str> = fitting.iter().map(|stored| stored.half.name()).collect();
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

/// Where the profiles are.
pub(super) fn folder() -> Result<PathBuf, Failure> {
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
    let path = place(folder, name);
    if fs::symlink_metadata(&path).is_ok_and(|_| !name.is_empty()) {
        return Ok(path);
    }
    let names = names(folder)?;
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}? There is {}", names.join(", ")),
        None => "take in a client's half that spa-keygen made: spa-client profiles import FILE".to_owned(),
    };
    Err(Failure::new(Status::File, format!("there is no profile {name} in {}", folder.display()), hint))
}

fn the_only(folder: &Path) -> Result<PathBuf, Failure> {
    let names = names(folder)?;
    match names.as_slice() {
        [name] => Ok(place(folder, name)),
        [] => Err(Failure::new(
            Status::File,
            format!("there is no profile in {}", folder.display()),
            "take in a client's half that spa-keygen made: spa-client profiles import FILE; or get one: spa-client enrol HOST",
        )),
        _ => Err(Failure::new(
            Status::File,
            format!("there are {} profiles, and none was named", names.len()),
            format!("use --profile with one of {}", names.join(", ")),
        )),
    }
}

/// The names of all profiles of a folder, in order; none if there is no folder.
/// The names of all profiles, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Failure> {
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
