//! The hands of the laboratory inside a host. Each command says what it saw in one word.
//!
//! ```text
//! lab-helper serve tcp/22 udp/53 …       echo services on every address; says "ready"
//! lab-helper connect ADDRESS:PORT MS     TCP until it is open or MS are over: open, closed, filtered
//! lab-helper ask ADDRESS:PORT MS         UDP until something comes back: answer, refusal, silence
//! lab-helper send FILE ADDRESS:PORT      the file as one datagram, once: answer, refusal, silence
//! lab-helper flood FILE KEPT COUNT RATE ADDRESS:PORT
//!                                        so many datagrams, so many a second: the first bytes of the file, then noise
//! lab-helper post FILE ADDRESS:PORT      says "ready"; then for each line read the file as one datagram
//! lab-helper watch ADDRESS:PORT …        TCP again and again: for each that opens its place in the list and the
//!                                        moment it was begun (CLOCK_MONOTONIC, microseconds)
//! lab-helper hold ADDRESS:PORT           a TCP session: open; then for each line read: answer, silence
//! lab-helper latency N ADDRESS:PORT -- SHUT… -- KNOCK…
//!                                        N times: run SHUT, wait until shut, run KNOCK, time the first connection
//! ```

use std::error::Error;
use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

type Outcome = Result<(), Box<dyn Error>>;

