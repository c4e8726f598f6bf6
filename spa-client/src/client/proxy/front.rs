//! What programs say to the proxy, and what they are told: SOCKS 4, 4a and 5, and CONNECT of HTTP/1.1.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use tor_socksproto::{
    Buffer, Handshake as _, NextStep, SocksAddr, SocksCmd, SocksProxyHandshake, SocksRequest, SocksStatus,
};

use super::way::Destination;
use crate::failure::Status;
use crate::host::Host;

/// A request with more in its header than this is no CONNECT.
const LONGEST: usize = 8 * 1024;
/// How long a program may take to read why it is refused.
const FAREWELL: Duration = Duration::from_secs(1);

/// A program that was heard and not answered yet.
pub(super) struct Front {
    near: TcpStream,
    speaks: Speaks,
}

enum Speaks {
    Socks(Box<SocksRequest>),
    /// With what came behind the header already.
    Connect(Vec<u8>),
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// No profile is for the destination.
    NotAllowed,
    NoRoute,
    /// No address, or no answer.
    Unreachable,
    Silence,
    Refused,
    Other,
}

impl Reply {
    pub(super) const fn of(status: Status) -> Self {
        match status {
            Status::Name | Status::TimedOut => Self::Unreachable,
            Status::NoRoute => Self::NoRoute,
            Status::Silence => Self::Silence,
            Status::Refused => Self::Refused,
            Status::Other | Status::Usage | Status::File | Status::Denied => Self::Other,
        }
    }

    const fn socks(self) -> SocksStatus {
        match self {
            Self::NotAllowed => SocksStatus::NOT_ALLOWED,
            Self::NoRoute => SocksStatus::NETWORK_UNREACHABLE,
            Self::Unreachable | Self::Silence => SocksStatus::HOST_UNREACHABLE,
            Self::Refused => SocksStatus::CONNECTION_REFUSED,
            Self::Other => SocksStatus::GENERAL_FAILURE,
        }
    }

    /// Status line, and a sentence for whoever looks. More is said only where the proxy was started: others of this
    /// machine can ask it too.
    const fn http(self) -> (&'static str, &'static str) {
        match self {
            Self::NotAllowed => {
                ("403 Forbidden", "no profile is for this destination, and --direct was not given")
            }
            Self::NoRoute => ("502 Bad Gateway", "no route leads there"),
            Self::Unreachable => ("502 Bad Gateway", "no address is known for this name"),
            Self::Silence => {
                ("504 Gateway Timeout", "nobody answered, also after a knock where a profile is for it")
            }
            Self::Refused => ("502 Bad Gateway", "the service refuses connections"),
            Self::Other => ("500 Internal Server Error", "spa-client says why where it was started"),
        }
    }
}

impl Front {
    /// Hears where a program wants to go. What cannot be understood is answered where that is possible.
    pub(super) fn read(near: TcpStream, deadline: Instant) -> io::Result<(Self, Destination)> {
        let mut timed = Timed { near: &near, deadline };
        let mut first = [0];
        timed.peek(&mut first)?;
        let (speaks, to) = match first {
            [4 | 5] => socks(&mut timed)?,
            _ => connect(&mut timed)?,
        };
        near.set_read_timeout(None)?;
        near.set_write_timeout(None)?;
        Ok((Self { near, speaks }, to))
    }

    /// Tells the program that it is connected; what it said too early goes there first.
    pub(super) fn accept(self, mut far: &TcpStream) -> io::Result<TcpStream> {
        match self.speaks {
            Speaks::Socks(request) => (&self.near).write_all(&reply(&request, SocksStatus::SUCCEEDED)?)?,
            Speaks::Connect(early) => {
                (&self.near).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                far.write_all(&early)?;
            }
        }
        Ok(self.near)
    }

    /// Tells the program why not, and hangs up.
    pub(super) fn refuse(self, why: Reply) {
        let _ = match self.speaks {
            Speaks::Socks(request) => reply(&request, why.socks()).and_then(|reply| part(&self.near, &reply)),
            Speaks::Connect(_) => part(&self.near, &page(why.http(), "")),
        };
    }
}

