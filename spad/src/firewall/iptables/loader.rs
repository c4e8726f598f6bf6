//! The loader: a process that runs `iptables-restore` with the rules of `rules.rs`, and can do nothing else.
//!
//! The monitor may start no program and open no file, and that shall stay so. So it starts the loader before
//! its own sandbox closes, and tells it by a message of fixed size which of the fixed texts to load: at every
//! start, reload and repair, never for a grant. Where nobody else can, it also looks whether the jump is still first. A host with nftables does not need it, and the monitor ends it
//! when its configuration says so.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use spa_core::reader::Reader;
use spa_core::target::{Target, is_one_host};
use tracing::{debug, error};

use super::forward::Leads;
use super::programs;
use super::rules::Stand;
use crate::config::{MOST_SOURCES, MOST_TARGETS};
use crate::exit::ExitStatus;
use crate::firewall::Progress;
use crate::firewall::error::FirewallError;
use crate::firewall::standing::{AttachPoint, Variant};
use crate::role::Role;
use crate::sandbox;
use crate::socketpair::{Received, Seqpacket};
use crate::wire::{address, put_address};

/// The programs of both families may each wait 10 s for a lock.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long it may take to end.
const ENDS: Duration = Duration::from_secs(1);

/// Task (1 byte), variant (1 byte), length of the chain's name (1 byte, 0 for guard mode), its bytes; what NAT is to do
/// (1 byte), how many targets and senders (1 byte each), their bytes; zeros.
const REQUEST: usize = 3 + 32 + 3 + MOST_TARGETS * 19 + MOST_SOURCES * 17;

/// Length of the reason (0: it is loaded), its bytes.
const ANSWER: usize = 1 + 255;

/// What it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Load the rules.
    Load,
    /// Say whether the jump is at the head of the chain that leads to ours.
    Look,
}

