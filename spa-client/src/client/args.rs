//! The command line of `spa-client`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, Parser, Subcommand};
use spa_core::name::ProfileName;
use spa_core::request::{Request, Stated};
use spa_core::service::Service;
use spa_core::target::Target;

use super::invoke;
use super::seen::StunServer;
use super::whom::{Allow, SourcePorts};
use crate::failure::Failure;
use crate::host::Host;
use crate::usage::{self, Habits};

const EXAMPLES: &str = "\
Examples:
  spa-client -A tcp/22 -D vpn.example.org --profile laptop
  spa-client --wait -A tcp/22 -D vpn.example.org
  ssh -o ProxyCommand='spa-client connect %h %p' vpn.example.org
  spa-client                         what the only profile opens, at its server
  spa-client -A tcp/22,udp/51820 -w 45s
  spa-client --close                 shut again what was opened
  spa-client --invoke wake-nas       have the server run the action that it calls so
  spa-client --dry-run               say what would be sent, and send nothing
  spa-client enrol vpn.example.org   get a profile without a secret that travels
  spa-client profiles                list the profiles of this device";

/// What other clients for knocking call it.
pub(super) const HABITS: [Habits; 25] = [
    ("-k", "--profile"),
    ("--key", "--profile"),
    ("--key-file", "--profile"),
    ("--rc-file", "--profile"),
    ("-n", "--profile"),
    ("--named-config", "--profile"),
    ("-s", "--allow"),
    ("--source-ip", "--allow"),
    ("-R", "--allow"),
    ("--resolve-ip-http", "--allow"),
    ("-f", "--window"),
    ("--fw-timeout", "--window"),
    ("--timeout", "--window"),
    ("--server-port", "--port"),
    ("--server", "--destination"),
    ("--host", "--destination"),
    ("--open", "--access"),
    ("--service", "--access"),
    ("-N", "--forward"),
    ("--nat-access", "--forward"),
    ("-C", "--invoke"),
    ("--server-cmd", "--invoke"),
    ("-T", "--dry-run"),
    ("--test", "--dry-run"),
    ("-B", "--save-packet"),
];

/// Asks a server to open a door, with one datagram. Nothing is ever answered: try the door.
#[derive(Clone, Debug, Parser)]
#[command(name = "spa-client", version, after_help = EXAMPLES, infer_subcommands = true)]
pub(super) struct Args {
    /// What to open, like tcp/22 or tcp/22,udp/51820 [default: all that the profile opens]
    #[arg(short = 'A', long, value_name = "SERVICE", value_delimiter = ',', global = true)]
    pub(super) access: Vec<Service>,

    /// Where the one service is to lead instead of the server itself: an inner host and port, like 10.0.0.5:443
    #[arg(long, value_name = "TARGET", conflicts_with = "close")]
    pub(super) forward: Option<Target>,

    /// Name or address of the server [default: the profile's]
    #[arg(short = 'D', long, value_name = "HOST", global = true)]
    pub(super) destination: Option<Host>,

    /// Name of the profile, or path of its file [default: the one for the server, or the only one]
    #[arg(long, value_name = "NAME|PATH", global = true)]
    pub(super) profile: Option<PathBuf>,

    /// File of the profile's passphrase, its first line, instead of asking for it
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) passphrase_file: Option<PathBuf>,

    /// For whom: an address, a prefix like 192.0.2.0/24, `source` (whoever the datagram comes from), `resolve` (the own
    /// address as a STUN server sees it), `learnt` (as the server's last receipt told it), or `auto`
    #[arg(short = 'a', long, value_name = "ADDRESS", default_value = "auto", global = true)]
    pub(super) allow: Allow,

    /// STUN server that tells the own address, for `-a resolve`; nobody is asked unless one is named
    #[arg(long, value_name = "HOST[:PORT]", global = true)]
    pub(super) stun: Option<StunServer>,

    /// Let in only connections from this port or these, like 40000 or 40000-40010
    #[arg(long, value_name = "PORTS", conflicts_with_all = ["close", "wait"])]
    pub(super) source_port: Option<SourcePorts>,

    /// How long the door is to stay open, like 45s [default: as the server has it]
    #[arg(short, long, value_name = "TIME", value_parser = usage::duration, global = true)]
    pub(super) window: Option<Duration>,

    /// For one connection: the door shuts as the first TCP handshake is complete, or with its window
    #[arg(long, conflicts_with = "close")]
    pub(super) once: bool,

    /// UDP port that the datagram goes to [default: the profile's]
    #[arg(short, long, value_parser = usage::port, global = true)]
    pub(super) port: Option<NonZeroU16>,

    /// Use the server's IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6", global = true)]
    pub(super) ipv4: bool,

    /// Use the server's IPv6 addresses only
    #[arg(short = '6', long, global = true)]
    pub(super) ipv6: bool,

    /// Wait until the service answers, and say how long that took, or why it probably does not; 10s unless a time is given
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10s",
          value_parser = usage::duration, global = true)]
    pub(super) wait: Option<Duration>,

    /// Shut what this profile opened, for whatever address: the services of -A, or all
    #[arg(long, conflicts_with_all = ["window", "wait"])]
    pub(super) close: bool,

    /// Open nothing, and have the server run the action that it calls NAME, with one argument at most
    #[arg(long, value_names = ["NAME", "ARG"], num_args = 1..=2, value_parser = invoke::word,
          conflicts_with_all = ["access", "forward", "source_port", "window", "once", "wait", "close"])]
    pub(super) invoke: Vec<String>,

    /// How many datagrams go to each address, against loss, from 1 to 5
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = copies, conflicts_with = "wait")]
    pub(super) copies: NonZeroU8,

    /// Ask the server to say what became of it, and wait a second for that [default: as the profile has it]
    #[arg(long, conflicts_with = "wait")]
    pub(super) receipt: bool,

    /// Say in clear what would be sent, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Write the first datagram to a file as well, in place of what was there
    #[arg(long, value_name = "FILE")]
    pub(super) save_packet: Option<PathBuf>,

    /// Print one JSON object on one line, also when it fails; for scripts
    #[arg(long, conflicts_with = "quiet", global = true)]
    pub(super) json: bool,

    /// Tell the time, the size and the addresses of each datagram
    #[arg(short, long, conflicts_with = "quiet", global = true)]
    pub(super) verbose: bool,

    /// Say nothing unless it fails
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,

    #[command(subcommand)]
    pub(super) then: Option<Then>,
}