fn socks(timed: &mut Timed<'_>) -> io::Result<(Speaks, Destination)> {
    let mut handshake = SocksProxyHandshake::new();
    let mut buffer = Buffer::new_precise();
    let request: SocksRequest = loop {
        match handshake.step(&mut buffer).map_err(garbage)? {
            NextStep::Send(bytes) => timed.near.write_all(&bytes)?,
            NextStep::Recv(mut step) => {
                let size = timed.read(step.buf())?;
                step.note_received(size).map_err(garbage)?;
            }
            NextStep::Finished(finished) => break finished.into_output().map_err(garbage)?,
        }
    };
    let refuse = |status| {
        part(timed.near, &reply(&request, status)?)?;
        Err(garbage("no destination"))
    };
    if request.command() != SocksCmd::CONNECT {
        return refuse(SocksStatus::COMMAND_NOT_SUPPORTED);
    }
    let host = match request.addr() {
        SocksAddr::Ip(address) => Host::Address(address.to_canonical()),
        // Some programs write addresses as names.
        SocksAddr::Hostname(name) => match name.as_ref().parse() {
            Ok(host) => host,
            Err(_) => return refuse(SocksStatus::ADDRTYPE_NOT_SUPPORTED),
        },
    };
    let Some(port) = NonZeroU16::new(request.port()) else { return refuse(SocksStatus::GENERAL_FAILURE) };
    Ok((Speaks::Socks(Box::new(request)), Destination { host, port }))
}

fn reply(request: &SocksRequest, status: SocksStatus) -> io::Result<Vec<u8>> {
    request.reply(status, None).map_err(garbage)
}

fn connect(timed: &mut Timed<'_>) -> io::Result<(Speaks, Destination)> {
    let mut bytes = Vec::new();
    let refuse = |status, sentence, more| {
        part(timed.near, &page((status, sentence), more))?;
        Err(garbage(sentence))
    };
    let mut block = [0; 1024];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(size)) => {
                if request.method != Some("CONNECT") {
                    let sentence =
                        "this proxy knows CONNECT only; for http: addresses use it as a SOCKS proxy";
                    return refuse("405 Method Not Allowed", sentence, "Allow: CONNECT\r\n");
                }
                let Some(to) = request.path.and_then(authority) else {
                    return refuse("400 Bad Request", "write the destination like host:port", "");
                };
                let early = bytes.split_off(size);
                return Ok((Speaks::Connect(early), to));
            }
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST => {}
            Ok(httparse::Status::Partial) => {
                return refuse("431 Request Header Fields Too Large", "the request is too long", "");
            }
            Err(_) => return refuse("400 Bad Request", "this is neither SOCKS nor HTTP", ""),
        }
        match timed.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            size => bytes.extend_from_slice(block.get(..size).unwrap_or_default()),
        }
    }
}

/// `host:port`, an IPv6 address in brackets (RFC 9110, section 9.3.6).
fn authority(text: &str) -> Option<Destination> {
    let (host, port) = text.rsplit_once(':')?;
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    Some(Destination { host: host.parse().ok()?, port: port.parse().ok()? })
}

fn page((status, sentence): (&str, &str), more: &str) -> Vec<u8> {
    let length = sentence.len() + 1;
    let head = format!("HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Type: text/plain\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{sentence}\n").into_bytes()
}

/// Says the last word. What the program still sends is read for a moment: hanging up on it would take the word back.
fn part(near: &TcpStream, word: &[u8]) -> io::Result<()> {
    let mut timed = Timed { near, deadline: Instant::now() + FAREWELL };
    near.set_write_timeout(Some(FAREWELL))?;
    (&mut &*near).write_all(word)?;
    near.shutdown(Shutdown::Write)?;
    let mut rest = [0; 1024];
    let mut left = 64;
    while left > 0 && timed.read(&mut rest)? > 0 {
        left -= 1;
    }
    Ok(())
}

fn garbage(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Reads until a point in time, however slowly the bytes come.
struct Timed<'a> {
    near: &'a TcpStream,
    deadline: Instant,
}

