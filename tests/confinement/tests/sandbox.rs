//! A sealed process, seen from inside and from outside. The kernel is the real one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::{Folder, PROGRAM, output, root, user_namespaces};

const SIGABRT: i32 = 6;
const SIGSYS: i32 = 31;

#[test]
fn a_sealed_worker_can_do_its_work() {
    if !root() {
        return;
    }
    let output = output(&[PROGRAM, "probe", "allowed"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && log.contains("all done"), "{}: {log}", output.status);
}

#[test]
fn whatever_else_a_sealed_worker_tries_kills_it() {
    if !root() {
        return;
    }
    #[rustfmt::skip]
    let rows = [
        ("open",           "read a file"),
        ("openat2",        "read a file, by the newer call"),
        ("socket",         "talk to the network"),
        ("unix",           "make any socket"),
        ("exec",           "become another program"),
        ("spawn",          "start another program"),
        ("fork",           "start another process"),
        ("thread",         "start a thread"),
        ("send",           "send a forged frame"),
        ("write capture",  "the same by write, which on a packet socket sends"),
        ("writev capture", "the same by writev"),
        ("pwrite capture", "the same by pwrite"),
        ("write high",     "the same with a number whose high half hides the descriptor"),
        ("write stdout",   "write where nothing was said to be writable"),
        ("bind",           "move the capture to another interface"),
        ("connect",        "ask at the control socket, as an operator would"),
        ("accept",         "answer there in the monitor's place"),
        ("listen",         "make one of its own"),
        ("dup",            "a second number for the capture"),
        ("dup3",           "the capture under the journal's number, where writing is allowed"),
        ("kill",           "end another process"),
        ("tgkill",         "the same by the call that abort uses"),
        ("ptrace",         "read another process of the same user"),
        ("bpf",            "load a program into the kernel"),
        ("io_uring",       "system calls that no filter sees"),
        ("setuid",         "become root again"),
        ("prctl",          "become dumpable again"),
        ("mmap exec",      "memory for injected code"),
        ("mprotect exec",  "the same with memory it has"),
        ("x32",            "another numbering of the system calls"),
    ];
    for (what, why) in rows {
        if what == "x32" && !cfg!(target_arch = "x86_64") {
            continue;
        }
        let output = output(&[PROGRAM, "probe", what]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("sealed: "), "{what} ({why}): {log}");
        assert_eq!(output.status.signal(), Some(SIGSYS), "{what} ({why}): {log}");
    }
}

#[test]
fn a_sealed_monitor_can_do_its_work() {
    if !root() {
        return;
    }
    let output = output(&[PROGRAM, "probe-monitor", "allowed"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && log.contains("all done"), "{}: {log}", output.status);
}

#[test]
fn whatever_else_a_sealed_monitor_tries_kills_it() {
    if !root() {
        return;
    }
    #[rustfmt::skip]
    let rows = [
        ("open",            "read a file"),
        ("proc",            "read what the kernel tells in files"),
        ("create",          "leave a file behind"),
        ("list",            "look what files there are"),
        ("exec",            "become another program"),
        ("spawn",           "start another program"),
        ("thread",          "start a thread"),
        ("inet",            "talk to the network"),
        ("packet",          "read the network"),
        ("unix",            "talk to other services of this machine"),
        ("uevent",          "forge events of devices"),
        ("audit",           "switch the audit off"),
        ("generic",         "whatever else the kernel speaks netlink for"),
        ("busy poll",       "set something else of a socket"),
        ("pwrite elsewhere", "write to another file than its own"),
        ("dup",             "a second number for the file that it writes to"),
        ("kill",            "end another process"),
        ("tgkill",          "the same by the call that abort uses"),
        ("ptrace",          "read the worker, which may be of the same user"),
        ("bpf",             "load a program into the kernel"),
        ("io_uring",        "system calls that no filter sees"),
        ("setns",           "the firewall of another network namespace"),
        ("unshare",         "all capabilities, in a namespace of its own"),
        ("setuid",          "become root again"),
        ("prctl",           "become dumpable again"),
        ("mmap exec",       "memory for injected code"),
        ("mprotect exec",   "the same with memory it has"),
    ];
    for (what, why) in rows {
        let output = output(&[PROGRAM, "probe-monitor", what]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("sealed: "), "{what} ({why}): {log}");
        assert_eq!(output.status.signal(), Some(SIGSYS), "{what} ({why}): {log}");
    }
}

#[test]
fn the_keys_of_a_sealed_worker_stay_out_of_the_swap_where_that_is_allowed() {
    if !root() {
        return;
    }
    if output(&["prlimit", "--memlock=unlimited:unlimited", "true"]).status.success() {
        let (report, status) = state(&[], WORKER);
        assert!(report.contains("memory locked"), "{report}");
        assert!(status["VmLck"] != "0 kB", "{}", status["VmLck"]);
    } else {
        eprintln!("*** SKIPPED in part: this machine's root may not raise RLIMIT_MEMLOCK");
    }
    // As another user, with the limit that most machines have: it runs all the same, and says so.
    let prefix =
        ["prlimit", "--memlock=65536:65536", "setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let two = ["--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw"];
    let (report, status) = state(&[&prefix[..], &two].concat(), WORKER);
    assert!(report.contains("memory not locked"), "{report}");
    assert_eq!(status["VmLck"], "0 kB");
}

#[test]
fn a_bug_ends_a_sealed_process_in_the_usual_way() {
    if !root() {
        return;
    }
    for role in ["probe", "probe-monitor"] {
        assert_eq!(output(&[PROGRAM, role, "abort"]).status.signal(), Some(SIGABRT));
        let panic = output(&[PROGRAM, role, "panic"]);
        let log = String::from_utf8_lossy(&panic.stderr);
        assert!(log.contains("as a bug would"), "the reason can be read: {log}");
        assert!(
            panic.status.code() == Some(101) || panic.status.signal() == Some(SIGABRT),
            "{}",
            panic.status
        );
    }
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    if !root() {
        return;
    }
    for (what, why) in [("threads", "before any thread is started"), ("unfiltered", "has no filter")] {
        let output = output(&[PROGRAM, "probe", what]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{what}: {log}");
        assert!(log.contains(why), "{what}: {log}");
    }
}

#[test]
fn a_sealed_sender_can_send_and_whatever_else_it_tries_kills_it() {
    if !root() {
        return;
    }
    let allowed = output(&[PROGRAM, "probe-sender", "allowed"]);
    let log = String::from_utf8_lossy(&allowed.stderr);
    assert!(allowed.status.success() && log.contains("all done"), "{}: {log}", allowed.status);
    #[rustfmt::skip]
    let rows = [
        ("hear",           "receive what others are sent"),
        ("read",           "the same by read"),
        ("write",          "send where nothing is said of whereto"),
        ("connect",        "choose where it goes"),
        ("other",          "send by a socket that is not its own"),
        ("to the monitor", "say anything to the monitor"),
        ("socket",         "make another socket"),
        ("open",           "read a file"),
        ("exec",           "become another program"),
        ("fork",           "start another process"),
        ("sendmsg",        "send by a call whose address no filter sees"),
        ("dup",            "give another socket an allowed number"),
        ("kill",           "end another process"),
        ("setuid",         "become root again"),
    ];
    for (what, why) in rows {
        let output = output(&[PROGRAM, "probe-sender", what]);
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("sealed: "), "{what} ({why}): {log}");
        assert_eq!(output.status.signal(), Some(SIGSYS), "{what} ({why}): {log}");
    }
    let refused = output(&[PROGRAM, "probe-sender", "unfiltered"]);
    assert_eq!(refused.status.code(), Some(5), "a socket that would hear everything");
}

/// The state of a sealed worker or monitor while it runs, after `prefix` that starts it: its own report and
/// the lines of /proc/PID/status.
fn state(prefix: &[&str], role: &[&str]) -> (String, HashMap<String, String>) {
    let words = [prefix, &[PROGRAM], role].concat();
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let report = lines.by_ref().map_while(Result::ok).find(|line| line.contains("sealed: ")).unwrap();
    assert!(!report.contains("not sealed"), "{report}");
    // All prefixes replace themselves, so the child is the program.
    let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(child.stdin.take());
    drop(lines);
    child.wait().unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    (report, fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

const NONE: &str = "0000000000000000";
const NET_ADMIN: &str = "0000000000001000";
const WORKER: &[&str] = &["probe", "wait"];
const MONITOR: &[&str] = &["probe-monitor", "wait"];

#[test]
fn a_sealed_worker_has_no_capability_and_no_way_to_one() {
    if !root() {
        return;
    }
    let (report, status) = state(&[], WORKER);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], NONE, "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Seccomp"], "2");
    assert_eq!(status["Uid"], "65534\t65534\t65534\t65534", "{report}");
    assert_eq!(status["Gid"], "65534\t65534\t65534\t65534", "{report}");
    assert_eq!(status["Groups"], "", "{report}");
    assert!(report.contains("nobody"), "{report}");
}

#[test]
fn a_sealed_monitor_can_change_the_firewall_and_no_more() {
    if !root() {
        return;
    }
    let (report, status) = state(&[], MONITOR);
    for (set, value) in [
        ("CapInh", NONE),
        ("CapPrm", NET_ADMIN),
        ("CapEff", NET_ADMIN),
        ("CapBnd", NET_ADMIN),
        ("CapAmb", NONE),
    ] {
        assert_eq!(status[set], value, "{set}");
    }
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    assert_eq!(status["Uid"], "65534\t65534\t65534\t65534", "{report}");
    assert_eq!(status["Groups"], "", "{report}");
}

#[test]
fn the_user_spad_is_taken_where_there_is_one() {
    if !root() {
        return;
    }
    let folder = Folder::new("passwd");
    let passwd = folder.0.join("passwd");
    for (line, expected) in
        [("spad:x:4321:8765::/:/usr/sbin/nologin", Ok("4321")), ("spad:x:0:0:::", Err(()))]
    {
        fs::write(&passwd, format!("root:x:0:0:root:/root:/bin/sh\n{line}\n")).unwrap();
        let script = format!("mount --bind {} /etc/passwd && exec \"$@\"", passwd.display());
        let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"];
        let Ok(uid) = expected else {
            let refused = output(&[&prefix[..], &[PROGRAM], WORKER].concat());
            assert_eq!(refused.status.code(), Some(5), "root under another name");
            continue;
        };
        for role in [WORKER, MONITOR] {
            let (report, status) = state(&prefix, role);
            assert_eq!(status["Uid"], [uid; 4].join("\t"), "{report}");
            assert_eq!(status["Gid"], ["8765"; 4].join("\t"), "{report}");
        }
    }
}

#[test]
fn in_a_user_namespace_with_one_uid_the_capabilities_go_all_the_same() {
    if !user_namespaces() {
        return;
    }
    let prefix = ["unshare", "-Urn"];
    let (report, status) = state(&prefix, WORKER);
    assert!(report.contains("the only user of this user namespace"), "{report}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], NONE, "{set}");
    }
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    let (report, status) = state(&prefix, MONITOR);
    assert_eq!((&*status["CapEff"], &*status["CapBnd"]), (NET_ADMIN, NET_ADMIN), "{report}");
}

#[test]
fn a_service_manager_may_start_it_as_another_user_with_two_ambient_capabilities() {
    if !root() {
        return;
    }
    let ids = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let two = ["--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw"];
    let prefix = [&ids[..], &two].concat();
    let (report, status) = state(&prefix, WORKER);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], NONE, "{set}");
    }
    assert_eq!(status["Uid"], ["12345"; 4].join("\t"));
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    assert!(report.contains("bounding set kept"), "{report}");
    let (report, status) = state(&prefix, MONITOR);
    assert_eq!((&*status["CapPrm"], &*status["CapAmb"]), (NET_ADMIN, NONE), "{report}");
    // Without them the monitor says so.
    let refused = output(&[&ids[..], &[PROGRAM], MONITOR].concat());
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("CAP_NET_ADMIN is missing"));
}
