//! A small world without input or output: clients, somebody on the path, a server with its disk and its clocks, all in
//! one thread and one minute of real time. The gate, the journal's bytes, the leases and the settling are the real ones.
//!
//! ```text
//! site.rs      who knocks, with what keys      clocks.rs    true time, and what the server takes for it
//! server.rs    worker, monitor, their deaths   disk.rs      cache and platter, a fuse at any byte
//! journal.rs   two files, written in turn      firewall.rs  elements that end by themselves
//! oracle.rs    what must hold                  sentences.rs where SPEC.md says so
//! schedule.rs  what happens, from a seed       flaws.rs     mistakes that the oracle must catch
//! ```

pub mod clocks;
pub mod disk;
pub mod firewall;
pub mod flaws;
pub mod journal;
pub mod oracle;
pub mod schedule;
pub mod sentences;
pub mod server;
pub mod site;

use std::net::IpAddr;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use spa_core::crypto::key::KeyId;
use spa_core::profile::{Freshness, JournalEpoch};
use spa_core::request::Verb;
use spa_core::time::UnixMillis;

use clocks::Clocks;
use flaws::Flaw;
use oracle::{Oracle, Situation, Verdict};
use server::{Outcome, Server};
use site::Device;

/// 2026-11-20T10:00:00Z, when the site was made.
const MADE: i64 = 1_795_168_800_000;

/// A datagram that somebody on the path has seen.
#[derive(Clone)]
pub struct Letter {
    pub command: usize,
    pub bytes: Vec<u8>,
}

/// Everything there is.
pub struct World {
    pub clocks: Clocks,
    pub server: Server,
    pub devices: Vec<Device>,
    pub oracle: Oracle,
    /// Whatever was ever sent.
    pub letters: Vec<Letter>,
    pub random: StdRng,
    /// What became of the datagrams that were delivered last.
    pub ends: Vec<&'static str>,
    /// What happened, line by line.
    pub story: Vec<String>,
    settled: bool,
}

