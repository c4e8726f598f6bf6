//! The laboratory: the process that holds its namespaces, its files, and the programs that run in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::process::{Done, Running, children, run};
use crate::{Extra, Host, network, skip};

/// More output than this from any program of ours would be a flood.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// Programs of the system without which there is no laboratory.
const TOOLS: [&str; 8] = ["ip", "mount", "nft", "nmap", "nsenter", "sh", "timeout", "unshare"];

/// A small network of hosts. It is gone when this is dropped or the test process dies.
///
/// One shell, the *anchor*, is process 1 of a process namespace of its own; when it ends, the kernel kills
/// everything in there. It waits at the end of a pipe that only the test process holds.
#[derive(Debug)]
pub struct Lab {
    anchor: Child,
    /// The anchor, as the test process sees it.
    pid: u32,
    /// Made by somebody who is not root: a user namespace belongs to it.
    unprivileged: bool,
}

impl Lab {
    /// The server and the clients A and B.
    #[must_use]
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// The server, A and B, and more; `None`, and a loud line, where the system does not allow it.
    ///
    /// # Panics
    /// When it is not possible and `CI` is set.
    #[must_use]
    pub fn with(extras: &[Extra]) -> Option<Self> {
        if let Some(missing) = TOOLS.iter().find(|tool| !is_installed(tool)) {
            skip(&format!("the program `{missing}` is missing (Debian: iproute2 nftables nmap util-linux)"));
            return None;
        }
        match Self::build(extras) {
            Ok(lab) => Some(lab),
            Err(reason) => {
                skip(&format!("no namespaces here: {}", reason.trim()));
                None
            }
        }
    }

    fn build(extras: &[Extra]) -> Result<Self, String> {
        let unprivileged = !rustix::process::geteuid().is_root();
        let mut unshare = Command::new("unshare");
        if unprivileged {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args([
            "--pid",
            "--mount",
            "--net",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-e",
            "-c",
        ]);
        unshare
            .arg(anchor_script(extras))
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut anchor = unshare.spawn().map_err(|e| e.to_string())?;

        let mut said = BufReader::new(anchor.stdout.take().ok_or("no pipe")?).lines().map_while(Result::ok);
        let allowed = said.next().is_some();
        if said.next().is_none() {
            let mut reason = String::new();
            let _ = anchor.stderr.take().ok_or("no pipe")?.read_to_string(&mut reason);
            let _ = anchor.wait();
            assert!(!allowed, "the laboratory cannot be built:\n{reason}");
            return Err(reason);
        }
        let pid = *children(anchor.id()).first().ok_or("the anchor vanished")?;
        let lab = Self { anchor, pid, unprivileged };
        lab.write("hosts", network::HOSTS_FILE);
        Ok(lab)
    }

    /// Whether the laboratory was made without being root: only one user id exists in it.
    #[must_use]
    pub fn is_unprivileged(&self) -> bool {
        self.unprivileged
    }

    /// The process that holds the laboratory, as the test process sees it.
    #[must_use]
    pub fn anchor(&self) -> u32 {
        self.pid
    }

    /// Path of a file of the laboratory, for the test process. The files are in memory and vanish with it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.pid, Self::inside(name)))
    }

    /// Path of the same file, for programs in the laboratory.
    #[must_use]
    pub fn inside(name: &str) -> String {
        format!("/run/lab/{name}")
    }

    /// Writes a file of the laboratory.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(contents.as_ref()))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Reads a text file of the laboratory.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        let bytes = self.bytes(name);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads a file of the laboratory.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A command that will run on a host.
    #[must_use]
    pub fn command(&self, host: Host, program: impl AsRef<OsStr>) -> Command {
        self.command_with(host, &[], program)
    }

