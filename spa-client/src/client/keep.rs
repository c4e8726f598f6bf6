//! `spa-client keep`: a door that stays open for as long as this runs. It knocks again before the window ends, when the
//! way to the server becomes another, and when this machine slept; at the end it shuts what it opened.

mod alarm;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use spa_core::request::Verb;
use spa_core::scheme::native::SealingKeys;

use super::address::Route;
use super::args::Args;
use super::command::Command;
use super::knock::{self, Plan};
use super::profile::Profile;
use super::seen::Seen;
use super::watch::{self, Change};
use super::{signals, stamp};
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::output::complain;
use crate::random::{Random, random};
use crate::secret_file::plain;
use alarm::Alarm;

/// How often is looked whether it is late, and whether there is a way again: a clock that stood still while the machine
/// slept wakes nobody.
const LOOK: Duration = Duration::from_secs(1);
/// A change of the network comes in many messages: the knock waits until they are over.
const QUIET: Duration = Duration::from_millis(150);
/// But no longer than this.
const RESTLESS: Duration = Duration::from_secs(1);
/// How often a server's name is looked up again, at most.
const LOOK_UP: Duration = Duration::from_secs(60);

/// What happens to a door that is kept.
enum Event {
    Ends,
    Changed(Change),
    /// The server's name was looked up again.
    Servers(Vec<SocketAddr>),
}

/// Keeps the door open until a signal comes.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.once || args.wait.is_some() {
        return Err(Failure::usage("--once and --wait do not go with keep"));
    }
    let profile =
        Profile::load(args.profile.as_deref(), args.destination.as_ref(), args.passphrase_file.as_deref())?;
    let command = Command::new(args, &profile)?;
    let mut random = random()?;
    let servers = command.servers()?;
    let (tell, events) = channel();
    let end = tell.clone();
    signals::on_end(move || drop(end.send(Event::Ends))).map_err(|error| {
        let sentence = format!("signals cannot be waited for: {}", plain(&error));
        Failure::new(Status::Other, sentence, "see whether this system limits signal handlers")
    })?;
    let change = tell.clone();
    let is_told = watch::begin(move |what| change.send(Event::Changed(what)).is_ok());
    let keys = profile.file.sealing_keys();
    // What is wished for the server may have shortened, and it tells nobody.
    let window = command.expected_window().min(profile.file.window);
    let seen = command.seen(&servers, &mut random)?;
    let (quiet, verbose, copies) = (args.quiet, args.verbose, args.copies);
    let looked_up = Instant::now();
    let mut keeper = Keeper {
        ways: Vec::new(),
        state: State::New,
        alarm: Alarm::after(Duration::ZERO),
        command: Arc::new(command),
        profile,
        keys,
        window,
        servers,
        seen,
        looked_up,
        tell,
        random,
        quiet,
        verbose,
        copies,
    };
    for warning in keeper.command.warnings(&keeper.profile) {
        keeper.say(&warning);
    }
    keeper.knock("")?;
    keeper.watch(&events, is_told)?;
    keeper.close()
}

/// Whether there is something to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been asked for yet.
    New,
    /// Asked for, and believed open.
    Open,
    /// It could not be asked for again. Said once.
    Lost,
}

struct Keeper {
    command: Arc<Command>,
    profile: Profile,
    keys: SealingKeys,
    /// What may be relied upon.
    window: Duration,
    servers: Vec<SocketAddr>,
    seen: Seen,
    /// Our own address toward each server when it was knocked last; `None` without a way.
    ways: Vec<Option<SocketAddr>>,
    state: State,
    alarm: Alarm,
    looked_up: Instant,
    tell: Sender<Event>,
    random: Random,
    quiet: bool,
    verbose: bool,
    copies: std::num::NonZeroU8,
}

