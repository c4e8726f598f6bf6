//! What receipts taught of our addresses, for `-a learnt`: by which address a server saw us, when we came to it from which
//! local one. No secret, and only as good as it is fresh: a server that sees another address meanwhile refuses the knock.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spa_core::address::may_be_granted;

use super::address::Route;
use super::notes;
use super::receipts::Answer;
use super::seen::Seen;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::random::Random;

/// Where it is noted.
const FILE: &str = "addresses.toml";
/// Most that is remembered, over all servers: more than any device has networks.
const MOST: usize = 256;

/// `host local` to the address that was seen.
type Addresses = BTreeMap<String, IpAddr>;

/// What was noted for these ways to a server.
///
/// # Errors
/// If nothing was.
pub(super) fn of(host: &Host, ways: &[Route]) -> Result<Seen, Failure> {
    let known: Addresses = notes::read(notes::place(FILE).as_ref());
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
    let place = notes::place(FILE);
    let mut known: Addresses = notes::read(place.as_ref());
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
    notes::write(place.as_ref(), &known, random);
}

fn key(host: &Host, local: IpAddr) -> String {
    format!("{host} {local}")
}
