//! What receipts taught of our addresses, for `-a learnt`: by which address a server saw us, when we came to it from which
//! local one. No secret, and only as good as it is fresh: a server that sees another address meanwhile refuses the knock.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use spa_core::address::may_be_granted;

use super::address::Route;
use super::memory;
use super::receipts::Answer;
use super::seen::Seen;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::new_file::NewFile;
use crate::random::Random;

/// Most that is remembered, over all servers: more than any device has networks.
const MOST: usize = 256;

/// `host local` to the address that was seen.
type Addresses = BTreeMap<String, IpAddr>;

/// What was noted for these ways to a server.
///
/// # Errors
/// If nothing was.
pub(super) fn of(host: &Host, ways: &[Route]) -> Result<Seen, Failure> {
    let known = load(place());
    let noted = |way: &Route| {
        let local = way.local.as_ref().ok()?.ip();
        known.get(&key(host, local)).map(|&seen| (local, seen))
    };
    let seen: Vec<_> = ways.iter().filter_map(noted).filter(|&(_, seen)| may_be_granted(seen)).collect();
    if seen.is_empty() {
        let sentence =
            format!("no receipt of {host} has told yet as whom it sees this machine in this network");
        let hint = "knock once with --receipt and -a source, if the server sends receipts to this profile";
        return Err(Failure::new(Status::Other, sentence, hint));
    }
    Ok(Seen::told(seen))
}

/// Notes what receipts say. Nobody is told if it cannot be written.
pub(super) fn note<'r>(
    host: &Host,
    ways: impl Iterator<Item = &'r Route>,
    answers: &[Answer],
    random: &mut Random,
) {
    let path = place();
    let mut known = load(path.clone());
    for way in ways {
        let answer = answers.iter().find(|answer| answer.server == way.server);
        if let (Some(answer), Ok(local)) = (answer, &way.local) {
            known.insert(key(host, local.ip()), answer.receipt.seen);
        }
    }
    // Which one goes is no matter: it is learnt again.
    while known.len() > MOST {
        known.pop_first();
    }
    let (Some(path), Ok(text)) = (path, toml::to_string(&known)) else { return };
    let _ = path.parent().map(fs::create_dir_all);
    let _ = NewFile::begin(&path, None, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.replace()
    });
}

fn place() -> Option<PathBuf> {
    memory::folder().map(|folder| folder.join("addresses.toml"))
}

/// A file that cannot be read is as good as none.
fn load(path: Option<PathBuf>) -> Addresses {
    let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    toml::from_str(&text).unwrap_or_default()
}

fn key(host: &Host, local: IpAddr) -> String {
    format!("{host} {local}")
}
