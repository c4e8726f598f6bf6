//! A sealed sender that then tries one thing.
#![allow(unsafe_code)]

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with,
};
use spa_core::bpf::Instruction;
use spad::sandbox::seal_sender;
use spad::socketpair::{Received, Seqpacket};
use spad::sys::filter;

use crate::probe::call;

fn raw() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::UDP)).unwrap()
}

pub(crate) fn probe(what: &str) -> ExitCode {
    let (channel, monitor) = Seqpacket::pair().unwrap();
    let (socket, other) = (raw(), raw());
    if what != "unfiltered" {
        let nothing = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0 }];
        filter::attach(socket.as_fd(), &nothing).unwrap();
    }
    monitor.send(b"letter").unwrap();
    let parent = std::os::unix::process::parent_id();
    match seal_sender(&[socket.as_fd()], channel.as_fd()) {
        Ok(report) => eprintln!("sealed: {report}"),
        Err(error) => {
            eprintln!("not sealed: {error}");
            return ExitCode::from(5);
        }
    }
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sent = |socket: &OwnedFd| sendto(socket, &[0; 8], SendFlags::empty(), &here).map(drop);
    match what {
        "wait" => drop(channel.receive::<6>().map(|_| rustix::event::poll(&mut [], None))),
        "allowed" => {
            assert_eq!(channel.receive().unwrap(), Received::Message(*b"letter"));
            assert_eq!(channel.receive::<6>().unwrap(), Received::Nothing);
            bind(&socket, &here).unwrap();
            // No UDP datagram at all, but the kernel takes it.
            sent(&socket).unwrap();
            bind(&socket, &SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 0))).unwrap_err();
            for name in [libc::SO_DETACH_FILTER, libc::SO_ATTACH_FILTER] {
                let zero = [0_u64; 2];
                let answer = unsafe {
                    libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, zero.as_ptr().cast(), 16)
                };
                assert_eq!(answer, -1, "{name}");
            }
            drop(vec![1_u8; 8 << 20]);
            tracing::warn!("a line of the log");
            eprintln!("all done");
            return ExitCode::SUCCESS;
        }
        "hear" => drop(rustix::net::recv(&socket, &mut [0; 64], RecvFlags::DONTWAIT)),
        "read" => drop(rustix::io::read(&socket, &mut [0; 64])),
        "write" => drop(rustix::io::write(&socket, &[0; 64])),
        "connect" => drop(rustix::net::connect(&socket, &here)),
        "other" => drop(sent(&other)),
        "to the monitor" => drop(channel.send(b"notice")),
        "socket" => drop(raw()),
        "open" => drop(File::open("/etc/passwd")),
        "exec" => call(libc::SYS_execve, [c"/bin/true".as_ptr() as i64, 0, 0, 0, 0]),
        "fork" => call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0]),
        "sendmsg" => call(libc::SYS_sendmsg, [socket.as_raw_fd().into(), 0, 0, 0, 0]),
        "dup" => drop(rustix::io::fcntl_dupfd_cloexec(&other, 100)),
        "kill" => call(libc::SYS_kill, [parent.into(), 0, 0, 0, 0]),
        "setuid" => call(libc::SYS_setuid, [0; 5]),
        other => panic!("{other}?"),
    }
    eprintln!("still alive");
    ExitCode::SUCCESS
}