impl World {
    /// A site that was just made, its server running for a while.
    pub fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let created = UnixMillis::new(MADE.unsigned_abs()).expect("below 2^48");
        let devices = Device::all(created, Freshness::Monotonic(JournalEpoch([1; 8])));
        let mut world = Self {
            clocks: Clocks::new(MADE + 600 * clocks::SECOND),
            server: Server::new(flaw, devices.len()),
            devices,
            oracle: Oracle::default(),
            letters: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            ends: Vec::new(),
            story: Vec::new(),
            settled: true,
        };
        world.server.start(&world.devices, world.clocks.now(), &mut world.random);
        world
    }

    /// Adds a line to the story.
    pub fn tell(&mut self, what: impl Into<String>) {
        let seconds = (self.clocks.truth - MADE) / clocks::SECOND;
        self.story.push(format!("{seconds:>9} s  {}", what.into()));
    }

    /// A device gives a command; `copies` datagrams leave it and are seen on the path.
    pub fn command(&mut self, device: usize, verb: Verb, copies: usize) -> Vec<usize> {
        let it = &mut self.devices[device];
        let command = it.command(device, verb, self.clocks.truth, &mut self.random);
        let (name, verb, time) = (it.name, format!("{:?}", command.request.verb), command.request.time.get());
        let sealed: Vec<Vec<u8>> = (0..copies).map(|_| it.seal(&command, &mut self.random)).collect();
        let number = self.oracle.commanded(command);
        let first = self.letters.len();
        self.letters.extend(sealed.into_iter().map(|bytes| Letter { command: number, bytes }));
        let letters: Vec<usize> = (first..self.letters.len()).collect();
        self.tell(format!("{name} commands #{number} at {time}: {verb}, letters {letters:?}"));
        letters
    }

    /// Where the letters of a command come from if nobody interferes.
    pub fn home(&self, letter: usize) -> IpAddr {
        self.oracle.commands[self.letters[letter].command].home
    }

    /// Delivers letters together, each from its own address.
    pub fn deliver(&mut self, letters: &[usize]) -> Verdict {
        let from: Vec<(usize, IpAddr)> = letters.iter().map(|&letter| (letter, self.home(letter))).collect();
        self.deliver_from(&from)
    }

    /// Delivers letters together, from wherever.
    pub fn deliver_from(&mut self, letters: &[(usize, IpAddr)]) -> Verdict {
        let bytes: Vec<(Vec<u8>, IpAddr)> =
            letters.iter().map(|&(letter, source)| (self.letters[letter].bytes.clone(), source)).collect();
        let bytes: Vec<(&[u8], IpAddr)> = bytes.iter().map(|(b, source)| (b.as_slice(), *source)).collect();
        let now = self.clocks.now();
        let outcomes = self.server.receive(&bytes, now, &self.devices);
        self.ends = outcomes.iter().map(told).collect();
        // As it was when they were judged: the machine may have died since.
        let settled = self.server.was_settled;
        for (&(letter, source), outcome) in letters.iter().zip(&outcomes) {
            let number = self.letters[letter].command;
            self.tell(format!("letter {letter} of #{number} from {source}: {}", told(outcome)));
            let device = &self.devices[self.oracle.commands[number].device];
            let current = device.key_id == self.oracle.commands[number].key_id;
            let at = Situation {
                now,
                truth: self.clocks.truth,
                right: self.clocks.right(),
                settled,
                present: current && self.server.present[self.oracle.commands[number].device],
            };
            self.oracle.judged(number, source, outcome, &at)?;
        }
        self.look()
    }

    /// Delivers bytes that nobody sealed.
    pub fn deliver_forged(&mut self, bytes: &[u8], source: IpAddr) -> Verdict {
        let (now, before) = (self.clocks.now(), self.server.remembered());
        let outcomes = self.server.receive(&[(bytes, source)], now, &self.devices);
        self.ends = outcomes.iter().map(told).collect();
        let after = self.server.remembered();
        for outcome in &outcomes {
            self.tell(format!("forged, {} bytes from {source}: {}", bytes.len(), told(outcome)));
            self.oracle.forged(outcome, (before, after))?;
        }
        self.look()
    }

    /// Compares what is open with what may be, and keeps the oracle up to date.
    pub fn look(&mut self) -> Verdict {
        if std::mem::take(&mut self.server.lost) {
            self.tell("the journal was lost");
            self.settled = false;
            self.oracle.journal_lost();
            let monotonic = self.devices.iter().filter(|device| device.freshness != Freshness::Clock);
            monotonic.for_each(|device| self.oracle.shut(device.key_id));
        }
        if !self.settled {
            self.oracle.unsettled(self.clocks.truth);
        }
        if self.server.alive() && self.server.settled() != self.settled {
            self.settled = !self.settled;
            self.tell(if self.settled { "settled" } else { "unsettled" });
        }
        let now = self.clocks.now();
        let open = self.server.open_doors(now);
        self.oracle.doors(&open, now.boot)
    }

    /// Time passes, and everybody does what time brings.
    pub fn pass(&mut self, millis: i64) -> Verdict {
        self.clocks.pass(millis);
        self.server.keep_up(self.clocks.now());
        self.look()
    }

    /// All processes are killed.
    pub fn kill(&mut self) -> Verdict {
        self.tell("kill -9");
        self.server.kill();
        self.look()
    }

    /// The power fails and comes back; `error`: what the machine's clock is then ahead by.
    pub fn power_cut(&mut self, error: i64) -> Verdict {
        self.tell(format!("the power fails; the clock then is wrong by {error} ms"));
        self.server.power_cut(&mut self.random);
        self.oracle.rebooted();
        self.clocks.boot(error);
        self.look()
    }

    /// The processes are started.
    pub fn start(&mut self) -> Verdict {
        self.tell("start");
        self.absent();
        self.server.start(&self.devices, self.clocks.now(), &mut self.random);
        self.look()
    }

    /// A new worker takes over.
    pub fn reload(&mut self) -> Verdict {
        self.tell(format!("reload, profiles there: {:?}", self.server.present));
        self.absent();
        self.server.new_worker(&self.devices, self.clocks.now(), &mut self.random);
        self.look()
    }

    fn absent(&mut self) {
        for (device, present) in self.devices.iter().zip(&self.server.present) {
            if !present {
                self.oracle.absent(device.key_id);
            }
        }
    }

    /// The operator gives a device a second key, with whose first use the present one ends.
    pub fn rotate(&mut self, device: usize) -> Verdict {
        let Some(epoch) = self.server.epoch() else { return Ok(()) };
        let before = self.devices[device].key_id;
        let key_id = KeyId(1000 + u32::try_from(self.devices.len()).expect("few"));
        let after = self.devices[device].rotated(key_id, self.clocks.truth, epoch);
        self.tell(format!("a second key, {}, for {} with {}", key_id.0, after.name, before.0));
        self.oracle.rotated(before, key_id, after.created);
        self.devices.push(after);
        self.server.present.push(true);
        self.reload()
    }

    /// The operator gives a device a new key.
    pub fn make_anew(&mut self, device: usize) -> Verdict {
        let Some(epoch) = self.server.epoch() else { return Ok(()) };
        let freshness = match self.devices[device].freshness {
            Freshness::Clock => Freshness::Clock,
            Freshness::Monotonic(_) => Freshness::Monotonic(epoch),
        };
        self.devices[device].make_anew(self.clocks.truth, freshness);
        self.tell(format!("a new key for {}", self.devices[device].name));
        self.reload()
    }
}

fn told(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "done",
        Outcome::Unsure => "passed, and then trouble",
        Outcome::Dropped(reject, _) => reject,
        Outcome::Nobody => "nobody there",
    }
}
