//! The daemon of a self-test: this program, as it would run, with files and a network of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::site::Site;
use crate::sys::namespace;

const STARTS: Duration = Duration::from_secs(5);
const ENDS: Duration = Duration::from_secs(2);

/// A running daemon; dropping it ends all of its processes.
pub(super) struct Daemon {
    starter: Child,
    /// Lines of its log. The channel ends with the last process.
    log: Receiver<String>,
    last: Option<String>,
}

impl Daemon {
    /// Starts it in the namespaces of this thread, which has to outlive it, and waits until it serves.
    pub(super) fn start(site: &Site) -> Result<Self, String> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--config").arg(site.folder.join("spad.toml"));
        command.arg("--state-dir").arg(site.folder.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = namespace::dies_with_us(&mut command).spawn();
        let mut starter = started.map_err(|error| format!("the daemon cannot be started: {error}"))?;
        let (tell, log) = channel();
        if let Some(stderr) = starter.stderr.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stderr).lines().map_while(Result::ok);
                lines.take_while(|line| tell.send(line.clone()).is_ok()).for_each(drop);
            });
        }
        let mut daemon = Self { starter, log, last: None };
        match daemon.says("serving", STARTS) {
            true => Ok(daemon),
            false => Err(format!("the daemon does not serve: {}", daemon.last_words())),
        }
    }

    /// Whether it says these words within that time.
    pub(super) fn says(&mut self, words: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while let Ok(line) = self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let found = line.contains(words);
            self.last = Some(line);
            if found {
                return true;
            }
        }
        false
    }

    /// The end of its log, without the time.
    pub(super) fn last_words(&self) -> String {
        let line = self.last.as_deref().unwrap_or("it says nothing");
        line.split_once(' ').map_or(line, |(_, rest)| rest).trim().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The others end with their channels.
        let _ = self.starter.kill();
        let _ = self.starter.wait();
        let deadline = Instant::now() + ENDS;
        while self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
    }
}
