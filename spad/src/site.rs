//! The secret files: `site.toml` and the profiles beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spa_core::crypto::key::KeyId;
use spa_core::file::profile::ProfileFile;
use spa_core::file::profiles::{Entry, Profiles};
use spa_core::file::site::SiteFile;
use spa_core::journal::MachineHash;
use spa_core::profile::Profile;
use spa_core::time::UnixMillis;

use crate::actions::Table;
use crate::config::ConfigError;
use crate::identity;

/// A site as it can be served, and what had to be left out of it.
pub struct Site {
    /// `site.toml`.
    pub file: SiteFile,
    /// The profiles that are in order.
    pub profiles: Vec<Profile>,
    /// One sentence for each that is not.
    pub left_out: Vec<String>,
}

impl Site {
    /// Reads the site whose `spad.toml` is `config`.
    ///
    /// # Errors
    /// [`ConfigError`] if `site.toml` cannot be used. A profile that cannot is left out and named.
    pub fn open(config: &Path, now: UnixMillis) -> Result<Self, ConfigError> {
        Self::open_as(config, now, rustix::process::geteuid().as_raw())
    }

    /// The same as the user with that uid would read it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(config: &Path, now: UnixMillis, uid: u32) -> Result<Self, ConfigError> {
        let folder = config.parent().unwrap_or(Path::new("."));
        let path = folder.join("site.toml");
        let owners = owners(uid);
        let hint = "make the site with `spa-keygen NAME --server HOST --open tcp/22`";
        let text = read_secret(&path, &owners).map_err(|fault| fault.into_error(&path, hint))?;
        let file = SiteFile::parse(&text)
            .map_err(|fault| ConfigError::in_text(&path, fault, "restore the file that spa-keygen wrote"))?;
        if file.machine() != MachineHash::of(file.id, &machine_id()) {
            let reason =
                "this site belongs to another machine, and with two of it a datagram would open both";
            let hint = "remove this file and the profiles, then make new ones here with spa-keygen";
            return Err(ConfigError::new(&path, reason, hint));
        }
        let (profiles, left_out) = profiles(&folder.join("profiles"), &file, now, &owners)?;
        Ok(Self { file, profiles, left_out })
    }

    /// One sentence for each action that a profile names and spad.toml does not. It is not left out for that: a name that is
    /// spelt wrong must not take its doors from anybody.
    pub fn unknown_actions<'s>(&'s self, table: &'s Table) -> impl Iterator<Item = String> + 's {
        self.profiles.iter().flat_map(|profile| {
            let unknown = profile.invoke.iter().filter(|name| !table.actions.contains_key(*name));
            unknown.map(|name| {
                format!("profile {} may invoke {name}, which spad.toml does not name", profile.name)
            })
        })
    }
}

/// What names this machine; empty where nothing does (some containers).
pub(crate) fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default()
}

fn profiles(
    folder: &Path,
    site: &SiteFile,
    now: UnixMillis,
    owners: &[u32],
) -> Result<(Vec<Profile>, Vec<String>), ConfigError> {
    let unreadable = |error: io::Error| {
        ConfigError::new(folder, format_args!("cannot be read: {error}"), "it belongs beside site.toml")
    };
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                paths.push(entry.map_err(unreadable)?.path());
            }
        }
        // A site whose last profile was removed opens nothing, which is what was asked for.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(error)),
    }
    refuse_writable(folder)?;
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|ending| ending == "toml")
    });
    paths.sort();
    let mut left_out = Vec::new();
    let mut good = Vec::with_capacity(paths.len());
    for path in paths {
        match read_profiles(&path, site, now, owners) {
            Ok(held) => {
                for (place, profiles) in held {
                    match profiles {
                        Ok(profiles) => good.push(Placed { place, profiles }),
                        Err(reason) => left_out.push(format!("{place}: {reason}")),
                    }
                }
            }
            Err(reason) => left_out.push(format!("{}: {reason}", path.display())),
        }
    }
    Ok((unambiguous(good, &mut left_out), left_out))
}

/// A profile, by its present key and the one before, and where that stands.
struct Placed {
    place: String,
    profiles: Vec<Profile>,
}

