//! What happens: drawn from a seed, so that a story that went wrong can be told again.

use std::fmt;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use spa_core::profile::Freshness;

use super::World;
use super::clocks::{DAY, SECOND, YEAR};
use super::disk::Disk;
use super::flaws::Flaw;
use super::oracle::{Verdict, Violation};
use super::site::{ATTACKER, SERVICES, close, ip, open, open_from};

/// How many things happen in one story.
const EVENTS: usize = 120;
/// How many keys there are at most.
const MOST_KEYS: usize = 7;

/// A story in which a sentence did not hold.
pub struct Broken {
    pub seed: u64,
    pub violation: Violation,
    pub story: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { sentence, what } = &self.violation;
        let whole = std::env::var_os("WORLD_SEED").is_some();
        let last = if whole { 0 } else { self.story.len().saturating_sub(60) };
        writeln!(f, "seed {}: SPEC.md says \"{sentence}\", but {what}. The story:", self.seed)?;
        if last > 0 {
            writeln!(f, "  … {last} lines before")?;
        }
        self.story[last..].iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// What a good story came to.
pub struct Told {
    pub carried_out: usize,
    pub demanded: usize,
    pub letters: usize,
}

/// Plays the story of a seed.
pub fn play(seed: u64, flaw: Option<Flaw>) -> Result<Told, Box<Broken>> {
    let mut schedule = Schedule { world: World::new(seed, flaw), earlier: None };
    let told = (0..EVENTS).try_for_each(|_| schedule.event());
    let Schedule { world, .. } = schedule;
    match told {
        Ok(()) => Ok(Told {
            carried_out: world.oracle.carried_out,
            demanded: world.oracle.demanded,
            letters: world.letters.len(),
        }),
        Err(violation) => Err(Box::new(Broken { seed, violation, story: world.story })),
    }
}

struct Schedule {
    world: World,
    /// A state of the disk in this boot, for somebody who puts it back.
    earlier: Option<Disk>,
}

impl Schedule {
    fn chance(&mut self, probability: f64) -> bool {
        self.world.random.random_bool(probability)
    }

    fn below(&mut self, number: usize) -> usize {
        self.world.random.random_range(0..number)
    }

    fn event(&mut self) -> Verdict {
        if !self.world.server.alive() && self.chance(0.6) {
            return self.start();
        }
        match self.below(100) {
            0..24 => self.time(),
            24..50 => self.knock(),
            50..70 => self.replay(),
            70..75 => self.forge(),
            75 => self.flood(),
            76..80 => self.trouble(),
            80 | 81 => self.bad_day(),
            82..86 => self.profiles(),
            86..90 => self.set_clock(),
            90..96 => self.right_clocks(),
            96..98 => self.device_clock(),
            _ => {
                self.earlier = Some(self.world.server.disk.clone());
                Ok(())
            }
        }
    }

    fn time(&mut self) -> Verdict {
        let most = *[100, SECOND, 10 * SECOND, 60 * SECOND, 300 * SECOND, DAY]
            .choose(&mut self.world.random)
            .unwrap_or(&1);
        let millis = self.world.random.random_range(1..=most);
        self.world.pass(millis)
    }

    fn knock(&mut self) -> Verdict {
        let device = self.below(self.world.devices.len());
        let services: Vec<&str> = SERVICES.into_iter().filter(|_| self.chance(0.5)).collect();
        let verb = if self.chance(0.3) {
            close(&services)
        } else if services.is_empty() {
            open(&["tcp/25"], None)
        } else {
            let window = [None, Some(1), Some(5), Some(90), Some(4_000_000)][self.below(5)];
            let ports = [None, None, None, Some((40_000, 40_001)), Some((40_001, 40_001))]
                [self.world.oracle.commands.len() % 5];
            open_from(&services, window, ports)
        };
        let copies = 1 + self.below(3);
        let letters = self.world.command(device, verb, copies);
        let elsewhere = ip(ATTACKER);
        match self.below(8) {
            // Everything arrives; together, or one after the other.
            0 | 1 => self.world.deliver(&letters),
            2 | 3 => letters.iter().try_for_each(|&letter| self.world.deliver(&[letter])),
            // Withheld: whoever is on the path keeps it for later.
            4 => Ok(()),
            // A copy is forwarded first from elsewhere, then the owner's own arrives.
            5 => {
                self.world.deliver_from(&[(letters[0], elsewhere)])?;
                self.world.deliver(&letters)
            }
            6 => {
                let mut all: Vec<_> = letters.iter().map(|&letter| (letter, elsewhere)).collect();
                all.extend(letters.iter().map(|&letter| (letter, self.world.home(letter))));
                self.world.deliver_from(&all)
            }
            // Late.
            _ => {
                let millis = self.world.random.random_range(1..90 * SECOND);
                self.world.pass(millis)?;
                self.world.deliver(&letters)
            }
        }
    }

