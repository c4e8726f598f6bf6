//! What is asked of whom: the command line where it says something, the profile where it does not.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use humantime::format_duration;
use spa_core::file::profile::FreshnessName;
use spa_core::policy::Narrowing;
use spa_core::request::{Open, Request, Verb};
use spa_core::service::{self, Service, Transport};

use super::address::Route;
use super::args::Args;
use super::learnt;
use super::profile::Profile;
use super::resolve::{self, Family};
use super::seen::{Seen, StunServer};
use super::whom::{Allow, SourcePorts};
use crate::clock;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::random::Random;
use crate::usage::without_repeats;

/// One command.
pub(super) struct Command {
    pub(super) verb: Verb,
    pub(super) allow: Allow,
    stun: Option<StunServer>,
    host: Host,
    port: NonZeroU16,
    only: Option<Family>,
    /// As it is told: the wished window, or the profile's.
    window: Duration,
}

impl Command {
    pub(super) fn new(args: &Args, profile: &Profile) -> Result<Self, Failure> {
        let file = &profile.file;
        let wrong = |sentence: String, hint: &str| {
            Failure::new(Status::File, format!("{}: {sentence}", profile.path.display()), hint)
        };
        let host = match &args.destination {
            Some(host) => host.clone(),
            None => file.server.parse().map_err(|bad| wrong(format!("server is {bad}"), "use -D HOST"))?,
        };
        let named = without_repeats(&args.access);
        let verb = if args.close {
            Verb::Close(named)
        } else if let [action, arguments @ ..] = args.invoke.as_slice() {
            Verb::Invoke { action: action.clone(), arguments: arguments.to_vec() }
        } else {
            let services = if named.is_empty() { without_repeats(&file.open) } else { named };
            if services.is_empty() {
                return Err(wrong("opens nothing".to_owned(), "have an action run: --invoke NAME"));
            }
            if services.len() > Request::MAX_SERVICES {
                let sentence = format!("opens more than the {} services of a request", Request::MAX_SERVICES);
                return Err(wrong(sentence, "name those that you need: -A tcp/22,…"));
            }
            if args.forward.is_some() && services.len() > 1 {
                let sentence = "opens several services, and --forward leads one to its target".to_owned();
                return Err(wrong(sentence, "name the one: -A tcp/8443"));
            }
            let forward = args.forward.map(|target| (target.address(), target.port()));
            // Checked where the command line was read: between a second and the largest u32 of them.
            let window = args.window.and_then(|w| NonZeroU32::new(u32::try_from(w.as_secs()).ok()?));
            let ports = args.source_port.map(|SourcePorts(low, high)| (low, high));
            let count = ports.map_or(0, |(low, high)| usize::from(high - low) + 1);
            if count * services.len() > Narrowing::MOST_PORTS {
                let most = Narrowing::MOST_PORTS;
                return Err(Failure::usage(format!(
                    "one request binds {most} source ports, counted for each service; ask for the others in a second"
                )));
            }
            if let Some(udp) =
                services.iter().find(|service| args.once && service.transport() == Transport::Udp)
            {
                let sentence = format!("--once is for TCP, which has handshakes, and not for {udp}");
                return Err(Failure::new(Status::Usage, sentence, "name the services of TCP: -A tcp/22,…"));
            }
            Verb::Open(Open { window, forward, ports, once: args.once, ..Open::plain(services) })
        };
        Ok(Self {
            verb,
            allow: args.allow,
            stun: args.stun.clone(),
            host,
            port: args.port.unwrap_or(file.port),
            only: match (args.ipv4, args.ipv6, args.forward) {
                (true, ..) => Some(Family::V4),
                (_, true, _) => Some(Family::V6),
                // What comes by the other family is never led there.
                (.., Some(target)) => Some(Family::of(target.address())),
                _ => None,
            },
            window: args.window.unwrap_or(file.window),
        })
    }

    /// The server, as it was named.
    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    /// How long the door is expected to stay open.
    pub(super) const fn expected_window(&self) -> Duration {
        self.window
    }