/// What else there is to do than to knock.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Then {
    /// Knock unless the door is open, connect, and relay standard input and output: for ssh's ProxyCommand
    Connect {
        /// Name or address of the server
        host: Host,
        /// TCP port of the service
        #[arg(value_name = "PORT", value_parser = usage::port)]
        at: NonZeroU16,
    },
    /// Knock unless a window is believed open, and wait until the service answers: for ssh's `Match exec`
    Ensure {
        /// Name or address of the server [default: the profile's]
        host: Option<Host>,
    },
    /// Knock, wait until the service answers, and run a command that finds it in SPA_ADDRESS and SPA_PORT
    Run {
        /// The command and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Be a proxy (SOCKS and HTTP CONNECT) for browsers and other programs, that knocks before it connects
    Proxy {
        /// Where to listen: an address of this machine's loopback, and a port
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1080", value_parser = loopback)]
        listen: SocketAddr,
        /// Connect without a knock to what no profile is for, instead of refusing
        #[arg(long)]
        direct: bool,
    },
    /// Keep the door open: knock again before it shuts, and when this machine's address changes; shut it at the end
    Keep {
        /// Name or address of the server [default: the profile's]
        host: Option<Host>,
    },
    /// List, show, import, remove, encrypt and decrypt the profiles of this device
    Profiles {
        /// What to do with them [default: list]
        #[command(subcommand)]
        what: Option<Profiles>,
    },
    /// Get a profile from a server: print a line for it, then take its answer; neither is secret
    Enrol(Enrol),
}

/// What can be done with profiles.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Profiles {
    /// One line for each profile
    List,
    /// All that a profile says, but its keys
    Show {
        /// Name of the profile, or path of its file
        #[arg(value_name = "NAME|PATH")]
        profile: PathBuf,
    },
    /// Take in a profile from a file, or from a paste
    Import {
        /// The client's half that spa-keygen made, or - to paste its text
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// What to call it here [default: the profile's own name]
        #[arg(long)]
        name: Option<ProfileName>,
        /// Put it in place of one that has the name already
        #[arg(long)]
        force: bool,
    },
    /// Remove a profile from this device; the server keeps its half
    Remove {
        /// Name of the profile, or path of its file
        #[arg(value_name = "NAME|PATH")]
        profile: PathBuf,
        /// Do not ask
        #[arg(long)]
        force: bool,
    },
    /// Put a profile under a passphrase
    Encrypt {
        /// Name of the profile, or path of its file
        #[arg(value_name = "NAME|PATH")]
        profile: PathBuf,
    },
    /// Take the passphrase off a profile
    Decrypt {
        /// Name of the profile, or path of its file
        #[arg(value_name = "NAME|PATH")]
        profile: PathBuf,
    },
}

/// Both halves of an enrolment, on the client's side.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Enrol {
    /// Name or address of the server, as this device reaches it
    #[arg(required_unless_present = "finish")]
    pub(super) host: Option<Host>,
    /// What the profile is to be called [default: this machine's name]
    #[arg(long, conflicts_with = "finish")]
    pub(super) name: Option<ProfileName>,
    /// The line with which the server answered, or - to paste it
    #[arg(long, value_name = "LINE", conflicts_with = "host")]
    pub(super) finish: Option<String>,
    /// Begin anew where one is pending
    #[arg(long, conflicts_with = "finish")]
    pub(super) force: bool,
}

