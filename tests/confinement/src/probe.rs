//! Sealed processes that then try one thing.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FallocateFlags, FlockOperation};
use spad::sandbox::{Descriptors, seal_monitor, seal_worker};
use spad::socketpair::{Received, Seqpacket};
use spad::surroundings::{Routes, Surroundings, Watcher};
use spad::sys;
use spad::witness::Witness;

/// A packet socket where that is permitted, else a UDP one; with a filter that drops everything, or none.
fn capture(filtered: bool) -> OwnedFd {
    unsafe {
        let mut fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0x0300);
        if fd < 0 {
            eprintln!("no packet socket here, a UDP socket stands in");
            fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        }
        assert!(fd >= 0);
        if filtered {
            let mut code = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
            let program = libc::sock_fprog { len: 1, filter: &raw mut code };
            let size = size_of_val(&program) as u32;
            let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
            assert_eq!(libc::setsockopt(fd, level, name, (&raw const program).cast(), size), 0);
        }
        OwnedFd::from_raw_fd(fd)
    }
}

pub(crate) fn call(number: i64, arguments: [i64; 5]) {
    let [a, b, c, d, e] = arguments;
    let answer = unsafe { libc::syscall(number, a, b, c, d, e) };
    eprintln!("system call {number} lived: {answer}, {}", std::io::Error::last_os_error());
}

pub(crate) fn worker(what: &str) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("plumbing-probe-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("journal");
    let mut journal = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let witness = Witness::beside(&path);
    let (channel, mut peer) = Seqpacket::pair().unwrap();
    let capture = capture(what != "unfiltered");
    let parent = std::os::unix::process::parent_id();
    let mut reader = File::open("/etc/passwd").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    if what == "threads" {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(9)));
    }
    let descriptors =
        Descriptors { captures: &[capture.as_fd()], channel: channel.as_fd(), writable: &[journal.as_fd()] };
    match seal_worker(descriptors) {
        Ok(report) => eprintln!("sealed: {report}"),
        Err(error) => {
            eprintln!("not sealed: {error}");
            return ExitCode::from(5);
        }
    }
    match what {
        "wait" => drop(std::io::stdin().read(&mut [0])),
        "allowed" => allowed(&mut journal, &mut reader, &capture, &channel, &mut peer, &witness),
        "open" => drop(File::open("/etc/passwd")),
        "openat2" => call(libc::SYS_openat2, [-100, c"/".as_ptr() as i64, 0, 0, 0]),
        "socket" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "unix" => drop(Seqpacket::pair()),
        "exec" => call(libc::SYS_execve, [c"/bin/true".as_ptr() as i64, 0, 0, 0, 0]),
        "spawn" => drop(std::process::Command::new("/bin/true").spawn()),
        "fork" => call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0]),
        "thread" => drop(std::thread::Builder::new().spawn(|| ())),
        "send" => drop(rustix::net::send(&capture, &[0; 64], rustix::net::SendFlags::empty())),
        "write capture" => drop(rustix::io::write(&capture, &[0; 64])),
        "writev capture" => drop(rustix::io::writev(&capture, &[std::io::IoSlice::new(&[0; 64])])),
        "pwrite capture" => drop(rustix::io::pwrite(&capture, &[0; 64], 0)),
        "write high" => {
            // The kernel reads the descriptor as 32 bits, and so must the filter.
            let fd = (1 << 32) | i64::from(capture.as_raw_fd());
            call(libc::SYS_write, [fd, [0_u8; 64].as_ptr() as i64, 64, 0, 0]);
        }
        "write stdout" => println!("?"),
        "dup" => drop(rustix::io::fcntl_dupfd_cloexec(&capture, 100)),
        "dup3" => {
            call(libc::SYS_dup3, [capture.as_raw_fd().into(), journal.as_raw_fd().into(), 0, 0, 0]);
        }
        "kill" => call(libc::SYS_kill, [parent.into(), 0, 0, 0, 0]),
        "tgkill" => call(libc::SYS_tgkill, [parent.into(), parent.into(), 0, 0, 0]),
        "ptrace" => call(libc::SYS_ptrace, [16, parent.into(), 0, 0, 0]),
        "bpf" => call(libc::SYS_bpf, [0; 5]),
        "io_uring" => call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        "connect" => call(libc::SYS_connect, [capture.as_raw_fd().into(), 0, 0, 0, 0]),
        "accept" => call(libc::SYS_accept4, [capture.as_raw_fd().into(), 0, 0, 0, 0]),
        "listen" => call(libc::SYS_listen, [capture.as_raw_fd().into(), 1, 0, 0, 0]),
        "bind" => call(libc::SYS_bind, [capture.as_raw_fd().into(), 0, 0, 0, 0]),
        "setuid" => call(libc::SYS_setuid, [0; 5]),
        "prctl" => call(libc::SYS_prctl, [4, 1, 0, 0, 0]),
        "mmap exec" => call(libc::SYS_mmap, [0, 4096, 5, 0x22, -1]),
        "mprotect exec" => {
            let page = vec![0_u8; 8192];
            call(libc::SYS_mprotect, [(page.as_ptr() as i64) & !4095, 4096, 7, 0, 0]);
        }
        "x32" => call(0x4000_0000 | libc::SYS_getpid, [0; 5]),
        "abort" => std::process::abort(),
        "panic" => panic!("as a bug would"),
        other => panic!("{other}?"),
    }
    eprintln!("still alive");
    ExitCode::SUCCESS
}

