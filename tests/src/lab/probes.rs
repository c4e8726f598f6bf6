//! What the network looks like from a host: connect, scan, send bytes, hold a session.

use std::io::{BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use crate::process::Running;
use crate::{Host, Lab, programs};

/// What came back for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing at all, as it must be.
    Silence,
    /// A datagram.
    Answer,
    /// An ICMP message: nobody is there.
    Refusal,
}

impl Lab {
    fn helper(&self, host: Host, arguments: &[&str]) -> String {
        let path = programs::helper();
        let path = path.to_str().expect("the target folder's name is text");
        self.run(host, path, arguments).ok().out.trim().to_owned()
    }

    pub(crate) fn start_helper(
        &self,
        host: Host,
        arguments: &[&str],
    ) -> (Running, ChildStdin, BufReader<ChildStdout>) {
        let mut command = self.command(host, programs::helper());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = self.start(command);
        let (stdin, stdout) = running.pipes();
        (running, stdin.expect("asked for"), BufReader::new(stdout.expect("asked for")))
    }

    /// Starts services that send back what they get, for instance `&["tcp/22", "udp/53"]`.
    ///
    /// # Panics
    /// When they cannot be started.
    #[must_use]
    pub fn serve(&self, host: Host, services: &[&str]) -> Running {
        let arguments = [&["serve"], services].concat();
        let (running, _, mut said) = self.start_helper(host, &arguments);
        assert_eq!(line(&mut said), "ready", "{services:?} cannot be served");
        running
    }

    /// Connects once by TCP: `open`, `closed` or `filtered`, as a scanner would call it.
    #[must_use]
    pub fn probe(&self, host: Host, target: &str) -> String {
        self.helper(host, &["connect", target, "0"])
    }

    /// Asserts that a connection succeeds within a second.
    pub fn opens(&self, host: Host, target: &str) {
        let found = self.helper(host, &["connect", target, "1000"]);
        assert_eq!(found, "open", "{target} from {}", host.name);
    }

    /// Asserts that no connection succeeds and nothing answers, for 300 ms.
    pub fn stays_shut(&self, host: Host, target: &str) {
        let found = self.helper(host, &["connect", target, "300"]);
        assert_eq!(found, "filtered", "{target} from {}", host.name);
    }

    /// Asks a UDP service until it answers, for at most that many milliseconds.
    #[must_use]
    pub fn ask(&self, host: Host, target: &str, milliseconds: u32) -> bool {
        self.helper(host, &["ask", target, &milliseconds.to_string()]) == "answer"
    }

    /// Sends a file of the laboratory as one datagram and waits a moment for what comes back.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn send(&self, host: Host, file: &str, target: &str) -> Reaction {
        match self.helper(host, &["send", &Self::inside(file), target]).as_str() {
            "silence" => Reaction::Silence,
            "answer" => Reaction::Answer,
            "refusal" => Reaction::Refusal,
            other => panic!("the helper says {other:?}"),
        }
    }

    /// Sends datagrams to the SPA port from another process, until it is done or dropped: `count` of them, `rate` a
    /// second; each is the first `kept` bytes of a file of the laboratory and noise in place of the others.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn flood(&self, host: Host, file: &str, kept: usize, count: u32, rate: u32) -> Running {
        let [kept, count, rate] = [kept.to_string(), count.to_string(), rate.to_string()];
        let arguments = ["flood", &Self::inside(file), &kept, &count, &rate, &self.spa_target()];
        self.start_helper(host, &arguments).0
    }

    /// Opens a TCP session that lives until the value is dropped.
    ///
    /// # Panics
    /// When it cannot be opened within a second.
    #[must_use]
    pub fn session(&self, host: Host, target: &str) -> Session {
        let (running, ask, mut answer) = self.start_helper(host, &["hold", target]);
        assert_eq!(line(&mut answer), "open", "a session from {} to {target}", host.name);
        Session { ask, answer, _running: running }
    }

    /// What nmap says of ports, one `22/tcp filtered` a line. `how` are its own options, such as `-p 22`.
    ///
    /// # Panics
    /// When nmap fails.
    #[must_use]
    pub fn scan(&self, host: Host, how: &[&str], target: &str) -> Vec<String> {
        // Wires without loss: one repeat after a tenth of a second is plenty.
        let quick = [
            "-Pn",
            "-n",
            "--max-retries",
            "1",
            "--initial-rtt-timeout",
            "100ms",
            "--max-rtt-timeout",
            "100ms",
        ];
        let arguments = [&quick, how, &[target]].concat();
        let done = self.run(host, "nmap", &arguments).ok();
        assert!(done.out.contains("1 host up"), "nmap did not scan:\n{}", done.text());
        let is_port = |line: &&str| line.split('/').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        done.out.lines().filter(is_port).map(words).collect()
    }

    /// Begins to count the datagrams that a host sends to the SPA port, and their bytes.
    pub fn count_datagrams(&self, host: Host) {
        let port = self.spa_port();
        self.sh(
            host,
            &format!(
                "nft -f - <<'END'\ntable inet count {{\n counter sent {{ }}\n chain out {{\n \
                 type filter hook output priority 0;\n udp dport {port} counter name sent\n }}\n}}\nEND"
            ),
        );
    }

    /// How many datagrams have been counted.
    ///
    /// # Panics
    /// Without [`Lab::count_datagrams`].
    #[must_use]
    pub fn datagrams(&self, host: Host) -> u64 {
        let counter = self.sh(host, "nft list counter inet count sent");
        let packets = counter.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        packets.and_then(|number| number.parse().ok()).expect("the host counts")
    }

    /// Our firewall table on the server, as `nft` prints it without its counters; empty when there is none.
    #[must_use]
    pub fn table(&self) -> String {
        self.run(crate::SERVER, "nft", &["--stateless", "list", "table", "inet", "spad"]).out
    }

    /// The grants in our table, sorted, without their times: `10.77.0.2 . tcp . 22`.
    #[must_use]
    pub fn grants(&self) -> Vec<String> {
        let mut grants = Vec::new();
        for set in ["grants4", "grants6"] {
            let done = self.run(crate::SERVER, "nft", &["list", "set", "inet", "spad", set]);
            let elements = done.out.split_once("elements = {").map_or("", |(_, rest)| rest);
            let elements = elements.split_once('}').map_or("", |(elements, _)| elements);
            let door = |element: &str| element.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
            grants.extend(elements.split(',').map(door).filter(|door| !door.is_empty()));
        }
        grants.sort();
        grants
    }

    /// Waits until no connection succeeds any more, and says how long that took.
    pub fn shuts(&self, host: Host, target: &str, within: Duration) -> Duration {
        crate::eventually(&format!("{target} is shut"), within, || self.probe(host, target) == "filtered")
    }
}

/// A TCP session from a client to an echo service.
#[derive(Debug)]
pub struct Session {
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    _running: Running,
}

impl Session {
    /// Sends a byte and says whether it came back within a second.
    ///
    /// # Panics
    /// When the helper died.
    pub fn lives(&mut self) -> bool {
        writeln!(self.ask, "ask").expect("the helper reads");
        line(&mut self.answer) == "answer"
    }
}

pub(crate) fn line(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the helper writes text");
    line.trim().to_owned()
}
