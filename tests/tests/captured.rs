//! What somebody could do who has taken over the worker, the process that sees packets: a test takes its end of the channel
//! and speaks in its place to the real monitor. (What the process itself can do no more is tried in `confinement`.)

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::{A, B, Config, Lab, OUTPUT_LIMIT, SERVER, SSH, Spad, eventually, skip};
use rustix::net::{SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use spa_core::action::Invocation;
use spa_core::crypto::key::KeyId;
use spa_core::grantee::Grantee;
use spa_core::policy::{Effect, Narrowing};
use spa_core::terms::Terms;
use spa_core::time::UnixMillis;
use spad::ask::{Ask, Message, SIZE, Tally};
use spad::socketpair::{ChannelError, Seqpacket};

const SOON: Duration = Duration::from_secs(10);
const WEB: &str = "10.77.0.1:80";

/// The worker's end of its channel: its one socket that keeps messages apart and in order.
fn channel(spad: &Spad) -> Seqpacket {
    let worker = spad.role("worker")[0];
    let descriptors = fs::read_dir(format!("/proc/{worker}/fd")).expect("root may look");
    let numbers = descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let worker = Pid::from_raw(worker.cast_signed()).expect("process ids are positive");
    let worker = pidfd_open(worker, PidfdFlags::empty()).expect("it runs");
    let mut taken = numbers.filter_map(|fd| pidfd_getfd(&worker, fd, PidfdGetfdFlags::empty()).ok());
    let channel = taken.find(|fd| sockopt::socket_type(fd) == Ok(SocketType::SEQPACKET));
    channel.expect("it has a channel").into()
}

/// As the worker sends: again, when there was no room.
fn send(channel: &Seqpacket, message: &[u8; SIZE]) {
    let start = Instant::now();
    while let Err(error) = channel.send(message) {
        assert!(matches!(error, ChannelError::Full) && start.elapsed() < SOON, "{error}");
        thread::yield_now();
    }
}

/// A captured worker that protects nothing else than tcp/22, and windows of 5 s.
fn guarded() -> Option<(Lab, lab::Running, Spad)> {
    let lab = Lab::new()?;
    if lab.is_unprivileged() {
        skip("another process's descriptors are taken by root");
        return None;
    }
    lab.configure(&Config { more: "[ceiling]\nmax_window = \"5s\"\n", ..Config::default() });
    lab.profile("laptop");
    let services = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let spad = lab.spad();
    Some((lab, services, spad))
}

fn key_id(lab: &Lab) -> KeyId {
    let text = lab.read("etc/profiles/laptop.toml");
    let value = text.lines().find_map(|line| line.strip_prefix("key_id = ")).expect("it has one");
    KeyId(value.trim().parse().expect("a number"))
}

fn ask(key_id: KeyId, effect: Effect) -> Message {
    let time = UnixMillis::new(1_795_169_400_000).expect("a time");
    let grantees = vec![Grantee::Address("10.77.0.2".parse().expect("an address"))];
    Message::Ask(Ask { profile: "laptop".into(), key_id, time, grantees, effect })
}

fn open(service: &str, window: Duration) -> Effect {
    let services = vec![service.parse().expect("a service")];
    Effect::Open { services, narrowing: Narrowing::None, terms: Terms::plain(window) }
}

#[test]
fn it_opens_nothing_beyond_the_ceiling_and_nothing_for_longer() {
    let Some((lab, _services, spad)) = guarded() else { return };
    let (channel, served) = (channel(&spad), key_id(&lab));
    let minute = Duration::from_secs(60);
    let invocation = Invocation { action: 0, argument: None };
    #[rustfmt::skip]
    let rows = [
        // by which key, what, said of it: of one profile and reason once a minute
        (served,              open("tcp/443", minute),    Some("firewall.protect")),
        (KeyId(served.0 ^ 1), open("tcp/22", minute),     Some("no profile that is served has this key id")),
        (served,              Effect::Invoke(invocation), None),
    ];
    for (by, what, said) in rows {
        send(&channel, &ask(by, what).encode());
        said.into_iter().for_each(|said| spad.says(said));
        assert_eq!(lab.grants(), Vec::<String>::new(), "{said:?}");
    }
    lab.stays_shut(A, SSH);
    // What every worker may ask for, an hour long: five seconds.
    send(&channel, &ask(served, open("tcp/22", 60 * minute)).encode());
    eventually("it opens", SOON, || lab.probe(A, SSH) == "open");
    lab.stays_shut(B, SSH);
    lab.shuts(A, SSH, Duration::from_secs(7));
    assert_eq!(lab.probe(A, WEB), "open", "what is not protected is nobody's business here");
}

#[test]
fn whatever_it_says_that_no_worker_says_ends_it_and_another_serves() {
    let Some((lab, _services, spad)) = guarded() else { return };
    for message in [[0; SIZE], [0xff; SIZE], Message::Unfit("tired".into()).encode()] {
        let before = spad.role("worker");
        let times = spad.lines(&["what no worker sends"]).len() + 1;
        send(&channel(&spad), &message);
        spad.says_times("what no worker sends", times);
        eventually("another serves", SOON, || {
            let now = spad.role("worker");
            now.len() == 1 && now != before && lab.spad_command(&["status"]).status == Some(0)
        });
    }
    lab.knock(A);
    lab.opens(A, SSH);
}

#[test]
fn though_it_never_stops_talking_doors_shut_and_operators_are_answered() {
    let Some((lab, _services, spad)) = guarded() else { return };
    let (channel, monitors) = (channel(&spad), spad.role("monitor"));
    lab.knock(A);
    lab.opens(A, SSH);
    let ends = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        // Several at a time, so that there is always more to hear.
        let talk = || {
            let (message, mut sent) = (Message::Tally(Tally::default()).encode(), 0_u64);
            while !ends.load(Ordering::Relaxed) {
                match channel.send(&message) {
                    Ok(()) => sent += 1,
                    Err(_) => thread::yield_now(),
                }
            }
            sent
        };
        let talks = [(); 3].map(|()| scope.spawn(talk));
        let start = Instant::now();
        lab.shuts(A, SSH, Duration::from_secs(5));
        let mut slowest = Duration::ZERO;
        while start.elapsed() < Duration::from_secs(22) {
            let asked = Instant::now();
            let done = lab.spad_command(&["status"]);
            assert!([Some(0), Some(6)].contains(&done.status), "{}", done.text());
            slowest = slowest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(500));
        }
        ends.store(true, Ordering::Relaxed);
        println!("slowest answer: {slowest:?}");
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        talks.into_iter().map(|talks| talks.join().expect("it talked")).sum::<u64>()
    });
    println!("{sent} messages in 22 s");
    assert!(sent > 10_000, "{sent}");
    assert_eq!(spad.role("monitor"), monitors, "nobody took it to hang");
    assert!(spad.log().len() < OUTPUT_LIMIT / 8);
    lab.knock(A);
    lab.opens(A, SSH);
}
