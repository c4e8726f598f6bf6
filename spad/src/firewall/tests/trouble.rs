//! What goes wrong outside: no privilege, a foreign table of our name, a foreign flush.

use std::net::Ipv4Addr;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_thread_uid;

use super::namespace::{Namespace, listing, load, output, sh};
use super::*;
use crate::firewall::{FirewallError, sessions};

#[test]
fn without_the_privilege_nothing_is_changed() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        let mut nftables = Nftables::guard().unwrap();
        assert!(matches!(nftables.prepare(&plan()), Err(FirewallError::NotPermitted)));
        assert!(matches!(nftables.grants(), Err(FirewallError::NotPermitted)));
        assert!(matches!(nftables.exists(), Err(FirewallError::NotPermitted)));
        assert!(matches!(nftables.listen(), Err(FirewallError::NotPermitted)));
    });
    assert_eq!(namespace.run(|| output("nft list ruleset")), "");
}

#[test]
fn a_foreign_table_of_our_name_is_not_mended_by_force() {
    let Some(namespace) = Namespace::new() else { return };
    #[rustfmt::skip]
    let tables = [
        ("set grants4 {\n type ipv4_addr\n }",                                                  "set grants4"),
        ("chain guard {\n type filter hook input priority 0; policy accept;\n }",               "chain guard"),
    ];
    for (part, named) in tables {
        namespace.run(|| {
            load(&format!("table inet spad {{\n {part}\n }}"));
            let before = listing();
            let mut nftables = Nftables::guard().unwrap();
            let error = nftables.prepare(&plan()).unwrap_err();
            println!("{error}");
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(listing(), before, "{named}");
            nftables.teardown().unwrap();
            nftables.prepare(&plan()).unwrap();
            nftables.teardown().unwrap();
        });
    }
}

/// Waits until there is something to read, then asks.
fn hears(nftables: &mut Nftables) -> bool {
    let patience = Timespec { tv_sec: 2, tv_nsec: 0 };
    let descriptor = PollFd::from_borrowed_fd(nftables.descriptor().unwrap(), PollFlags::IN);
    assert_eq!(poll(&mut [descriptor], Some(&patience)).unwrap(), 1, "nothing was heard");
    nftables.lost()
}

#[test]
fn a_foreign_hand_is_noticed_and_our_own_is_not() {
    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        let mut nftables = Nftables::guard().unwrap();
        nftables.listen().unwrap();
        assert!(!nftables.lost(), "nothing happened");
        let door = door(address("192.0.2.9"), "tcp/22");
        let open = [set(door, Duration::from_millis(100), "")];
        nftables.prepare(&plan()).unwrap();
        nftables.prepare(&plan()).unwrap();
        nftables.apply(&open).unwrap();
        assert!(!nftables.lost(), "our own doing");
        sleep(Duration::from_millis(1500));
        assert!(!nftables.lost(), "the end of a window");

        #[rustfmt::skip]
        let hands = [
            // what somebody else does, whether it hurts
            ("nft add table inet other",                                                     false),
            ("nft delete table inet other",                                                  false),
            ("nft add table ip spad",                                                        false),
            ("nft delete table ip spad",                                                     false),
            ("nft add element inet spad grants4 '{ 192.0.2.9 . tcp . 22 timeout 1m }'",       false),
            ("nft delete element inet spad grants4 '{ 192.0.2.9 . tcp . 22 }'",               false),
            ("nft delete element inet spad protected '{ tcp . 22 }'",                         true),
            ("nft flush set inet spad guarded",                                              true),
            ("nft insert rule inet spad doors drop",                                         true),
            ("nft add rule inet spad guard accept",                                          true),
            ("nft flush chain inet spad doors",                                              true),
            ("nft add table inet spad '{ flags dormant; }'",                                 true),
            ("nft delete table inet spad",                                                   true),
            ("nft flush ruleset",                                                            true),
        ];
        for (command, hurts) in hands {
            nftables.prepare(&plan()).unwrap();
            let whole = listing();
            assert!(!nftables.lost(), "our own doing");
            sh(command);
            assert_eq!(hears(&mut nftables), hurts, "{command}");
            nftables.prepare(&plan()).unwrap();
            if hurts {
                assert_eq!(listing(), whole, "repaired after {command}");
            }
            let _ = nftables.lost();
        }
    });
}

/// The kernel makes one change of nftables in a network namespace at a time, so a knock waits for another manager's
/// transaction, and no longer.
#[test]
fn a_knock_waits_for_the_transaction_of_others_and_is_not_lost() {
    let Some(namespace) = Namespace::new() else { return };
    let count = 200_000;
    let addresses: Vec<_> = (0..count).map(|n| Ipv4Addr::from(0x0b00_0000 + n).to_string()).collect();
    let huge = format!(
        "table inet huge {{ set many {{ type ipv4_addr; elements = {{ {} }}; }}; }}",
        addresses.join(", ")
    );
    namespace.run(|| {
        let mut nftables = prepared(&plan());
        let (slowest, knocks) = thread::scope(|scope| {
            let loader = scope.spawn(|| namespace.run(|| load(&huge)));
            let (mut slowest, mut knocks) = (Duration::ZERO, 0_u32);
            while !loader.is_finished() {
                let door = door([192, 0, 2, 1 + u8::try_from(knocks % 250).unwrap()], "tcp/22");
                let start = Instant::now();
                nftables.apply(&[set(door, MINUTE, "")]).unwrap();
                slowest = slowest.max(start.elapsed());
                knocks += 1;
                sleep(Duration::from_millis(1));
            }
            (slowest, knocks)
        });
        println!("while {count} elements are loaded: {knocks} knocks, the slowest opens after {slowest:?}");
        assert_eq!(nftables.grants().unwrap().len(), usize::try_from(knocks.min(250)).unwrap());
    });
}

#[test]
fn a_live_session_is_found() {
    use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

    let Some(namespace) = Namespace::new() else { return };
    namespace.run(|| {
        // A socket for both families: an IPv4 session on it looks like IPv6 to sock_diag.
        let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 22)).unwrap();
        let unprotected = TcpListener::bind((Ipv4Addr::LOCALHOST, 2222)).unwrap();
        assert!(sessions(&plan().protect).unwrap().is_empty(), "a listener is no session");
        let four = TcpStream::connect((Ipv4Addr::LOCALHOST, 22)).unwrap();
        let six = TcpStream::connect((Ipv6Addr::LOCALHOST, 22)).unwrap();
        let _other = TcpStream::connect(unprotected.local_addr().unwrap()).unwrap();
        let _ends = (both.accept().unwrap(), both.accept().unwrap());

        let mut found = sessions(&plan().protect).unwrap();
        found.sort_by_key(|session| session.client().is_ipv6());
        let ends: Vec<_> = found.iter().map(|session| (session.client(), session.server())).collect();
        let expected =
            |stream: &TcpStream, server: IpAddr| (stream.local_addr().unwrap(), SocketAddr::new(server, 22));
        assert_eq!(
            ends,
            [expected(&four, Ipv4Addr::LOCALHOST.into()), expected(&six, Ipv6Addr::LOCALHOST.into())]
        );
    });
}