    /// Anything that was ever seen, from anywhere; rather what is young.
    fn replay(&mut self) -> Verdict {
        let count = self.world.letters.len();
        if count == 0 {
            return Ok(());
        }
        for _ in 0..=self.below(4) {
            let young = count - count.min(12);
            let letter = if self.chance(0.7) { young + self.below(count - young) } else { self.below(count) };
            let somebody = self.below(self.world.devices.len());
            let source = match self.below(4) {
                0 => ip(ATTACKER),
                1 => self.world.devices[somebody].home,
                _ => self.world.home(letter),
            };
            self.world.deliver_from(&[(letter, source)])?;
        }
        Ok(())
    }

    fn forge(&mut self) -> Verdict {
        if self.world.letters.is_empty() {
            return Ok(());
        }
        let letter = self.below(self.world.letters.len());
        let mut bytes = self.world.letters[letter].bytes.clone();
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes.truncate(at),
            2 => bytes.push(0),
            // The front of one, which passes the check word, and the rest of another.
            3 => {
                let other = self.below(self.world.letters.len());
                bytes.splice(24.., self.world.letters[other].bytes[24..].iter().copied());
                if other == letter {
                    bytes[30] ^= 1;
                }
            }
            4 => bytes[24..].fill(0),
            _ => bytes.iter_mut().for_each(|byte| *byte = self.world.random.random()),
        }
        let source = self.world.home(letter);
        self.world.deliver_forged(&bytes, source)
    }

    /// More copies of one letter than a burst has tokens; and then the owner knocks.
    fn flood(&mut self) -> Verdict {
        if self.world.letters.is_empty() || self.chance(0.7) {
            return Ok(());
        }
        let letter = self.below(self.world.letters.len());
        let source = self.world.home(letter);
        self.world.tell("a flood");
        let told = self.world.story.len();
        for _ in 0..11 {
            self.world.deliver_from(&vec![(letter, source); 100])?;
            self.world.story.truncate(told);
        }
        let device = self.world.oracle.commands[self.world.letters[letter].command].device;
        let letters = self.world.command(device, open(&SERVICES, None), 1);
        self.world.deliver(&letters)
    }

    /// A start that dies half-way leaves a journal of which no more is known than what is in it.
    fn start(&mut self) -> Verdict {
        self.world.start()?;
        if !self.world.server.alive() {
            self.earlier = None;
        }
        Ok(())
    }

    fn trouble(&mut self) -> Verdict {
        match self.below(10) {
            0..3 => self.world.kill()?,
            3 => {
                self.world.kill()?;
                self.damage()?;
                self.start()?;
            }
            4..6 => {
                self.power_cut()?;
                if self.chance(0.5) {
                    self.damage()?;
                }
            }
            // The next flushes meet a disk that says no, or a plug that somebody pulls.
            6 | 7 => self.a_flush_fails(),
            _ => {
                self.pull_the_plug();
                self.knock()?;
                if self.world.server.alive() {
                    self.world.server.disk.fuse = None;
                } else if self.chance(0.5) {
                    self.power_cut()?;
                }
            }
        }
        if self.chance(0.8) { self.start() } else { Ok(()) }
    }

    fn a_flush_fails(&mut self) {
        let flushes = self.below(9);
        self.world.tell(format!("a flush fails, after {flushes} others"));
        self.world.server.disk.refuses = Some(flushes);
    }