/// The monitor's end.
pub struct Loader {
    /// `None` once it is not to be heard any more.
    channel: Option<Seqpacket>,
    child: Child,
    /// What was asked and is not answered yet.
    asked: VecDeque<Task>,
    /// What the rules that were asked for last are to do.
    leads: Leads,
    /// When the last of it is answered at the latest.
    deadline: Option<Instant>,
    displaced: bool,
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
        let (asked, leads) = (VecDeque::new(), Leads::Nowhere);
        Ok(Self { channel: Some(channel), child, asked, leads, deadline: None, displaced: false })
    }

    /// Begins to load the rules. Of two that are begun one after the other the first is enough, if the text is the same.
    pub(super) fn load(
        &mut self,
        variant: Variant,
        stand: &Stand,
        leads: &Leads,
    ) -> Result<(), FirewallError> {
        if self.asked.contains(&Task::Load) && self.leads == *leads {
            return Ok(());
        }
        self.leads = leads.clone();
        self.tell(Task::Load, variant, stand, leads)
    }

    /// Begins to look whether the jump is still at the head of its chain.
    pub(super) fn look(&mut self, variant: Variant, stand: &Stand) -> Result<(), FirewallError> {
        if self.asked.contains(&Task::Look) {
            return Ok(());
        }
        self.tell(Task::Look, variant, stand, &Leads::Nowhere)
    }

    fn tell(
        &mut self,
        task: Task,
        variant: Variant,
        stand: &Stand,
        leads: &Leads,
    ) -> Result<(), FirewallError> {
        let channel = self.channel.as_ref().ok_or_else(|| gone(&"it was ended"))?;
        channel.send(&request(task, variant, stand, leads)).map_err(|error| gone(&error))?;
        self.asked.push_back(task);
        self.deadline = Some(Instant::now() + PATIENCE);
        Ok(())
    }

    /// Readable when there is an answer; `None` while no rules are being loaded.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().filter(|_| self.asked.contains(&Task::Load)).map(AsFd::as_fd)
    }

    /// Whether the rules are loaded.
    pub(super) fn progress(&mut self) -> Result<Progress, FirewallError> {
        let loaded = self.hear()?;
        if self.asked.contains(&Task::Load) {
            return Ok(Progress::Waits);
        }
        loaded.map_or(Ok(Progress::Done), |reason| Err(FirewallError::Program(reason)))
    }

    /// Whether the jump was not at the head when that was last looked at.
    pub(super) fn displaced(&mut self) -> bool {
        // A loader that is gone is missed when rules are to be loaded.
        !self.asked.contains(&Task::Load) && self.hear().is_ok() && self.displaced
    }

    /// Reads what answers there are, which come in the order of the requests. Returns why rules could not be loaded.
    fn hear(&mut self) -> Result<Option<String>, FirewallError> {
        let mut failed = None;
        while let Some(&task) = self.asked.front() {
            let channel = self.channel.as_ref().ok_or_else(|| gone(&"it was ended"))?;
            let reason = match channel.receive::<ANSWER>() {
                Ok(Received::Message([length, reason @ ..])) => {
                    let reason = reason.get(..usize::from(length)).unwrap_or_default();
                    String::from_utf8_lossy(reason).into_owned()
                }
                Ok(Received::Nothing) if self.deadline.is_some_and(|deadline| Instant::now() < deadline) => {
                    break;
                }
                // What it would say later would be taken for the answer to another request.
                Ok(Received::Nothing) => return Err(self.give_up(&"it did not answer")),
                Ok(Received::Closed) => return Err(self.give_up(&"it ended")),
                Err(error) => return Err(self.give_up(&error)),
            };
            self.asked.pop_front();
            match task {
                Task::Load if reason.is_empty() => (failed, self.displaced) = (None, false),
                Task::Load => failed = Some(reason),
                Task::Look => self.displaced = !reason.is_empty(),
            }
        }
        Ok(failed)
    }

    fn give_up(&mut self, reason: &dyn std::fmt::Display) -> FirewallError {
        self.channel = None;
        gone(reason)
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
        let Some((task, variant, stand, leads)) = request else {
            error!("the monitor sent what no monitor sends; the loader ends");
            return ExitStatus::Failure;
        };
        let outcome = match task {
            Task::Load => programs::load(variant, &stand, &leads),
            Task::Look => programs::look(variant, &stand),
        };
        if channel.send(&answer(outcome.err().as_deref())).is_err() {
            return ExitStatus::Done;
        }
    }
}

fn request(task: Task, variant: Variant, stand: &Stand, leads: &Leads) -> [u8; REQUEST] {
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
    let mut bytes = vec![task as u8, variant, chain.len() as u8];
    bytes.extend_from_slice(chain.as_bytes());
    bytes.resize(3 + 32, 0);
    let kind = match leads {
        Leads::Nowhere => 0,
        Leads::NoLonger => 1,
        Leads::To(..) => 2,
    };
    // spad.toml names no more than fit (`MOST_TARGETS`).
    bytes.extend([kind, leads.targets().len() as u8, leads.sources().len() as u8]);
    for target in leads.targets() {
        put_address(&mut bytes, target.address());
        bytes.extend_from_slice(&target.port().get().to_be_bytes());
    }
    for source in leads.sources() {
        put_address(&mut bytes, *source);
    }
    bytes.resize(REQUEST, 0);
    bytes.try_into().unwrap_or([u8::MAX; REQUEST])
}

/// Nothing but what `request` makes: the name of a chain becomes part of a text that the programs read, and so do
/// addresses and ports.
fn understand(bytes: &[u8; REQUEST]) -> Option<(Task, Variant, Stand, Leads)> {
    let (task, variant, stand, leads) = parse(bytes)?;
    (request(task, variant, &stand, &leads) == *bytes).then_some((task, variant, stand, leads))
}

