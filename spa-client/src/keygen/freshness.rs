//! Whether this machine's clock can be trusted to tell old from new.

use std::fs;
use std::path::Path;

use spa_core::profile::Freshness;

use super::args::Kind;
use super::site::Site;
use crate::failure::{Failure, Status};

/// How freshness is to be judged, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// As the command line says, or as is usual.
    Said(Kind),
    /// Monotonic, because there is no real-time clock.
    NoClock,
}

impl Choice {
    /// What the command line says; else as the machine allows.
    pub(super) fn of(said: Option<Kind>) -> Self {
        match said {
            Some(kind) => Self::Said(kind),
            None if cfg!(target_os = "linux") && lacks_clock(Path::new("/sys/class")) => Self::NoClock,
            None => Self::Said(Kind::Clock),
        }
    }

    /// As it stands in a profile: a monotonic one belongs to the journal's present life.
    pub(super) fn freshness(self, site: &Site) -> Result<Freshness, Failure> {
        if self == Self::Said(Kind::Clock) {
            return Ok(Freshness::Clock);
        }
        match &site.journal {
            Ok(journal) => Ok(Freshness::Monotonic(journal.epoch)),
            Err(why) => Err(Failure::new(
                Status::File,
                format!("a monotonic profile belongs to the replay journal, which {why}"),
                "start spad, which begins a new journal, and try again; or use --freshness clock",
            )),
        }
    }
}

/// Whether the kernel knows no battery-backed clock. Where it tells nothing at all of devices, one is assumed.
fn lacks_clock(class: &Path) -> bool {
    let clocks = fs::read_dir(class.join("rtc")).map_or(0, Iterator::count);
    class.is_dir() && clocks == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_missed_only_where_devices_are_listed() {
        let folder = std::env::temp_dir().join(format!("spa-rtc-{}", std::process::id()));
        assert!(!lacks_clock(&folder), "nothing is known");
        fs::create_dir_all(&folder).unwrap();
        assert!(lacks_clock(&folder), "no class of clocks");
        fs::create_dir(folder.join("rtc")).unwrap();
        assert!(lacks_clock(&folder), "a class without a clock");
        fs::create_dir(folder.join("rtc/rtc0")).unwrap();
        assert!(!lacks_clock(&folder), "a clock");
        fs::remove_dir_all(&folder).unwrap();
    }
}
