//! The two halves of a profile.

use std::env;
use std::path::{Path, PathBuf};

use spa_core::crypto::key::{KeyId, ProfileKey, SiteKey};
use spa_core::file::client::{ClientFile, NewClient};
use spa_core::file::profile::{FreshnessName, ProfileFile};
use spa_core::profile::Freshness;
use spa_core::time::UnixMillis;
use zeroize::Zeroizing;

use super::args::Args;
use super::folder::{self, Folders, cannot};
use super::key_id::Used;
use super::site::Site;
use crate::failure::{Failure, Status};
use crate::new_file::{Created, NewFile};
use crate::owner::{Owner, is_root, owner_in};
use crate::random::Random;

/// Where the clients' halves go, one for each name, as absolute paths.
pub(super) fn outputs(args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        args.names.iter().map(|name| folder.join(format!("{}.spa.toml", name.0))).collect()
    };
    let outputs = match (&args.out, args.names.as_slice()) {
        (None, _) => in_folder(Path::new("")),
        (Some(out), [_]) if !out.is_dir() => vec![out.clone()],
        (Some(folder), _) => in_folder(folder),
    };
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(|error| cannot("name", &path, &error));
    outputs.into_iter().map(absolute).collect()
}

/// Refuses before anything is made.
pub(super) fn refuse_existing(args: &Args, folders: &Folders, outputs: &[PathBuf]) -> Result<(), Failure> {
    for (name, output) in args.names.iter().zip(outputs) {
        for path in [&folders.profile(&name.0), output] {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::new(
                    Status::File,
                    format!("{} exists already, and nothing is ever overwritten", path.display()),
                    "choose another name, or remove that file first if nobody needs it any more",
                ));
            }
        }
    }
    Ok(())
}

/// Makes both halves for every name. What is returned removes them again unless it is kept.
pub(super) fn make(
    args: &Args,
    folders: &Folders,
    outputs: &[PathBuf],
    site: &Site,
    freshness: Freshness,
    now: UnixMillis,
    random: &mut Random,
) -> Result<Vec<Created>, Failure> {
    // Several names share a folder, which is made; a file's folder must be there.
    if let (Some(out), [_, _, ..]) = (&args.out, args.names.as_slice()) {
        folder::make(out, caller())?;
    }
    let remembered = site.journal.as_ref().map_or(&[][..], |journal| &journal.key_ids);
    let mut used = Used::at(&folders.profiles(), remembered);
    let server_owner = owner_in(&folders.profiles());
    let client_owner = caller();
    let mut created = Vec::new();
    for (name, output) in args.names.iter().zip(outputs) {
        let server = server_half(args, used.draw(random), freshness, now, random);
        let client = client_half(args, &name.0, &server, site, freshness, now);
        // The server's half last: until it is there, the client's opens nothing.
        let client = (output.clone(), client.to_text(), client_owner);
        let server = (folders.profile(&name.0), server.to_text(), server_owner);
        for (path, text, owner) in [client, server] {
            created.push(write(&path, &Zeroizing::new(text), owner, random)?);
        }
    }
    Ok(created)
}

fn server_half(
    args: &Args,
    id: KeyId,
    freshness: Freshness,
    now: UnixMillis,
    random: &mut Random,
) -> ProfileFile {
    let key = ProfileKey::random(random);
    let mut file = ProfileFile::new(id, key, args.suite, args.services(), now, freshness);
    file.window = args.window;
    file.max_window = args.max_window;
    file.expires = args.expires;
    file.receipt = args.receipt;
    file
}

fn client_half(
    args: &Args,
    name: &str,
    server: &ProfileFile,
    site: &Site,
    freshness: Freshness,
    created: UnixMillis,
) -> ClientFile {
    ClientFile::from(NewClient {
        name: name.to_owned(),
        server: args.server.to_string(),
        port: site.file.port,
        site_id: site.file.id,
        site_key: SiteKey::copy_of(&site.file.key),
        key_id: server.key_id(),
        key: ProfileKey::copy_of(&server.key),
        suite: server.suite,
        open: server.open.clone(),
        window: server.window,
        freshness: match freshness {
            Freshness::Clock => FreshnessName::Clock,
            Freshness::Monotonic(_) => FreshnessName::Monotonic,
        },
        created,
        receipt: server.receipt,
    })
}

fn write(path: &Path, text: &str, owner: Owner, random: &mut Random) -> Result<Created, Failure> {
    let written = NewFile::begin(path, owner, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.publish()
    });
    written.map_err(|error| cannot("make", path, &error))
}

/// Who called `sudo`: the client's half is to be his. What the environment says counts only for root, who could
/// give files away anyhow.
fn caller() -> Owner {
    let id = |name| env::var(name).ok()?.parse::<u32>().ok();
    if is_root() { Some((id("SUDO_UID")?, id("SUDO_GID")?)) } else { None }
}
