//! A wall clock that a test may step, and a disk that it may break, while programs live with them, sealed off or not
//! (`shim/clock.c`, `shim/disk.c`); and a program that may not ask about clocks at all (`shim/unit.c`).

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
        compile(lab, "clock");
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

/// A disk that may break under the programs that are started with its [`Disk::environment`] (`shim/disk.c`).
#[derive(Debug)]
pub struct Disk {
    state: File,
}

impl Disk {
    /// A disk that works.
    ///
    /// # Panics
    /// When the shim cannot be compiled.
    #[must_use]
    pub fn new(lab: &Lab) -> Self {
        compile(lab, "disk");
        lab.write("disk", [0; 8]);
        Self { state: OpenOptions::new().write(true).open(lab.path("disk")).expect("just written") }
    }

    /// From now on nothing can be flushed to it, or everything again.
    ///
    /// # Panics
    /// When the laboratory is gone.
    pub fn breaks(&self, broken: bool) {
        self.state.write_all_at(&i64::from(broken).to_ne_bytes(), 0).expect("the file is there");
    }

    /// Settings for a program that is to live on this disk.
    #[must_use]
    pub fn environment(&self) -> Vec<String> {
        vec![format!("LD_PRELOAD={}", Lab::inside("disk.so")), format!("LAB_DISK={}", Lab::inside("disk"))]
    }
}

/// Settings for a program that the kernel tells nothing of its clock, as `ProtectClock=` of a unit wants it.
///
/// # Panics
/// When the shim cannot be compiled.
#[must_use]
pub fn no_clock(lab: &Lab) -> Vec<String> {
    compile(lab, "unit");
    vec![format!("LD_PRELOAD={}", Lab::inside("unit.so"))]
}

/// Makes a shim, unless the laboratory has it already.
fn compile(lab: &Lab, name: &str) {
    let shim = lab.path(&format!("{name}.so"));
    if shim.exists() {
        return;
    }
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(shim);
    let source = repository().join(format!("tests/shim/{name}.c"));
    let done = cc.arg(source).output().expect("`cc` is installed");
    assert!(done.status.success(), "the shim: {}", String::from_utf8_lossy(&done.stderr));
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("less than 292 years")
}
