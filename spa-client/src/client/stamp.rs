//! The time in a request. For a `monotonic` profile the server knows no clock but this one, so it may never go back:
//! the last time that was used is kept beside the profile (`NAME.spa.last`), and none that is earlier is ever sealed.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use spa_core::file::profile::FreshnessName;
use spa_core::time::UnixMillis;

use super::profile::Profile;
use crate::clock;
use crate::failure::{Failure, Status};
use crate::new_file::NewFile;
use crate::owner::owner_of;
use crate::random::Random;
use crate::secret_file::{plain, quoted};

/// The time that the next request would have.
pub(super) fn next(profile: &Profile) -> Result<UnixMillis, Failure> {
    let now = clock::now();
    match profile.file.freshness {
        FreshnessName::Clock => Ok(now),
        FreshnessName::Monotonic => {
            let used = last(profile)?.unwrap_or(UnixMillis::EPOCH);
            // Nothing up to its creation is fresh either; the file has it in whole seconds.
            Ok(now.max(clock::after(used)).max(clock::after(profile.file.created)))
        }
    }
}

/// `count` times that nobody else uses, one a millisecond; returns the first.
pub(super) fn reserve(profile: &Profile, count: usize, random: &mut Random) -> Result<UnixMillis, Failure> {
    if profile.file.freshness == FreshnessName::Clock {
        return next(profile);
    }
    // Two commands at once must not take each other's times. A filesystem that cannot lock is used by one alone.
    let _ = profile.handle.lock();
    let first = next(profile)?;
    let last = first.plus(Duration::from_millis(count.saturating_sub(1) as u64));
    store(profile, last, random)?;
    let _ = profile.handle.unlock();
    Ok(first)
}

fn path(profile: &Profile) -> PathBuf {
    profile.path.with_extension("last")
}

fn last(profile: &Profile) -> Result<Option<UnixMillis>, Failure> {
    let path = path(profile);
    let refused = |what: String| {
        let hint = format!("if this machine's clock is right: rm {}", quoted(&path));
        Err(Failure::new(Status::File, format!("the last time used is not known: {what}"), hint))
    };
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse().ok().and_then(UnixMillis::new) {
            Some(time) => Ok(Some(time)),
            None => refused(format!("{} holds no time", path.display())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => refused(format!("cannot read {}: {}", path.display(), plain(&error))),
    }
}

fn store(profile: &Profile, time: UnixMillis, random: &mut Random) -> Result<(), Failure> {
    let path = path(profile);
    let owner = profile.handle.metadata().ok().as_ref().and_then(owner_of);
    let stored = NewFile::begin(&path, owner, random).and_then(|mut file| {
        file.write(format!("{}\n", time.get()).as_bytes())?;
        file.replace()
    });
    stored.map_err(|error| {
        Failure::new(
            Status::File,
            format!("cannot note the time used in {}: {}", path.display(), plain(&error)),
            "keep the profile where you may write: its server remembers times only",
        )
    })
}
