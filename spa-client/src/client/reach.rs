//! Whether the service behind the door answers: TCP connections that are tried again and again, as a door that is shut
//! says nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long one try waits for its answer, unless more is known of the way. Each next one waits twice as long: a door
/// that is about to open is found soon, and a server far away gets the time that it needs.
const FIRST_TRY: Duration = Duration::from_millis(15);
const LONGEST_TRY: Duration = Duration::from_secs(1);
/// How long a service that refuses is left alone.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);
/// How much later each next address of the server is tried first.
const HEAD_START: Duration = Duration::from_millis(10);

/// The service answered.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    pub(super) server: SocketAddr,
    /// From the last try to its answer: a round trip.
    pub(super) round_trip: Duration,
}

/// Connects once, to whichever address answers first; no door is expected to open.
pub(super) fn once(servers: &[SocketAddr], patience: Duration) -> io::Result<Reached> {
    let (say, answers) = channel();
    for (at, &server) in (0..).zip(servers) {
        let say = say.clone();
        thread::spawn(move || {
            thread::sleep(HEAD_START * at);
            let begun = Instant::now();
            let tried = TcpStream::connect_timeout(&server, patience);
            // Nobody may be left to hear it.
            let _ = say.send(tried.map(|stream| Reached { stream, server, round_trip: begun.elapsed() }));
        });
    }
    drop(say);
    let mut failed = io::ErrorKind::TimedOut.into();
    for answer in answers {
        match answer {
            Ok(reached) => return Ok(reached),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// What the service's addresses did instead of answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// One of them refused at once, so that packets arrive there.
    pub(super) refused: bool,
    /// No way leads to any of them.
    pub(super) no_route: bool,
}

/// Connections that are being tried, one thread for each address. Dropping it ends them.
pub(super) struct Tries {
    answers: Receiver<Result<Reached, io::ErrorKind>>,
    stop: Arc<AtomicBool>,
    heard: Heard,
    lost: usize,
    count: usize,
}

impl Tries {
    /// Begins.
    ///
    /// - `pause`: before the first try.
    /// - `round_trip`: what is known of the way. The first try waits twice as long.
    pub(super) fn begin(servers: &[SocketAddr], pause: Duration, round_trip: Option<Duration>) -> Self {
        let (say, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let first = round_trip.map_or(FIRST_TRY, |known| (known * 2).clamp(FIRST_TRY, LONGEST_TRY));
        for (at, &server) in (0..).zip(servers) {
            let (say, stop) = (say.clone(), stop.clone());
            thread::spawn(move || {
                thread::sleep(pause + HEAD_START * at);
                try_on(server, first, &stop, &say);
            });
        }
        Self { answers, stop, heard: Heard::default(), lost: 0, count: servers.len() }
    }

    /// Waits for an answer until then.
    pub(super) fn wait(&mut self, until: Instant) -> Option<Reached> {
        loop {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(reached)) => return Some(reached),
                Ok(Err(io::ErrorKind::ConnectionRefused)) => self.heard.refused = true,
                Ok(Err(_)) => {
                    self.lost += 1;
                    self.heard.no_route = self.lost == self.count;
                }
                // It is too late, or nobody is left who tries.
                Err(_) => return None,
            }
        }
    }

    /// What was heard so far.
    pub(super) const fn heard(&self) -> Heard {
        self.heard
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One connection at a time: an older one is given up before the next is begun, so that the service sees one.
fn try_on(
    server: SocketAddr,
    mut patience: Duration,
    stop: &AtomicBool,
    say: &Sender<Result<Reached, io::ErrorKind>>,
) {
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match TcpStream::connect_timeout(&server, patience) {
            Ok(stream) => {
                let round_trip = begun.elapsed();
                // Nobody may be left to hear it.
                let _ = say.send(Ok(Reached { stream, server, round_trip }));
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                patience = (patience * 2).min(LONGEST_TRY);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                if say.send(Err(error.kind())).is_err() {
                    return;
                }
                thread::sleep(AFTER_REFUSAL);
            }
            Err(error) => {
                let _ = say.send(Err(error.kind()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_service_that_begins_to_listen_is_found() {
        let place = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = place.local_addr().unwrap();
        drop(place);
        let mut tries = Tries::begin(&[server], Duration::ZERO, None);
        assert!(tries.wait(Instant::now() + Duration::from_millis(100)).is_none());
        assert_eq!(tries.heard(), Heard { refused: true, no_route: false });
        let _service = TcpListener::bind(server).unwrap();
        let reached = tries.wait(soon()).expect("it listens now");
        assert_eq!(reached.server, server);
        assert_eq!(reached.stream.peer_addr().unwrap(), server);
    }

    #[test]
    fn the_address_that_answers_wins() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = service.local_addr().unwrap();
        // A network that no route leads to, and nobody's port.
        let servers = ["[fe80::1]:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), server];
        assert_eq!(
            Tries::begin(&servers, Duration::ZERO, None).wait(soon()).expect("one answers").server,
            server
        );
    }
}
