//! The control socket's end in the monitor: who calls, what he asks, and what he is told. Nobody is waited for: who does not
//! ask, or does not read, is dropped, and no more is kept for a caller than how far his list has come.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use spa_core::crypto::key::KeyId;
use spa_core::file::fields::write_moment;
use spa_core::lease::Door;
use spa_core::time::{BootTime, UnixMillis};
use tracing::{error, info, warn};

use rustix::event::{PollFd, PollFlags};

use super::Monitor;
use super::running::Seat;
use crate::control::{Notice, WorkerNumber};
use crate::operator::answer::{Answer, Event, GRANTS, Reloaded, Reloads, Watching};
use crate::operator::event::{Facts, Kind};
use crate::operator::listener::{self, Caller as Called, Listener};
use crate::operator::question::{self, Question};
use crate::socketpair::{ChannelError, Received, Seqpacket};
use crate::starter::Options;
use crate::sys::clock;

/// Callers at a time.
const MOST: usize = 16;
/// Of those, who watch.
const WATCHERS: usize = 4;
/// Accepted at most so often, lest somebody who does nothing but call takes the time of a knock.
const BETWEEN: Duration = Duration::from_millis(2);
/// How long a caller may take to ask.
const ASKS: Duration = Duration::from_secs(1);
/// How long to read a list.
const READS: Duration = Duration::from_secs(10);
/// How long a reload may take: a worker to get ready, the firewall to be prepared.
const RELOADS: Duration = Duration::from_secs(60);
/// Packets of a list for one caller before others have their turn.
const PACKETS: usize = 2;
/// Most characters of an event.
const TEXT: usize = 1000;

/// Who called.
pub(super) struct Desk {
    /// `None` where it could not be made.
    listener: Option<Listener>,
    callers: VecDeque<Caller>,
    /// Nobody is accepted before.
    rest: Option<BootTime>,
    reload: Option<Reload>,
    /// Who runs actions.
    pub(super) runner: Seat,
    /// Which monitor this is, and the number of its next event.
    watching: Watching,
    /// How many of each kind there were.
    counts: [u64; Kind::ALL.len()],
    /// Workers that took over after the first, and those that were turned away.
    pub(super) reloads: Reloads,
    /// How the last reload ended, whoever asked for it.
    pub(super) reloaded: Option<(BootTime, Reloaded)>,
    /// Why nobody serves, as it was said last.
    helpless: Option<String>,
}

struct Caller {
    socket: Seqpacket,
    /// Root, or whom spad runs as.
    is_master: bool,
    /// `None`: for as long as he likes.
    deadline: Option<BootTime>,
    wants: Wants,
}

enum Wants {
    /// Has not asked yet.
    ToAsk,
    /// The leases behind this one.
    Grants(Option<(Door, KeyId)>),
    /// To know how the reload ends.
    Reload,
    /// To be told what happens.
    Watch,
}

/// A reload that somebody asked for here.
struct Reload {
    /// Known once the starter has started it.
    worker: Option<WorkerNumber>,
    deadline: BootTime,
}

impl Desk {
    /// Opens the socket. To be called while files can be made.
    pub(super) fn open(options: &Options) -> Self {
        let path = crate::operator::path(&options.state_dir);
        let listener = Listener::open(&path);
        if let Err(error) = &listener {
            let complaint = listener::complaint(&path, error);
            warn!("{complaint}; `spad status` and its like do not work");
        }
        let listener = listener.ok();
        let monitor = u64::try_from(clock::boottime().as_millis()).unwrap_or(u64::MAX);
        let watching = Watching { monitor, next: 1 };
        Self {
            listener,
            callers: VecDeque::new(),
            rest: None,
            reload: None,
            runner: Seat::new(options.observe),
            watching,
            counts: [0; Kind::ALL.len()],
            reloads: Reloads::default(),
            reloaded: None,
            helpless: None,
        }
    }

