//! The last steps before a command, in a process that then becomes it: another user, no capability, no descriptor of ours, a
//! session of its own, an environment that says nothing but what it is to know.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::Mode;
use rustix::net::RecvFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::exit::ExitStatus;
use crate::identity::Identity;
use crate::sandbox;
use crate::socketpair::{ChannelError, Seqpacket};
use crate::sys;

/// Most bytes of a job: a word takes six times its length at worst.
const MOST: usize = 128 * 1024;
/// Where programs that a command starts are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a shell says of a command that cannot be started.
const NOT_STARTED: i32 = 127;

/// What is to be run, from the runner to the supervisor and from there to this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) argv: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Milliseconds.
    pub(super) limit: u64,
}

impl Job {
    pub(super) fn send(&self, channel: &Seqpacket) -> Result<(), ChannelError> {
        channel.send_packet(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// That of the process that started this one: sent before it did.
    pub(super) fn receive(channel: &Seqpacket) -> io::Result<Self> {
        let mut packet = vec![0; MOST];
        let (_, length) = rustix::net::recv(channel, packet.as_mut_slice(), RecvFlags::TRUNC)?;
        let packet = packet.get(..length).ok_or_else(|| io::Error::other("a job that is too long"))?;
        serde_json::from_slice(packet).map_err(io::Error::other)
    }
}

/// Becomes the command; what keeps it from that is said where its output goes.
pub fn run(channel: &Seqpacket) -> ExitStatus {
    let why = match Job::receive(channel) {
        Ok(job) => become_it(&job),
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "cannot be run: {why}");
    std::process::exit(NOT_STARTED)
}

/// Returns only if that failed, and why.
fn become_it(job: &Job) -> io::Error {
    let Some((program, words)) = job.argv.split_first() else { return io::Error::other("no program") };
    if let Err(error) = prepare(job) {
        return error;
    }
    let environment = job.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut command = Command::new(program);
    command.args(words).env_clear().envs([("PATH", PATH)]).envs(environment).exec()
}

fn prepare(job: &Job) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    sys::signal::hear_all()?;
    sys::descriptors::close_on_exec_from(3)?;
    sandbox::become_user(Identity::Become { ids: (job.uid, job.gid), own: false })
        .map_err(io::Error::other)?;
    // After the change of user, which the kernel takes as a reason to forget it.
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}
