//! Somebody who tries a door again and again, and remembers when it was open.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::process::Running;
use crate::{Host, Lab, eventually, helper};

/// Now, on the clock of [`Watch::open`] (`CLOCK_MONOTONIC`, the same in every process).
#[must_use]
pub fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// Tries a few TCP services without end, some fifty times a second each, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    seen: PathBuf,
    _running: Running,
}

/// Sends a file of the laboratory as a datagram, at once when told to.
#[derive(Debug)]
pub struct Sender {
    word: ChildStdin,
    _running: Running,
}

impl Lab {
    /// Begins to try these services from a host.
    ///
    /// # Panics
    /// When the laboratory has no room.
    #[must_use]
    pub fn watch(&self, host: Host, targets: &[&str]) -> Watch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let seen = self.path(&format!("watch.{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut command = self.command(host, helper());
        command.arg("watch").args(targets).stdin(Stdio::null());
        command.stdout(File::create(&seen).expect("the laboratory has room"));
        let running = self.start(command);
        eventually("the watch begins", Duration::from_secs(10), || {
            fs::metadata(&seen).is_ok_and(|file| file.len() > 0)
        });
        Watch { seen, _running: running }
    }

    /// Gets ready to send a file to an address. It is read when it is sent.
    ///
    /// # Panics
    /// When the helper cannot be started.
    #[must_use]
    pub fn sender(&self, host: Host, file: &str, target: &str) -> Sender {
        let (running, word, mut said) = self.start_helper(host, &["post", &Self::inside(file), target]);
        assert_eq!(crate::probes::line(&mut said), "ready", "datagrams from {} to {target}", host.name);
        Sender { word, _running: running }
    }
}

impl Watch {
    /// When a connection to the service of that number was begun that then succeeded, the earliest first.
    ///
    /// # Panics
    /// When the watch is gone.
    #[must_use]
    pub fn open(&self, target: usize) -> Vec<Duration> {
        let seen = fs::read_to_string(&self.seen).expect("the laboratory is there");
        let number = target.to_string();
        let times = seen.lines().filter_map(|line| line.split_once(' ').filter(|(at, _)| *at == number));
        times.filter_map(|(_, time)| time.parse().ok().map(Duration::from_micros)).collect()
    }

    /// The same, of what was begun after that moment.
    #[must_use]
    pub fn open_after(&self, target: usize, moment: Duration) -> Vec<Duration> {
        self.open(target).into_iter().filter(|time| *time > moment).collect()
    }
}

/// From the first to the last time of the longest stretch in which no fifth of a second was without one; nothing for none,
/// a millisecond for a single one.
#[must_use]
pub fn longest_stretch(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let mut longest = Duration::ZERO;
    for stretch in times.chunk_by(|one, next| *next - *one < Duration::from_millis(200)) {
        if let (Some(first), Some(last)) = (stretch.first(), stretch.last()) {
            longest = longest.max((*last - *first).max(Duration::from_millis(1)));
        }
    }
    longest
}

impl Sender {
    /// Sends the file.
    ///
    /// # Panics
    /// When the helper died.
    pub fn send(&mut self) {
        writeln!(self.word, "now").expect("the helper reads");
    }
}
