//! A whole daemon, with words in its configuration that say how it behaves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Folder, PROGRAM, eventually};

/// Set in every process of a daemon, so that all are found whatever became of their parent.
const MARK: &str = "PLUMBING_TEST";

pub struct Daemon {
    pub starter: Child,
    folder: Folder,
    mark: String,
}

pub const SECOND: Duration = Duration::from_secs(1);

impl Daemon {
    pub fn start(name: &str, config: &str) -> Self {
        Self::start_by(&[], name, config)
    }

    /// `prefix` replaces itself by the daemon.
    pub fn start_by(prefix: &[&str], name: &str, config: &str) -> Self {
        let folder = Folder::new(name);
        let path = folder.0.join("spad.toml");
        fs::write(&path, config).unwrap();
        let log = File::create(folder.0.join("log")).unwrap();
        let mark = format!("{name}-{}", std::process::id());
        let words = [prefix, &[PROGRAM]].concat();
        let starter = Command::new(words[0])
            .args(&words[1..])
            .arg("--config")
            .arg(&path)
            .arg("--state-dir")
            .arg(&folder.0)
            .env(MARK, &mark)
            .env_remove("RUST_BACKTRACE")
            .stderr(log)
            .spawn()
            .unwrap();
        Self { starter, folder, mark }
    }

    /// One that serves.
    pub fn serving(name: &str, config: &str) -> Self {
        let daemon = Self::start(name, config);
        daemon.wait_for_log("took over", 1);
        daemon
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.folder.0.join("spad.toml"), config).unwrap();
    }

    pub fn path(&self) -> &Path {
        &self.folder.0
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap()
    }

    /// Waits until the log holds `text` so many times.
    pub fn wait_for_log(&self, text: &str, times: usize) -> Duration {
        eventually(8 * SECOND, text, || self.log().matches(text).count() >= times)
    }

    /// The processes of this daemon that are alive and have `role` as an argument; all of them for "".
    pub fn processes(&self, role: &str) -> BTreeSet<i32> {
        let mark = format!("{MARK}={}", self.mark);
        let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let read = |file| fs::read(entry.path().join(file)).ok();
            let ours = read("environ")?.split(|b| *b == 0).any(|variable| variable == mark.as_bytes());
            let arguments = String::from_utf8(read("cmdline")?).ok()?;
            (ours && (role.is_empty() || arguments.split('\0').any(|argument| argument == role)))
                .then_some(pid)
        });
        numbers.collect()
    }

    /// The one process in a role.
    pub fn only(&self, role: &str) -> i32 {
        let found = self.processes(role);
        assert_eq!(found.len(), 1, "one {role}: {found:?}\n{}", self.log());
        found.into_iter().next().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        send(i32::try_from(self.starter.id()).unwrap(), signal);
    }

    /// Waits until a process in a role is there that is not one of `old`.
    pub fn wait_for_new(&self, role: &str, old: &[i32], limit: Duration) -> Duration {
        eventually(limit, role, || self.processes(role).iter().any(|pid| !old.contains(pid)))
    }

    /// Waits until no process is left.
    pub fn wait_for_end(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let took = eventually(limit, "no process is left", || {
            // Reaped here, so that it does not linger as a zombie.
            self.starter.try_wait().unwrap().is_some() && self.processes("").is_empty()
        });
        (self.starter.wait().unwrap(), took)
    }
}

/// Signals a process of a daemon that a test started.
pub fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
        let _ = self.starter.kill();
        let _ = self.starter.wait();
        for pid in self.processes("") {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}
