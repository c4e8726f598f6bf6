//! A page for whoever asks for it by HTTP on this host: one caller at a time, each for so long and with so much that nobody can
//! keep it from the next.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// How long a caller may take to ask, and again to read.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most bytes of a question.
const QUESTION: usize = 4096;
/// For so long a page is good for others too: callers do not become questions to the daemon one for one.
const FRESH: Duration = Duration::from_secs(1);

/// Where to listen: never for other hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of a loopback address.
    Loopback(SocketAddr),
}

/// Neither of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither unix:PATH nor a loopback address with a port, like 127.0.0.1:9622")]
pub struct NotHere;

impl FromStr for Listen {
    type Err = NotHere;

    fn from_str(text: &str) -> Result<Self, NotHere> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let address: SocketAddr = text.parse().map_err(|_| NotHere)?;
        if address.ip().is_loopback() { Ok(Self::Loopback(address)) } else { Err(NotHere) }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}

/// Answers without end.
pub(super) fn serve(at: &Listen, page: impl Fn() -> String) -> io::Result<Infallible> {
    let accept: Box<dyn Fn() -> io::Result<OwnedFd>> = match at {
        Listen::Loopback(address) => {
            let listener = TcpListener::bind(address)?;
            Box::new(move || Ok(listener.accept()?.0.into()))
        }
        Listen::Unix(path) => {
            // Left by one before; anything else that has this name stays.
            if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
                fs::remove_file(path)?;
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
            Box::new(move || Ok(listener.accept()?.0.into()))
        }
    };
    let (mut text, mut made) = (String::new(), None::<Instant>);
    loop {
        let Ok(caller) = accept() else {
            // Out of descriptors, say.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if made.is_none_or(|made| made.elapsed() >= FRESH) {
            text = page();
            made = Some(Instant::now());
        }
        // Whoever goes away, or asks for nothing, is his own affair.
        let _ = answer(caller, &text);
    }
}

fn answer(caller: OwnedFd, page: &str) -> io::Result<()> {
    set_socket_timeout(&caller, Timeout::Send, Some(PATIENCE))?;
    let mut caller = fs::File::from(caller);
    let question = question(&mut caller)?;
    let (status, body) = match question.as_str() {
        "GET /metrics" => ("200 OK", page),
        _ => ("404 Not Found", "GET /metrics\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    caller.write_all((head + body).as_bytes())
}

/// Method and path of a request that came whole and in time.
fn question(caller: &mut fs::File) -> io::Result<String> {
    let begun = Instant::now();
    let mut text = Vec::new();
    let mut some = [0; 1024];
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        if left.is_zero() || poll(&mut [PollFd::new(&*caller, PollFlags::IN)], Some(&timeout))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match caller.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => text.extend(some.iter().take(length)),
        }
        if text.len() > QUESTION {
            return Err(io::Error::other("a request that is too long"));
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_on_this_host_only() {
        #[rustfmt::skip]
        let rows = [
            ("127.0.0.1:9622",  true,  "IPv4's loopback"),
            ("[::1]:9622",      true,  "IPv6's"),
            ("unix:/run/x",     true,  "no network at all"),
            ("0.0.0.0:9622",    false, "every address, those of others' networks too"),
            ("[::]:9622",       false, "the same"),
            ("192.0.2.1:9622",  false, "a network's"),
            ("localhost:9622",  false, "a name, which may mean anything"),
            ("127.0.0.1",       false, "no port"),
            ("unix:",           false, "no path"),
        ];
        for (text, good, why) in rows {
            let read = text.parse::<Listen>();
            assert_eq!(read.is_ok(), good, "{text}: {why}");
            assert!(read.is_err() || read.unwrap().to_string() == text);
        }
    }
}
