//! How the daemon is, for `spad status`: what it does, what it counted, and what is not as it should be for as long as that
//! lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

use spa_core::file::fields::write_moment;
use spa_core::lease::{Held, Limit};
use spa_core::reject::Reject;
use spa_core::terms::{OnClose, SourceNat};
use spa_core::time::{BootTime, UnixMillis};

use super::{Monitor, Serving};
use crate::ask::Tally;
use crate::operator::answer::{Grant, LastReload, Part, Place, Status};
use crate::surroundings::{Interface, Surroundings};
use crate::sys::clock;

/// How long frames that were lost are worth a word.
const LOSS: Duration = Duration::from_secs(60);
/// Clock ticks in a second, for every program of every machine that this is built for (USER_HZ).
const TICKS: u64 = 100;
/// Most interfaces that are named.
const INTERFACES: usize = 64;
/// Most complaints, and most characters of each.
const COMPLAINTS: usize = 32;
const LENGTH: usize = 400;

/// When the starter was started, by the clock since boot. To be asked before the sandbox closes.
pub(super) fn begun() -> BootTime {
    let now = BootTime::new(clock::boottime());
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    let ticks = started(&stat).unwrap_or_default();
    let begun = BootTime::new(Duration::from_millis(ticks.saturating_mul(1000) / TICKS));
    // Where nobody says, it began with this process.
    if ticks == 0 || begun > now { now } else { begun }
}

/// The 22nd field of /proc/PID/stat, in clock ticks since boot (proc_pid_stat(5)).
fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

