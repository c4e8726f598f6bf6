//! How a destination is reached: through the door of the profile that was made for it, or not.

use std::net::TcpStream;
use std::num::NonZeroU16;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spa_core::service::{Service, Transport};

use super::flights::Flights;
use crate::client::args::Args;
use crate::client::opening::{Opening, at_port};
use crate::client::profile::Profile;
use crate::client::{reach, resolve};
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::random::random;
use crate::secret_file::plain;

/// Where a program wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) host: Host,
    pub(super) port: NonZeroU16,
}

/// The ways that there are.
pub(super) struct Ways {
    /// The proxy's own command line, for each knock.
    args: Args,
    /// Whether there is also one without a knock.
    direct: bool,
    patience: Duration,
    flights: Flights,
    /// Held while a profile is read: a passphrase takes memory on purpose, and many at once would take all there is.
    reading: Mutex<()>,
}

impl Ways {
    pub(super) fn new(args: Args, direct: bool, patience: Duration) -> Self {
        Self { args, direct, patience, flights: Flights::default(), reading: Mutex::new(()) }
    }

    /// Connects; `None` where no profile is for it, and nothing may go without.
    pub(super) fn reach(&self, to: &Destination) -> Result<Option<TcpStream>, Failure> {
        let service = Service::new(Transport::Tcp, to.port);
        // Read anew each time: a profile that comes or goes counts at once, and no key stays in memory.
        match self.profile(to, service)? {
            Some(profile) => self.through_the_door(to, service, profile).map(Some),
            None if self.direct => self.directly(to).map(Some),
            None => Ok(None),
        }
    }

    fn profile(&self, to: &Destination, service: Service) -> Result<Option<Profile>, Failure> {
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Args { profile, passphrase_file, .. } = &self.args;
        Profile::that_opens(profile.as_deref(), &to.host, service, passphrase_file.as_deref())
    }

    fn through_the_door(
        &self,
        to: &Destination,
        service: Service,
        profile: Profile,
    ) -> Result<TcpStream, Failure> {
        let mut args = self.args.clone();
        args.destination = Some(to.host.clone());
        args.access = vec![service];
        let mut profile = Some(profile);
        let mut connect = || {
            let Some(profile) = profile.take() else { return Ok(None) };
            let mut opening = Opening::new(&args, profile, random()?)?;
            opening.connect(self.patience).map(|opened| Some(opened.reached.stream))
        };
        // A browser wants many connections at once: one of them knocks, the others go through its door.
        let first = self.flights.first(&format!("{} {service}", to.host), &mut connect)?;
        let stream = if let Some(stream) = first { stream } else { connect()? };
        stream.ok_or_else(|| Failure::new(Status::Other, "a connection was begun twice", "report this"))
    }

    fn directly(&self, to: &Destination) -> Result<TcpStream, Failure> {
        let Destination { host, port } = to;
        let servers = resolve::addresses(host, None, None)?;
        let servers: Vec<_> = servers.into_iter().map(|server| at_port(server, *port)).collect();
        reach::once(&servers, self.patience).map(|reached| reached.stream).map_err(|error| {
            use std::io::ErrorKind::{ConnectionRefused, TimedOut};
            let status = match error.kind() {
                ConnectionRefused => Status::Refused,
                TimedOut => Status::Silence,
                _ => Status::NoRoute,
            };
            let sentence = format!("tcp/{port} at {host} cannot be reached: {}", plain(&error));
            Failure::new(status, sentence, "no profile is for it, so nothing was knocked at")
        })
    }
}