impl Timed<'_> {
    fn limit(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.near.set_read_timeout(Some(left))?;
        self.near.set_write_timeout(Some(left))
    }

    fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        self.near.peek(bytes)
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        (&mut &*self.near).read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        #[rustfmt::skip]
        let rows = [
            ("vpn.example.org:443",  Some(("vpn.example.org", 443)), "a name"),
            ("192.0.2.1:22",         Some(("192.0.2.1", 22)),        "IPv4"),
            ("[2001:db8::1]:443",    Some(("2001:db8::1", 443)),     "IPv6"),
            ("2001:db8::1:443",      None,                           "IPv6 without brackets"),
            ("vpn.example.org",      None,                           "no port"),
            ("vpn.example.org:0",    None,                           "no port"),
            ("http://host:80",       None,                           "a URL"),
            ("a b:80",               None,                           "no name"),
        ];
        for (text, expected, why) in rows {
            let read = authority(text).map(|to| (to.host.to_string(), to.port.get()));
            assert_eq!(read, expected.map(|(host, port)| (host.to_owned(), port)), "{text}: {why}");
        }
    }

    /// What a proxy makes of these bytes, and what it answers by itself.
    fn heard(bytes: &'static [u8]) -> (Option<String>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let program = thread::spawn(move || {
            let mut stream = TcpStream::connect(place).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        });
        let (stream, _) = listener.accept().unwrap();
        let read = Front::read(stream, Instant::now() + Duration::from_secs(20));
        let to = read.ok().map(|(front, Destination { host, port })| {
            drop(front);
            format!("{host} {port}")
        });
        (to, program.join().unwrap())
    }

    #[test]
    fn each_protocol_tells_a_destination_and_garbage_none() {
        const GET: &[u8] = b"GET http://vpn.example.org/ HTTP/1.1\r\n\r\n";
        type Row = (&'static [u8], Option<&'static str>, &'static [u8], &'static str);
        #[rustfmt::skip]
        let rows: [Row; 11] = [
            (b"\x05\x01\x00\x05\x01\x00\x03\x05a.org\x01\xbb", Some("a.org 443"), b"\x05\x00", "SOCKS 5, a name"),
            (b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x16", Some("192.0.2.1 22"), b"\x05\x00", "SOCKS 5, an address"),
            (b"\x05\x01\x02\x01\x01u\x01p\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x16", Some("192.0.2.1 22"),
             b"\x05\x02\x01\x00", "SOCKS 5, any user"),
            (b"\x04\x01\x00\x16\x00\x00\x00\x01\x00a.org\x00", Some("a.org 22"), b"", "SOCKS 4a"),
            (b"\x05\x01\x00\x05\x01\x00\x03\x05a/org\x01\xbb", None, b"\x05\x00\x05\x08", "SOCKS 5, no name"),
            (b"\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x16", None, b"\x05\x00", "SOCKS 5, BIND"),
            (b"\x05\x01\x00\x05", None, b"\x05\x00", "SOCKS 5, cut"),
            (b"CONNECT a.org:443 HTTP/1.1\r\nHost: a.org:443\r\n\r\nearly", Some("a.org 443"), b"", "CONNECT"),
            (GET, None, b"HTTP/1.1 405 ", "another method"),
            (b"\x16\x03\x01\x02\x00", None, b"HTTP/1.1 400 ", "TLS"),
            (b"", None, b"", "nothing"),
        ];
        for (bytes, expected, begins, why) in rows {
            let (to, answer) = heard(bytes);
            assert_eq!(to.as_deref(), expected, "{why}");
            assert!(answer.starts_with(begins), "{why}: {}", String::from_utf8_lossy(&answer));
        }
    }

    #[test]
    fn who_says_nothing_or_too_much_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let begun = Instant::now();
        assert!(Front::read(stream, begun + Duration::from_millis(50)).is_err());
        assert!(begun.elapsed() < Duration::from_secs(20));
        drop(silent);

        let mut long = b"CONNECT a.org:443 HTTP/1.1\r\nX: ".to_vec();
        long.resize(LONGEST + 2048, b'x');
        let mut program = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        program.write_all(&long).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let reading =
            thread::spawn(move || Front::read(stream, Instant::now() + Duration::from_secs(20)).is_err());
        let mut answer = [0; 12];
        program.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
        drop(program);
        assert!(reading.join().unwrap());
    }
}
