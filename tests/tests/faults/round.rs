//! One round: a knock, a fault at one of its steps, and what must be true afterwards.

use std::thread::sleep;
use std::time::Duration;

use lab::{A, B, Clock, Config, Disk, Lab, Running, SERVER, SSH, Sender, Spad, Watch, now};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;

use crate::catalogue::{Backend, Fault, Moment, Role, Row};

const SECOND: Duration = Duration::from_secs(1);
/// How long a hanging process hangs, and how long the other faults last.
const HANGS: Duration = Duration::from_millis(700);
/// The window of the knock that the fault meets.
const WINDOW: Duration = Duration::from_secs(1);
/// How long after its end a door may still be open.
const GRACE: Duration = SECOND;
/// How long it may take until spad serves again: much more than it needs, for a machine that does other things, too.
const SERVES: Duration = Duration::from_secs(10);
/// After which the log is shown, though it is no failure.
const SLOW: Duration = Duration::from_secs(2);
/// The door of the second profile.
const PANEL: &str = "10.77.0.1:80";

/// What a round has shown.
pub struct Told {
    /// From the end of the fault until a new knock opened.
    pub served_again: Duration,
    /// How long after its end the door was seen open.
    pub late: Duration,
    /// From the first to the last time that a stranger got in.
    pub gap: Duration,
}

struct Round<'r> {
    row: &'r Row,
    backend: Backend,
    moment: Moment,
    lab: &'r Lab,
    random: StdRng,
    /// The one that opens the door, and the one that asks to close it.
    knock: Sender,
    close: Sender,
    /// The client's two doors, ssh and the panel; the same of somebody who never knocks.
    client: Watch,
    stranger: Watch,
    clock: Option<Clock>,
    disk: Option<Disk>,
}

/// Plays the round of that number. Panics where something is wrong.
pub fn play(row: &Row, number: u64, seed: u64) -> Told {
    let turn = usize::try_from(number).expect("few rounds") / crate::FAULTS.len();
    let moment = row.moments[turn % row.moments.len()];
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let backend = row.backends[random.random_range(0..row.backends.len())];
    let lab = Lab::new().expect("there was one before");
    if matches!(row.fault, Fault::FullDisk | Fault::FullDiskAndKill) {
        lab.outside("mkdir /run/lab/state; mount -t tmpfs -o size=16m,mode=700 state /run/lab/state");
    }
    backend.load_rules_of_others(&lab);
    let lines = format!("backend = \"{}\"", backend.name());
    lab.write(
        "etc/spad.toml",
        Config::protecting(&["tcp/22", "tcp/80"]).text().replace("backend = \"nftables\"", &lines),
    );
    lab.profile_with("laptop", &["--open", "tcp/22", "--window", "1s"]);
    lab.profile_with("phone", &["--open", "tcp/80", "--window", "1s"]);
    let _services = lab.serve(SERVER, &["tcp/22", "tcp/80"]);
    let clock = (row.fault == Fault::ClockStep).then(|| Clock::new(&lab, "clock"));
    let disk = (row.fault == Fault::BrokenDisk).then(|| Disk::new(&lab));
    let environment = clock.as_ref().map(Clock::environment).or(disk.as_ref().map(Disk::environment));
    let environment = environment.unwrap_or_default();
    let mut spad = lab.start_spad(&environment);
    spad.says("serving");
    if matches!(row.fault, Fault::FullDisk | Fault::FullDiskAndKill) {
        lab.outside("dd if=/dev/zero of=/run/lab/state/filling bs=512 2>/dev/null || true; ! echo x >/run/lab/state/more");
    }
    let target = lab.spa_target();
    lab.seal(A, "captured", &[]);
    lab.seal(A, "close", &["--close"]);
    let before = lab.foreign_rules(backend.infix());
    let stranger = lab.watch(B, &[SSH, PANEL]);
    let client = lab.watch(A, &[SSH, PANEL]);
    let mut round = Round {
        row,
        backend,
        moment,
        lab: &lab,
        random,
        knock: lab.sender(A, "captured", &target),
        close: lab.sender(A, "close", &target),
        client,
        stranger,
        clock,
        disk,
    };
    let lines = spad.log().lines().count();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut told = round.run(&mut spad);
        told.gap = round.gap();
        assert_eq!(lab.foreign_rules(backend.infix()), before, "rules of others");
        round.one_line_says_it(&spad, lines);
        if told.served_again > SLOW {
            let served = told.served_again;
            crate::say(&format!("slow: {} {moment:?}, round {number}: {served:?}\n{}", row.name, spad.log()));
        }
        told
    }));
    outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        panic!("{} {moment:?}: {said}\n{}", backend.name(), spad.log())
    })
}

