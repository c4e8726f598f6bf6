//! Two network namespaces and a wire between them: one for a server, one for its client. They belong to threads, so that
//! they vanish with this process, however it ends; nothing of them is ever seen outside.

use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use crate::sys::namespace;

/// RFC 2544 and RFC 4193; no other host is on this wire.
pub(super) const SERVER: [&str; 2] = ["198.18.0.1", "fd00:5bad::1"];
const CLIENT: [&str; 2] = ["198.18.0.2", "fd00:5bad::2"];

type Work = Box<dyn FnOnce() + Send>;

/// The client's end: a thread in a network namespace of its own.
pub(super) struct Client {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    /// The server's addresses that it reaches.
    pub(super) servers: Vec<IpAddr>,
}

impl Client {
    /// Makes the client's namespace and the wire; the calling thread's namespace is the server's.
    ///
    /// - `interface`: the wire's name at the server.
    pub(super) fn connect(interface: &str) -> Result<Self, String> {
        let (work, orders) = channel::<Work>();
        let (tell, told) = channel();
        let thread = thread::spawn(move || {
            let made = namespace::leave_network();
            let _ = tell.send(made.map(|()| rustix::thread::gettid().as_raw_nonzero().get()));
            orders.iter().for_each(|order| order());
        });
        let mut client = Self { work: Some(work), thread: Some(thread), servers: Vec::new() };
        let lost = |_| Err(io::Error::other("its thread failed"));
        let id =
            told.recv().unwrap_or_else(lost).map_err(|error| format!("the client's namespace: {error}"))?;
        ip(&["link", "set", "lo", "up"])?;
        let peer = id.to_string();
        ip(&["link", "add", "name", interface, "type", "veth", "peer", "name", "eth0", "netns", &peer])?;
        ip(&["link", "set", interface, "up"])?;
        client.run(|| ip(&["link", "set", "eth0", "up"]))??;
        for (at, length) in [(0, "30"), (1, "64")] {
            let address = |end: &str| format!("{end}/{length}");
            let [server, other] = [address(SERVER[at]), address(CLIENT[at])];
            // Nobody looks for duplicates, which would take a second.
            let flag: &[&str] = if at == 1 { &["nodad"] } else { &[] };
            let made = ip(&[&["addr", "add", &server, "dev", interface], flag].concat());
            let made = made.and_then(|()| {
                client.run(move || ip(&[&["addr", "add", &other, "dev", "eth0"], flag].concat()))?
            });
            match made {
                Ok(()) => client.servers.extend(SERVER[at].parse::<IpAddr>().ok()),
                // A kernel without IPv6.
                Err(_) if at == 1 => {}
                Err(reason) => return Err(reason),
            }
        }
        Ok(client)
    }

    /// Does something at the client.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let (tell, told) = channel();
        let order: Work = Box::new(move || drop(tell.send(work())));
        let sent = self.work.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        let gone = || "the client's thread ended".to_owned();
        if sent { told.recv().map_err(|_| gone()) } else { Err(gone()) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.work.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("the program ip (iproute2) cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