/// Options that every command takes because they stand for the knock in it.
const OF_A_KNOCK: [&str; 11] = [
    "access",
    "destination",
    "profile",
    "allow",
    "stun",
    "window",
    "port",
    "ipv4",
    "ipv6",
    "wait",
    "verbose",
];

/// The parser, without showing those to commands that do not knock.
pub(super) fn without_idle_options(mut command: Command) -> Command {
    // Only then does each command have the options that hold everywhere.
    command.build();
    command.mut_subcommand("profiles", hiding_them).mut_subcommand("enrol", hiding_them)
}

fn hiding_them(command: Command) -> Command {
    let command = command.mut_args(|option| {
        let hides = OF_A_KNOCK.contains(&option.get_id().as_str()) && !option.is_positional();
        option.hide(hides)
    });
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, hiding_them))
}

impl Args {
    /// Whether anything is said that only a knock has a use for. (To the parser a profile that a command names is --profile.)
    pub(super) fn are_for_a_knock(&self) -> bool {
        let Self { access, forward, destination, source_port, window, port, stun, wait, .. } = self;
        let Self { once, ipv4, ipv6, close, invoke, dry_run, save_packet, receipt, verbose, .. } = self;
        let flags = [once, ipv4, ipv6, close, dry_run, receipt, verbose];
        flags.into_iter().any(|flag| *flag)
            || !access.is_empty()
            || self.allow != Allow::Auto
            || forward.is_some()
            || destination.is_some()
            || source_port.is_some()
            || window.is_some()
            || port.is_some()
            || stun.is_some()
            || wait.is_some()
            || !invoke.is_empty()
            || save_packet.is_some()
    }

    /// What the parser cannot see.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if usage::without_repeats(&self.access).len() > Request::MAX_SERVICES {
            let most = Request::MAX_SERVICES;
            return Err(Failure::usage(format!(
                "one request holds {most} services; ask for the others in a second"
            )));
        }
        invoke::check(&self.invoke)?;
        let prefix = matches!(self.allow, Allow::Stated(Stated { prefix: Some(_), .. }));
        if prefix && self.source_port.is_some() {
            return Err(Failure::usage("--source-port goes with an address, not with a prefix"));
        }
        match (self.allow, &self.stun) {
            (Allow::Resolve, None) => {
                let sentence = "-a resolve asks a STUN server for the own address: name one with --stun HOST";
                return Err(Failure::usage(sentence));
            }
            (Allow::Resolve, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err(Failure::usage("--stun is for -a resolve")),
        }
        // What connects here next comes from a port of the system's choice.
        if self.then.is_some() && self.source_port.is_some() {
            return Err(Failure::usage("--source-port goes with a knock alone"));
        }
        if self.source_port.is_some() && self.forward.is_some() {
            return Err(Failure::usage("--source-port does not go with --forward"));
        }
        if prefix && self.forward.is_some() {
            return Err(Failure::usage("--forward goes with an address, not with a prefix"));
        }
        if self.forward.is_some() && usage::without_repeats(&self.access).len() > 1 {
            return Err(Failure::usage(
                "--forward leads one service to its target; name one with -A".to_owned(),
            ));
        }
        if self.forward.is_some_and(|to| if to.address().is_ipv4() { self.ipv6 } else { self.ipv4 }) {
            let sentence = "a forward stays within its address family: leave out -4 and -6";
            return Err(Failure::usage(sentence.to_owned()));
        }
        Ok(())
    }
}

/// Whoever reaches the proxy knocks with our keys: no other machine may.
fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let wrong = "use an address of the loopback and a port, like 127.0.0.1:1080 or [::1]:1080";
    text.parse().ok().filter(|listen: &SocketAddr| listen.ip().is_loopback()).ok_or(wrong)
}

/// More would be a flood, not an answer to loss.
fn copies(text: &str) -> Result<NonZeroU8, &'static str> {
    text.parse().ok().filter(|copies: &NonZeroU8| copies.get() <= 5).ok_or("use a number from 1 to 5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_listens_on_the_loopback_only() {
        #[rustfmt::skip]
        let rows = [
            ("127.0.0.1:1080",       true,  "the loopback"),
            ("127.7.7.7:0",          true,  "the loopback, a port of the system's choice"),
            ("[::1]:1080",           true,  "the loopback"),
            ("0.0.0.0:1080",         false, "everywhere"),
            ("[::]:1080",            false, "everywhere"),
            ("192.0.2.1:1080",       false, "another address"),
            ("[::ffff:7f00:1]:1080", false, "no address of IPv6's loopback"),
            ("localhost:1080",       false, "a name may lead elsewhere"),
            ("1080",                 false, "a port alone"),
        ];
        for (text, allowed, why) in rows {
            assert_eq!(loopback(text).is_ok(), allowed, "{text}: {why}");
        }
    }
}
