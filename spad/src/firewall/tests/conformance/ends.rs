//! Doors that end with a connection, and doors whose sessions end with them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spa_core::lease::Limit;

use super::super::namespace::output;
use super::super::passers_by::{self, delivers};
use super::super::world::{CLIENT, HOST, STRANGER, World};
use super::super::*;
use super::case::Case;
use crate::firewall::{end, in_use};

const SECOND: Duration = Duration::from_secs(1);

fn ssh(family: usize) -> Door {
    door(address(CLIENT[family]), "tcp/22")
}

fn once(family: usize) -> Door {
    Door { limit: Limit::Once, ..ssh(family) }
}

fn cutting(door: Door, timeout: Duration) -> Change {
    Change::Set { door, timeout, comment: String::new(), on_close: OnClose::Cut, forward: None }
}

impl Case<'_> {
    fn enters(&self, family: usize) -> bool {
        self.world.peer_reaches(CLIENT[family], HOST[family], 22)
    }

    fn session(&self, service: &TcpListener, family: usize) -> (TcpStream, TcpStream) {
        let to = SocketAddr::new(address(HOST[family]), 22);
        let client = self.world.peer.run(|| passers_by::connect(address(CLIENT[family]), to).unwrap());
        // Others that nobody accepted may come first.
        let ours =
            |server: &TcpStream| server.peer_addr().unwrap().port() == client.local_addr().unwrap().port();
        let server = std::iter::from_fn(|| Some(service.accept().unwrap().0)).find(ours).unwrap();
        (client, server)
    }

    /// A SYN that the client's own kernel knows nothing of, and takes back by a RST as soon as it is answered.
    fn forged_syn(&self, family: usize) {
        let (source, target) = (CLIENT[family], HOST[family]);
        let six = if family == 1 { "-6" } else { "" };
        let said = self
            .world
            .peer
            .run(|| output(&format!("nmap {six} -n -Pn -sS -p 22 -e p0 -S {source} {target} 2>&1")));
        assert!(said.contains("22/tcp open"), "the SYN was let in and answered: {said}");
    }
}

pub(super) fn one_connection(case: &Case) {
    let service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        for round in ["first", "right after it was spent"] {
            firewall.apply(&[set(once(family), MINUTE, "profile=laptop")]).unwrap();
            let listed = firewall.grants().unwrap();
            assert_eq!(
                listed.iter().map(|element| element.door).collect::<Vec<_>>(),
                [once(family)],
                "{round}"
            );
            assert!(!case.world.peer_reaches(STRANGER[family], HOST[family], 22), "{round}: somebody else");
            let (client, server) = case.session(&service, family);
            assert!(delivers(&client, &server).is_some(), "{round}: the session");
            assert!(firewall.grants().unwrap().is_empty(), "{round}: spent");
            assert!(!case.enters(family), "{round}: a second connection");
            assert!(delivers(&client, &server).is_some(), "{round}: the session goes on");
        }
        firewall.apply(&[Change::Remove { door: once(family) }]).unwrap();
        firewall.apply(&[set(once(family), SECOND, "")]).unwrap();
        sleep(2 * SECOND + SECOND / 10);
        assert!(!case.enters(family), "its window ended");
        firewall.apply(&[set(once(family), MINUTE, "")]).unwrap();
        firewall.apply(&[Change::Remove { door: once(family) }]).unwrap();
        assert!(!case.enters(family), "it was closed");
    }
}

pub(super) fn not_by_a_forged_syn(case: &Case) {
    let _service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        firewall.apply(&[set(once(family), MINUTE, "")]).unwrap();
        case.forged_syn(family);
        case.forged_syn(family);
        assert!(case.enters(family), "the client itself, afterwards");
        assert!(!case.enters(family), "once");
    }
}

pub(super) fn not_by_another_session(case: &Case) {
    let service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        firewall.apply(&[set(ssh(family), MINUTE, "")]).unwrap();
        let plain = case.session(&service, family);
        firewall.apply(&[Change::Remove { door: ssh(family) }, set(once(family), MINUTE, "")]).unwrap();
        let (client, server) = case.session(&service, family);
        assert!(delivers(&plain.0, &plain.1).is_some(), "a session of before");
        firewall.apply(&[set(once(family), MINUTE, "")]).unwrap();
        for (from, to) in [(&plain.0, &plain.1), (&client, &server), (&server, &client)] {
            assert!(delivers(from, to).is_some(), "what is established");
        }
        // By a plain door that somebody else holds open, the one for one connection is not needed.
        firewall.apply(&[set(ssh(family), MINUTE, "")]).unwrap();
        assert!(case.enters(family) && case.enters(family), "by the plain one");
        firewall.apply(&[Change::Remove { door: ssh(family) }]).unwrap();
        assert!(case.enters(family), "now by the one for one connection");
        assert!(!case.enters(family), "once");
    }
}

