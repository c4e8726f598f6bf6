//! The two halves of a profile.

use std::env;
use std::path::{Path, PathBuf};

use spa_core::crypto::key::{KeyId, ProfileKey, SiteKey};
use spa_core::file::client::{ClientFile, NewClient};
use spa_core::file::profile::{FreshnessName, ProfileFile};
use spa_core::name::ProfileName;
use spa_core::profile::Freshness;
use spa_core::time::UnixMillis;
use zeroize::Zeroizing;

use super::args::Terms;
use super::folder::{self, Folders, cannot};
use super::key_id::Used;
use super::site::Site;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::new_file::{Created, NewFile};
use crate::owner::{Owner, is_root, owner_in};
use crate::random::Random;

/// Which profiles are to be made.
pub(super) struct Wish<'a> {
    pub(super) names: &'a [ProfileName],
    /// As the clients reach it.
    pub(super) server: Host,
    pub(super) terms: &'a Terms,
    pub(super) out: Option<&'a Path>,
}

/// What both halves of one profile have in common.
pub(super) struct Pair<'a> {
    pub(super) name: &'a ProfileName,
    pub(super) key_id: KeyId,
    pub(super) key: &'a ProfileKey,
    pub(super) freshness: Freshness,
    pub(super) created: UnixMillis,
}

/// What was made: the files, which go again unless they are kept, and the texts of the clients' halves.
pub(super) struct Made {
    pub(super) files: Vec<Created>,
    pub(super) clients: Vec<Zeroizing<String>>,
    pub(super) key_ids: Vec<KeyId>,
}

impl Wish<'_> {
    /// Where the clients' halves go, one for each name, as absolute paths.
    pub(super) fn outputs(&self) -> Result<Vec<PathBuf>, Failure> {
        outputs(self.names, self.out)
    }

    /// Makes both halves for every name.
    pub(super) fn make(
        &self,
        folders: &Folders,
        outputs: &[PathBuf],
        site: &Site,
        freshness: Freshness,
        created: UnixMillis,
        random: &mut Random,
    ) -> Result<Made, Failure> {
        // Several names share a folder, which is made; a file's folder must be there.
        if let (Some(out), [_, _, ..]) = (self.out, self.names) {
            folder::make(out, caller())?;
        }
        let mut used = Used::at(&folders.profiles(), site.key_ids());
        let mut made = Made { files: Vec::new(), clients: Vec::new(), key_ids: Vec::new() };
        for (name, output) in self.names.iter().zip(outputs) {
            let (key_id, key) = (used.draw(random), ProfileKey::random(random));
            let pair = Pair { name, key_id, key: &key, freshness, created };
            let text = self.client_half(&pair, site).to_text();
            // The server's half last: until it is there, the client's opens nothing.
            made.files.push(write(output, &text, caller(), random)?);
            made.files.push(self.write_server_half(&pair, folders, random)?);
            made.clients.push(text);
            made.key_ids.push(key_id);
        }
        Ok(made)
    }

    /// Writes the half that stays here.
    pub(super) fn write_server_half(
        &self,
        pair: &Pair<'_>,
        folders: &Folders,
        random: &mut Random,
    ) -> Result<Created, Failure> {
        let (terms, key) = (self.terms, ProfileKey::copy_of(pair.key));
        let (suite, services) = (terms.suite, terms.services());
        let mut file = ProfileFile::new(pair.key_id, key, suite, services, pair.created, pair.freshness);
        file.invoke = terms.actions();
        file.window = terms.window;
        file.max_window = terms.max_window;
        file.expires = terms.expires;
        file.receipt = terms.receipt;
        let text = Zeroizing::new(file.to_text());
        write(&folders.profile(pair.name.as_str()), &text, owner_in(&folders.profiles()), random)
    }

    /// The half that the client gets.
    pub(super) fn client_half(&self, pair: &Pair<'_>, site: &Site) -> ClientFile {
        ClientFile::from(NewClient {
            name: pair.name.to_string(),
            server: self.server.to_string(),
            port: site.file.port,
            site_id: site.file.id,
            site_key: SiteKey::copy_of(&site.file.key),
            key_id: pair.key_id,
            key: ProfileKey::copy_of(pair.key),
            suite: self.terms.suite,
            open: self.terms.services(),
            window: self.terms.window,
            freshness: match pair.freshness {
                Freshness::Clock => FreshnessName::Clock,
                Freshness::Monotonic(_) => FreshnessName::Monotonic,
            },
            created: pair.created,
            receipt: self.terms.receipt,
        })
    }
}

/// Where clients' halves of these names go, as absolute paths.
pub(super) fn outputs(names: &[ProfileName], out: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        names.iter().map(|name| folder.join(format!("{name}.spa.toml"))).collect()
    };
    let outputs = match (out, names) {
        (None, _) => in_folder(Path::new("")),
        (Some(out), [_]) if !out.is_dir() => vec![out.to_owned()],
        (Some(folder), _) => in_folder(folder),
    };
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(|error| cannot("name", &path, &error));
    outputs.into_iter().map(absolute).collect()
}

/// Refuses before anything is made.
pub(super) fn refuse_existing<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    for path in paths {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(
                Status::File,
                format!("{} exists already, and nothing is ever overwritten", path.display()),
                "choose another name, or remove that file first if nobody needs it any more",
            ));
        }
    }
    Ok(())
}

pub(super) fn write(path: &Path, text: &str, owner: Owner, random: &mut Random) -> Result<Created, Failure> {
    let written = NewFile::begin(path, owner, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.publish()
    });
    written.map_err(|error| cannot("make", path, &error))
}

/// Who called `sudo`: the client's half is to be his. What the environment says counts only for root, who could
/// give files away anyhow.
pub(super) fn caller() -> Owner {
    let id = |name| env::var(name).ok()?.parse::<u32>().ok();
    if is_root() { Some((id("SUDO_UID")?, id("SUDO_GID")?)) } else { None }
}
