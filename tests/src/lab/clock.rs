//! A wall clock that a test may step while programs run by it, sealed off or not (`shim/clock.c`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Duration;

use crate::{Lab, repository};

/// What the kernel says of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronised {
    /// It is set by a time service.
    Yes,
    /// Nobody vouches for it.
    No,
    /// Whatever this machine's kernel says.
    AsItIs,
}

/// The clock of the programs that are started with its [`Clock::environment`].
#[derive(Debug)]
pub struct Clock {
    state: File,
    name: String,
}

impl Clock {
    /// A right clock.
    ///
    /// # Panics
    /// When the shim cannot be compiled.
    #[must_use]
    pub fn new(lab: &Lab, name: &str) -> Self {
        let shim = lab.path("clock.so");
        if !shim.exists() {
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(shim);
            let done = cc.arg(repository().join("tests/shim/clock.c")).output().expect("`cc` is installed");
            assert!(done.status.success(), "the shim: {}", String::from_utf8_lossy(&done.stderr));
        }
        lab.write(name, [0; 16]);
        let state = OpenOptions::new().write(true).open(lab.path(name)).expect("just written");
        let clock = Self { state, name: name.to_owned() };
        clock.kernel_says(Synchronised::AsItIs);
        clock
    }

    /// Sets the clock so far ahead of the right time.
    pub fn ahead(&self, by: Duration) {
        self.put(0, nanoseconds(by));
    }

    /// Sets the clock so far behind the right time.
    pub fn behind(&self, by: Duration) {
        self.put(0, -nanoseconds(by));
    }

    /// Sets what the kernel says of the clock.
    pub fn kernel_says(&self, synchronised: Synchronised) {
        self.put(
            8,
            match synchronised {
                Synchronised::Yes => 1,
                Synchronised::No => 0,
                Synchronised::AsItIs => -1,
            },
        );
    }

    /// Settings for a program that is to live by this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        vec![
            format!("LD_PRELOAD={}", Lab::inside("clock.so")),
            format!("LAB_CLOCK={}", Lab::inside(&self.name)),
        ]
    }

    fn put(&self, offset: u64, number: i64) {
        self.state.write_all_at(&number.to_ne_bytes(), offset).expect("the file is there");
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("less than 292 years")
}