impl Monitor<'_> {
    /// What the present worker and those before it counted.
    pub(super) fn tally(&self) -> Tally {
        let mut sum = self.serving.as_ref().map(|serving| serving.worker.tally.clone()).unwrap_or_default();
        sum.add(&self.retiring.tally);
        sum.add(&self.counted);
        sum
    }

    pub(super) fn status(&self, now: BootTime) -> Status {
        let serving = self.serving.as_ref();
        let tally = self.tally();
        let surroundings =
            serving.and_then(|serving| Surroundings::read(&serving.config.interfaces, &self.routes).ok());
        let interfaces = surroundings.map(|surroundings| interfaces(&surroundings)).unwrap_or_default();
        let (parts, degraded) = self.complaints(&interfaces, now);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: now.since(self.begun).as_secs(),
            serving: serving.map(|serving| now.since(serving.since).as_secs()),
            port: serving.map(|serving| serving.plan.spa_port.get()),
            profiles: serving.map_or(0, |serving| serving.profiles.len()),
            firewall: self
                .firewall
                .as_ref()
                .map(|firewall| Place { place: firewall.to_string(), why: self.why.clone() }),
            doors: self.leases.len(),
            clock: serving.map_or("unsynchronised", |serving| self.clock_of(serving)).to_owned(),
            admitted: tally.counters.admitted,
            refused: Reject::NAMES
                .iter()
                .map(|name| (*name).to_owned())
                .zip(tally.counters.rejected)
                .collect(),
            lost: tally.lost,
            reload: self.desk.reloaded.as_ref().map(|(at, outcome)| LastReload {
                ago: now.since(*at).as_secs(),
                taken: outcome.taken,
                reason: outcome.reason.clone(),
            }),
            events: self.desk.counted(),
            reloads: self.desk.reloads,
            runner: self.wants_runner().then(|| self.desk.runner.is_taken()),
            degraded,
            parts,
            interfaces,
        }
    }

    fn wants_runner(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| !serving.config.table.is_empty())
    }

    fn complaints(
        &self,
        interfaces: &BTreeMap<String, String>,
        now: BootTime,
    ) -> (BTreeSet<Part>, Vec<String>) {
        let (mut parts, mut all) = (BTreeSet::new(), Vec::new());
        let mut say = |part: Part, is_so: bool, what: &dyn Fn() -> String| {
            if is_so {
                parts.insert(part);
                all.push(what().chars().take(LENGTH).collect());
            }
        };
        let fixed = |text: &'static str| move || text.to_owned();
        match &self.serving {
            None => say(
                Part::Worker,
                true,
                &fixed("no worker has served yet: nothing is guarded by this configuration"),
            ),
            Some(serving) => {
                let Tally { unfiltered, left_out, shut, unsettled, deaf, unlocked, .. } =
                    serving.worker.tally;
                say(
                    Part::Worker,
                    serving.worker.channel.is_none(),
                    &fixed("the worker ended: nobody hears a knock until another serves"),
                );
                say(Part::Interfaces, interfaces.is_empty(), &fixed("there is no interface to listen on"));
                for (name, state) in interfaces.iter().filter(|(_, state)| *state != "up") {
                    say(Part::Interfaces, true, &|| {
                        format!("interface {name} is {state}: it is listened on when it is up")
                    });
                }
                say(
                    Part::Journal,
                    unsettled,
                    &fixed("the journal was lost: nothing is admitted until no old datagram can be fresh"),
                );
                say(
                    Part::Journal,
                    deaf,
                    &fixed("the journal cannot be written: nothing opens until it can (is the disk full?)"),
                );
                say(
                    Part::Memory,
                    unlocked,
                    &fixed(
                        "the worker's memory is not locked and may reach the swap (RLIMIT_MEMLOCK; LimitMEMLOCK= in a unit)",
                    ),
                );
                say(Part::Profiles, left_out > 0, &|| {
                    format!("profiles left out: {left_out}, the log names them")
                });
                say(Part::Profiles, shut > 0, &|| {
                    format!("monotonic profiles shut, as their memory was lost: {shut}")
                });
                say(Part::Interfaces, unfiltered > 0, &|| {
                    format!(
                        "interfaces where the kernel takes no filter, so that strangers wake the worker: {unfiltered}"
                    )
                });
                say(Part::Clock, self.clock_of(serving) == "unsynchronised", &fixed(self.witness.doubt()));
            }
        }
        say(
            Part::Firewall,
            self.options.observe,
            &fixed("spad only observes (--observe): nothing is guarded, and no door opens"),
        );
        let lost = self.lost_at.is_some_and(|at| now.since(at) < LOSS);
        say(
            Part::Captures,
            lost,
            &fixed("frames were lost within the last minute, and knocks may have been among them"),
        );
        match &self.trouble {
            Some(why) => say(Part::Firewall, true, &|| format!("the firewall cannot be repaired: {why}")),
            None => say(Part::Firewall, self.repair.is_some(), &fixed("the firewall is being repaired")),
        }
        self.defeats.iter().for_each(|defeat| say(Part::Rules, true, &|| defeat.clone()));
        say(
            Part::Guard,
            (self.unkept || self.keeper.is_none()) && !self.options.observe,
            &fixed("what is in force cannot be kept for `spad guard` at boot"),
        );
        say(
            Part::Sessions,
            self.cutting.said,
            &fixed("this kernel cannot end sessions: those that are cut off are not told"),
        );
        if let Some((_, outcome)) = self.desk.reloaded.as_ref().filter(|(_, outcome)| !outcome.taken) {
            let why = outcome.reason.as_deref().unwrap_or("the log says why");
            say(Part::Reload, true, &|| {
                format!("the last reload was refused, what is in force is older than the files: {why}")
            });
        }
        say(
            Part::Actions,
            self.wants_runner() && !self.desk.runner.is_taken(),
            &fixed("nobody runs the actions that spad.toml names (systemctl start spad-runner)"),
        );
        all.truncate(COMPLAINTS);
        (parts, all)
    }

    fn clock_of(&self, serving: &Serving) -> &'static str {
        if serving.config.clock_trusted {
            "trusted"
        } else if self.witness.vouches() {
            "synchronised"
        } else {
            "unsynchronised"
        }
    }

    /// A lease in words and numbers.
    pub(super) fn grant(&self, held: &Held, now: BootTime) -> Grant {
        let &Held { door, holder, asked, since, until, on_close, forward } = held;
        let wall =
            UnixMillis::clamped(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let profile = self.serving.as_ref().and_then(|serving| serving.profiles.name(holder));
        Grant {
            profile: profile.map(str::to_owned),
            key_id: format!("{:08x}", holder.0),
            service: door.service.to_string(),
            grantee: door.grantee.to_string(),
            source_port: match door.limit {
                Limit::SourcePort(port) => Some(port),
                Limit::None | Limit::Once => None,
            },
            once: door.limit == Limit::Once,
            forward: forward.map(|forward| match forward.source {
                SourceNat::Keep => forward.to.to_string(),
                SourceNat::Masquerade => format!("{} masqueraded", forward.to),
                SourceNat::Address(address) => format!("{} as {address}", forward.to),
            }),
            since: since.map(|since| write_moment(wall.minus(now.since(since)))),
            asked: write_moment(asked),
            until: write_moment(wall.plus(until.since(now))),
            remaining: until.since(now).as_secs(),
            cut: on_close == OnClose::Cut,
            through: None,
        }
    }
}

fn interfaces(surroundings: &Surroundings) -> BTreeMap<String, String> {
    let state = |state: &Interface| match state {
        Interface::Missing => "missing",
        Interface::Present { up: false, .. } => "down",
        Interface::Present { up: true, .. } => "up",
    };
    let named = surroundings.interfaces.iter().map(|(name, at)| (name.clone(), state(at).to_owned()));
    let any = surroundings.any.then(|| ("any".to_owned(), "up".to_owned()));
    any.into_iter().chain(named).take(INTERFACES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starters_age_is_read_whatever_it_is_called() {
        let stat = "812 (spad ) S) S 1 812 812 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 4711 8 9";
        assert_eq!(started(stat), Some(4711));
        assert_eq!(started(""), None);
        assert!(begun() <= BootTime::new(clock::boottime()));
    }
}