    /// Much at once: a knock, and before it is too old a death, damage, another death, and copies of the knock.
    fn bad_day(&mut self) -> Verdict {
        if self.chance(0.3) {
            self.pull_the_plug();
        } else if self.chance(0.3) {
            self.a_flush_fails();
        }
        self.knock()?;
        for _ in 0..=self.below(2) {
            if self.chance(0.4) {
                self.power_cut()?
            } else {
                self.world.kill()?
            }
            if self.chance(0.5) {
                self.damage()?;
            }
            if self.chance(0.5) {
                self.a_flush_fails();
            }
            self.start()?;
            if self.chance(0.6) {
                self.right_clocks()?;
            }
        }
        (0..3).try_for_each(|_| self.replay())
    }

    fn pull_the_plug(&mut self) {
        let bytes = if self.chance(0.3) { 0 } else { self.below(200) };
        self.world.tell(format!("the plug is pulled after {bytes} bytes"));
        self.world.server.disk.fuse = Some(bytes);
    }

    fn power_cut(&mut self) -> Verdict {
        let error = [0, 0, -YEAR * 56, YEAR, -40 * SECOND, 3600 * SECOND][self.below(6)];
        self.earlier = None;
        self.world.power_cut(error)
    }

    /// What happens to files.
    fn damage(&mut self) -> Verdict {
        let file = self.below(2);
        let disk = &mut self.world.server.disk;
        let Some(length) = disk.read(file).map(<[u8]>::len).filter(|length| *length > 0) else {
            return Ok(());
        };
        let (at, bits) = (self.world.random.random_range(0..length), self.world.random.random_range(1..=255));
        let disk = &mut self.world.server.disk;
        let what = match self.world.random.random_range(0..6) {
            0 => {
                disk.remove(0);
                disk.remove(1);
                "both journal files are gone".to_owned()
            }
            1 => {
                disk.remove(file);
                format!("journal file {file} is gone")
            }
            2 => {
                disk.vandalise(file, |bytes| bytes.truncate(at));
                format!("journal file {file} is cut to {at}")
            }
            3 | 4 => {
                disk.vandalise(file, |bytes| bytes[at] ^= bits);
                format!("byte {at} of journal file {file} is changed")
            }
            _ => {
                let Some(earlier) = self.earlier.take() else { return Ok(()) };
                disk.roll_back(&earlier);
                self.world.tell("an earlier state of the journal is put back");
                // What a reboot hides before anybody has seen it is not claimed (SPEC.md, section 17).
                return self.start();
            }
        };
        self.world.tell(what);
        Ok(())
    }

    /// A profile's file goes or comes back, or a key that is shut is made anew.
    fn profiles(&mut self) -> Verdict {
        let device = self.below(self.world.devices.len());
        let monotonic = self.world.devices[device].freshness != Freshness::Clock;
        if monotonic && self.chance(0.5) {
            return self.world.make_anew(device);
        }
        let once = self.world.devices[device].successor.is_none() && self.world.devices.len() < MOST_KEYS;
        if !monotonic && once && self.chance(0.2) {
            return self.world.rotate(device);
        }
        let there = &mut self.world.server.present[device];
        *there = !*there;
        if self.world.server.alive() { self.world.reload() } else { Ok(()) }
    }

    fn set_clock(&mut self) -> Verdict {
        let span = [10 * SECOND, 300 * SECOND, DAY, YEAR, 60 * YEAR][self.below(5)];
        let by = self.world.random.random_range(-span..=span);
        self.world.tell(format!("the server's clock is set by {by} ms"));
        self.world.clocks.step(by);
        self.world.pass(1)
    }

    fn right_clocks(&mut self) -> Verdict {
        self.world.tell("all clocks are set right");
        self.world.clocks.synchronise();
        self.world.devices.iter_mut().for_each(|device| device.clock_error = 0);
        self.world.pass(1)
    }

    fn device_clock(&mut self) -> Verdict {
        let device = self.below(self.world.devices.len());
        let span = [30 * SECOND, 300 * SECOND, DAY, YEAR][self.below(4)];
        let by = self.world.random.random_range(-span..=span);
        self.world.tell(format!("the clock of {} is set by {by} ms", self.world.devices[device].name));
        self.world.devices[device].clock_error += by;
        Ok(())
    }
}