    /// The same with `NAME=value` settings in its environment, and only in its.
    #[must_use]
    pub fn command_with(&self, host: Host, environment: &[String], program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.env("PATH", path()).arg("--target").arg(self.pid.to_string()).args(["--mount", "--pid"]);
        if self.unprivileged {
            command.args(["--user", "--preserve-credentials"]);
        }
        // `ip netns exec` also mounts the host's own /sys.
        command.args(["--", "ip", "netns", "exec", host.name, "env"]).args(environment).arg(program);
        command.env("XDG_CONFIG_HOME", Self::inside("home/.config")).env("HOME", Self::inside("home"));
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
            command.env_remove(name);
        }
        command
    }

    /// A command that is killed after a minute: what hangs must not hang the tests.
    pub(crate) fn bounded(&self, host: Host, environment: &[String], program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command_with(host, environment, "timeout");
        command.args(["--signal=KILL", "60"]).arg(program);
        command
    }

    /// Runs a program on a host to its end.
    #[must_use]
    pub fn run(&self, host: Host, program: &str, arguments: &[&str]) -> Done {
        let mut command = self.bounded(host, &[], program);
        command.args(arguments);
        run(command)
    }

    /// Runs a few words of shell on a host to their end, which must be a good one; gives their output.
    pub fn sh(&self, host: Host, script: &str) -> String {
        self.run(host, "sh", &["-e", "-c", script]).ok().out
    }

    /// Runs a few words of shell beside the hosts, where their wires meet; what is mounted there, all of them see.
    pub fn outside(&self, script: &str) -> String {
        let mut command = Command::new("nsenter");
        command
            .env("PATH", path())
            .arg("--target")
            .arg(self.pid.to_string())
            .args(["--mount", "--pid", "--net"]);
        if self.unprivileged {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--", "sh", "-e", "-c", script]);
        run(command).ok().out
    }

    /// Takes a host of the switch off it: its first interface is gone.
    pub fn unplug(&self, host: Host) {
        self.outside(&format!("ip -n {} link del eth0", host.name));
    }

    /// Gives it one again, with the same addresses.
    pub fn plug(&self, host: Host) {
        self.outside(&network::plug(host));
    }

    /// Starts a program on a host.
    #[must_use]
    pub fn start(&self, command: Command) -> Running {
        Running::start(command)
    }

    /// All programs of this name that run in the laboratory, wherever they came from.
    #[must_use]
    pub fn running(&self, name: &str) -> Vec<String> {
        let own = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().is_ok();
        let processes =
            fs::read_dir(format!("/proc/{}/root/proc", self.pid)).expect("the laboratory has /proc");
        processes
            .flatten()
            .filter(own)
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
            .filter(|stat| stat.contains(&format!("({name})")) && !stat.contains(") Z"))
            .collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Closing the pipe ends the anchor, and with it everything.
        drop(self.anchor.stdin.take());
        let _ = self.anchor.wait();
    }
}

fn anchor_script(extras: &[Extra]) -> String {
    let network = network::script(extras);
    // Up to "allowed" it is the system that may say no; after that a failure is ours. SIGCHLD is ignored so
    // that the kernel buries orphans, which end up as children of process 1.
    format!(
        "mount --make-rprivate /\n\
         mount -t tmpfs -o mode=755 lab /run\n\
         ip netns add probe\n\
         ip netns exec probe true\n\
         echo allowed\n\
         mkdir -p /run/lab/home/.config/spa/profiles /run/lab/etc\n\
         chmod -R go= /run/lab/home /run/lab/etc\n\
         echo 0123456789abcdef0123456789abcdef >/run/lab/machine-id\n\
         : >/run/lab/hosts\n\
         mount --bind /run/lab/hosts /etc/hosts\n\
         if [ -e /etc/machine-id ]; then mount --bind /run/lab/machine-id /etc/machine-id; fi\n\
         {network}\
         trap '' CHLD\n\
         echo ready\n\
         exec cat"
    )
}

/// Where programs of the system are: also where only root looks.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn is_installed(tool: &str) -> bool {
    std::env::split_paths(&path()).any(|folder| folder.join(tool).is_file())
}