impl Round<'_> {
    fn run(&mut self, spad: &mut Spad) -> Told {
        let (sent, over) = self.fault_meets_knock(spad);
        // The knock was judged at the latest when the fault was over; a door that it opened ends a window later.
        let judged = if self.row.fault == Fault::KillAllForLong { sent } else { sent.max(over) };
        let end = judged + WINDOW;
        let served_again = self.serves_again(over);
        wait_until(end + GRACE);
        let seen = self.client.open(0);
        let late = seen.last().map_or(Duration::ZERO, |last| last.saturating_sub(end));
        assert!(late <= GRACE, "open {late:?} after its end");
        // Where everybody got in for a while, an open door does not tell whether the knock was judged.
        let is_told = self.row.fault.allows() > Duration::ZERO;
        let opened = if is_told { spad.log().contains("opened tcp/22") } else { !seen.is_empty() };
        self.replay_opens_nothing(opened);
        Told { served_again, late, gap: Duration::ZERO }
    }

    /// How long strangers got in.
    fn gap(&self) -> Duration {
        let gap = lab::longest_stretch(self.strangers());
        assert!(gap <= self.row.fault.allows(), "a stranger got in for {gap:?}");
        gap
    }

    fn strangers(&self) -> Vec<Duration> {
        [0, 1].map(|door| self.stranger.open(door)).concat()
    }

    /// Lets the fault happen at its moment. Returns when the knock was sent, and when the fault was over.
    fn fault_meets_knock(&mut self, spad: &mut Spad) -> (Duration, Duration) {
        let mut lasting = Vec::new();
        if self.moment == Moment::Before {
            self.begin(spad, &mut lasting);
            let sent = self.send();
            return (sent, self.end(spad, lasting));
        }
        if let (Fault::HangAndKill(role), Moment::Opening) = (self.row.fault, self.moment) {
            spad.signal_role(role.name(), Signal::STOP);
        }
        let sent = self.send();
        match self.moment {
            Moment::Before => {}
            Moment::Opening => sleep(self.up_to(4000)),
            Moment::Open => {
                self.is_open(sent);
                sleep(self.up_to(300_000));
            }
            Moment::Ending => {
                let opened = self.is_open(sent);
                wait_until(opened + WINDOW - Duration::from_millis(6));
                sleep(self.up_to(12_000));
            }
            Moment::Closing => {
                self.is_open(sent);
                if let Fault::HangAndKill(role) = self.row.fault {
                    spad.signal_role(role.name(), Signal::STOP);
                }
                self.close.send();
                sleep(self.up_to(4000));
            }
        }
        self.begin(spad, &mut lasting);
        (sent, self.end(spad, lasting))
    }

    fn send(&mut self) -> Duration {
        self.knock.send();
        now()
    }

    /// When the door was first seen open.
    fn is_open(&self, sent: Duration) -> Duration {
        lab::eventually("the knock opens", 2 * SECOND, || !self.client.open_after(0, sent).is_empty());
        self.client.open_after(0, sent)[0]
    }

    fn up_to(&mut self, microseconds: u64) -> Duration {
        Duration::from_micros(self.random.random_range(0..microseconds))
    }

    fn begin(&mut self, spad: &mut Spad, lasting: &mut Vec<Running>) {
        match self.row.fault {
            Fault::Kill(Role::Starter) => spad.starter().signal(Signal::KILL),
            Fault::Kill(role) => spad.kill_role(role.name()),
            Fault::KillAll | Fault::KillAllForLong => spad.kill(),
            Fault::Hang(Role::Starter) => spad.starter().signal(Signal::STOP),
            Fault::Hang(role) => spad.signal_role(role.name(), Signal::STOP),
            Fault::HangAndKill(role) => {
                sleep(Duration::from_millis(50));
                spad.kill_role(role.name());
            }
            Fault::Flush => drop(self.lab.sh(SERVER, &self.backend.flush())),
            Fault::Lock => lasting.push(self.lock()),
            Fault::FlushUnderLock => {
                lasting.push(self.lock());
                // With a lock of its own: as a program that does not honour the common one.
                self.lab.sh(
                    SERVER,
                    &format!("export XTABLES_LOCKFILE=/run/other.lock; {}", self.backend.flush()),
                );
            }
            Fault::KillLoaderAndFlush => {
                // While it loads, or before.
                self.lab.sh(SERVER, &self.backend.flush());
                sleep(self.up_to(600_000));
                spad.kill_role(Role::Loader.name());
                self.lab.sh(SERVER, &self.backend.flush());
            }
            Fault::FullDisk => {}
            Fault::FullDiskAndKill => spad.kill_role(Role::Worker.name()),
            Fault::BrokenDisk => self.disk.iter().for_each(|disk| disk.breaks(true)),
            Fault::Unplug => self.lab.unplug(SERVER),
            Fault::ClockStep => {
                let day = 86_400 * SECOND;
                let ahead = self.random.random::<bool>();
                self.clock.iter().for_each(|clock| if ahead { clock.ahead(day) } else { clock.behind(day) });
            }
        }
    }

    /// Puts an end to what lasts, and starts again what nobody else would. Returns when that was done.
    fn end(&self, spad: &mut Spad, lasting: Vec<Running>) -> Duration {
        match self.row.fault {
            Fault::Kill(Role::Starter) | Fault::KillAll | Fault::KillAllForLong => {
                if self.row.fault == Fault::KillAllForLong {
                    sleep(WINDOW + GRACE);
                }
                // As a service manager does.
                spad.kill();
                *spad = self.lab.start_spad(&[]);
            }
            Fault::Hang(Role::Starter) => {
                sleep(HANGS);
                spad.starter().resume();
            }
            Fault::Hang(role) => {
                sleep(HANGS);
                spad.signal_role(role.name(), Signal::CONT);
            }
            Fault::Lock | Fault::FlushUnderLock => {
                for mut holder in lasting {
                    holder.wait(5 * SECOND);
                }
            }
            Fault::BrokenDisk => {
                spad.says("the journal cannot be written");
                sleep(HANGS);
                assert!(self.client.open(0).is_empty(), "a knock opened that is not on disk");
                self.disk.iter().for_each(|disk| disk.breaks(false));
            }
            Fault::Unplug => {
                sleep(HANGS);
                self.lab.plug(SERVER);
            }
            Fault::ClockStep => {
                sleep(HANGS);
                self.clock.iter().for_each(|clock| clock.ahead(Duration::ZERO));
            }
            _ => {}
        }
        now()
    }

    fn lock(&self) -> Running {
        let mut command = self.lab.command(SERVER, "flock");
        command.args(["/run/xtables.lock", "sleep", "1"]);
        let running = self.lab.start(command);
        sleep(Duration::from_millis(30));
        running
    }

    /// Knocks for another door until it opens. Returns how long after the fault that was.
    fn serves_again(&self, over: Duration) -> Duration {
        let fault = over;
        let mut over = over;
        if self.row.fault.allows() > Duration::ZERO {
            // While it is open to everybody, an open door says nothing.
            lab::eventually("the guard is back", self.row.fault.allows() + SECOND, || {
                over = self.strangers().into_iter().max().unwrap_or(fault).max(fault);
                now() > over + Duration::from_millis(200)
            });
            over = now();
        }
        loop {
            let opened = self.client.open_after(1, over);
            if let Some(first) = opened.first() {
                return *first - fault;
            }
            assert!(now() < over + SERVES, "no new knock opens within {SERVES:?}");
            self.lab.knock_with(A, &["-4", "--profile", "phone"]);
            let tried = now();
            while now() < tried + Duration::from_millis(120) && self.client.open_after(1, over).is_empty() {
                sleep(Duration::from_millis(5));
            }
        }
    }

    fn replay_opens_nothing(&mut self, opened: bool) {
        let again = self.send();
        sleep(Duration::from_millis(150));
        if !opened && !self.client.open_after(0, again).is_empty() {
            // Nobody had judged it before the fault: then this was its first time.
            wait_until(again + WINDOW + GRACE);
        }
        let again = now();
        for _ in 0..2 {
            self.send();
            sleep(Duration::from_millis(100));
        }
        assert!(self.client.open_after(0, again).is_empty(), "a captured datagram opened again");
    }

    /// Warnings and errors since the fault: what is due, and nothing that is not.
    fn one_line_says_it(&self, spad: &Spad, before: usize) {
        let log = spad.log();
        let since: Vec<&str> = log.lines().skip(before).collect();
        // Of the round's own captured datagrams it may say that it refused them.
        let bad = |line: &&&str| {
            ["WARN", "ERROR"].iter().any(|level| line.contains(level)) && !line.contains("refused profile=")
        };
        let says = |line: &&&str| self.row.says.iter().any(|words| line.contains(words));
        let (due, rest): (Vec<_>, Vec<_>) = since.iter().filter(bad).partition(says);
        assert_eq!(due.len(), usize::from(!self.row.says.is_empty()), "lines that say {:?}", self.row.says);
        let also = |line: &&str| self.row.also.iter().any(|words| line.contains(words));
        assert!(rest.iter().all(also), "more than was due: {rest:?}");
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Monitor => "monitor",
            Self::Worker => "worker",
            Self::Loader => "loader",
        }
    }
}

fn wait_until(moment: Duration) {
    sleep(moment.saturating_sub(now()));
}
