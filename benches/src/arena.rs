//! Where everything is measured: a server and a client host with one virtual wire between them (two network namespaces
//! of the laboratory in `tests/`), a whole /16 of client addresses, and one daemon at a time.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lab::{Extra, Host, INNER, Lab, Running, SERVER};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_current_timer_slack};
use socket2::{Domain, Socket, Type};

use crate::doors::Doors;
use crate::usage;

/// The server's end of the wire.
pub const INTERFACE: &str = "eth1";
/// The server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
/// The client host's own address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
/// The door.
pub const DOOR: SocketAddrV4 = SocketAddrV4::new(ADDRESS, 22);
/// How long a daemon may take to start; one with 100 000 profiles is measured as well.
const STARTS: Duration = Duration::from_secs(60);

/// A network namespace that threads can enter.
#[derive(Clone, Debug)]
pub struct NetworkNamespace(Arc<File>);

impl NetworkNamespace {
    /// Moves this thread there, for good. What it opens and starts from now on is there.
    ///
    /// # Panics
    /// When this is not root.
    pub fn enter(&self) {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.0.as_fd(), network).expect("root may enter a namespace");
        // Sleeps are as exact as the machine can.
        let _ = set_current_timer_slack(std::num::NonZero::new(1));
    }
}

/// The arena.
#[derive(Debug)]
pub struct Arena {
    lab: Lab,
    /// Programs of this workspace, as they were built.
    programs: PathBuf,
    /// Files that must be on a real disk: the journals.
    work: PathBuf,
    next_client: AtomicU32,
}

/// A daemon under measurement, ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    log: PathBuf,
    processes_namespace: Option<PathBuf>,
    /// From its start until it said that it serves.
    pub took: Duration,
}

impl Arena {
    /// Builds it; `None`, and a loud line, where the system does not allow it.
    ///
    /// # Panics
    /// When `work` cannot be made.
    #[must_use]
    pub fn new(programs: PathBuf, work: PathBuf) -> Option<Self> {
        let lab = Lab::with(&[Extra::Inner])?;
        if work.exists() {
            fs::remove_dir_all(&work).expect("an old work folder can be removed");
        }
        fs::create_dir_all(&work).expect("a work folder can be made");
        // Every address of 10.81.0.0/16 is the client host's.
        let _ = lab.sh(INNER, "ip route add local 10.81.0.0/16 dev lo");
        let _ = lab.sh(SERVER, "ip route add 10.81.0.0/16 via 10.79.0.2");
        // No limit on neighbours, connections or open ports stands in anybody's way, and answers to strangers cost nobody.
        let _ = lab.sh(INNER, "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range");
        let arena = Self { lab, programs, work, next_client: AtomicU32::new(1) };
        arena.serve();
        Some(arena)
    }

    /// The service behind the door: takes every connection and ends it.
    fn serve(&self) {
        let server = self.host(SERVER);
        std::thread::spawn(move || {
            server.enter();
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            listener.bind(&DOOR.into()).expect("nobody else is at the door");
            listener.listen(4096).expect("an option");
            while let Ok((connection, _)) = listener.accept() {
                // A reset leaves no state behind.
                let _ = connection.set_linger(Some(Duration::ZERO));
            }
        });
        let up = || self.at_client(|| Doors::new().is_open(CLIENT));
        while !up() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The laboratory.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// A program of this workspace.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A path in the work folder, which is on a disk.
    #[must_use]
    pub fn on_disk(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// The client host.
    #[must_use]
    pub fn client_host(&self) -> NetworkNamespace {
        self.host(INNER)
    }

    /// A host.
    ///
    /// # Panics
    /// When the laboratory is gone.
    #[must_use]
    pub fn host(&self, host: Host) -> NetworkNamespace {
        let path = format!("/proc/{}/root/run/netns/{}", self.lab.anchor(), host.name);
        NetworkNamespace(Arc::new(File::open(path).expect("the laboratory runs")))
    }

    /// Runs this on the client host.
    ///
    /// # Panics
    /// When it panics.
    pub fn at_client<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let host = self.client_host();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                host.enter();
                what()
            });
            thread.join().expect("it went well")
        })
    }

    /// Addresses that never knocked before.
    #[must_use]
    pub fn clients(&self, count: usize) -> Vec<Ipv4Addr> {
        let count = u32::try_from(count).expect("a small number");
        let first = self.next_client.fetch_add(count, Ordering::Relaxed);
        // The last /24 is the strangers'.
        let address = |n: u32| Ipv4Addr::from_bits(Ipv4Addr::new(10, 81, 0, 0).to_bits() + n % 0xfe00);
        (first..first + count).map(address).collect()
    }

    /// An address of somebody who floods.
    #[must_use]
    pub fn stranger(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 81, 255, n)
    }

    /// Makes the client host's programs use this source address. To be called on the client host.
    ///
    /// # Panics
    /// When `ip` fails.
    pub fn use_source(client: Ipv4Addr) {
        let mut ip = Command::new("ip");
        ip.args(["route", "replace", "10.79.0.1/32", "dev", "eth0", "src", &client.to_string()]);
        assert!(ip.status().is_ok_and(|status| status.success()), "ip route");
    }

    /// Takes away what the daemon before left in the kernel, and shuts the door by itself if asked to: spad does so on
    /// its own, the others need a rule.
    pub fn clean(&self, shut: bool) {
        let rules = "iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; \
                     iptables -A INPUT -p tcp --dport 22 -j DROP";
        let rules = if shut { rules } else { "" };
        let _ = self.lab.sh(SERVER, &format!("nft flush ruleset; {rules}"));
    }

    /// Starts a daemon on the server and waits until its log has these words.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn start(&self, program: impl AsRef<Path>, arguments: &[String], log: &str, ready: &str) -> Daemon {
        let path = self.on_disk(log);
        let _ = fs::remove_file(&path);
        let file = File::create(&path).expect("the disk has room");
        let mut command = self.lab.command(SERVER, program.as_ref());
        command.args(arguments).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        let start = Instant::now();
        let running = self.lab.start(command);
        while !fs::read_to_string(&path).unwrap_or_default().contains(ready) {
            let log = || fs::read_to_string(&path).unwrap_or_default();
            assert!(start.elapsed() < STARTS, "{} does not start:\n{}", program.as_ref().display(), log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let processes_namespace = fs::read_link(format!("/proc/{}/ns/pid", self.lab.anchor())).ok();
        Daemon { running, log: path, processes_namespace, took: start.elapsed() }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Daemon {
    /// All its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        usage::family(self.running.pid())
    }

    /// The first of them.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// How often the log has these words.
    #[must_use]
    pub fn said(&self, words: &str) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }

    /// Asks it to read its files again.
    pub fn reload(&self) {
        self.running.signal(Signal::HUP);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let all = self.processes();
        self.running.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_millis(1500);
        while self.running.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Helpers that sleep until they may shut a door again; in the laboratory, so they are ours.
        let inside =
            |pid: &u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok() == self.processes_namespace;
        for pid in all.iter().filter(|pid| inside(pid)) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
