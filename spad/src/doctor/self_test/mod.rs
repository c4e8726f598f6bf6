//! `spad doctor --self-test`: a scan, a knock, a scan, a wait, a scan, by this program and this kernel, with the backend
//! and mode of this host and a copy of the filters of others; but in network namespaces of its own, with keys of its own.
//! So it proves the way of a knock without opening a door of the host, and without the running daemon noticing.

mod daemon;
mod site;
mod stage;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use spa_core::service::{Service, Transport};

use self::daemon::Daemon;
use self::site::{Site, WINDOW};
use self::stage::Client;
use super::Facts;
use super::finding::Finding;
use crate::foreign::Copy;
use crate::sys::namespace;

/// On a wire without loss an answer takes microseconds; a busy machine gets more.
const SILENCE: Duration = Duration::from_millis(300);
/// Of a door that opens any moment: the next try is quicker than the system's own.
const AT_ONCE: Duration = Duration::from_millis(20);
const OPENS: Duration = Duration::from_secs(2);
/// A set of ipset counts whole seconds, and rounds up.
const SHUTS: Duration = WINDOW.saturating_add(Duration::from_secs(2));

const ID: &str = "self-test";
const FIX: &str = "see the findings knock, guard and kernel-firewall; then try again";

/// What of the host is rebuilt.
struct Scene<'a> {
    facts: &'a Facts,
    copy: Copy,
    interface: &'a str,
    service: Service,
}

/// Runs it. Takes some seconds, and 15 at most.
pub(super) fn run(facts: &Facts) -> Vec<Finding> {
    let tcp = |service: &Service| service.transport() == Transport::Tcp;
    let local = facts.config.protect.iter().filter(|one| one.host.is_none()).map(|one| one.service);
    let ssh = "tcp/22".parse();
    let Some(service) = local.into_iter().find(tcp).or(ssh.ok()) else { return Vec::new() };
    let interface = facts.captured.first().map_or("eth0", String::as_str);
    let scene = Scene { facts, copy: facts.rules.copy(), interface, service };
    // A thread: there is no way back from its namespaces.
    let played = thread::scope(|scope| scope.spawn(|| play(&scene)).join());
    match played {
        Ok(Ok(found)) => found,
        Ok(Err(reason)) => vec![Finding::bad(ID, reason, FIX)],
        Err(_) => vec![Finding::bad(ID, "it failed within itself", "please tell the authors")],
    }
}

fn play(scene: &Scene<'_>) -> Result<Vec<Finding>, String> {
    namespace::leave().map_err(|error| format!("no namespaces of its own: {error}"))?;
    let client = Client::connect(scene.interface)?;
    let mut found = vec![setting(scene)];
    let service = scene.service;
    let folder = Path::new("/run/spad-self-test");
    let mut site = Site::make(folder, &scene.facts.config, scene.interface, service)
        .map_err(|error| format!("the files of a site cannot be made: {error}"))?;
    let _listener = listen(service.port().get())?;
    let mut daemon = Daemon::start(&site)?;
    let doors: Vec<SocketAddr> =
        client.servers.iter().map(|server| SocketAddr::new(*server, service.port().get())).collect();

    found.push(each(&client, "self-test-shut", &doors, (Duration::ZERO, SILENCE), |seen| match seen {
        Seen::Nothing => Ok(()),
        Seen::Open => Err("is open for a stranger".to_owned()),
        Seen::Refused => Err("answers a stranger".to_owned()),
    })?);
    let mut datagrams = Vec::new();
    let knocked = Instant::now();
    for server in &client.servers {
        let datagram = site.datagram().ok_or("a datagram cannot be sealed")?;
        let to = SocketAddr::new(*server, site.port.get());
        send(&client, to, datagram.clone())?;
        datagrams.push((to, datagram));
    }
    let opened = each(&client, "self-test-opens", &doors, (OPENS, AT_ONCE), |seen| match seen {
        Seen::Open => Ok(()),
        _ => Err("does not open".to_owned()),
    })?;
    if opened.fix.is_some() {
        let opens = daemon.says("opened", Duration::from_millis(200));
        let why = match opens {
            true => "spad opened the door, and a rule of others keeps the client out (see the finding knock)"
                .to_owned(),
            false => format!("spad did not open the door; the end of its log: {}", daemon.last_words()),
        };
        found.push(Finding { what: format!("{}; {why}", opened.what), ..opened });
        return Ok(found);
    }
    let took = knocked.elapsed().as_millis();
    found.push(Finding { what: format!("{}, at most {took} ms after the knock", opened.what), ..opened });
    found.push(silent(&client, &site)?);
    found.push(each(&client, "self-test-shuts", &doors, (SHUTS, SILENCE), |seen| match seen {
        Seen::Nothing => Ok(()),
        _ => Err(format!("is still open {} s after the knock", knocked.elapsed().as_secs())),
    })?);
    for (to, datagram) in datagrams {
        send(&client, to, datagram)?;
    }
    // The log of a refusal comes when the datagram was judged.
    daemon.says("replayed", OPENS);
    found.push(each(&client, "self-test-replay", &doors, (Duration::ZERO, SILENCE), |seen| match seen {
        Seen::Nothing => Ok(()),
        _ => Err("opens for a datagram that was used before".to_owned()),
    })?);
    Ok(found)
}