pub(super) fn sessions_end_with_the_door(case: &Case) {
    let service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    let start = Instant::now();
    firewall.apply(&[0, 1].map(|family| cutting(ssh(family), 2 * SECOND))).unwrap();
    let sessions = [0, 1].map(|family| case.session(&service, family));
    for (client, server) in &sessions {
        assert!(delivers(client, server).is_some() && delivers(server, client).is_some(), "in the window");
    }
    drop(firewall);
    sleep((start + 3 * SECOND + SECOND / 10).saturating_duration_since(Instant::now()));
    for (client, server) in &sessions {
        assert!(delivers(client, server).is_none(), "by the kernel alone, with nobody left");
        // What it still sends makes connection tracking believe that it began the session.
        let _ = delivers(server, client);
        assert!(delivers(client, server).is_none(), "after the server's next byte");
    }
    let mut later = case.prepared(&plan());
    let mut cuts = later.cuts().unwrap();
    cuts.sort();
    assert_eq!(cuts, [ssh(0), ssh(1)], "what a new monitor finds");
    case.world.host.run(|| assert_eq!(end(&cuts, &[]).unwrap(), []));
    later.uncut(&cuts).unwrap();
    later.uncut(&cuts).unwrap();
    assert_eq!(later.cuts().unwrap(), []);
    for (client, server) in &sessions {
        for (side, stream) in [("client", client), ("server", server)] {
            stream.set_read_timeout(Some(SECOND)).unwrap();
            // What was sent may still be read, and then comes the end.
            let read = std::iter::from_fn(|| Some(std::io::Read::read(&mut &*stream, &mut [0; 9])));
            let end = read.take(3).find(|read| !matches!(read, Ok(1..)));
            let told = matches!(&end, Some(Ok(0)))
                || matches!(&end, Some(Err(error)) if error.kind() != std::io::ErrorKind::WouldBlock);
            assert!(told, "the {side} is told: {end:?}");
        }
    }
    assert!(![0, 1].into_iter().any(|family| case.enters(family)), "and the door stays shut");
}

pub(super) fn a_session_of_nobody_is_not_cut(case: &Case) {
    let service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&plan());
    for family in [0, 1] {
        firewall.apply(&[cutting(ssh(family), MINUTE)]).unwrap();
        let (client, server) = case.session(&service, family);
        assert_eq!(
            case.world
                .host
                .run(|| in_use(&[ssh(family), door(address(STRANGER[family]), "tcp/22")]).unwrap()),
            [ssh(family)]
        );
        firewall.apply(&[set(ssh(family), MINUTE, "")]).unwrap();
        assert_eq!(firewall.cuts().unwrap(), [], "the lease that ends last keeps them");
        firewall.apply(&[Change::Remove { door: ssh(family) }]).unwrap();
        assert!(delivers(&client, &server).is_some(), "so they live on");
        firewall.apply(&[cutting(ssh(family), MINUTE), Change::Remove { door: ssh(family) }]).unwrap();
        assert!(delivers(&client, &server).is_some(), "of several changes for one door the last counts");
        firewall.apply(&[cutting(ssh(family), MINUTE)]).unwrap();
        firewall.apply(&[Change::Remove { door: ssh(family) }]).unwrap();
        assert!(delivers(&client, &server).is_none(), "closed early, and cut");
        firewall.uncut(&[ssh(family)]).unwrap();
        drop((client, server));
        let deadline = Instant::now() + 5 * SECOND;
        while case.world.host.run(|| !in_use(&[ssh(family)]).unwrap().is_empty()) {
            assert!(Instant::now() < deadline, "nobody is connected any more");
            sleep(SECOND / 50);
        }
    }
}

pub(super) fn who_is_always_allowed_is_not_cut(case: &Case) {
    let service = World::serve(&case.world.host, 22);
    let mut firewall = case.prepared(&Plan { always_allow: CLIENT.map(address).into(), ..plan() });
    for family in [0, 1] {
        firewall.apply(&[cutting(ssh(family), MINUTE)]).unwrap();
        let (client, server) = case.session(&service, family);
        firewall.apply(&[Change::Remove { door: ssh(family) }]).unwrap();
        assert!(delivers(&client, &server).is_some(), "needs no door");
    }
}
