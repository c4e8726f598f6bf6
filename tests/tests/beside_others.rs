//! spad beside containers, routers, other firewalls: what is not its own stays as it is.

use std::time::{Duration, Instant};

use lab::{A, B, BOX, Config, Extra, INNER, Lab, SERVER, SSH, SSH6, eventually};

#[test]
fn containers_routed_hosts_and_loopback_are_unharmed() {
    let Some(lab) = Lab::with(&[Extra::Inner, Extra::Box]) else { return };
    lab.configure(&Config::protecting(&["tcp/22", "tcp/80"]));
    lab.profile("laptop");
    let _services = [SERVER, INNER, BOX, A].map(|host| lab.serve(host, &["tcp/22", "tcp/80"]));
    let _spad = lab.spad();
    let ways = [
        (A, "10.79.0.2:80", "a routed host, the same port"),
        (A, "[fd79::2]:22", "a routed host by IPv6"),
        (INNER, "10.77.0.2:80", "a routed host's way out"),
        (BOX, "10.77.0.2:80", "a container's way out"),
        (A, "10.77.0.1:8080", "a container's published port, which nobody protects"),
        (SERVER, "127.0.0.1:22", "loopback"),
        (SERVER, "[::1]:22", "loopback by IPv6"),
        (SERVER, SSH, "the host's own address"),
        (SERVER, "10.77.0.2:22", "the host's own way out"),
        (INNER, "10.79.0.1:22", "an interface that spad was not told of"),
    ];
    for (host, target, why) in ways {
        assert_eq!(lab.probe(host, target), "open", "{why}");
    }
    lab.stays_shut(A, SSH);
    lab.stays_shut(A, "10.77.0.1:80");
    lab.stays_shut(A, "10.79.0.1:80");
}

#[test]
fn a_published_port_is_shut_until_granted() {
    let Some(lab) = Lab::with(&[Extra::Box]) else { return };
    lab.configure(&Config::protecting(&["tcp/8080"]));
    lab.profile_with("laptop", &["--open", "tcp/8080"]);
    let _services = [BOX, A].map(|host| lab.serve(host, &["tcp/80", "tcp/8080"]));
    let _spad = lab.spad();
    lab.stays_shut(A, "10.77.0.1:8080");
    assert_eq!(lab.probe(BOX, "10.77.0.2:8080"), "open", "the container's own way out to that port");
    lab.knock(A);
    lab.opens(A, "10.77.0.1:8080");
    lab.stays_shut(B, "10.77.0.1:8080");
    let mut session = lab.session(A, "10.77.0.1:8080");
    lab.shuts(A, "10.77.0.1:8080", Duration::from_secs(3));
    assert!(session.lives());
}

#[test]
fn an_inner_host_is_guarded_where_it_is_named() {
    let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
    lab.configure(&Config::protecting(&["tcp/22@10.79.0.2", "tcp/22@fd79::2"]));
    lab.profile("laptop");
    let _services = [SERVER, INNER].map(|host| lab.serve(host, &["tcp/22", "tcp/80"]));
    let _spad = lab.spad();
    lab.stays_shut(A, "10.79.0.2:22");
    lab.stays_shut(A, "[fd79::2]:22");
    for (target, why) in [("10.79.0.2:80", "another port of it"), (SSH, "the server's own port")] {
        assert_eq!(lab.probe(A, target), "open", "{why}");
    }
    lab.knock_with(A, &["-D", "server.test"]);
    lab.opens(A, "10.79.0.2:22");
    lab.opens(A, "[fd79::2]:22");
    lab.stays_shut(B, "10.79.0.2:22");
}

#[test]
fn the_spa_port_of_another_host_is_not_ours() {
    let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
    let (_service, _spad) = lab.guard_ssh();
    let port = lab.spa_port();
    let _inner = lab.serve(INNER, &[&format!("udp/{port}")]);
    assert!(lab.ask(A, &format!("10.79.0.2:{port}"), 500), "routed datagrams pass");
    lab.seal(A, "datagram", &[]);
    let _ = lab.send(A, "datagram", &format!("10.79.0.2:{port}"));
    lab.stays_shut(A, SSH);
}