/// Loads the filters of others, and says what it is that is proven.
fn setting(scene: &Scene<'_>) -> Finding {
    let (loaded, failed) = scene.copy.load();
    let others = if loaded.is_empty() {
        "no rules of others".to_owned()
    } else {
        format!("a copy of {}", loaded.join(", "))
    };
    let what = format!(
        "by this program and kernel, in network namespaces of its own, with keys of its own, the backend and mode of \
         spad.toml, and {others} (translations of addresses left out)"
    );
    if failed.is_empty() {
        return Finding::ok(ID, what);
    }
    let what = format!("{what}; not copied: {}", failed.join("; "));
    Finding::warning(
        ID,
        what,
        "none: what these rules do to a knock is told by the findings knock and stranger only",
    )
}

/// What a client sees of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Open,
    Refused,
    Nothing,
}

/// Looks at the doors until each was as it should be, for at most that time; once in any case.
fn each(
    client: &Client,
    id: &'static str,
    doors: &[SocketAddr],
    (within, patience): (Duration, Duration),
    is_right: impl Fn(Seen) -> Result<(), String>,
) -> Result<Finding, String> {
    let deadline = Instant::now() + within;
    let mut left: Vec<(SocketAddr, String)> = doors.iter().map(|door| (*door, String::new())).collect();
    loop {
        for (door, how) in &mut left {
            let door = *door;
            *how = is_right(client.run(move || look(door, patience))?).err().unwrap_or_default();
        }
        left.retain(|(_, how)| !how.is_empty());
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let wrong: Vec<String> = left.iter().map(|(door, how)| format!("{} {how}", family(door.ip()))).collect();
    let families: Vec<&str> = doors.iter().map(|door| family(door.ip())).collect();
    let families = families.join(" and ");
    Ok(match (id, wrong.is_empty()) {
        (_, false) => Finding::bad(id, format!("the service by {}", wrong.join(" and by ")), FIX),
        ("self-test-shut", _) => {
            Finding::ok(id, format!("without a knock the service is silent, by {families}"))
        }
        ("self-test-opens", _) => Finding::ok(id, format!("a knock opens it, by {families}")),
        ("self-test-shuts", _) => Finding::ok(id, "the end of the window shuts it again"),
        _ => Finding::ok(id, "the same datagram opens nothing a second time"),
    })
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn look(door: SocketAddr, patience: Duration) -> Seen {
    match TcpStream::connect_timeout(&door, patience) {
        Ok(_) => Seen::Open,
        Err(error) if error.kind() == ErrorKind::TimedOut => Seen::Nothing,
        // A reset, or an ICMP error.
        Err(_) => Seen::Refused,
    }
}

fn listen(port: u16) -> Result<TcpListener, String> {
    let any = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
    any.map_err(|error| format!("a service cannot be started: {error}"))
}

fn send(client: &Client, to: SocketAddr, datagram: Vec<u8>) -> Result<(), String> {
    let sent = client.run(move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).and_then(|socket| socket.send_to(&datagram, to))
    })?;
    sent.map(drop).map_err(|error| format!("a datagram cannot be sent: {error}"))
}

/// Whether the SPA port says nothing to whoever sends anything there.
fn silent(client: &Client, site: &Site) -> Result<Finding, String> {
    const ID: &str = "self-test-silence";
    for server in client.servers.iter().copied() {
        let to = SocketAddr::new(server, site.port.get());
        let answer = client.run(move || {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(SILENCE))?;
            socket.send(&[7; 200])?;
            socket.recv(&mut [0; 2048])
        })?;
        let silence = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !silence {
            let what = format!("a datagram to the SPA port is answered, by {}", family(server));
            return Ok(Finding::bad(ID, what, "let the operator's chain drop what comes to the SPA port"));
        }
    }
    Ok(Finding::ok(ID, "the SPA port answers nothing"))
}