    /// What to wait for.
    pub(super) fn descriptors(&self, now: BootTime) -> impl Iterator<Item = PollFd<'_>> {
        let takes = self.callers.len() < MOST && self.rest.is_none_or(|rest| rest <= now);
        let listener = self.listener.as_ref().filter(|_| takes);
        let listener = listener.map(|listener| PollFd::new(listener, PollFlags::IN));
        listener.into_iter().chain(self.runner.descriptor()).chain(self.callers.iter().map(|caller| {
            let list = matches!(caller.wants, Wants::Grants(_));
            PollFd::new(&caller.socket, if list { PollFlags::OUT } else { PollFlags::IN })
        }))
    }

    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        let callers = self.callers.iter().filter_map(|caller| caller.deadline);
        let reload = self.reload.as_ref().map(|reload| reload.deadline);
        callers.chain(reload).chain(self.rest).min()
    }

    fn watchers(&self) -> usize {
        self.callers.iter().filter(|caller| matches!(caller.wants, Wants::Watch)).count()
    }

    /// Tells whoever watches, and the runner. Who does not keep up is not waited for: he finds by the number how much he missed.
    pub(super) fn tell(&mut self, event: Kind, text: &str, facts: Facts) {
        let packet = self.packet(event, text, facts);
        self.runner.tell(&packet);
        self.tell_watchers(event, &packet);
    }

    /// Tells the runner what to run, and whoever watches; nobody, if that cannot be handed to the runner.
    pub(super) fn tell_of_an_invocation(&mut self, text: &str, facts: Facts) -> bool {
        let packet = self.packet(Kind::Invoked, text, facts);
        let handed = self.runner.tell(&packet);
        if handed {
            self.tell_watchers(Kind::Invoked, &packet);
        }
        handed
    }

    /// The next event; empty where nobody hears it.
    fn packet(&self, event: Kind, text: &str, mut facts: Facts) -> Vec<u8> {
        if self.watchers() == 0 && !self.runner.is_taken() {
            return Vec::new();
        }
        let number = Some(self.watching.next);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // As many as a profile may hold would not fit.
        facts.source_ports = facts.source_ports.map(|ports| ports.chars().take(TEXT).collect());
        let (at, text) = (write_moment(UnixMillis::clamped(wall)), text.chars().take(TEXT).collect());
        Answer::Event(Box::new(Event { at, event, text, number, facts })).to_packet()
    }

    /// It counts as told from here on.
    fn tell_watchers(&mut self, event: Kind, packet: &[u8]) {
        self.watching.next = self.watching.next.saturating_add(1);
        let counts = Kind::ALL.iter().zip(&mut self.counts).filter(|(kind, _)| **kind == event);
        counts.for_each(|(_, count)| *count = count.saturating_add(1));
        self.callers.retain(|caller| {
            !matches!(caller.wants, Wants::Watch) || caller.socket.send_packet(packet).is_ok()
        });
    }

    /// How many events there were, by kind: those that a monitor has.
    pub(super) fn counted(&self) -> BTreeMap<String, u64> {
        let own = |kind: &Kind| !matches!(kind, Kind::Begun | Kind::Missed);
        let all = Kind::ALL.into_iter().zip(self.counts).filter(|(kind, _)| own(kind));
        all.map(|(kind, count)| (kind.name().to_owned(), count)).collect()
    }

    fn accept(&mut self, now: BootTime) {
        if self.rest.is_some_and(|rest| now < rest) {
            return;
        }
        self.rest = None;
        if self.callers.len() >= MOST {
            return;
        }
        let mut welcome = |socket, is_master| {
            let (deadline, wants) = (Some(now.plus(ASKS)), Wants::ToAsk);
            self.callers.push_back(Caller { socket, is_master, deadline, wants });
        };
        match self.listener.as_ref().and_then(Listener::accept) {
            Some(Called::Master(socket)) => welcome(socket, true),
            Some(Called::Welcome(socket)) => welcome(socket, false),
            Some(Called::Stranger(socket)) => {
                let refusal =
                    Answer::Refused("only root, and the group of the socket's folder, may ask".into());
                let _ = socket.send_packet(&refusal.to_packet());
            }
            None => return,
        }
        self.rest = Some(now.plus(BETWEEN));
    }
}

