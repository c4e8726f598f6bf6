//! Where the time of a knock goes: each station by itself, with spad's own code, on the same host, wire and disk.

use std::fs;
use std::net::{IpAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use lab::SERVER;
use rustix::event::{PollFd, PollFlags, poll};
use spa_core::bpf::Instruction;
use spa_core::crypto::header::{HeaderKey, Nonce};
use spa_core::crypto::key::{KeyId, SiteId, SiteKey};
use spa_core::crypto::suite::Suite;
use spa_core::frame::Link;
use spa_core::journal::MachineHash;
use spa_core::lease::{Change, Door};
use spa_core::profile::JournalEpoch;
use spa_core::replay::{DEFAULT_SKEW, Record, Replay};
use spa_core::request::RequestId;
use spa_core::stranger;
use spa_core::terms::OnClose;
use spa_core::time::UnixMillis;
use spad::capture::Listener;
use spad::firewall::standing::{Backend, Stand, Standing};
use spad::firewall::{self, Interfaces, Plan};
use spad::journal::Opened;
use spad::socketpair::{Received, Seqpacket};
use spad::sys::filter;

use super::{Bench, latency, microseconds};
use crate::arena::{ADDRESS, CLIENT, INTERFACE};
use crate::gate::{Operation, Site};
use crate::report::{Better, Report};
use crate::tools::{Contestant as _, Spad};
use crate::wire::{Sender, noise, udp};

const TABLE: &str = "stations";
const COLUMN: &str = "µs";
const PORT: u16 = 23_571;
/// Long enough for everybody to fall asleep, as they would be when a knock comes.
const REST: Duration = Duration::from_millis(3);
/// Datagrams in one measurement of what is shorter than a look at the clock.
const BATCH: u32 = 256;

/// All stations, in the order in which a knock passes them.
pub fn run(bench: &Bench, report: &mut Report) {
    let times = if bench.quick { 30 } else { 300 };
    let mut row = |title: &str, times: Vec<Duration>| {
        let row = report.row(TABLE, title, Better::Less);
        row.measured(COLUMN, times.into_iter().map(microseconds));
    };
    row(
        "capture: from sending until the frame is in the worker's hands, asleep before",
        capture(bench, times),
    );
    for keys in [1, 2] {
        let title = format!(
            "kernel: a stranger's datagram turned away, {keys} site key{}",
            if keys == 1 { "" } else { "s" }
        );
        row(&title, turn_away(keys, times));
    }
    for suite in Suite::ALL {
        row(&format!("gate: admission, {suite}"), gate(suite, times));
    }
    let [write, flush, many] = journal(bench, times);
    row("journal: one record written and flushed to the disk", write);
    row("journal: of that, the disk alone (pwrite and fdatasync of 32 bytes)", flush);
    row("journal: 256 records written and flushed", many);
    row("channel: from the worker's write until the monitor has it, asleep before", channel(times));
    let [one, add, many] = firewall(bench, times);
    row("firewall: one door opened, until the kernel has answered", one);
    row("firewall: one door shut", add);
    row("firewall: 256 doors opened in one transaction", many);
    for (in_memory, label, title) in [
        (false, "disk", "all of it: ready packet to first accepted connection"),
        (true, "memory", "all of it, the journal in memory: without the disk"),
    ] {
        let mut spad = Spad::new(&bench.arena, label);
        spad.journal_in_memory = in_memory;
        for _ in 0..bench.rounds(3) {
            let _daemon = spad.serve(&bench.arena, 1);
            let times = bench.arena.at_client(|| latency::ready(bench, &spad, 1));
            row(title, times.into_iter().map(|time| Duration::from_secs_f64(time / 1e3)).collect());
        }
    }
}

fn capture(bench: &Bench, times: usize) -> Vec<Duration> {
    let server = bench.arena.host(SERVER);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (got, is_got) = std::sync::mpsc::channel();
    let receiver = thread::spawn(move || {
        server.enter();
        let port = NonZeroU16::new(PORT).expect("not zero");
        let mut listener = Listener::open(INTERFACE, port, &[header_key()]).expect("the interface is up");
        ready.send(()).expect("somebody waits");
        for _ in 0..times {
            let mut seen = None;
            while seen.is_none() {
                let _ = poll(&mut [PollFd::new(&listener.as_fd(), PollFlags::IN)], None);
                let _ = listener.receive(|_, _| seen = Some(Instant::now()));
            }
            got.send(seen.expect("just seen")).expect("somebody waits");
        }
    });
    is_ready.recv().expect("it listens");
    let sent = bench.arena.at_client(move || {
        let sender = Sender::new();
        let mut payload = noise(400);
        let nonce = Nonce(payload[..16].try_into().expect("long enough"));
        payload[16..24].copy_from_slice(&header_key().mask(&nonce, KeyId(1)).0);
        let frame = [udp(SocketAddrV4::new(CLIENT, 4000), SocketAddrV4::new(ADDRESS, PORT), &payload)];
        let send = |_| {
            thread::sleep(REST);
            let start = Instant::now();
            sender.send(&frame);
            is_got.recv().expect("it was seen") - start
        };
        (0..times).map(send).collect()
    });
    receiver.join().expect("it ended well");
    sent
}

fn header_key() -> HeaderKey {
    HeaderKey::derive(&SiteKey::new([3; 32]), SiteId([1; 16]))
}

/// What the kernel needs to turn a stranger's datagram away: sends to a socket whose filter looks at everything, less
/// sends to one whose filter looks at nothing.
pub fn turn_away(keys: usize, times: usize) -> Vec<Duration> {
    let keys: Vec<HeaderKey> = (0..keys).map(|_| header_key()).collect();
    let port = NonZeroU16::new(PORT).expect("not zero");
    let program = stranger::program(Link::Raw, port, &keys, 1400).expect("it fits");
    let nothing = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let [all, none] = [program.instructions(), &nothing].map(|program| {
        let (from, to) = UnixDatagram::pair().expect("two descriptors");
        filter::attach(to.as_fd(), program).expect("the kernel takes it");
        (from, to)
    });
    let measure = |_| {
        // New ones each time: nothing that the processor learned of the last helps it.
        let packets: Vec<_> = (0..BATCH)
            .map(|_| udp(SocketAddrV4::new(CLIENT, 4000), SocketAddrV4::new(ADDRESS, PORT), &noise(400)))
            .collect();
        let [least, whole] = [&none.0, &all.0].map(|socket| {
            let start = Instant::now();
            for packet in &packets {
                socket.send(packet.bytes()).expect("a refused packet is no error");
            }
            start.elapsed() / BATCH
        });
        whole.saturating_sub(least)
    };
    (0..times).map(measure).collect()
}

fn gate(suite: Suite, times: usize) -> Vec<Duration> {
    let mut site = Site::new(suite, 1000);
    let knocks: Vec<_> = (0..times).map(|_| site.datagram(Operation::Admission)).collect();
    let judge = |knock: &Vec<u8>| {
        thread::sleep(REST);
        let start = Instant::now();
        assert!(site.judge(knock), "a knock");
        start.elapsed()
    };
    knocks.iter().map(judge).collect()
}

fn journal(bench: &Bench, times: usize) -> [Vec<Duration>; 3] {
    let folder = bench.arena.on_disk("journal");
    fs::create_dir_all(&folder).expect("the disk has room");
    let site = SiteId([1; 16]);
    let opened = Opened::open(&folder, &folder, site, MachineHash([2; 16])).expect("a new journal");
    let (mut journal, past) = opened.lock_and_load().expect("it can be begun");
    let mut replay = Replay::restore(JournalEpoch([0; 8]), true, DEFAULT_SKEW, past.records);
    let mut n = 0_u64;
    let mut records = |count: usize| -> Vec<Record> {
        let one = |_| {
            n += 1;
            let time = UnixMillis::new(n).expect("early");
            Record::Admitted { key_id: KeyId(1), time, id: RequestId(n.to_be_bytes()) }
        };
        (0..count).map(one).collect()
    };
    let mut append = |count: usize| {
        let records = records(count);
        thread::sleep(REST);
        let start = Instant::now();
        journal.append(&records, &mut replay).expect("the disk works");
        start.elapsed()
    };
    let one = (0..times).map(|_| append(1)).collect();
    let many = (0..times / 10).map(|_| append(256)).collect();
    // The floor: the same bytes in a file that has its room already.
    let path = bench.arena.on_disk("floor");
    fs::write(&path, vec![0; 2 << 20]).expect("the disk has room");
    let file = fs::OpenOptions::new().write(true).open(path).expect("just made");
    file.sync_all().expect("the disk works");
    let flush = |n: usize| {
        use std::os::unix::fs::FileExt as _;
        thread::sleep(REST);
        let start = Instant::now();
        file.write_all_at(&[1; 32], n as u64 * 32).and_then(|()| file.sync_data()).expect("the disk works");
        start.elapsed()
    };
    [one, (0..times).map(flush).collect(), many]
}

fn channel(times: usize) -> Vec<Duration> {
    let (worker, monitor) = Seqpacket::pair().expect("two descriptors");
    let (got, is_got) = std::sync::mpsc::channel();
    let receiver = thread::spawn(move || {
        for _ in 0..times {
            let _ = poll(&mut [PollFd::new(&monitor, PollFlags::IN)], None);
            let message = monitor.receive::<{ spad::ask::SIZE }>();
            assert!(matches!(message, Ok(Received::Message(_))), "it was sent");
            got.send(Instant::now()).expect("somebody waits");
        }
    });
    let send = |_| {
        thread::sleep(REST);
        let start = Instant::now();
        worker.send(&[0; spad::ask::SIZE]).expect("there is room");
        is_got.recv().expect("it came") - start
    };
    let times = (0..times).map(send).collect();
    receiver.join().expect("it ended well");
    times
}

fn firewall(bench: &Bench, times: usize) -> [Vec<Duration>; 3] {
    bench.arena.clean(false);
    let clients = bench.arena.clients(times * 30);
    let server = bench.arena.host(SERVER);
    let measured = thread::spawn(move || {
        server.enter();
        let standing = Standing { backend: Backend::Nftables, stand: Stand::Guard };
        let (mut firewall, _) = firewall::choose(&standing, None).expect("nftables");
        let plan = Plan {
            interfaces: Interfaces::Any,
            protect: vec!["tcp/22".parse().expect("a service")],
            always_allow: Vec::new(),
            forward: Vec::new(),
            forward_sources: Vec::new(),
            spa_port: NonZeroU16::new(PORT).expect("not zero"),
            keep: Vec::new(),
        };
        firewall.prepare(&plan).expect("root may");
        let door = |client: &std::net::Ipv4Addr| {
            Door::plain(IpAddr::V4(*client), "tcp/22".parse().expect("a service"))
        };
        let open = |client: &std::net::Ipv4Addr| Change::Set {
            door: door(client),
            timeout: Duration::from_secs(30),
            comment: "00000001:1a0f3b1c2d3:1a0f3b1c2d3".to_owned(),
            on_close: OnClose::Keep,
            forward: None,
        };
        let mut apply = |changes: &[Change]| {
            thread::sleep(REST);
            let start = Instant::now();
            firewall.apply(changes).expect("the table is there");
            start.elapsed()
        };
        let one = clients[..times].iter().map(|client| apply(&[open(client)])).collect();
        let shut =
            clients[..times].iter().map(|client| apply(&[Change::Remove { door: door(client) }])).collect();
        let many = clients[times..]
            .chunks_exact(256)
            .map(|clients| apply(&clients.iter().map(open).collect::<Vec<_>>()))
            .collect();
        [one, shut, many]
    });
    let measured = measured.join().expect("it went well");
    bench.arena.clean(false);
    measured
}