/// On wires without loss an answer comes within a millisecond; a busy machine gets a hundred more.
const PATIENCE: Duration = Duration::from_millis(120);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", services @ ..] => serve(services),
        ["connect", target, time] => connect(target, time),
        ["ask", target, time] => ask(target, time),
        ["send", file, target] => send(file, target),
        ["flood", file, kept, count, rate, target] => flood(file, kept, [count, rate], target),
        ["post", file, target] => post(file, target),
        ["watch", targets @ ..] => watch(targets),
        ["hold", target] => hold(target),
        ["latency", rounds, target, "--", commands @ ..] => latency(rounds, target, commands),
        _ => Err("see the top of lab-helper.rs".into()),
    };
    if let Err(error) = outcome {
        eprintln!("lab-helper: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn serve(services: &[&str]) -> Outcome {
    for service in services {
        match service.split_once('/') {
            Some(("tcp", port)) => {
                let listener = TcpListener::bind(format!("[::]:{port}"))?;
                thread::spawn(move || {
                    listener.incoming().flatten().for_each(|s| drop(thread::spawn(|| echo(s))))
                });
            }
            Some(("udp", port)) => {
                let socket = UdpSocket::bind(format!("[::]:{port}"))?;
                thread::spawn(move || {
                    let mut buffer = [0; 2048];
                    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        let _ = socket.send_to(&buffer[..length], from);
                    }
                });
            }
            _ => return Err(format!("{service} is not a service").into()),
        }
    }
    println!("ready");
    loop {
        thread::park();
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn connect(target: &str, time: &str) -> Outcome {
    let (target, time) = (target.parse()?, Duration::from_millis(time.parse()?));
    let start = Instant::now();
    let mut found;
    loop {
        found = connect_once(target, PATIENCE)?;
        if found == "open" || start.elapsed() >= time {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    println!("{found}");
    Ok(())
}

fn connect_once(target: SocketAddr, patience: Duration) -> Result<&'static str, Box<dyn Error>> {
    match TcpStream::connect_timeout(&target, patience) {
        Ok(_) => Ok("open"),
        Err(e) if e.kind() == ErrorKind::TimedOut => Ok("filtered"),
        // A RST, or a firewall that says no instead of nothing.
        Err(e) if [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable].contains(&e.kind()) => {
            Ok("closed")
        }
        Err(e) => Err(e.into()),
    }
}

/// A UDP socket that talks to one peer, and hears when nobody is there.
fn talk_to(target: SocketAddr) -> Result<UdpSocket, Box<dyn Error>> {
    let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn exchange(socket: &UdpSocket, bytes: &[u8]) -> Result<&'static str, Box<dyn Error>> {
    if let Err(e) = socket.send(bytes) {
        return if e.kind() == ErrorKind::ConnectionRefused { Ok("refusal") } else { Err(e.into()) };
    }
    match socket.recv(&mut [0; 2048]) {
        Ok(_) => Ok("answer"),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok("refusal"),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok("silence"),
        Err(e) => Err(e.into()),
    }
}

fn ask(target: &str, time: &str) -> Outcome {
    let (socket, time) = (talk_to(target.parse()?)?, Duration::from_millis(time.parse()?));
    let start = Instant::now();
    let mut found = exchange(&socket, b"anybody there?")?;
    while found != "answer" && start.elapsed() < time {
        thread::sleep(Duration::from_millis(5));
        found = exchange(&socket, b"anybody there?")?;
    }
    println!("{found}");
    Ok(())
}

fn send(file: &str, target: &str) -> Outcome {
    let bytes = std::fs::read(file)?;
    println!("{}", exchange(&talk_to(target.parse()?)?, &bytes)?);
    Ok(())
}

fn flood(file: &str, kept: &str, [count, rate]: [&str; 2], target: &str) -> Outcome {
    let (mut bytes, kept) = (std::fs::read(file)?, kept.parse::<usize>()?);
    let (count, rate) = (count.parse::<u32>()?, rate.parse::<f64>()?);
    let socket = UdpSocket::bind("[::]:0")?;
    let target: SocketAddr = target.parse()?;
    let target = match target.ip() {
        std::net::IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), target.port()),
        std::net::IpAddr::V6(_) => target,
    };
    let (mut noise, start) = (0x9e37_79b9_7f4a_7c15_u64, Instant::now());
    for n in 0..count {
        for byte in bytes.iter_mut().skip(kept) {
            // A step of xorshift: noise enough for whoever does not know the key.
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            *byte = noise.to_be_bytes()[0];
        }
        socket.send_to(&bytes, target)?;
        let due = start + Duration::from_secs_f64(f64::from(n) / rate);
        // So many at once that sleeping does not limit the rate.
        if n % (rate / 1000.0).ceil() as u32 == 0 {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    Ok(())
}

fn post(file: &str, target: &str) -> Outcome {
    let socket = talk_to(target.parse()?)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        // An earlier one may have met a host that was not there.
        let bytes = std::fs::read(file)?;
        if socket.send(&bytes).is_err() {
            socket.send(&bytes)?;
        }
    }
    Ok(())
}

fn watch(targets: &[&str]) -> Outcome {
    let targets: Vec<SocketAddr> = targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
    println!("ready");
    loop {
        for (place, target) in targets.iter().enumerate() {
            let socket = Socket::new(Domain::for_address(*target), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            let begun = clock_gettime(ClockId::Monotonic);
            let _ = socket.connect(&(*target).into());
            let wait = Timespec { tv_sec: 0, tv_nsec: 15_000_000 };
            let ready = poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait))?;
            // Without a way to the host, the socket is ready as well, but connected to nobody.
            if ready == 1 && socket.take_error()?.is_none() && socket.peer_addr().is_ok() {
                println!("{place} {}", Duration::try_from(begun)?.as_micros());
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn hold(target: &str) -> Outcome {
    let mut stream = TcpStream::connect_timeout(&target.parse()?, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    println!("open");
    for line in std::io::stdin().lock().lines() {
        line?;
        stream.write_all(b"x")?;
        let came_back = stream.read(&mut [0; 16]).is_ok_and(|length| length > 0);
        println!("{}", if came_back { "answer" } else { "silence" });
    }
    Ok(())
}

fn latency(rounds: &str, target: &str, commands: &[&str]) -> Outcome {
    let target: SocketAddr = target.parse()?;
    let split = commands.iter().position(|word| *word == "--").ok_or("two commands, please")?;
    let (shut, knock) = (&commands[..split], &commands[split + 1..]);
    let (mut from_start, mut from_exit) = (Vec::new(), Vec::new());
    for _ in 0..rounds.parse::<u32>()? {
        run(shut)?;
        while connect_once(target, PATIENCE)? != "filtered" {}
        let start = Instant::now();
        // Connections are tried while the client still runs: the door opens with its first datagram.
        let trying = thread::spawn(move || first_connection(target));
        run(knock)?;
        let exit = Instant::now();
        let open = trying.join().map_err(|_| "a thread died")?.map_err(|e| e.to_string())?;
        from_start.push(open.saturating_duration_since(start));
        from_exit.push(open.saturating_duration_since(exit));
    }
    println!("{:.1} {:.1}", median(from_start), median(from_exit));
    Ok(())
}

fn run(command: &[&str]) -> Outcome {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed: {status}").into()) }
}

/// Sends a SYN every 200 µs until one is answered, and says when that was.
fn first_connection(target: SocketAddr) -> std::io::Result<Instant> {
    let start = Instant::now();
    let domain = if target.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    while start.elapsed() < Duration::from_secs(3) {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let _ = socket.connect(&target.into());
        let wait = Timespec { tv_sec: 0, tv_nsec: 200_000 };
        let ready = poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait))?;
        if ready == 1 && socket.take_error()?.is_none() {
            return Ok(Instant::now());
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