impl Monitor<'_> {
    /// Hears whoever called, and answers.
    pub(super) fn hear_operators(&mut self, now: BootTime) {
        self.desk.runner.attend();
        self.desk.accept(now);
        if self.desk.reload.as_ref().is_some_and(|reload| reload.deadline <= now) {
            self.desk.reload = None;
        }
        for _ in 0..self.desk.callers.len() {
            let staying = self.desk.callers.pop_front().and_then(|caller| self.attend(caller, now));
            self.desk.callers.extend(staying);
        }
    }

    /// Gives him back who is not done yet.
    fn attend(&mut self, mut caller: Caller, now: BootTime) -> Option<Caller> {
        if caller.deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        match caller.wants {
            Wants::ToAsk => match caller.socket.receive::<{ question::SIZE }>() {
                Ok(Received::Nothing) => Some(caller),
                Ok(Received::Message(bytes)) => self.attend_to(caller, &bytes, now),
                Ok(Received::Closed) | Err(_) => None,
            },
            Wants::Grants(after) => {
                let (after, goes_on) = self.list(&caller.socket, after, now)?;
                caller.wants = Wants::Grants(after);
                goes_on.then_some(caller)
            }
            // Who has asked has nothing more to say.
            Wants::Reload | Wants::Watch => {
                let waits = caller.socket.receive::<{ question::SIZE }>();
                matches!(waits, Ok(Received::Nothing)).then_some(caller)
            }
        }
    }

    fn attend_to(
        &mut self,
        mut caller: Caller,
        bytes: &[u8; question::SIZE],
        now: BootTime,
    ) -> Option<Caller> {
        let answer = match Question::decode(bytes).ok()? {
            Question::Status => Answer::Status(Box::new(self.status(now))),
            Question::Revoke(whose) => self.revoke(&whose, now),
            Question::Grants => {
                caller.wants = Wants::Grants(None);
                caller.deadline = Some(now.plus(READS));
                return Some(caller);
            }
            Question::Reload if self.desk.reload.is_some() => {
                Answer::Refused("a reload is under way; ask again when it has ended".into())
            }
            Question::Reload => {
                info!("reload: the operator asked for it");
                let deadline = now.plus(RELOADS);
                self.desk.reload = Some(Reload { worker: None, deadline });
                self.notify(Notice::Reload);
                caller.wants = Wants::Reload;
                caller.deadline = Some(deadline);
                return Some(caller);
            }
            Question::Run if !caller.is_master => {
                Answer::Refused("only root, and whom spad runs as, may run its actions".into())
            }
            Question::Run if self.desk.runner.is_taken() => Answer::Refused(
                "another runner is there already, and one action must not be run twice".into(),
            ),
            Question::Run => {
                let configuration = self.serving.as_ref().map(|serving| serving.config.fingerprint);
                self.desk.runner.take(caller.socket, self.desk.watching, configuration);
                return None;
            }
            Question::Watch if self.desk.watchers() >= WATCHERS => {
                Answer::Refused(format!("{WATCHERS} watch already"))
            }
            Question::Watch => {
                caller.wants = Wants::Watch;
                caller.deadline = None;
                let begins = Answer::Watching(self.desk.watching).to_packet();
                return caller.socket.send_packet(&begins).is_ok().then_some(caller);
            }
        };
        // A packet that the socket has no room for is the fault of who asked.
        let _ = caller.socket.send_packet(&answer.to_packet());
        None
    }

    /// Sends some more of the list; says how far it came, and whether there is more.
    fn list(
        &self,
        socket: &Seqpacket,
        mut after: Option<(Door, KeyId)>,
        now: BootTime,
    ) -> Option<(Option<(Door, KeyId)>, bool)> {
        for _ in 0..PACKETS {
            let some: Vec<_> = self.leases.held_after(after).take(GRANTS).collect();
            let packet = Answer::Grants(some.iter().map(|held| self.grant(held, now)).collect());
            match socket.send_packet(&packet.to_packet()) {
                Ok(()) => {}
                Err(ChannelError::Full) => return Some((after, true)),
                Err(_) => return None,
            }
            let Some(last) = some.last() else { return Some((after, false)) };
            after = Some((last.door, last.holder));
        }
        Some((after, true))
    }

    /// A worker was started; if somebody asked for it here, its fate is the answer.
    pub(super) fn is_awaited(&mut self, worker: WorkerNumber) {
        if let Some(reload) = &mut self.desk.reload {
            reload.worker = Some(worker);
        }
    }

    /// That worker took over, or did not for that reason.
    pub(super) fn reload_ended(&mut self, worker: WorkerNumber, reason: Option<String>, now: BootTime) {
        let outcome = Reloaded { taken: reason.is_none(), reason };
        if self.desk.reload.as_ref().is_some_and(|reload| reload.worker == Some(worker)) {
            self.desk.reload = None;
            let packet = Answer::Reloaded(outcome.clone()).to_packet();
            self.desk.callers.retain(|caller| match caller.wants {
                Wants::Reload => {
                    let _ = caller.socket.send_packet(&packet);
                    false
                }
                _ => true,
            });
        }
        let taken = Facts { taken: Some(outcome.taken), ..Facts::default() };
        let line = match &outcome.reason {
            // Nobody is left whom it could have replaced.
            Some(reason) if !self.is_heard() => return self.nobody_serves(reason, taken),
            Some(reason) => format!("reload refused, everything stays as it was: {reason}"),
            None => "a new worker takes over".to_owned(),
        };
        if outcome.taken {
            self.desk.helpless = None;
        }
        // The first worker of all is no reload.
        if self.serving.is_none() {
            return self.desk.tell(Kind::Serving, "the first worker of this monitor takes over", taken);
        }
        let reloads = &mut self.desk.reloads;
        let count = if outcome.taken { &mut reloads.taken } else { &mut reloads.refused };
        *count = count.saturating_add(1);
        self.desk.tell(Kind::Reload, &line, taken);
        self.desk.reloaded = Some((now, outcome));
    }

    /// No worker serves, and another could not begin. They are started every second: what each finds is said once.
    fn nobody_serves(&mut self, reason: &str, facts: Facts) {
        if self.desk.helpless.as_deref() == Some(reason) {
            return;
        }
        self.desk.helpless = Some(reason.to_owned());
        // The first worker of all says it itself.
        if self.serving.is_some() {
            error!("nobody hears a knock: {reason}");
        }
        self.desk.tell(Kind::Trouble, &format!("nobody serves: {reason}"), facts);
    }
}
