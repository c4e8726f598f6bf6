//! Network namespaces for tests, gone when the test ends, however it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Duplicate address detection would hold every IPv6 address back for a second.
const SETUP: &str = "ip link set lo up \
    && echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad \
    && echo ready && read -r _";

/// A network namespace. It lives as long as this value, or a socket in it.
pub(super) struct Namespace(File);

impl Namespace {
    /// A fresh one with nothing but loopback in it. `None` without the privilege: then the test is skipped,
    /// which CI does not forgive.
    pub(super) fn new() -> Option<Self> {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", SETUP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) and ip (iproute2) are needed");
        let mut ready = [0; 5];
        let entered = child.stdout.take().is_some_and(|mut out| out.read_exact(&mut ready).is_ok());
        let file = entered.then(|| File::open(format!("/proc/{}/ns/net", child.id())).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        if file.is_none() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no network namespace: not root?");
            let name = thread::current().name().unwrap_or("a test").to_owned();
            // Past the test harness, which would hide it.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: no network namespace without root");
        }
        file.map(Self)
    }

    /// Runs something in the namespace. Sockets and programs that it opens stay there.
    pub(super) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            body()
        };
        thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs commands in it, one a line; all must succeed.
    pub(super) fn sh(&self, commands: &str) {
        self.run(|| sh(commands));
    }

    /// Joins two namespaces by a virtual cable with an interface of that name at each end.
    pub(super) fn wire(&self, name: &str, other: &Self, other_name: &str) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.sh(&format!(
            "ip link add {name} type veth peer name {other_name} netns {path}
             ip link set {name} up"
        ));
        other.sh(&format!("ip link set {other_name} up"));
    }
}

/// Runs commands in the namespace of the calling thread, one a line; all must succeed.
pub(super) fn sh(commands: &str) {
    output(&format!("set -e\n{commands}"));
}

/// What a command writes.
pub(super) fn output(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Loads nft's text.
pub(super) fn load(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{text}");
}

/// Our table as nft lists it.
pub(super) fn listing() -> String {
    output("nft list table inet spad")
}