fn allowed(
    journal: &mut File,
    reader: &mut File,
    capture: &OwnedFd,
    channel: &Seqpacket,
    peer: &mut Seqpacket,
    witness: &Witness,
) {
    assert!(!witness.vouches(), "nobody holds it");
    journal.write_all(b"record").unwrap();
    journal.write_all_at(b"R", 0).unwrap();
    journal.flush().unwrap();
    journal.sync_data().unwrap();
    journal.sync_all().unwrap();
    rustix::fs::fallocate(&*journal, FallocateFlags::empty(), 0, 1 << 16).unwrap();
    rustix::fs::flock(&*journal, FlockOperation::LockExclusive).unwrap();
    for lock in [libc::F_OFD_SETLK, libc::F_OFD_SETLKW] {
        lock_whole(journal, lock);
    }
    assert!(witness.vouches(), "another descriptor does, as another process would");
    assert_eq!(rustix::fs::fstat(&*journal).unwrap().st_size, 1 << 16);
    assert!(journal.metadata().is_ok() || journal.metadata().is_err(), "either, but no death");
    journal.rewind().unwrap();
    let mut text = Vec::new();
    journal.read_to_end(&mut text).unwrap();
    assert_eq!(&text[..6], b"Record");
    reader.read_to_end(&mut text).unwrap();

    channel.send(b"ask!").unwrap();
    // The peer stands for the monitor's end: reading it is allowed, writing to it is not.
    assert_eq!(peer.receive().unwrap(), Received::Message(*b"ask!"));
    assert_eq!(channel.receive::<4>().unwrap(), Received::Nothing);
    let soon = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    rustix::event::poll(&mut [PollFd::new(channel, PollFlags::IN)], Some(&soon)).unwrap();
    let mut polled = libc::pollfd { fd: channel.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    assert_eq!(unsafe { libc::poll(&raw mut polled, 1, 1) }, 0, "as libpcap polls");
    let flags = rustix::net::RecvFlags::DONTWAIT;
    let _ = rustix::net::recv(capture, &mut [0; 64], flags);
    let mut statistics = [0_u32; 4];
    let mut size = 16;
    let into = statistics.as_mut_ptr().cast();
    unsafe {
        libc::getsockopt(capture.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, into, &mut size)
    };
    let _ = rustix::net::sockopt::socket_error(capture);
    assert_eq!(rustix::io::ioctl_fionread(capture), Err(rustix::io::Errno::PERM));
    // The filter can be neither detached (it is locked) nor anything else be set.
    for name in [libc::SO_DETACH_FILTER, libc::SO_ATTACH_FILTER, libc::SO_REUSEADDR] {
        let zero = [0_u64; 2];
        let answer = unsafe {
            libc::setsockopt(capture.as_raw_fd(), libc::SOL_SOCKET, name, zero.as_ptr().cast(), 16)
        };
        let error = std::io::Error::last_os_error().raw_os_error();
        assert_eq!((answer, error), (-1, Some(libc::EPERM)), "{name}");
    }

    let mut big = vec![1_u8; 64 << 20];
    big.resize(200 << 20, 2);
    drop(big);
    let map: HashMap<_, _> = (0..100_000).map(|n| (n, n.to_string())).collect();
    assert_eq!(map[&77], "77");
    let _ = (Instant::now(), SystemTime::now());
    eprintln!("clock synchronised: {:?}", sys::clock::synchronised());
    let moment = sys::clock::boottime();
    assert!(sys::clock::boottime() >= moment);
    std::thread::yield_now();
    tracing::warn!("a line of the log");
    eprintln!("all done");
}

fn lock_whole(file: &File, command: i32) {
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as i16;
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const range) }, 0);
}

