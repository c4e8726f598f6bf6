//! `spa-client proxy`: a proxy on the loopback for browsers and other programs, that knocks before it connects where a
//! profile is for the destination. One listener for SOCKS and for HTTP's CONNECT; a thread for each connection.

mod flights;
mod front;
mod way;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use front::{Front, Reply};
use way::Ways;

use super::args::Args;
use super::profile::Profile;
use super::{relay, signals};
use crate::failure::{Failure, Status};
use crate::output::complain;
use crate::secret_file::plain;

/// Most connections at once. More than any browser opens; what comes beyond is hung up on.
const MOST: usize = 256;
/// How long a program may take to say where it wants to go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long is waited after an accept that failed: for want of descriptors, it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until a signal comes.
pub(super) fn run(args: Args, listen: SocketAddr, direct: bool, patience: Duration) -> Result<(), Failure> {
    if args.destination.is_some() || !args.access.is_empty() || args.once || args.forward.is_some() {
        return Err(Failure::usage(
            "what is asked of the proxy says where to: leave out -D, -A, --once and --forward",
        ));
    }
    Profile::expect_any(args.profile.as_deref(), args.passphrase_file.as_deref())?;
    let listener = TcpListener::bind(listen).map_err(|error| not_bound(listen, &error))?;
    let place = listener.local_addr().unwrap_or(listen);
    let (ends, end) = channel();
    signals::on_end(move || ends.send(()).unwrap_or_default()).map_err(|error| {
        let sentence = format!("signals cannot be waited for: {}", plain(&error));
        Failure::new(Status::Other, sentence, "see whether this system limits signal handlers")
    })?;
    let quiet = args.quiet;
    if !quiet {
        complain(&format!("spa-client: listening on {place} for SOCKS and HTTP CONNECT"));
    }
    let proxy = Arc::new(Proxy { ways: Ways::new(args, direct, patience), open: AtomicUsize::new(0), quiet });
    thread::spawn(move || proxy.accept(&listener));
    // Where signals are not told this never comes, and the program runs until it is ended.
    let _ = end.recv();
    Ok(())
}

fn not_bound(listen: SocketAddr, error: &io::Error) -> Failure {
    let (sentence, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("{listen} is in use by another program"),
            "end that one, or name another port: --listen 127.0.0.1:PORT",
        ),
        _ => (
            format!("cannot listen on {listen}: {}", plain(error)),
            "name another address of the loopback: --listen ADDRESS:PORT",
        ),
    };
    Failure::new(Status::Other, sentence, hint)
}

struct Proxy {
    ways: Ways,
    /// Connections that are being served.
    open: AtomicUsize,
    quiet: bool,
}

/// A connection's place among [`MOST`].
struct Place(Arc<Proxy>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Proxy {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut is_full = false;
        loop {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            let place = Place(Arc::clone(&self));
            let full = self.open.fetch_add(1, Ordering::Relaxed) >= MOST;
            if full {
                // Once for each time that it fills.
                if !is_full {
                    self.say(&format!("{MOST} connections at once are the most: others are hung up on"));
                }
            } else {
                // Without a thread it is hung up on as well.
                let _ = thread::Builder::new().spawn(move || place.0.serve(stream));
            }
            is_full = full;
        }
    }

    fn serve(&self, near: TcpStream) {
        let Ok((front, to)) = Front::read(near, Instant::now() + HANDSHAKE) else { return };
        match self.ways.reach(&to) {
            Ok(Some(far)) => {
                if let Ok(near) = front.accept(&far) {
                    let _ = relay::between(near, far);
                }
            }
            Ok(None) => front.refuse(Reply::NotAllowed),
            Err(failure) => {
                self.say(&failure.to_string());
                front.refuse(Reply::of(failure.status));
            }
        }
    }

    fn say(&self, what: &str) {
        if !self.quiet {
            complain(&format!("spa-client: {what}"));
        }
    }
}
