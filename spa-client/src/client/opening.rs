//! From a wish to an open connection: knock only if the door is shut, and look until the service answers.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use spa_core::request::Verb;
use spa_core::scheme::native::SealingKeys;
use spa_core::service::{Service, Transport};

use super::address::Route;
use super::args::Args;
use super::command::Command;
use super::knock::{self, Plan};
use super::memory::Memory;
use super::profile::Profile;
use super::reach::{Heard, Reached, Tries};
use super::seen::Seen;
use super::stamp;
use super::told::Told;
use crate::failure::{Failure, Status};
use crate::random::Random;

/// How long it is waited for the service, unless `--wait` says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long the door is tried before the first knock: longer than most round trips.
const BEFORE_KNOCK: Duration = Duration::from_millis(150);
/// The same if it is believed open, at least.
const BELIEVED: Duration = Duration::from_millis(300);
/// What a server takes to open: a connection that is begun earlier finds the door shut.
const OPENS: Duration = Duration::from_millis(3);
/// When a whole command is given again, because both copies of the one before may be lost.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(1500), Duration::from_millis(4000), Duration::from_millis(8000)];

/// A door to be opened, and everything that is needed for it.
pub(super) struct Opening {
    command: Command,
    profile: Profile,
    keys: SealingKeys,
    service: Service,
    routes: Vec<SocketAddr>,
    /// Where the service is to answer.
    servers: Vec<SocketAddr>,
    /// Our own address on the way.
    from: Option<IpAddr>,
    /// What is told of it, once somebody had to be asked.
    seen: Option<Seen>,
    memory: Memory,
    random: Random,
    verbose: bool,
}

/// How it went.
pub(super) struct Opened {
    pub(super) reached: Reached,
    /// From the first knock to the answer; `None` if no knock was needed.
    pub(super) took: Option<Duration>,
}

/// The same address, with its interface if it has one, and another port.
pub(super) fn at_port(mut server: SocketAddr, port: NonZeroU16) -> SocketAddr {
    server.set_port(port.get());
    server
}

impl Opening {
    /// Looks up what there is to know.
    ///
    /// # Errors
    /// If no one TCP service is named: only one that answers can be waited for.
    pub(super) fn new(args: &Args, profile: Profile, random: Random) -> Result<Self, Failure> {
        let command = Command::new(args, &profile)?;
        let service = only_tcp(&command.verb)?;
        let routes = command.servers()?;
        let servers = routes.iter().map(|spa| at_port(*spa, service.port())).collect();
        let from = routes.iter().find_map(|&server| Route::to(server).local.ok()).map(|local| local.ip());
        let keys = profile.file.sealing_keys();
        let (memory, verbose) = (Memory::load(), args.verbose);
        Ok(Self {
            command,
            profile,
            keys,
            service,
            routes,
            servers,
            from,
            seen: None,
            memory,
            random,
            verbose,
        })
    }

