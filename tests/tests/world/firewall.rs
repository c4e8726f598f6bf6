//! A recorder in place of the kernel's table: elements with timeouts that end by themselves, whoever lives.

use std::collections::BTreeMap;
use std::time::Duration;

use spa_core::lease::{Change, Door};
use spa_core::terms::Forward;
use spa_core::time::BootTime;

/// The elements, with their ends and comments.
#[derive(Default)]
pub struct Firewall {
    elements: BTreeMap<Door, (BootTime, String, Option<Forward>)>,
}

impl Firewall {
    /// Does as it is told.
    pub fn apply(&mut self, change: Change, now: BootTime) {
        match change {
            Change::Set { door, timeout, comment, forward, .. } => {
                self.elements.insert(door, (now.plus(timeout), comment, forward));
            }
            Change::Remove { door } => {
                self.elements.remove(&door);
            }
        }
    }

    /// What is open, and until when. What has ended is gone.
    pub fn open(&mut self, now: BootTime) -> impl Iterator<Item = (Door, BootTime)> {
        self.elements.retain(|_, (until, ..)| *until > now);
        self.elements.iter().map(|(door, (until, ..))| (*door, *until))
    }

    /// As a new monitor lists them.
    pub fn elements(&self, now: BootTime) -> impl Iterator<Item = (Door, Duration, &str, Option<Forward>)> {
        self.elements
            .iter()
            .map(move |(door, (until, comment, to))| (*door, until.since(now), comment.as_str(), *to))
    }

    /// The kernel is gone, and its tables with it.
    pub fn reboot(&mut self) {
        self.elements.clear();
    }
}
