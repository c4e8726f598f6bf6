//! The server of the world: a worker with gate and journal, a monitor with leases, the kernel's table. Its steps are
//! those of `spad/src/worker.rs` and `spad/src/monitor/`, without processes.

use std::net::{IpAddr, SocketAddr};

use rand::RngExt as _;
use rand::rngs::StdRng;
use spa_core::frame::Datagram;
use spa_core::gate::{Gate, Verdict};
use spa_core::keyring::Keyring;
use spa_core::lease::{Door, LeaseTable};
use spa_core::policy::{Admission, Effect};
use spa_core::profile::{Freshness, JournalEpoch, Profile, Successor};
use spa_core::rate::Bucket;
use spa_core::reject::Reject;
use spa_core::replay::{DEFAULT_SKEW, Record, Replay};
use spa_core::settling::Settling;
use spa_core::time::{BootTime, Now};

use super::disk::{Disk, Trouble};
use super::firewall::Firewall;
use super::flaws::Flaw;
use super::journal::{Journal, Past};
use super::site::{Device, SERVER, ceiling, header_key, ip};

/// What became of a datagram, as far as the world can see.
pub enum Outcome {
    /// It was carried out.
    Done(Admission),
    /// It was dropped: why, and whether the operator may be told of it.
    Dropped(&'static str, bool),
    /// It passed, and then the disk failed or the machine died: it may be remembered, or not.
    Unsure,
    /// Nobody was there.
    Nobody,
}

struct Worker {
    gate: Gate,
    journal: Journal,
    settling: Option<Settling>,
    /// For one of the flaws: a bucket in front of everything.
    bucket: Bucket,
}

/// The machine.
pub struct Server {
    pub disk: Disk,
    pub firewall: Firewall,
    worker: Option<Worker>,
    leases: LeaseTable,
    boot: [u8; 16],
    /// Devices whose profile's file is there and readable.
    pub present: Vec<bool>,
    /// Whether anything might be admitted when datagrams were last judged.
    pub was_settled: bool,
    /// Whether a journal was lost, and not yet told to the oracle.
    pub lost: bool,
    flaw: Option<Flaw>,
}

impl Server {
    /// With the journal of a new site, not yet started.
    pub fn new(flaw: Option<Flaw>, devices: usize) -> Self {
        let mut disk = Disk::default();
        Journal::create(&mut disk);
        Self {
            disk,
            firewall: Firewall::default(),
            worker: None,
            leases: LeaseTable::default(),
            boot: [0; 16],
            present: vec![true; devices],
            was_settled: true,
            lost: false,
            flaw,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether a worker judges.
    pub const fn alive(&self) -> bool {
        self.worker.is_some()
    }

    /// Whether anything may be admitted.
    pub fn settled(&mut self) -> bool {
        self.worker.as_mut().is_some_and(|worker| worker.gate.replay().is_settled())
    }

    /// How many records the memory takes.
    pub fn remembered(&mut self) -> usize {
        self.worker.as_mut().map_or(0, |worker| worker.gate.replay().snapshot().count())
    }

    /// The epoch that a new monotonic profile is made in.
    pub fn epoch(&self) -> Option<JournalEpoch> {
        self.worker.as_ref().map(|worker| worker.journal.epoch())
    }

    /// Starts all processes; with the kernel's elements, if there are any.
    pub fn start(&mut self, devices: &[Device], now: Now, random: &mut StdRng) {
        self.leases = LeaseTable::default();
        for (door, remaining, comment, forward) in self.firewall.elements(self.boot_time(now)) {
            if !self.has(Flaw::LeasesAreForgotten) {
                self.leases.restore(door, remaining, comment, forward, self.boot_time(now));
            }
        }
        self.new_worker(devices, now, random);
    }

    /// A new worker takes over from the old: a reload. The monitor goes on.
    pub fn new_worker(&mut self, devices: &[Device], now: Now, random: &mut StdRng) {
        self.worker = None;
        if self.has(Flaw::RollbackIsNotSeen) {
            self.disk.mark.clear();
        }
        let epoch = JournalEpoch(random.random());
        let opened = Journal::open(&mut self.disk, self.boot, epoch, self.flaw, &mut self.lost);
        let Ok((mut journal, past)) = opened else { return self.kill() };
        let there = devices.iter().zip(&self.present).filter(|(_, present)| **present);
        let keyring = Keyring::new(there.map(|(device, _)| self.profile(device, journal.epoch())));
        let replay = self.recall(past, &keyring);
        if self.has(Flaw::AbsentProfilesAreForgotten) && journal.rewrite(&mut self.disk, &replay).is_err() {
            return self.kill();
        }
        let settling = (!replay.is_settled()).then(|| Settling::begin(now));
        let own = [ip(SERVER)].into_iter().collect();
        let gate = Gate::new(vec![header_key()], keyring, replay, own);
        self.worker = Some(Worker { gate, journal, settling, bucket: Bucket::default() });
        self.look_at_the_clock(now);
    }

    fn profile(&self, device: &Device, now: JournalEpoch) -> Profile {
        let successor = device.successor.filter(|_| !self.has(Flaw::TheKeyBeforeGoesOn));
        let believed = |epoch| if self.has(Flaw::TheKeyBeforeSurvivesALoss) { now } else { epoch };
        let successor = successor.map(|it| Successor { epoch: believed(it.epoch), ..it });
        Profile { any_address: self.has(Flaw::AnyAddressWillDo), successor, ..device.profile() }
    }

    fn recall(&self, past: Past, keyring: &Keyring) -> Replay {
        let kept = |record: &Record| match record {
            Record::Settled => true,
            _ if self.has(Flaw::RestartForgetsAll) => false,
            Record::SiteFloor(_) => !self.has(Flaw::RestartForgetsFloors),
            Record::Floor { .. } if self.has(Flaw::RestartForgetsFloors) => false,
            Record::Admitted { key_id, .. } | Record::Floor { key_id, .. } => {
                !self.has(Flaw::AbsentProfilesAreForgotten) || keyring.profile(*key_id).is_some()
            }
        };
        let theirs = keyring.profiles().find_map(|profile| match profile.freshness {
            Freshness::Monotonic(epoch) => Some(epoch),
            Freshness::Clock => None,
        });
        let believed = theirs.filter(|_| self.has(Flaw::MonotonicSurvivesALoss));
        let records = past.records.into_iter().filter(kept);
        let mut replay = Replay::restore(believed.unwrap_or(past.epoch), past.settled, DEFAULT_SKEW, records);
        replay.forget_absent(keyring);
        replay
    }

    /// All processes die. What they wrote is in the page cache, what they opened is in the kernel.
    pub fn kill(&mut self) {
        self.worker = None;
        self.disk.process_died();
    }

    /// The power fails.
    pub fn power_cut(&mut self, random: &mut StdRng) {
        self.worker = None;
        self.disk.power_failed(random);
        self.firewall.reboot();
        self.boot = random.random();
    }

    /// An unsettled worker looks whether it is known now what may be fresh.
    pub fn look_at_the_clock(&mut self, now: Now) {
        let flaw = self.flaw;
        let Some(Worker { gate, journal, settling, .. }) = &mut self.worker else { return };
        let Some(waiting) = settling else { return };
        let any_clock = Now { synchronised: true, ..now };
        let now = if flaw == Some(Flaw::SettlesByAnyClock) { any_clock } else { now };
        let Some(floor) = waiting.floor(now, DEFAULT_SKEW) else { return };
        for record in [Record::SiteFloor(floor), Record::Settled] {
            // First it becomes part of the memory: if the flush fails, the memory is what is written anew.
            if flaw != Some(Flaw::FloorIsWrittenBeforeItIsKnown) {
                gate.replay().apply(record);
            }
            match journal.append(&mut self.disk, &[record], gate.replay()) {
                Ok(()) => gate.replay().apply(record),
                Err(Trouble::Refused) => return,
                Err(Trouble::Dead) => return self.kill(),
            }
        }
        *settling = None;
    }

    /// Judges datagrams that wait together, flushes once, and carries out what passed.
    pub fn receive(&mut self, letters: &[(&[u8], IpAddr)], now: Now, devices: &[Device]) -> Vec<Outcome> {
        self.look_at_the_clock(now);
        self.was_settled = self.settled();
        if self.worker.is_none() {
            return letters.iter().map(|_| Outcome::Nobody).collect();
        }
        let verdicts: Vec<Verdict> =
            letters.iter().map(|(payload, source)| self.judge(payload, *source, now, devices)).collect();
        let early = self.has(Flaw::AsksBeforeItIsOnDisk);
        if early {
            verdicts.iter().for_each(|verdict| self.carry_out_if_admitted(verdict, now));
        }
        let Some(Worker { gate, journal, .. }) = &mut self.worker else { return Vec::new() };
        let mut records = gate.take_remembered();
        if self.flaw == Some(Flaw::CloseRaisesNoFloor) {
            records.retain(|record| !matches!(record, Record::Floor { .. }));
        }
        let written = match records.as_slice() {
            [] => Ok(()),
            records => journal.append(&mut self.disk, records, gate.replay()),
        };
        if written == Ok(()) && !early {
            verdicts.iter().for_each(|verdict| self.carry_out_if_admitted(verdict, now));
        }
        let done = written == Ok(()) || early;
        if written == Err(Trouble::Dead) {
            self.kill();
        }
        let outcome = |verdict| match verdict {
            Verdict::Admit(admission) if done => Outcome::Done(admission),
            Verdict::Admit(_) => Outcome::Unsure,
            Verdict::Drop(dropped) => Outcome::Dropped(dropped.reject.name(), dropped.profile.is_some()),
        };
        verdicts.into_iter().map(outcome).collect()
    }

    fn judge(&mut self, payload: &[u8], source: IpAddr, now: Now, devices: &[Device]) -> Verdict {
        let burns = self.has(Flaw::ForwardedCopyIsRemembered);
        let (replays_pay, no_floor) = (self.has(Flaw::ReplaysTakeTokens), self.has(Flaw::CloseRaisesNoFloor));
        let Some(Worker { gate, bucket, journal, .. }) = &mut self.worker else {
            return Verdict::Drop(Reject::Frame.into());
        };
        if replays_pay && !bucket.take(now.boot) {
            return Verdict::Drop(Reject::Rate.into());
        }
        let destination = SocketAddr::new(ip(SERVER), 23571);
        let from = |source| Datagram {
            source: SocketAddr::new(source, 40000),
            destination,
            interface: None,
            payload,
        };
        let before: Vec<Record> = if no_floor { gate.replay().snapshot().collect() } else { Vec::new() };
        let verdict = gate.judge(&from(source), now);
        if no_floor && matches!(&verdict, Verdict::Admit(a) if matches!(a.effect(), Effect::Close { .. })) {
            let settled = gate.replay().is_settled();
            *gate.replay() = Replay::restore(journal.epoch(), settled, DEFAULT_SKEW, before);
            return verdict;
        }
        let misdirected = matches!(&verdict, Verdict::Drop(dropped) if dropped.reject == Reject::Address);
        if misdirected && burns {
            let _ = devices.iter().any(|it| matches!(gate.judge(&from(it.home), now), Verdict::Admit(_)));
        }
        verdict
    }

    /// As the monitor does: against the ceiling, into the leases, into the kernel.
    fn carry_out_if_admitted(&mut self, verdict: &Verdict, now: Now) {
        let Verdict::Admit(admission) = verdict else { return };
        let boot = self.boot_time(now);
        let (holder, asked) = (admission.key_id(), admission.time());
        match admission.effect() {
            Effect::Close { services } => {
                for change in self.leases.close(holder, services, asked, boot) {
                    self.firewall.apply(change, boot);
                }
            }
            Effect::Open { services, narrowing, terms } => {
                for door in narrowing.doors(admission.grantees(), services) {
                    if self.has(Flaw::LastGrantWins) {
                        self.leases = LeaseTable::default();
                    }
                    let opened = self.leases.open(door, holder, asked, terms, boot, &ceiling());
                    let _ = opened.map(|change| self.firewall.apply(change, boot));
                }
            }
            // This world has no actions.
            Effect::Invoke(_) => {}
        }
    }

    /// What windows are measured with.
    fn boot_time(&self, now: Now) -> BootTime {
        if self.has(Flaw::WindowsByTheWallClock) {
            return BootTime::new(std::time::Duration::from_millis(now.wall.get()));
        }
        now.boot
    }

    /// Time passed: leases end, the kernel's elements with them.
    pub fn keep_up(&mut self, now: Now) {
        let boot = self.boot_time(now);
        self.leases.expire(boot);
        self.look_at_the_clock(now);
    }

    /// The kernel's open doors, with the milliseconds that each has left.
    pub fn open_doors(&mut self, now: Now) -> Vec<(Door, u128)> {
        let boot = self.boot_time(now);
        self.firewall.open(boot).map(|(door, until)| (door, until.since(boot).as_millis())).collect()
    }
}
