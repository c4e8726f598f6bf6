//! The loader: a process that runs `iptables-restore` with the rules of `rules.rs`, and can do nothing else.
//!
//! The monitor may start no program and open no file, and that shall stay so. So it starts the loader before
//! its own sandbox closes, and tells it by a message of fixed size which of the fixed texts to load: at every
//! start, reload and repair, never for a grant. A host with nftables does not need it, and the monitor ends it
//! when its configuration says so.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::{debug, error};

use super::programs;
use super::rules::Stand;
use crate::exit::ExitStatus;
use crate::firewall::Progress;
use crate::firewall::error::FirewallError;
use crate::firewall::standing::{AttachPoint, Variant};
use crate::role::Role;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};

/// The programs of both families may each wait 10 s for a lock.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long it may take to end.
const ENDS: Duration = Duration::from_secs(1);

/// Variant (1 byte), length of the chain's name (1 byte, 0 for guard mode), its bytes.
const REQUEST: usize = 2 + 32;

/// Length of the reason (0: it is loaded), its bytes.
const ANSWER: usize = 1 + 255;

/// The monitor's end.
pub struct Loader {
    /// `None` once it is not to be heard any more.
    channel: Option<Seqpacket>,
    child: Child,
    /// When an answer is there at the latest; `None` while nothing was asked.
    deadline: Option<Instant>,
}

impl Loader {
    /// Starts it, with the rights of this process.
    ///
    /// - `log`: the arguments that say how much to log.
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(log: &[std::ffi::OsString]) -> io::Result<Self> {
        let (channel, theirs) = Seqpacket::pair()?;
        // Not the program's path: an update may have replaced it meanwhile.
        let child = Command::new("/proc/self/exe")
            .arg0("spad")
            .args(["--role", Role::Loader.name()])
            .args(log)
            .stdin(theirs.into_descriptor())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { channel: Some(channel), child, deadline: None })
    }

    /// Begins to load the rules. Of two that are begun one after the other the first is enough: the text is the same.
    pub(super) fn load(&mut self, variant: Variant, stand: &Stand) -> Result<(), FirewallError> {
        if self.deadline.is_some() {
            return Ok(());
        }
        let channel = self.channel.as_ref().ok_or_else(|| gone(&"it was ended"))?;
        channel.send(&request(variant, stand)).map_err(|error| gone(&error))?;
        self.deadline = Some(Instant::now() + PATIENCE);
        Ok(())
    }

    /// Readable when there is an answer; `None` while none is waited for.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.deadline?;
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Whether they are loaded.
    pub(super) fn progress(&mut self) -> Result<Progress, FirewallError> {
        let (Some(deadline), Some(channel)) = (self.deadline, &self.channel) else {
            return Ok(Progress::Done);
        };
        let answer = channel.receive::<ANSWER>();
        if matches!(answer, Ok(Received::Nothing)) && Instant::now() < deadline {
            return Ok(Progress::Waits);
        }
        self.deadline = None;
        match answer {
            Ok(Received::Message([0, ..])) => Ok(Progress::Done),
            Ok(Received::Message([length, reason @ ..])) => {
                let reason = reason.get(..usize::from(length)).unwrap_or_default();
                Err(FirewallError::Program(String::from_utf8_lossy(reason).into_owned()))
            }
            // What it would say later would be taken for the answer to another request.
            Ok(Received::Nothing) => {
                self.channel = None;
                Err(gone(&"it did not answer"))
            }
            Ok(Received::Closed) => Err(gone(&"it ended")),
            Err(error) => Err(gone(&error)),
        }
    }
}

fn gone(reason: &dyn std::fmt::Display) -> FirewallError {
    FirewallError::LoaderGone(reason.to_string())
}

impl Drop for Loader {
    fn drop(&mut self) {
        // It ends when its channel does. One that hangs in a program is left behind: it is root's, and the monitor
        // cannot kill it.
        drop(self.channel.take());
        let deadline = Instant::now() + ENDS;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(1));
        }
    }
}

/// The loader itself: runs until its channel is closed.
pub fn run(channel: &Seqpacket) -> ExitStatus {
    match sandbox::seal_loader() {
        Ok(()) => debug!("loader waits"),
        Err(error) => {
            error!("{error}");
            return (&error).into();
        }
    }
    loop {
        let waited = poll(&mut [PollFd::new(channel, PollFlags::IN)], None);
        let request = match channel.receive::<REQUEST>() {
            Ok(Received::Message(bytes)) => understand(&bytes),
            Ok(Received::Nothing) if waited.is_ok() => continue,
            Ok(Received::Closed) => return ExitStatus::Done,
            _ => None,
        };
        let Some((variant, stand)) = request else {
            error!("the monitor sent what no monitor sends; the loader ends");
            return ExitStatus::Failure;
        };
        let outcome = programs::load(variant, &stand);
        if channel.send(&answer(outcome.err().as_deref())).is_err() {
            return ExitStatus::Done;
        }
    }
}

fn request(variant: Variant, stand: &Stand) -> [u8; REQUEST] {
    let chain = match stand {
        Stand::Guard => "",
        Stand::Attach(chain) => chain,
    };
    let variant = match variant {
        Variant::Host => 0,
        Variant::Nft => 1,
        Variant::Legacy => 2,
    };
    // A chain's name has 28 bytes at most (`AttachPoint`).
    let mut bytes = [0; REQUEST];
    for (to, from) in bytes.iter_mut().zip([variant, chain.len() as u8].iter().chain(chain.as_bytes())) {
        *to = *from;
    }
    bytes
}

/// Nothing but what `request` makes: the name of a chain becomes part of a text that the programs read.
fn understand(bytes: &[u8; REQUEST]) -> Option<(Variant, Stand)> {
    let [variant, length, rest @ ..] = bytes;
    let variant = match variant {
        0 => Variant::Host,
        1 => Variant::Nft,
        2 => Variant::Legacy,
        _ => return None,
    };
    let chain = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
    if chain.is_empty() {
        return Some((variant, Stand::Guard));
    }
    let point: AttachPoint = format!("filter {chain}").parse().ok()?;
    Some((variant, Stand::Attach(point.chain)))
}

fn answer(reason: Option<&str>) -> [u8; ANSWER] {
    let reason = reason.unwrap_or_default().as_bytes();
    let reason = reason.get(..ANSWER - 1).unwrap_or(reason);
    let mut bytes = [0; ANSWER];
    for (to, from) in bytes.iter_mut().zip([reason.len() as u8].iter().chain(reason)) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_and_nothing_else_is() {
        for stand in [Stand::Guard, Stand::Attach("ufw-user-input".to_owned())] {
            let bytes = request(Variant::Legacy, &stand);
            assert_eq!(understand(&bytes), Some((Variant::Legacy, stand)));
        }
        #[rustfmt::skip]
        let rows = [
            ([3, 0, 0, 0],          "no such variant"),
            ([0, 255, b'A', b'B'],  "longer than the message"),
            ([0, 2, b'-', b'j'],    "an option"),
            ([0, 2, b'A', b'\n'],   "a second line"),
            ([0, 2, 0xff, 0xff],    "no text"),
        ];
        for (first, why) in rows {
            let mut bytes = [0; REQUEST];
            bytes[..4].copy_from_slice(&first);
            assert_eq!(understand(&bytes), None, "{why}");
        }
    }

    #[test]
    fn a_reason_is_cut_to_fit() {
        assert_eq!(answer(None)[0], 0);
        assert_eq!(answer(Some(&"x".repeat(1000)))[0], 255);
        assert_eq!(answer(Some("no"))[..3], [2, b'n', b'o']);
    }
}