/// Those of which it is known who is meant: a key id names one key, and a name one profile. `left_out` gets the others.
fn unambiguous(good: Vec<Placed>, left_out: &mut Vec<String>) -> Vec<Profile> {
    let (mut names, mut ids) = (BTreeMap::<Arc<str>, Vec<&str>>::new(), BTreeMap::<KeyId, Vec<&str>>::new());
    for Placed { place, profiles } in &good {
        for profile in profiles {
            ids.entry(profile.key_id).or_default().push(place);
        }
        if let Some(profile) = profiles.first() {
            names.entry(profile.name.clone()).or_default().push(place);
        }
    }
    names.retain(|_, places| places.len() > 1);
    ids.retain(|_, places| places.len() > 1);
    for (name, places) in &names {
        left_out.push(format!("{}: have the same name, {name}, all are left out", places.join(" and ")));
    }
    for places in ids.values() {
        left_out.push(format!("{}: have the same key_id, all are left out", places.join(" and ")));
    }
    let (names, ids): (BTreeSet<Arc<str>>, BTreeSet<KeyId>) =
        (names.into_keys().collect(), ids.into_keys().collect());
    let clear = |profile: &Profile| !names.contains(&profile.name) && !ids.contains(&profile.key_id);
    good.into_iter().flat_map(|one| one.profiles).filter(clear).collect()
}

/// What stands where, and what is wrong with it, if anything is.
type Held = Vec<(String, Result<Vec<Profile>, String>)>;

/// The profile of a file, or all of a file of several.
fn read_profiles(path: &Path, site: &SiteFile, now: UnixMillis, owners: &[u32]) -> Result<Held, String> {
    let text = read_secret(path, owners).map_err(|fault| fault.to_string())?;
    let place = path.display();
    let held = match Profiles::parse(&text).map_err(|fault| fault.to_string())? {
        Profiles::One(file) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into();
            vec![(place.to_string(), valid(*file, name, site, now))]
        }
        Profiles::Several(entries) => entries
            .into_iter()
            .map(|Entry { name, line, profile }| match name {
                Some(name) => {
                    let profile = profile.map_err(|fault| fault.to_string());
                    let valid = profile.and_then(|file| valid(file, name.as_str().into(), site, now));
                    (format!("{place}, profile {name}"), valid)
                }
                None => {
                    let fault =
                        profile.err().map_or_else(|| format!("line {line}"), |fault| fault.to_string());
                    (place.to_string(), Err(fault))
                }
            })
            .collect(),
    };
    Ok(held)
}

/// A profile that has not expired; as long as the key before its present one is valid, twice.
fn valid(
    file: ProfileFile,
    name: Arc<str>,
    site: &SiteFile,
    now: UnixMillis,
) -> Result<Vec<Profile>, String> {
    let ended = |expires: Option<UnixMillis>| expires.is_some_and(|expires| now >= expires);
    if ended(file.expires) {
        return Err("has expired".to_owned());
    }
    let previous = file.previous_profile(name.clone(), site.id).filter(|profile| !ended(profile.expires));
    Ok(previous.into_iter().chain([file.into_profile(name, site.id)]).collect())
}

/// Why a secret file is not used.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("others can read or write this secret; chmod 600 {}", .0.display())]
    Loose(PathBuf),
    #[error("belongs to another user; chown it to root, or to the user that spad runs as")]
    Foreign,
}

impl Unreadable {
    fn into_error(self, path: &Path, missing: &str) -> ConfigError {
        let hint = match &self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => missing,
            Self::Io(_) => {
                "it belongs to whom spad runs as: `chown -R spad: site.toml profiles`, there, for the unit"
            }
            Self::Loose(_) | Self::Foreign => "who else may have read it? if in doubt, make a new site",
        };
        ConfigError::new(path, &self, hint)
    }
}

/// Whose the secret files may be: root's, the reader's, and those of the user spad, whom root's daemon becomes.
fn owners(uid: u32) -> Vec<u32> {
    [0, uid].into_iter().chain(identity::system_user().filter(|_| uid == 0)).collect()
}

/// Reads a secret file, unless others than its owners can as well.
fn read_secret(path: &Path, owners: &[u32]) -> Result<String, Unreadable> {
    let file = fs::File::open(path)?;
    // Of the open file, not of the path: it could be exchanged in between.
    let meta = file.metadata()?;
    if meta.mode() & 0o077 != 0 {
        return Err(Unreadable::Loose(path.to_owned()));
    }
    if !owners.contains(&meta.uid()) {
        return Err(Unreadable::Foreign);
    }
    Ok(io::read_to_string(file)?)
}

/// Whoever may write a folder of profiles can add one of his own.
fn refuse_writable(folder: &Path) -> Result<(), ConfigError> {
    match fs::metadata(folder) {
        Ok(meta) if meta.mode() & 0o022 != 0 => Err(ConfigError::new(
            folder,
            "others than its owner may write this folder",
            format_args!("chmod 700 {}", folder.display()),
        )),
        _ => Ok(()),
    }
}
