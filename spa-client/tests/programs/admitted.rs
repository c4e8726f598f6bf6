//! What the programs make fits together: a gate of the server's files admits the client's datagrams, once.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use spa_core::file::profile::ProfileFile;
use spa_core::file::site::SiteFile;
use spa_core::frame::Datagram;
use spa_core::gate::{Gate, Verdict};
use spa_core::journal::{Loaded, load};
use spa_core::keyring::Keyring;
use spa_core::policy::{Effect, Narrowing};
use spa_core::reject::{Forbidden, Reject};
use spa_core::replay::{DEFAULT_SKEW, Replay};
use spa_core::terms::Terms;
use spa_core::time::{BootTime, Now, UnixMillis};

use crate::scratch::Scratch;

const SERVER: &str = "192.0.2.1:23571";
const CLIENT: &str = "198.51.100.7:40000";

/// A gate as spad would make it of the files in `etc` and `state`.
pub(crate) fn gate(scratch: &Scratch, name: &str) -> Gate {
    let site = SiteFile::parse(&scratch.read("etc/site.toml")).unwrap();
    let [a, b] =
        ["state/journal.a", "state/journal.b"].map(|file| std::fs::read(scratch.path(file)).unwrap());
    let Loaded::Intact { whole, .. } = load([Some(&a), Some(&b)], site.id, site.machine(), None) else {
        panic!("the journal does not load")
    };
    let profile = ProfileFile::parse(&scratch.read(&format!("etc/profiles/{name}.toml"))).unwrap();
    let keyring = Keyring::new([profile.into_profile(name.into(), site.id)]);
    let replay = Replay::restore(whole.header.epoch, whole.header.settled, DEFAULT_SKEW, whole.records);
    let own = [SERVER.parse::<SocketAddr>().unwrap().ip()].into_iter().collect();
    Gate::new(site.header_keys(), keyring, replay, own)
}

/// Judges a datagram that came from `source`, by the clock of this machine.
pub(crate) fn judge(gate: &mut Gate, payload: &[u8], source: &str) -> Verdict {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now =
        Now { wall: UnixMillis::clamped(since), boot: BootTime::new(Duration::ZERO), synchronised: true };
    let (source, destination) = (source.parse().unwrap(), SERVER.parse().unwrap());
    gate.judge(&Datagram { source, destination, payload }, now)
}

fn reject(verdict: Verdict) -> Option<Reject> {
    match verdict {
        Verdict::Admit(_) => None,
        Verdict::Drop(dropped) => Some(dropped.reject),
    }
}

#[test]
fn a_forward_asks_for_what_the_profile_has() {
    let scratch = Scratch::new();
    let listener = scratch.profile("laptop", "--open tcp/8443");
    let half = "etc/profiles/laptop.toml";
    let lines = "forward = [\"10.0.0.5:443\"]\nforward_source = \"masquerade\"\n";
    let text = scratch.read(half) + lines;
    std::fs::write(scratch.path(half), text).unwrap();
    let done = scratch.client("--forward 10.0.0.5:443").ok();
    assert_eq!(done.out, "asked 127.0.0.1 to open tcp/8443 to 10.0.0.5:443 for 30s\n");
    let heard = listener.heard();
    let mut gate = gate(&scratch, "laptop");
    let Verdict::Admit(admission) = judge(&mut gate, &heard[0], CLIENT) else { panic!("not admitted") };
    let Effect::Open { terms, .. } = admission.effect() else { panic!("{admission:?}") };
    let forward = terms.forward.expect("a target");
    assert_eq!(forward.to_string(), "10.0.0.5:443 masqueraded");
}

#[test]
fn a_knock_is_admitted_once_by_both_suites_and_both_ways_of_freshness() {
    for suite in ["aes256gcm", "xchacha20poly1305"] {
        for freshness in ["clock", "monotonic"] {
            let scratch = Scratch::new();
            let options =
                format!("--open tcp/22,udp/53 --suite {suite} --freshness {freshness} --max-window 2m");
            let listener = scratch.profile("laptop", &options);
            scratch.client("-A udp/53 -w 1h").ok();
            let heard = listener.heard();
            let mut gate = gate(&scratch, "laptop");
            let Verdict::Admit(admission) = judge(&mut gate, &heard[0], CLIENT) else {
                panic!("{suite} {freshness}")
            };
            let services = vec!["udp/53".parse().unwrap()];
            let window = Duration::from_secs(120);
            let terms = Terms::plain(window);
            assert_eq!(admission.effect(), &Effect::Open { services, narrowing: Narrowing::None, terms });
            assert_eq!(admission.grantees(), [CLIENT.parse::<SocketAddr>().unwrap().ip().into()]);
            // The repeat asks for the same once more.
            assert_eq!(
                reject(judge(&mut gate, &heard[1], CLIENT)),
                Some(Reject::Replayed),
                "{suite} {freshness}"
            );
        }
    }
}

#[test]
fn a_saved_packet_is_good_for_one_knock_of_its_owner() {
    let scratch = Scratch::new();
    scratch.profile("laptop", "--open tcp/22");
    let owner: IpAddr = CLIENT.parse::<SocketAddr>().unwrap().ip();
    scratch.client(&format!("-a {owner} --dry-run --save-packet packet")).ok();
    let packet = std::fs::read(scratch.path("packet")).unwrap();
    let mut gate = gate(&scratch, "laptop");
    assert_eq!(
        reject(judge(&mut gate, &packet, "203.0.113.9:5")),
        Some(Reject::Address),
        "a copy from elsewhere"
    );
    assert_eq!(reject(judge(&mut gate, &packet, CLIENT)), None, "is no loss for its owner");
    assert_eq!(reject(judge(&mut gate, &packet, CLIENT)), Some(Reject::Replayed));
}

#[test]
fn every_command_is_new_and_a_close_comes_after_what_it_closes() {
    for freshness in ["clock", "monotonic"] {
        let scratch = Scratch::new();
        let listener = scratch.profile("laptop", &format!("--open tcp/22 --freshness {freshness}"));
        let mut gate = gate(&scratch, "laptop");
        let mut knock = |arguments: &str| {
            scratch.client(arguments).ok();
            judge(&mut gate, &listener.heard()[0], CLIENT)
        };
        assert_eq!(reject(knock("")), None);
        assert_eq!(reject(knock("-q")), None);
        let Verdict::Admit(close) = knock("--close") else { panic!("{freshness}") };
        assert_eq!(close.effect(), &Effect::Close { services: Vec::new() });
        assert_eq!(reject(knock("-A tcp/22")), None, "opened again");
        let Verdict::Admit(close) = knock("--close -A tcp/22") else { panic!("{freshness}") };
        assert_eq!(close.effect(), &Effect::Close { services: vec!["tcp/22".parse().unwrap()] });
        assert_eq!(reject(knock("-A tcp/23")), Some(Reject::Forbidden(Forbidden::Service)));
    }
}
