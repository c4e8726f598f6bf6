//! The command line of `spad`: what is parsed here is also what docs/man/spad.8 and the completions are made from.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use spa_core::file::fields::parse_moment;
use spa_core::time::UnixMillis;

use crate::operator::Listen;

/// Watches a closed port and opens the firewall for whoever proves to hold a key.
#[derive(Parser)]
#[command(
    name = "spad",
    version,
    after_help = "Without a command spad runs as a service in the foreground.\n\
    Signals: SIGHUP reads the configuration anew, SIGTERM ends spad and leaves the guard up.\n\
    Exit status: 0 ended as asked, 1 other failure, 2 usage, 3 configuration, 4 firewall, 5 not permitted,\n\
    6 doctor found something bad, or status a degraded part, 7 no spad runs."
)]
pub struct Arguments {
    /// The configuration; site.toml and profiles/ stand beside it
    #[arg(long, value_name = "FILE", default_value = "/etc/spad/spad.toml", global = true)]
    pub config: PathBuf,
    /// Folder of the replay journal, and of what `spad guard` loads
    #[arg(long, value_name = "DIR", default_value = "/var/lib/spad", global = true)]
    pub state_dir: PathBuf,
    /// Say more in the log
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Only warnings and errors in the log
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
    /// Judge, remember and log knocks, but leave the firewall alone: nothing is guarded, and no door opens
    #[arg(long)]
    pub observe: bool,
    /// Which of the daemon's processes this is to be; the starter gives it, never a person
    #[arg(long, hide = true)]
    pub role: Option<RoleName>,
    /// The worker before could not begin: whatever this one finds is said only if it is something else
    #[arg(long, hide = true)]
    pub again: bool,
    /// What else there is to do than to serve
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The processes that the starter starts.
#[derive(Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Changes the firewall.
    Monitor,
    /// Sees packets.
    Worker,
    /// Loads rules of iptables.
    Loader,
    /// Sends receipts.
    Sender,
    /// Starts a command.
    Supervisor,
    /// Becomes a command.
    Command,
}

/// What else there is to do than to serve.
#[derive(Subcommand)]
pub enum Command {
    /// Say what is wrong with the files and the host, and print the text that would be loaded
    Check,
    /// Prove that the running system is shut to strangers and opens to a knock; say what to mend
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
        /// Also play a scan, a knock, a scan, a wait and a scan, in network namespaces apart from the host's
        #[arg(long)]
        self_test: bool,
    },
    /// Load the guard as it stood last, for the time before spad runs: at boot, before there is a network
    Guard,
    /// Try the changed spad.toml, and go back to what was in force unless that is confirmed in time
    Apply {
        /// How long to wait for Enter or `spad confirm`, 1s to 1h
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        confirm: Duration,
    },
    /// Keep the configuration that `spad apply` tries
    Confirm,
    /// Say how the running spad is: uptime, interfaces, counters, and what is not as it should be
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say who holds which door open, until when, and what goes through it
    Grants {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Close doors at once, and say which
    Revoke {
        /// Whose: the name of a profile, an address, or a key id
        #[arg(value_name = "PROFILE|ADDRESS|ID")]
        whose: String,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what happens while it happens: events and why, open doors, rates
    Watch {
        /// Print events alone, an object of JSON a line
        #[arg(long)]
        json: bool,
    },
    /// Keep what happens, with all that is known of it, where it can be looked up later
    #[command(group(clap::ArgGroup::new("target").required(true)))]
    Audit {
        /// Append an object of JSON a line to this file; who renames it away gets a new one
        #[arg(long, value_name = "FILE", group = "target")]
        file: Option<PathBuf>,
        /// An entry each in systemd's journal, with fields
        #[arg(long, group = "target")]
        journald: bool,
    },
    /// Say what `status` says in the text format of Prometheus: once, into a file, or to whoever asks by HTTP
    Metrics {
        /// Write this file anew without end, for node_exporter's textfile collector
        #[arg(long, value_name = "FILE", conflicts_with = "listen")]
        textfile: Option<PathBuf>,
        /// How often to write it, 1s to 1h
        #[arg(long, value_name = "TIME", requires = "textfile", value_parser = interval, default_value = "15s")]
        every: Duration,
        /// Answer GET /metrics there: unix:PATH, or a loopback address with a port
        #[arg(long, value_name = "WHERE")]
        listen: Option<Listen>,
    },
    /// Run what spad.toml names when a door opens, shuts, or somebody asks for it
    Runner,
    /// Tell a daemon that may not ask the kernel whether its clock is synchronised, for as long as this runs
    Clock,
    /// Read the files anew, and say whether they are in force
    Reload {
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what would become of each datagram of a capture file, and why; changes nothing
    Explain {
        /// What tcpdump -w wrote
        #[arg(value_name = "FILE")]
        capture: PathBuf,
        /// Judge as if the first packet had come then [default: as the file says]
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        at: Option<UnixMillis>,
        /// What was admitted before: a folder with journal.a and journal.b [default: nothing was]
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
        /// Print an object of JSON a line
        #[arg(long)]
        json: bool,
    },
    /// Remove all of spad's from the firewall: the guard, what it attached, and every open door
    Teardown,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let good = (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&time);
    if good { Ok(time) } else { Err("neither shorter than 1s nor longer than 1h".into()) }
}
