//! What the client remembers of doors that it had opened: until when, from where, and how far away the service was. Only a
//! belief, and no secret: a wrong one costs a moment, never more.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spa_core::service::Service;

use super::notes;
use crate::clock::now;
use crate::host::Host;
use crate::random::Random;

/// Most doors that are remembered; those that ended first are forgotten first.
const MOST: usize = 256;
/// A door that ends within this time is as good as shut: a connection that is begun now may come too late.
const MARGIN: Duration = Duration::from_secs(2);

/// What is believed of one service of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Belief {
    /// When the window ends, in milliseconds since 1970 by this machine's clock.
    until: u64,
    /// Our own address on the way there: another network is another client.
    from: Option<IpAddr>,
    /// Microseconds to the service and back.
    round_trip: u64,
}

/// The beliefs of a user.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// `None` where there is no place for it, which is no reason to fail.
    path: Option<PathBuf>,
    beliefs: BTreeMap<String, Belief>,
}

impl Memory {
    /// Reads what there is. A file that cannot be read is as good as none.
    pub(super) fn load() -> Self {
        let path = notes::place("doors.toml");
        let beliefs = notes::read(path.as_ref());
        Self { path, beliefs }
    }

    /// What is known of the way to a service.
    pub(super) fn round_trip(&self, host: &Host, service: Service) -> Option<Duration> {
        self.beliefs.get(&key(host, service)).map(|belief| Duration::from_micros(belief.round_trip))
    }

    /// Whether a window for us is believed open.
    pub(super) fn is_open(&self, host: &Host, service: Service, from: Option<IpAddr>) -> bool {
        let from_here = |belief: &&Belief| belief.from == from;
        let least = now().plus(MARGIN).get();
        self.beliefs.get(&key(host, service)).filter(from_here).is_some_and(|belief| belief.until > least)
    }

    /// Notes that the service answered, and how long its window lasts if we have just asked for it.
    pub(super) fn note(
        &mut self,
        host: &Host,
        service: Service,
        from: Option<IpAddr>,
        round_trip: Duration,
        window: Option<Duration>,
    ) {
        let round_trip = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        let belief = self.beliefs.entry(key(host, service)).or_insert(Belief { until: 0, from, round_trip });
        belief.round_trip = round_trip;
        if let Some(window) = window {
            belief.until = now().plus(window).get();
            belief.from = from;
        }
        while self.beliefs.len() > MOST {
            let first =
                self.beliefs.iter().min_by_key(|(_, belief)| belief.until).map(|(key, _)| key.clone());
            first.map(|key| self.beliefs.remove(&key));
        }
    }

    /// Forgets that a window was open: the service does not answer.
    pub(super) fn doubt(&mut self, host: &Host, service: Service) {
        if let Some(belief) = self.beliefs.get_mut(&key(host, service)) {
            belief.until = 0;
        }
    }

    /// Writes it down. Nobody is told if that fails.
    pub(super) fn store(&self, random: &mut Random) {
        notes::write(self.path.as_ref(), &self.beliefs, random);
    }
}

fn key(host: &Host, service: Service) -> String {
    format!("{host} {service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_is_for_one_service_from_one_place_and_ends() {
        let (host, other): (Host, Host) = ("a.example".parse().unwrap(), "b.example".parse().unwrap());
        let (ssh, vpn): (Service, Service) = ("tcp/22".parse().unwrap(), "tcp/443".parse().unwrap());
        let here = Some("10.0.0.7".parse().unwrap());
        let second = Duration::from_secs(1);
        let mut memory = Memory::default();
        memory.note(&host, ssh, here, second, Some(30 * second));
        #[rustfmt::skip]
        let rows = [
            // host, service, from, open, why
            (&host,  ssh, here, true,  "as noted"),
            (&other, ssh, here, false, "another server"),
            (&host,  vpn, here, false, "another service"),
            (&host,  ssh, None, false, "another network"),
        ];
        for (host, service, from, open, why) in rows {
            assert_eq!(memory.is_open(host, service, from), open, "{why}");
        }
        memory.note(&host, ssh, here, 2 * second, None);
        assert!(memory.is_open(&host, ssh, here), "an answer does not shorten it");
        assert_eq!(memory.round_trip(&host, ssh), Some(2 * second));
        memory.doubt(&host, ssh);
        assert!(!memory.is_open(&host, ssh, here));
        memory.note(&host, ssh, here, second, Some(second));
        assert!(!memory.is_open(&host, ssh, here), "about to end");
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut memory = Memory::default();
        for port in 1..=1000_u16 {
            let service = Service::new(spa_core::service::Transport::Tcp, port.try_into().unwrap());
            memory.note(&"a.example".parse().unwrap(), service, None, MARGIN, Some(MARGIN * 2));
        }
        assert_eq!(memory.beliefs.len(), MOST);
    }
}