    /// Where the datagrams go: every address of the server.
    pub(super) fn servers(&self) -> Result<Vec<SocketAddr>, Failure> {
        // A stated address must be the packet's source, so the other family's datagrams would be refused.
        let rather = match self.allow {
            Allow::Stated(stated) => Some(Family::of(stated.address)),
            Allow::Auto | Allow::Source | Allow::Resolve | Allow::Learnt => None,
        };
        let mut servers = resolve::addresses(&self.host, self.only, rather).map_err(|failure| {
            let led = matches!(self.verb, Verb::Open(Open { forward: Some(_), .. }));
            if failure.status != Status::Name || !led {
                return failure;
            }
            Failure::new(
                failure.status,
                failure.sentence,
                "a forward stays within the address family of its target",
            )
        })?;
        servers.iter_mut().for_each(|server| server.set_port(self.port.get()));
        Ok(servers)
    }

    /// What is told of our addresses on the ways there; nobody is asked unless `-a resolve` says so.
    pub(super) fn seen(&self, servers: &[SocketAddr], random: &mut Random) -> Result<Seen, Failure> {
        let ways = || -> Vec<Route> { servers.iter().map(|&server| Route::to(server)).collect() };
        match (self.allow, self.stun.as_ref()) {
            (Allow::Learnt, _) => learnt::of(&self.host, &ways()),
            (_, Some(stun)) => Seen::ask(stun, &ways(), random),
            (_, None) => Ok(Seen::default()),
        }
    }

    /// What will probably make the server refuse: it says nothing, so it is said here.
    pub(super) fn warnings(&self, profile: &Profile) -> Vec<String> {
        let (file, now) = (&profile.file, clock::now());
        let mut warnings = Vec::new();
        if file.freshness == FreshnessName::Clock && now < file.created {
            let (now, created) = (clock::utc(now), clock::utc(file.created));
            warnings.push(format!(
                "this machine's clock says {now}, but the profile was made at {created}: set the clock, \
                 or the server will refuse"
            ));
        }
        let strange: Vec<Service> =
            services(&self.verb).iter().copied().filter(|s| !file.open.contains(s)).collect();
        if !strange.is_empty() {
            let (strange, name) = (service::list(&strange), &file.name);
            warnings.push(format!("the profile {name} was not made for {strange}: the server may refuse"));
        }
        warnings
    }

    /// What is asked, in words: `open tcp/22`.
    pub(super) fn deed(&self) -> String {
        match (&self.verb, services(&self.verb)) {
            (Verb::Close(_), []) => "close everything that this profile opened".to_owned(),
            (Verb::Close(_), named) => format!("close {}", service::list(named)),
            (Verb::Invoke { action, arguments }, _) => match arguments.as_slice() {
                [] => format!("run {action}"),
                with => format!("run {action} with {}", with.join(", ")),
            },
            (Verb::Open(Open { ports: Some((low, high)), .. }), named) if low == high => {
                format!("open {} from port {low}", service::list(named))
            }
            (Verb::Open(Open { ports: Some((low, high)), .. }), named) => {
                format!("open {} from ports {low} to {high}", service::list(named))
            }
            (Verb::Open(Open { forward: Some((address, port)), .. }), named) => {
                format!("open {} to {}", service::list(named), SocketAddr::new(*address, port.get()))
            }
            (_, named) => {
                let once = if self.is_once() { " for one connection" } else { "" };
                format!("open {}{once}", service::list(named))
            }
        }
    }

    fn is_once(&self) -> bool {
        matches!(self.verb, Verb::Open(Open { once: true, .. }))
    }

    /// For how long, in words, if that belongs to what is asked.
    pub(super) fn window(&self) -> Option<String> {
        match &self.verb {
            Verb::Open(open) => {
                let whose = if open.window.is_some() { "" } else { " (the profile's own)" };
                Some(format!("{}{whose}", format_duration(self.window)))
            }
            _ => None,
        }
    }

    /// What was done, for the one line that the program says.
    pub(super) fn told(&self, reached: &[SocketAddr]) -> String {
        let addresses: Vec<String> = reached.iter().map(|server| server.ip().to_string()).collect();
        let span = match self.verb {
            Verb::Open(_) => {
                let word = if self.is_once() { "within" } else { "for" };
                format!(" {word} {}", format_duration(self.window))
            }
            _ => String::new(),
        };
        let host = match &self.host {
            Host::Address(_) | Host::OnLink { .. } => self.host.to_string(),
            Host::Name(name) => format!("{name} ({})", addresses.join(", ")),
        };
        format!("asked {host} to {}{span}", self.deed())
    }
}

fn services(verb: &Verb) -> &[Service] {
    match verb {
        Verb::Open(Open { services, .. }) | Verb::Close(services) => services,
        Verb::Invoke { .. } | Verb::Ping => &[],
    }
}
