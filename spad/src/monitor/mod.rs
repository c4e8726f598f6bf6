//! The monitor: may change the firewall, and sees neither packet nor key. It holds every ask against the ceiling, which
//! comes from `spad.toml` alone, and owns the leases: a door closes even if the worker is dead, and the kernel's own
//! timeout closes it if the monitor is as well.

mod answering;
mod asks;
mod candidate;
mod condition;
mod desk;
mod ending;
mod hearing;
mod preparing;
mod revoking;
mod running;
mod served;
mod taking_over;
mod watching;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use spa_core::crypto::key::KeyId;
use spa_core::lease::LeaseTable;
use spa_core::time::BootTime;
use tracing::{debug, error, warn};

pub use self::taking_over::{guarded, refuse_itself};

use self::answering::Answering;
use self::candidate::Candidate;
use self::desk::Desk;
use self::ending::Cutting;
use self::hearing::Worker;
use self::preparing::Preparing;
use self::served::Served;
use crate::ask::Tally;
use crate::config::Config;
use crate::control::{MonitorEnd, Notice, Started, WorkerNumber};
use crate::exit::ExitStatus;
use crate::firewall::iptables::Loader;
use crate::firewall::{Firewall, FirewallError, Plan};
use crate::kept::Keeper;
use crate::report::Reporter;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};
use crate::starter::Options;
use crate::surroundings::{Routes, Watcher};
use crate::sys::clock;
use crate::witness::Witness;

/// Several changes of the surroundings come together: a link, its addresses, its routes.
const COMES_TO_REST: Duration = Duration::from_millis(300);

/// Runs the monitor until its control channel is closed.
pub fn run(options: &Options, control: Seqpacket) -> ExitStatus {
    let monitor = match Monitor::confined(options, control) {
        Ok(monitor) => monitor,
        Err((status, reason)) => {
            error!("{reason}");
            return status;
        }
    };
    monitor.serve()
}

/// The worker that serves, and what it was made for.
struct Serving {
    number: WorkerNumber,
    worker: Worker,
    config: Config,
    plan: Plan,
    surroundings: u64,
    profiles: Served,
    /// When it took over.
    since: BootTime,
}

impl Serving {
    fn serves(&self, key_id: KeyId) -> bool {
        self.profiles.contains(key_id)
    }
}

struct Monitor<'o> {
    options: &'o Options,
    control: MonitorEnd,
    /// Chosen by the first configuration, for good.
    firewall: Option<Box<dyn Firewall>>,
    /// Why this one.
    why: String,
    /// Until then; it may be of use.
    loader: Option<Loader>,
    routes: Routes,
    watcher: Watcher,
    timer: OwnedFd,
    candidate: Option<Candidate>,
    /// What the firewall is being prepared for, while that takes its time. Until then the next has to wait.
    preparing: Option<Preparing>,
    serving: Option<Serving>,
    /// The worker before: told to go, and heard until it went.
    retiring: Worker,
    /// What workers before those two counted.
    counted: Tally,
    /// When frames were last lost.
    lost_at: Option<BootTime>,
    leases: LeaseTable,
    cutting: Cutting,
    answering: Answering,
    /// `None` where the state folder has no room for it.
    keeper: Option<Keeper>,
    /// What is in force could not be kept.
    unkept: bool,
    desk: Desk,
    /// When the daemon was started.
    begun: BootTime,
    witness: Witness,
    reporter: Reporter,
    /// When to look at the surroundings again.
    look: Option<BootTime>,
    /// When to bring the kernel back to what the leases say.
    repair: Option<BootTime>,
    /// When that was last begun.
    repaired: Option<BootTime>,
    /// Why it cannot be done, once that was said.
    trouble: Option<String>,
    /// The firewall can no longer be changed by this process.
    helpless: bool,
    /// When to ask whether something of ours was taken away, where nobody tells.
    watch: Option<BootTime>,
    /// When to ask whether rules of others drop what is accepted here, and not before when.
    check: Option<BootTime>,
    check_after: Option<BootTime>,
    /// Those that do, as they were said.
    defeats: BTreeSet<String>,
    /// When to look at kept sessions; `None` once there are none.
    kept: Option<BootTime>,
}