impl Keeper {
    /// Until it is to end. `is_told`: whether changes are events; else it is looked for them.
    fn watch(&mut self, events: &Receiver<Event>, is_told: bool) -> Result<(), Failure> {
        loop {
            let next = if self.state == State::Lost { LOOK } else { LOOK.min(self.alarm.left()) };
            match events.recv_timeout(next) {
                Ok(Event::Ends) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Event::Changed(change)) => {
                    let Some(change) = self.settle(change, events) else { return Ok(()) };
                    self.look(change)?;
                }
                Ok(Event::Servers(servers)) => self.moved(servers)?,
                Err(RecvTimeoutError::Timeout) if self.state == State::Lost => self.look(Change::Anything)?,
                Err(RecvTimeoutError::Timeout) => {
                    let late = self.alarm.late();
                    if late.is_some_and(|late| late > self.window / 2) {
                        self.knock("this machine slept: ")?;
                    } else if late.is_some() {
                        self.knock("")?;
                    } else if !is_told {
                        self.look(Change::Anything)?;
                    }
                }
            }
        }
    }

    /// Waits until a burst of changes is over, and says what matters most of them; `None` if it is to end.
    fn settle(&self, first: Change, events: &Receiver<Event>) -> Option<Change> {
        let begun = Instant::now();
        let gone = |change| if self.is_without_way() { Change::DefaultRoute } else { change };
        let mut most = gone(first);
        while begun.elapsed() < RESTLESS {
            match events.recv_timeout(QUIET) {
                Ok(Event::Changed(Change::DefaultRoute)) => most = Change::DefaultRoute,
                Ok(Event::Changed(Change::Anything)) => most = gone(most),
                // It comes again with the next look.
                Ok(Event::Servers(_)) => {}
                Ok(Event::Ends) => return None,
                Err(_) => break,
            }
        }
        Some(most)
    }

    /// Knocks if the way to the server has become another.
    fn look(&mut self, change: Change) -> Result<(), Failure> {
        if self.is_without_way() {
            self.lose("no route leads to the server");
            return Ok(());
        }
        let same = ways(&self.servers) == self.ways;
        match (self.state, same, change) {
            (State::Open, true, Change::Anything) => Ok(()),
            (State::Open, true, Change::DefaultRoute) => self.learn_and_knock("the default route changed: "),
            (State::Open, false, _) => self.learn_and_knock("this machine's address changed: "),
            (State::New | State::Lost, ..) => self.learn_and_knock("there is a route again: "),
        }
    }

    /// The server's name leads elsewhere, perhaps.
    fn moved(&mut self, servers: Vec<SocketAddr>) -> Result<(), Failure> {
        let is_new = servers.iter().any(|server| !self.servers.contains(server));
        self.servers = servers;
        if is_new { self.learn_and_knock("the server has another address: ") } else { Ok(()) }
    }

    fn learn_and_knock(&mut self, why: &str) -> Result<(), Failure> {
        self.seen = match self.command.seen(&self.servers, &mut self.random) {
            Ok(seen) => seen,
            Err(failure) => {
                self.say(&failure.sentence);
                Seen::default()
            }
        };
        self.knock(why)
    }

    /// Asks for the door. Without a way that is no failure: it is waited for one.
    fn knock(&mut self, why: &str) -> Result<(), Failure> {
        let plan = self.plan(&self.command.verb.clone())?;
        let sent = plan.send(&self.keys, None, self.verbose, &mut self.random);
        self.ways = ways(&self.servers);
        match sent {
            Ok(reached) => {
                if self.state == State::New || !why.is_empty() {
                    let told = self.command.told(&reached);
                    self.say(&format!("{why}{told}, and again before that ends"));
                }
                self.state = State::Open;
            }
            Err(failure) => self.lose(&failure.sentence),
        }
        self.alarm = Alarm::after(self.pause());
        self.look_up();
        Ok(())
    }

    /// Until the next knock: the window without a margin for what gets lost or is slow, and a random part of it, so
    /// that knocks have no rhythm.
    fn pause(&mut self) -> Duration {
        let margin =
            (self.window / 4).clamp(Duration::from_secs(1), Duration::from_secs(30)).min(self.window / 2);
        let early = margin.mul_f64(self.random.random_range(1.0..1.5));
        self.window.saturating_sub(early)
    }

    /// Looks the server's name up again, beside everything else: a resolver may take its time.
    fn look_up(&mut self) {
        if !matches!(self.command.host(), Host::Name(_)) || self.looked_up.elapsed() < LOOK_UP {
            return;
        }
        self.looked_up = Instant::now();
        let (command, tell) = (Arc::clone(&self.command), self.tell.clone());
        thread::spawn(move || {
            if let Ok(servers) = command.servers() {
                let _ = tell.send(Event::Servers(servers));
            }
        });
    }

    fn lose(&mut self, why: &str) {
        if self.state != State::Lost {
            self.say(&format!("{why}: the door is not kept open until that changes"));
        }
        self.state = State::Lost;
    }

    fn is_without_way(&self) -> bool {
        ways(&self.servers).iter().all(Option::is_none)
    }

    fn plan(&mut self, verb: &Verb) -> Result<Plan, Failure> {
        let routes: Vec<Route> =
            self.servers.iter().map(|&server| Route::to(server).seen_as(&self.seen)).collect();
        let families = knock::families(&routes);
        let first = stamp::reserve(&self.profile, families.len(), &mut self.random)?;
        Ok(Plan::new(verb, self.command.allow, routes, first, &mut self.random).with_copies(self.copies))
    }

    /// Shuts what was opened, if anything was.
    fn close(mut self) -> Result<(), Failure> {
        let services = match &self.command.verb {
            Verb::Open(open) if self.state != State::New => open.services.clone(),
            _ => return Ok(()),
        };
        let named = spa_core::service::list(&services);
        let plan = self.plan(&Verb::Close(services))?;
        plan.send(&self.keys, None, self.verbose, &mut self.random).map_err(|failure| Failure {
            hint: Some("the door shuts when its window ends".to_owned()),
            ..failure
        })?;
        self.say(&format!("asked {} to close {named}", self.command.host()));
        Ok(())
    }

    fn say(&self, what: &str) {
        if !self.quiet {
            complain(&format!("spa-client: {what}"));
        }
    }
}

/// Our own address toward each of these.
fn ways(servers: &[SocketAddr]) -> Vec<Option<SocketAddr>> {
    servers.iter().map(|&server| Route::to(server).local.ok()).collect()
}