#[test]
fn tables_of_others_stay_byte_for_byte() {
    let Some(lab) = Lab::with(&[Extra::Box]) else { return };
    lab.configure(&Config::default());
    lab.profile("laptop");
    lab.sh(SERVER, "nft 'table inet filter { set spad { type ipv4_addr; }; chain input { type filter hook input priority 0; }; }'");
    let others = || {
        let tables = lab.sh(SERVER, "nft list tables");
        let others = tables.lines().filter(|line| !line.ends_with("inet spad"));
        others.map(|table| lab.sh(SERVER, &format!("nft -a list {table}"))).collect::<String>()
    };
    let before = others();
    let _service = lab.serve(SERVER, &["tcp/22"]);
    for _ in 0..2 {
        let mut spad = lab.spad();
        for _ in 0..5 {
            lab.knock(A);
            lab.opens(A, SSH);
            lab.knock_with(A, &["-4", "--close"]);
            lab.shuts(A, SSH, Duration::from_secs(1));
        }
        assert_eq!(others(), before);
        spad.stop();
    }
    lab.spad_command(&["teardown"]).ok();
    assert_eq!(others(), before);
    assert_eq!(lab.table(), "");
}

#[test]
fn a_second_start_leaves_the_same_table() {
    let Some(lab) = Lab::new() else { return };
    let (_service, mut spad) = lab.guard_ssh();
    let first = lab.table();
    spad.stop();
    assert_eq!(lab.table(), first, "the guard stays when spad stops");
    lab.stays_shut(A, SSH);
    let _spad = lab.spad();
    assert_eq!(lab.table(), first);
}

#[test]
fn a_flush_by_somebody_else_is_repaired_within_a_second() {
    let Some(lab) = Lab::new() else { return };
    let (_service, _spad) = lab.guard_ssh();
    lab.knock_with(A, &["-4", "-w", "1m"]);
    lab.opens(A, SSH);
    lab.sh(SERVER, "nft flush ruleset");
    eventually("the guard is back", Duration::from_secs(1), || !lab.table().is_empty());
    lab.stays_shut(B, SSH);
    lab.opens(A, SSH);
    lab.sh(SERVER, "nft delete table inet spad");
    eventually("the guard is back again", Duration::from_secs(1), || !lab.table().is_empty());
    lab.stays_shut(B, SSH);
}

#[test]
fn what_others_saved_and_put_back_reopens_no_door() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config::default());
    lab.profile_with("laptop", &["--open", "tcp/22", "--max-window", "5m"]);
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let spad = lab.spad();
    lab.knock_with(A, &["-4", "-w", "5m"]);
    lab.opens(A, SSH);
    lab.sh(SERVER, "{ echo flush ruleset; nft list ruleset; } >/run/saved.nft");
    lab.knock_with(A, &["-4", "--close"]);
    lab.shuts(A, SSH, Duration::from_secs(1));
    lab.sh(SERVER, "grep -q 10.77.0.2 /run/saved.nft && nft -f /run/saved.nft");
    spad.says("putting it back");
    lab.shuts(A, SSH, Duration::from_secs(1));
    assert!(lab.grants().is_empty());
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn who_is_always_allowed_is_never_shut_out() {
    let Some(lab) = Lab::new() else { return };
    lab.configure(&Config { always_allow: vec![B.v4, B.v6], ..Config::default() });
    lab.profile("laptop");
    let _service = lab.serve(SERVER, &["tcp/22"]);
    let _spad = lab.spad();
    lab.opens(B, SSH);
    lab.opens(B, SSH6);
    lab.stays_shut(A, SSH);
    lab.stays_shut(A, SSH6);
}

#[test]
fn every_interface_is_guarded_if_asked_for() {
    let Some(lab) = Lab::with(&[Extra::Inner]) else { return };
    for (interfaces, inner) in [("any", "filtered"), ("default-route", "open")] {
        lab.configure(&Config { interfaces: vec![interfaces], ..Config::default() });
        if interfaces == "any" {
            lab.profile("laptop");
        }
        let _service = lab.serve(SERVER, &["tcp/22"]);
        let mut spad = lab.spad();
        lab.stays_shut(A, SSH);
        assert_eq!(lab.probe(INNER, "10.79.0.1:22"), inner, "{interfaces}");
        assert_eq!(lab.probe(SERVER, "127.0.0.1:22"), "open", "{interfaces}");
        lab.knock(A);
        lab.opens(A, SSH);
        let opened = Instant::now();
        lab.shuts(A, SSH, Duration::from_secs(3));
        assert!(opened.elapsed() > Duration::from_secs(1), "one knock was judged once");
        spad.stop();
    }
}