    /// What will probably make the server refuse.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.command.warnings(&self.profile)
    }

    /// What is asked of whom, for a script.
    pub(super) fn told(&self) -> Told {
        Told::of(&self.command, &self.profile)
    }

    /// The service, in words.
    pub(super) fn place(&self) -> String {
        format!("{} at {}", self.service, self.command.host())
    }

    /// Whether a window for us is believed open.
    pub(super) fn is_believed_open(&self) -> bool {
        self.memory.is_open(self.command.host(), self.service, self.from)
    }

    /// Connects; knocks first if nobody answers without.
    pub(super) fn connect(&mut self, patience: Duration) -> Result<Opened, Failure> {
        let known = self.memory.round_trip(self.command.host(), self.service);
        let first = match (self.is_believed_open(), known) {
            (true, known) => known.map_or(BELIEVED, |known| BELIEVED.max(known * 4)),
            (false, Some(known)) => known * 2 + Duration::from_millis(20),
            (false, None) => BEFORE_KNOCK,
        };
        let mut tries = Tries::begin(&self.servers, Duration::ZERO, known);
        if let Some(reached) = tries.wait(Instant::now() + first.min(patience)) {
            self.noted(&reached, None);
            return Ok(Opened { reached, took: None });
        }
        drop(tries);
        self.knock_until_open(patience)
    }

    /// Knocks, and waits for the service.
    pub(super) fn knock_until_open(&mut self, patience: Duration) -> Result<Opened, Failure> {
        let begun = Instant::now();
        let deadline = begun + patience;
        let known = self.memory.round_trip(self.command.host(), self.service);
        let mut heard = Heard::default();
        for again in [Duration::ZERO].into_iter().chain(AGAIN) {
            let plan = self.plan()?;
            let knocked = Instant::now();
            plan.send_copy(false, &self.keys, self.verbose, &mut self.random)?;
            let mut tries = Tries::begin(&self.servers, OPENS, known);
            let repeat = knocked + knock::before_repeat(&mut self.random);
            let mut answer = tries.wait(repeat.min(deadline));
            if answer.is_none() && repeat < deadline {
                // If it cannot be sent, the first one is on its way all the same.
                let _ = plan.send_copy(true, &self.keys, self.verbose, &mut self.random);
                let next = AGAIN.iter().find(|next| **next > again).map_or(deadline, |next| begun + *next);
                answer = tries.wait(next.min(deadline));
            }
            if let Some(reached) = answer {
                let took = begun.elapsed();
                self.noted(&reached, Some(self.command.expected_window()));
                return Ok(Opened { reached, took: Some(took) });
            }
            heard = tries.heard();
            if Instant::now() >= deadline {
                break;
            }
        }
        self.memory = Memory::load();
        self.memory.doubt(self.command.host(), self.service);
        self.memory.store(&mut self.random);
        Err(self.explained(heard, patience))
    }

    fn plan(&mut self) -> Result<Plan, Failure> {
        let seen = match self.seen.take() {
            Some(seen) => seen,
            None => self.command.seen(&self.routes, &mut self.random)?,
        };
        let routes: Vec<Route> = self.routes.iter().map(|&server| Route::to(server).seen_as(&seen)).collect();
        self.seen = Some(seen);
        let families = knock::families(&routes);
        let first = stamp::reserve(&self.profile, families.len(), &mut self.random)?;
        Ok(Plan::new(&self.command.verb, self.command.allow, routes, first, &mut self.random))
    }

    fn noted(&mut self, reached: &Reached, window: Option<Duration>) {
        // What others have noted meanwhile stays.
        self.memory = Memory::load();
        let host = self.command.host();
        self.memory.note(host, self.service, self.from, reached.round_trip, window);
        self.memory.store(&mut self.random);
    }

    /// The likely cause, in one line: the server itself tells nobody.
    fn explained(&self, heard: Heard, patience: Duration) -> Failure {
        let (place, seconds) = (self.place(), patience.as_secs_f32());
        if heard.refused {
            return Failure::new(
                Status::Refused,
                format!(
                    "{place} refuses at once: packets arrive, but nothing listens there, or another firewall rejects"
                ),
                "check that the service runs, and spad's log whether the door was opened",
            );
        }
        if heard.no_route {
            return Failure::new(
                Status::NoRoute,
                format!("no route leads to {place}"),
                "check the network connection; -4 or -6 chooses an address family",
            );
        }
        Failure::new(
            Status::Silence,
            format!("no answer from {place} within {seconds} s of the knock"),
            "a wrong or revoked profile, a clock that is off (-v tells this one's), UDP blocked on the way, or another \
             address than the server sees (-a source): the server's log says which",
        )
    }
}

fn only_tcp(verb: &Verb) -> Result<Service, Failure> {
    let services = match verb {
        Verb::Open(open) => open.services.as_slice(),
        _ => &[],
    };
    match services {
        [service] if service.transport() == Transport::Tcp => Ok(*service),
        [_] => Err(Failure::usage("a UDP service answers when it likes: nothing can be waited for")),
        _ => Err(Failure::usage("name the one TCP service to wait for: -A tcp/22")),
    }
}
