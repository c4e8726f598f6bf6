//! The daemon of the laboratory: start it, read its log, end it in every way there is.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Running, descendants, is_alive, run, signal};
use crate::{Clock, Config, Done, Lab, OUTPUT_LIMIT, SERVER, eventually, program};

/// Longer than any start on a busy machine.
const START: Duration = Duration::from_secs(10);

/// A running spad: starter, monitor and worker. Dropping it kills them.
#[derive(Debug)]
pub struct Spad {
    starter: Running,
    log: PathBuf,
}

impl Lab {
    /// What most tests begin with: an echo service at tcp/22, guarded by spad, and the profile `laptop`.
    #[must_use]
    pub fn guard_ssh(&self) -> (Running, Spad) {
        self.configure(&Config::default());
        self.profile("laptop");
        let service = self.serve(SERVER, &["tcp/22"]);
        (service, self.spad())
    }

    /// Starts spad on the server and waits until it serves.
    #[must_use]
    pub fn spad(&self) -> Spad {
        let spad = self.start_spad(&[]);
        spad.says("serving");
        spad
    }

    /// Starts spad by another clock and waits until it serves.
    #[must_use]
    pub fn spad_by(&self, clock: &Clock) -> Spad {
        let spad = self.start_spad(&clock.environment());
        spad.says("serving");
        spad
    }

    /// Starts spad on the server and waits for nothing.
    ///
    /// # Panics
    /// When the log cannot be made.
    #[must_use]
    pub fn start_spad(&self, environment: &[String]) -> Spad {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let log = self.path(&format!("spad.{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut command = self.command_with(SERVER, environment, program("spad"));
        command.args(folders()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).expect("the laboratory has room"));
        Spad { starter: self.start(command), log }
    }

    /// Runs a subcommand of spad on the server to its end.
    #[must_use]
    pub fn spad_command(&self, arguments: &[&str]) -> Done {
        let mut command = self.bounded(SERVER, &[], program("spad"));
        command.args(folders()).args(arguments);
        run(command)
    }

    /// Starts a subcommand of spad on the server, with a standard input that stays open; all that it says goes to this
    /// file of the laboratory.
    ///
    /// # Panics
    /// When the file cannot be made.
    #[must_use]
    pub fn start_spad_command(&self, arguments: &[&str], says: &str) -> (Running, ChildStdin) {
        let mut command = self.command(SERVER, program("spad"));
        let out = File::create(self.path(says)).expect("the laboratory has room");
        command.args(folders()).args(arguments).stdin(Stdio::piped());
        command.stdout(out.try_clone().expect("a descriptor")).stderr(out);
        let mut running = self.start(command);
        let input = running.pipes().0.expect("asked for");
        (running, input)
    }
}

fn folders() -> [String; 4] {
    ["--config", &Lab::inside("etc/spad.toml"), "--state-dir", &Lab::inside("state")].map(str::to_owned)
}

impl Spad {
    /// The whole log so far.
    ///
    /// # Panics
    /// When there is more of it than any test can cause.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        assert!(log.len() < OUTPUT_LIMIT, "the log floods");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The lines of the log that contain all these words.
    #[must_use]
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        self.log().lines().filter(has_all).map(str::to_owned).collect()
    }

    /// Waits for a line of the log with these words.
    pub fn says(&self, words: &str) {
        self.says_times(words, 1);
    }

    /// Waits until that many lines of the log contain these words.
    ///
    /// # Panics
    /// When they do not come; the message shows the log.
    pub fn says_times(&self, words: &str, times: usize) {
        let start = std::time::Instant::now();
        while self.lines(&[words]).len() < times {
            assert!(start.elapsed() < START, "no {words:?} ({times}×) in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// The first process, which a service manager sees.
    pub fn starter(&mut self) -> &mut Running {
        &mut self.starter
    }

    /// Process ids of the children with this role, `monitor` or `worker`.
    #[must_use]
    pub fn role(&self, role: &str) -> Vec<u32> {
        let has_role = |pid: &u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = words.split(|byte| *byte == 0).collect();
            words.windows(2).any(|pair| pair == [b"--role", role.as_bytes()])
        };
        descendants(self.starter.pid()).into_iter().filter(has_role).collect()
    }

    /// All its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let starter = self.starter.pid();
        let mut all = descendants(starter);
        all.extend(is_alive(starter).then_some(starter));
        all
    }

    /// Sends a signal to all children with a role.
    pub fn signal_role(&self, role: &str, what: Signal) {
        self.role(role).into_iter().for_each(|pid| signal(pid, what));
    }

    /// `kill -9` of all children with a role.
    pub fn kill_role(&self, role: &str) {
        self.signal_role(role, Signal::KILL);
    }

    /// `kill -9` of everything, as a power cut would; returns when nothing is left.
    pub fn kill(&mut self) {
        let all = self.processes();
        // The starter first: it would start the others again.
        self.starter.signal(Signal::KILL);
        all.iter().for_each(|pid| signal(*pid, Signal::KILL));
        let _ = self.starter.wait(START);
        eventually("all of spad is dead", START, || !all.iter().any(|pid| is_alive(*pid)));
    }

    /// Asks it to read its files again.
    pub fn reload(&self) {
        self.starter.signal(Signal::HUP);
    }

    /// Asks it to end; returns its exit status when all its processes are gone.
    pub fn stop(&mut self) -> Option<i32> {
        let all = self.processes();
        self.starter.signal(Signal::TERM);
        let status = self.starter.wait(START);
        eventually("nothing of spad is left", START, || !all.iter().any(|pid| is_alive(*pid)));
        status.code()
    }
}

impl Drop for Spad {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- spad's log:\n{}---",
                String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default())
            );
        }
        if is_alive(self.starter.pid()) {
            self.kill();
        }
    }
}
