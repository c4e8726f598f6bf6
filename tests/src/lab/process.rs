//! A program in the laboratory: running, ended, and its children.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A program that ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// Exit status, or `None` when a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Done {
    /// Both outputs, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// # Panics
    /// When the program did not end with status 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "the program failed:\n{}", self.text());
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Done {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Done {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that runs in the laboratory; dropping this kills it.
#[derive(Debug)]
pub struct Running {
    /// `nsenter`, which waits for the program and ends as it ended.
    outer: Child,
    program: Pid,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let outer = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut found = Vec::new();
        eventually("the program starts", Duration::from_secs(5), || {
            found = children(outer.id());
            !found.is_empty() || !is_alive(outer.id())
        });
        let program = found.first().map_or(outer.id(), |pid| *pid);
        Self { outer, program: to_pid(program) }
    }

    /// Its process id, as this test process sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.as_raw_nonzero().get().cast_unsigned()
    }

    /// Its end of the pipe on standard input, and of that on standard output, if asked for at the start.
    pub(crate) fn pipes(&mut self) -> (Option<std::process::ChildStdin>, Option<std::process::ChildStdout>) {
        (self.outer.stdin.take(), self.outer.stdout.take())
    }

    /// Sends it a signal; nothing happens if it is gone.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.program, signal);
    }

    /// Lets it go on after SIGSTOP, and `nsenter`, which stopped with it.
    pub fn resume(&self) {
        signal(self.outer.id(), Signal::CONT);
        self.signal(Signal::CONT);
    }

    /// Its exit status once it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.outer.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended `within` that time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", within, || {
            status = self.ended();
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            let start = Instant::now();
            while self.ended().is_none() && start.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = self.outer.kill();
            let _ = self.outer.wait();
        }
    }
}

/// Sends a signal to a process of the laboratory, found by [`descendants`].
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(to_pid(pid), signal);
}

/// The children of a process, by the kernel's list.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The children of a process and theirs, those that still run.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut all = children(pid);
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children(*pid));
        next += 1;
    }
    all.retain(|pid| is_alive(*pid));
    all
}

/// Whether a process exists and is more than a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // "pid (name) state …"; a name may hold anything, so the last parenthesis counts.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).expect("process ids are positive")
}