pub(crate) fn monitor(what: &str) -> ExitCode {
    let routes = Routes::open().unwrap();
    let watcher = Watcher::new().unwrap();
    let (channel, _peer) = Seqpacket::pair().unwrap();
    let path = std::env::temp_dir().join(format!("plumbing-kept-{}", std::process::id()));
    let kept = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let witness = Witness::beside(&path);
    lock_whole(&kept, libc::F_OFD_SETLK);
    std::fs::remove_file(path).unwrap();
    let mut reader = File::open("/etc/passwd").unwrap();
    let parent = std::os::unix::process::parent_id();
    match seal_monitor(channel.as_fd(), Some(kept.as_fd())) {
        Ok(report) => eprintln!("sealed: {report}"),
        Err(error) => {
            eprintln!("not sealed: {error}");
            return ExitCode::from(5);
        }
    }
    let netlink = |protocol: i32| call(libc::SYS_socket, [16, libc::SOCK_RAW.into(), protocol.into(), 0, 0]);
    match what {
        "wait" => drop(std::io::stdin().read(&mut [0])),
        "look" => look(&routes, &watcher),
        "allowed" => {
            kept.write_all_at(b"in force", 0).unwrap();
            kept.sync_data().unwrap();
            reader.read_to_string(&mut String::new()).unwrap();
            assert!(sys::clock::synchronised().is_ok());
            assert!(witness.vouches());
            for protocol in [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG, libc::NETLINK_NETFILTER] {
                let socket =
                    unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
                assert!(socket >= 0, "{}", std::io::Error::last_os_error());
                let socket = unsafe { OwnedFd::from_raw_fd(socket) };
                let named = Surroundings::indices().unwrap();
                assert_eq!(named.get("lo").map(|index| index.get()), Some(1));
                assert_eq!(rustix::io::ioctl_fionread(&socket), Err(rustix::io::Errno::PERM));
            }
            let _ = (Instant::now(), SystemTime::now());
            std::thread::sleep(Duration::from_millis(1));
            eprintln!("all done");
        }
        "open" => drop(File::open("/etc/passwd")),
        "proc" => drop(File::open("/proc/self/status")),
        "create" => drop(File::create("/tmp/plumbing-must-not-exist")),
        "list" => drop(std::fs::read_dir("/")),
        "exec" => call(libc::SYS_execve, [c"/bin/true".as_ptr() as i64, 0, 0, 0, 0]),
        "spawn" => drop(std::process::Command::new("/bin/true").status()),
        "thread" => drop(std::thread::Builder::new().spawn(|| ())),
        "inet" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
        "packet" => call(libc::SYS_socket, [17, 3, 0, 0, 0]),
        "unix" => drop(Seqpacket::pair()),
        "uevent" => netlink(libc::NETLINK_KOBJECT_UEVENT),
        "audit" => netlink(libc::NETLINK_AUDIT),
        "generic" => netlink(libc::NETLINK_GENERIC),
        "busy poll" => {
            // Of a socket only what is needed can be set.
            let (fd, on) = (channel.as_fd().as_raw_fd().into(), [1_u32; 4]);
            call(libc::SYS_setsockopt, [fd, 1, libc::SO_BUSY_POLL.into(), on.as_ptr() as i64, 4]);
        }
        "pwrite elsewhere" => drop(rustix::io::pwrite(&reader, b"x", 0)),
        "dup" => drop(rustix::io::fcntl_dupfd_cloexec(&kept, 100)),
        "kill" => call(libc::SYS_kill, [parent.into(), 0, 0, 0, 0]),
        "tgkill" => call(libc::SYS_tgkill, [parent.into(), parent.into(), 0, 0, 0]),
        "ptrace" => call(libc::SYS_ptrace, [16, parent.into(), 0, 0, 0]),
        "bpf" => call(libc::SYS_bpf, [0; 5]),
        "io_uring" => call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        "setns" => call(libc::SYS_setns, [0; 5]),
        "unshare" => call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0, 0]),
        "setuid" => call(libc::SYS_setuid, [0; 5]),
        "prctl" => call(libc::SYS_prctl, [4, 1, 0, 0, 0]),
        "mmap exec" => call(libc::SYS_mmap, [0, 4096, 5, 0x22, -1]),
        "mprotect exec" => {
            let page = vec![0_u8; 8192];
            call(libc::SYS_mprotect, [(page.as_ptr() as i64) & !4095, 4096, 7, 0, 0]);
        }
        "abort" => std::process::abort(),
        "panic" => panic!("as a bug would"),
        other => panic!("{other}?"),
    }
    eprintln!("still alive");
    ExitCode::SUCCESS
}

fn look(routes: &Routes, watcher: &Watcher) {
    let names = ["default-route", "lo", "gone0", "any"].map(str::to_owned);
    let mut lines = std::io::stdin().lines();
    loop {
        // Shows that it can be read again and again.
        let now = Surroundings::read(&names, routes).unwrap();
        assert_eq!(now, Surroundings::read(&names, routes).unwrap());
        eprintln!("look: {now:?}");
        let Some(Ok(_)) = lines.next() else { return };
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        rustix::event::poll(&mut [PollFd::new(watcher, PollFlags::IN)], Some(&second)).unwrap();
        eprintln!("look: {} {}", watcher.drain().unwrap(), watcher.drain().unwrap());
    }
}
