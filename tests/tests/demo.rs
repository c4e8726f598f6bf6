//! `make demo`, the first that most people see of this: it plays to its end, and its last act is a real ssh session.

use std::path::Path;
use std::process::Command;

use lab::{Lab, program, repository, skip};

#[test]
fn the_demo_ends_with_an_ssh_session_that_knocked_by_itself() {
    // Whether there are namespaces, and what the demo needs.
    let Some(_lab) = Lab::new() else { return };
    if !Path::new("/usr/sbin/sshd").exists() {
        return skip("/usr/sbin/sshd is missing (Debian: openssh-server)");
    }
    let spad = program("spad");
    let folder = spad.parent().expect("a program lies in a folder");
    let mut demo = Command::new("sh");
    demo.arg(repository().join("tests/demo.sh")).arg(folder).env_remove("BACKEND");
    let done = demo.output().expect("a shell can be started");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    #[rustfmt::skip]
    let story = [
        // what is printed, one after the other
        "22/tcp filtered ssh", "asked 10.99.0.1 to open tcp/22 for 3s", "22/tcp open   ssh", "22/tcp filtered ssh",
        "22/tcp filtered ssh", "its window ended", "logged in from 10.99.0.2 ",
        "connect to host 10.99.0.1 port 22: Connection timed out", "All of this is gone now",
    ];
    let mut rest = said.as_str();
    for part in story {
        let at = rest.find(part).unwrap_or_else(|| panic!("no (further) {part:?} in\n{said}"));
        rest = &rest[at + part.len()..];
    }
}
