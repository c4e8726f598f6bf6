//! Standard input and output, and a connection: each byte from the one to the other, until both ways have ended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::failure::{Failure, Status};
use crate::secret_file::plain;

/// As much as a pipe holds.
const BLOCK: usize = 64 * 1024;

/// Relays until the service has said all and standard input has ended, or nobody reads any more.
pub(super) fn relay(stream: TcpStream) -> Result<(), Failure> {
    // What is typed is wanted at once.
    let _ = stream.set_nodelay(true);
    let failed = |error: &io::Error| {
        let sentence = format!("the connection broke: {}", plain(error));
        Failure::new(Status::Other, sentence, "connect again; the service's own log may say why")
    };
    let mut up = stream.try_clone().map_err(|error| failed(&error))?;
    let upwards = thread::spawn(move || {
        let outcome = copy(&mut io::stdin().lock(), &mut up);
        // The half that is done: the service may still have much to say.
        let _ = up.shutdown(Shutdown::Write);
        outcome
    });
    let mut down = stream;
    let downwards = copy(&mut down, &mut Output);
    match downwards {
        Ok(End::Source) => {}
        // Whoever started us has gone, and wants nothing more.
        Ok(End::Sink) => return Ok(()),
        Err(error) => return Err(failed(&error)),
    }
    if !close_output() {
        // Who reads our output sees its end only when this process ends.
        return Ok(());
    }
    match upwards.join() {
        Ok(Err(error)) => Err(failed(&error)),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Relays between two connections until both ways have ended, or either is gone.
pub(super) fn between(near: TcpStream, far: TcpStream) -> io::Result<()> {
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
        // A peer that vanished without a word would be waited for without end.
        #[cfg(unix)]
        let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    }
    let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
    let upwards = thread::Builder::new().spawn(move || one_way(&mut from, &mut to))?;
    one_way(&mut { far }, &mut { near });
    let _ = upwards.join();
    Ok(())
}

/// One of the two ways. Where the other side takes no more or fails, the connection is over for both.
fn one_way(from: &mut TcpStream, to: &mut TcpStream) {
    let how = match copy(from, to) {
        Ok(End::Source) => Shutdown::Write,
        Ok(End::Sink) | Err(_) => {
            let _ = from.shutdown(Shutdown::Both);
            Shutdown::Both
        }
    };
    let _ = to.shutdown(how);
}

/// How a copy ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no more.
    Source,
    /// Nobody takes any more.
    Sink,
}

/// Copies until either side ends.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<End> {
    let mut block = vec![0; BLOCK];
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(End::Source),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match to.write_all(block.get(..count).unwrap_or_default()).and_then(|()| to.flush()) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Ok(End::Sink),
            Err(error) => return Err(error),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Standard output without a buffer that waits for a line to end.
struct Output;

#[cfg(unix)]
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(unix))]
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Lets whoever reads our output see its end, while standard input may go on; says whether that can be.
fn close_output() -> bool {
    #[cfg(unix)]
    let closed = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .is_ok_and(|nothing| rustix::stdio::dup2_stdout(&nothing).is_ok());
    #[cfg(not(unix))]
    let closed = false;
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_copy_ends_with_its_source_or_with_its_sink() {
        let mut copied = Vec::new();
        assert_eq!(copy(&mut &b"answer"[..], &mut copied).unwrap(), End::Source);
        assert_eq!(copied, b"answer");
        assert_eq!(copy(&mut &b"answer"[..], &mut Gone).unwrap(), End::Sink);
    }
}