fn parse(bytes: &[u8; REQUEST]) -> Option<(Task, Variant, Stand, Leads)> {
    let mut r = Reader::new(bytes);
    let task = r.u8().ok()?;
    let task = [Task::Load, Task::Look].into_iter().find(|one| *one as u8 == task)?;
    let variant = match r.u8().ok()? {
        0 => Variant::Host,
        1 => Variant::Nft,
        2 => Variant::Legacy,
        _ => return None,
    };
    let length = usize::from(r.u8().ok()?);
    let chain = r.array::<32>().ok()?;
    let chain = std::str::from_utf8(chain.get(..length)?).ok()?;
    let stand = if chain.is_empty() {
        Stand::Guard
    } else {
        Stand::Attach(format!("filter {chain}").parse::<AttachPoint>().ok()?.chain)
    };
    let [kind, targets, sources] = *r.array::<3>().ok()?;
    let mut target = || Target::new(address(&mut r)?, r.u16().ok()?.try_into().ok()?);
    let targets: Vec<_> = (0..targets).map(|_| target()).collect::<Option<_>>()?;
    let mut source = || address(&mut r).filter(|address| is_one_host(*address));
    let sources: Vec<_> = (0..sources).map(|_| source()).collect::<Option<_>>()?;
    let leads = match kind {
        0 => Leads::Nowhere,
        1 => Leads::NoLonger,
        2 => Leads::To(targets, sources),
        _ => return None,
    };
    Some((task, variant, stand, leads))
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
            for task in [Task::Load, Task::Look] {
                for leads in [Leads::Nowhere, Leads::NoLonger, most()] {
                    let bytes = request(task, Variant::Legacy, &stand, &leads);
                    assert_eq!(understand(&bytes), Some((task, Variant::Legacy, stand.clone(), leads)));
                }
            }
        }
        #[rustfmt::skip]
        let rows = [
            ([2, 0, 0, 0, 0],          "no such task"),
            ([0, 3, 0, 0, 0],          "no such variant"),
            ([0, 0, 255, b'A', b'B'],  "longer than the message"),
            ([0, 0, 2, b'-', b'j'],    "an option"),
            ([0, 0, 2, b'A', b'\n'],   "a second line"),
            ([0, 0, 2, 0xff, 0xff],    "no text"),
        ];
        for (first, why) in rows {
            let mut bytes = [0; REQUEST];
            bytes[..5].copy_from_slice(&first);
            assert_eq!(understand(&bytes), None, "{why}");
        }
    }

    /// As many as spad.toml may name.
    fn most() -> Leads {
        let target = |n: u16| Target::new([0xfd; 16].into(), n.try_into().unwrap()).unwrap();
        let targets = (1..=MOST_TARGETS as u16).map(target).collect();
        Leads::To(targets, vec![[0xfd; 16].into(); MOST_SOURCES])
    }

    #[test]
    fn a_target_that_is_none_ends_the_loader() {
        let one = Leads::To(vec!["10.0.0.5:443".parse().unwrap()], vec!["192.0.2.1".parse().unwrap()]);
        #[rustfmt::skip]
        let rows = [
            // which byte, what, why
            (35, 0,   "a target, and yet none is wanted"),
            (35, 3,   "no such kind"),
            (36, 65,  "more than there are"),
            (38, 5,   "no such family"),
            (39, 127, "loopback"),
            (43, 0,   "another port, still good"),
            (46, 224, "a multicast address as the sender"),
            (REQUEST - 1, 1, "a byte behind the fields"),
        ];
        for (at, byte, why) in rows {
            let mut bytes = request(Task::Load, Variant::Nft, &Stand::Guard, &one);
            bytes[at] = byte;
            assert_eq!(understand(&bytes).is_some(), why.contains("still good"), "{why}");
        }
    }

    #[test]
    fn a_reason_is_cut_to_fit() {
        assert_eq!(answer(None)[0], 0);
        assert_eq!(answer(Some(&"x".repeat(1000)))[0], 255);
        assert_eq!(answer(Some("no"))[..3], [2, b'n', b'o']);
    }
}