impl<'o> Monitor<'o> {
    fn confined(options: &'o Options, control: Seqpacket) -> Result<Self, (ExitStatus, String)> {
        let failed = |error: io::Error| (ExitStatus::Failure, error.to_string());
        let routes = Routes::open().map_err(failed)?;
        // What is only observed is not what `spad guard` is to load.
        let keeper = (!options.observe).then(|| Keeper::open(&options.state_dir));
        if let Some(Err(error)) = &keeper {
            warn!(
                "what is in force cannot be kept, so that `spad guard` knows nothing of it at boot: {error}"
            );
        }
        let keeper = keeper.and_then(Result::ok);
        let (desk, begun, witness) = (Desk::open(options), condition::begun(), Witness::find());
        // Afterwards no program can be started.
        let loader = Loader::start(&options.log).map_err(failed)?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let report = sandbox::seal_monitor(control.as_fd(), keeper.as_ref().map(AsFd::as_fd))
            .map_err(|error| ((&error).into(), error.to_string()))?;
        debug!("monitor {report}");
        Ok(Self {
            options,
            control: control.into(),
            firewall: None,
            why: String::new(),
            loader: Some(loader),
            routes,
            watcher: Watcher::new().map_err(failed)?,
            timer,
            candidate: None,
            preparing: None,
            serving: None,
            retiring: Worker::default(),
            counted: Tally::default(),
            lost_at: None,
            leases: LeaseTable::default(),
            cutting: Cutting::default(),
            answering: Answering::default(),
            keeper,
            unkept: false,
            desk,
            begun,
            witness,
            reporter: Reporter::default(),
            look: None,
            repair: None,
            repaired: None,
            trouble: None,
            helpless: false,
            kept: None,
            watch: None,
            check: None,
            check_after: None,
            defeats: BTreeSet::new(),
        })
    }

    fn serve(mut self) -> ExitStatus {
        loop {
            if let Err(error) = self.wait() {
                error!("{error}");
                return ExitStatus::Failure;
            }
            match self.control.receive() {
                Ok(Received::Message(Started::Worker(new))) => self.announced(new),
                Ok(Received::Message(Started::Sender(sender))) => self.began_sender(sender),
                Ok(Received::Message(Started::Question)) => self.answer_for_the_worker(),
                Ok(Received::Nothing) => {}
                Ok(Received::Closed) => return ExitStatus::Done,
                Err(error) => {
                    error!("the starter: {error}");
                    return ExitStatus::Failure;
                }
            }
            if let Err(status) = self.hear_firewall().and_then(|()| self.hear_candidate()) {
                return status;
            }
            self.hear_sender();
            self.hear_workers();
            self.hear_operators(BootTime::new(clock::boottime()));
            self.keep_up(BootTime::new(clock::boottime()));
            if self.helpless {
                // The starter starts another, which takes over the doors from the kernel.
                return ExitStatus::Failure;
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let now = BootTime::new(clock::boottime());
        // Of what would need the firewall's next preparation nothing is heard during the present one.
        let next = self.candidate.as_ref().filter(|_| self.preparing.is_none());
        let repair = self.repair.filter(|_| self.preparing.is_none());
        let ready = next.map(|candidate| candidate.deadline);
        let told = self.reporter.next_deadline();
        let own = [self.look, self.check, self.kept, self.watch, self.cutting.at, self.desk.next_deadline()];
        let deadline = [self.leases.next_deadline(), repair, ready, told];
        let deadline = own.into_iter().chain(deadline).flatten().min();
        // A moment of the clock since boot, which goes on while the host sleeps; zero would disarm it.
        let at = deadline.map(|at| at.max(now.plus(Duration::from_nanos(1))).get()).unwrap_or_default();
        let it_value = Timespec::try_from(at).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        let mut descriptors = vec![
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.control, PollFlags::IN),
            PollFd::new(&self.watcher, PollFlags::IN),
        ];
        let channels = [
            next.map(|candidate| &candidate.channel),
            self.serving.as_ref().and_then(|serving| serving.worker.channel.as_ref()),
            self.retiring.channel.as_ref(),
            self.answering.sender(),
        ];
        let watch = self.firewall.as_ref().and_then(|firewall| firewall.descriptor());
        descriptors.extend(watch.into_iter().map(|watch| PollFd::from_borrowed_fd(watch, PollFlags::IN)));
        descriptors.extend(channels.into_iter().flatten().map(|channel| PollFd::new(channel, PollFlags::IN)));
        descriptors.extend(self.desk.descriptors(now));
        match poll(&mut descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The firewall, once there was a configuration.
    fn firewall(&mut self) -> Result<&mut dyn Firewall, FirewallError> {
        match &mut self.firewall {
            Some(firewall) => Ok(firewall.as_mut()),
            None => Err(FirewallError::Absent),
        }
    }

    fn notify(&self, notice: Notice) {
        if let Err(error) = self.control.notify(notice) {
            warn!("the starter: {error}");
        }
    }
}

fn due(at: Option<BootTime>, now: BootTime) -> bool {
    at.is_some_and(|at| at <= now)
}
