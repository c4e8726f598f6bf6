//! What goes wrong, and when.

use std::time::Duration;

use lab::Lab;

/// A process of spad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Starter,
    Monitor,
    Worker,
    Loader,
}

/// How far the knock has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It comes right after the fault.
    Before,
    /// It is on its way through the daemon.
    Opening,
    /// The door is open.
    Open,
    /// The window is about to end, or has just ended.
    Ending,
    /// The client has just asked for an early end.
    Closing,
}

use Moment::{Before, Closing, Ending, Open, Opening};

const ALWAYS: &[Moment] = &[Before, Opening, Open, Ending, Closing];

/// What is done to the daemon or to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill(Role),
    /// SIGKILL to all at once, as a power cut.
    KillAll,
    /// The same, and nobody starts it again before the window has ended.
    KillAllForLong,
    /// SIGSTOP, and after most of a second SIGCONT.
    Hang(Role),
    /// SIGSTOP, then the knock, then SIGKILL.
    HangAndKill(Role),
    /// Somebody else takes away our table, or our rules.
    Flush,
    /// The same while somebody holds the lock of iptables for a second.
    FlushUnderLock,
    /// Somebody holds the lock of iptables for a second.
    Lock,
    /// Others flush, and the loader of iptables' rules is killed while it puts them back, or before.
    KillLoaderAndFlush,
    /// The disk is full to the last byte.
    FullDisk,
    /// The disk is full, and the worker has to start again.
    FullDiskAndKill,
    /// Nothing can be flushed to the disk.
    BrokenDisk,
    /// The interface goes, and comes back after half a second.
    Unplug,
    /// The wall clock steps by a day, forward or back, and is put right after half a second.
    ClockStep,
}

/// One fault on the firewalls where it can happen.
pub struct Row {
    pub name: &'static str,
    pub fault: Fault,
    pub moments: &'static [Moment],
    pub backends: &'static [Backend],
    /// What the one line says about it, one of these; nothing where nobody is left who could say it, or where nothing is
    /// lost.
    pub says: &'static [&'static str],
    /// What may be said besides: how it came to that, or that it is over.
    pub also: &'static [&'static str],
}

/// `firewall.backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Nftables,
    IptablesNft,
    IptablesLegacy,
}

use Backend::{IptablesLegacy, IptablesNft, Nftables};

const ALL: &[Backend] = &[Nftables, IptablesNft, IptablesLegacy];
const IPTABLES: &[Backend] = &[IptablesNft, IptablesLegacy];

#[rustfmt::skip]
pub const FAULTS: &[Row] = &[
    row("kill -9 of the worker",                     Fault::Kill(Role::Worker),          ALWAYS,                      ALL, &["the worker ended"], &[]),
    row("kill -9 of the monitor",                    Fault::Kill(Role::Monitor),         ALWAYS,                      ALL, &["the monitor ended"], &[]),
    row("kill -9 of the starter",                    Fault::Kill(Role::Starter),         ALWAYS,                      ALL, &[], &[]),
    row("kill -9 of the loader, and a flush",       Fault::KillLoaderAndFlush,          &[Before, Opening, Open],    IPTABLES, &["the loader of iptables' rules is gone"], &["somebody else changed", "what spad had loaded is not there", "the monitor ended"]),
    row("kill -9 of all, and a start",            Fault::KillAll,                     ALWAYS,                      ALL, &[], &[]),
    row("kill -9 of all, and no new start",          Fault::KillAllForLong,              &[Opening, Open, Ending],    ALL, &[], &[]),
    row("the worker hangs",                          Fault::Hang(Role::Worker),          ALWAYS,                      ALL, &[], &[]),
    row("the monitor hangs",                         Fault::Hang(Role::Monitor),         ALWAYS,                      ALL, &[], &[]),
    row("the starter hangs",                         Fault::Hang(Role::Starter),         ALWAYS,                      ALL, &[], &[]),
    row("the monitor hangs and is killed",           Fault::HangAndKill(Role::Monitor),  &[Opening, Closing],         ALL, &["the monitor ended"], &[]),
    row("the worker hangs and is killed",            Fault::HangAndKill(Role::Worker),   &[Opening, Closing],         ALL, &["the worker ended"], &[]),
    row("others take away our table",                Fault::Flush,                       ALWAYS,                      &[Nftables], &["somebody else changed what is spad's", "what spad had loaded is not there"], &[]),
    row("others flush the rules of iptables",        Fault::Flush,                       ALWAYS,                      IPTABLES, &["somebody else changed what is spad's", "what spad had loaded is not there"], &[]),
    row("others hold the lock of iptables",          Fault::Lock,                        &[Before, Opening, Ending],  &[IptablesLegacy], &[], &[]),
    row("others hold that lock and flush",           Fault::FlushUnderLock,              &[Before, Opening, Open],    &[IptablesLegacy], &["somebody else changed what is spad's"], &[]),
    row("the disk is full",                          Fault::FullDisk,                    &[Before],                   ALL, &[], &[]),
    row("the disk is full and the worker killed",    Fault::FullDiskAndKill,             &[Before, Opening, Open],    ALL, &["the worker ended"], &[]),
    row("the disk refuses to flush",                 Fault::BrokenDisk,                  &[Before],                   ALL, &["the journal cannot be written"], &["can be written again"]),
    row("the interface goes and comes back",         Fault::Unplug,                      &[Open, Opening],            ALL, &["cannot listen on eth0"], &["WARN eth0: "]),
    row("the clock steps by a day and back",         Fault::ClockStep,                   &[Open, Opening],            ALL, &[], &[]),
];

const fn row(
    name: &'static str,
    fault: Fault,
    moments: &'static [Moment],
    backends: &'static [Backend],
    says: &'static [&'static str],
    also: &'static [&'static str],
) -> Row {
    Row { name, fault, moments, backends, says, also }
}

impl Fault {
    /// How long spad may need to put the guard back that this takes away.
    pub fn allows(self) -> Duration {
        match self {
            Self::Flush => Duration::from_secs(1),
            // Nobody can load a rule before the lock is free.
            Self::FlushUnderLock => Duration::from_secs(2),
            // Flushed again while it was being put back, and a new monitor has to be started.
            Self::KillLoaderAndFlush => Duration::from_secs(2),
            _ => Duration::ZERO,
        }
    }
}

impl Backend {
    /// As spad.toml has it.
    pub fn name(self) -> &'static str {
        match self {
            Nftables => "nftables",
            IptablesNft => "iptables-nft",
            IptablesLegacy => "iptables-legacy",
        }
    }

    /// The infix of the programs that speak with it, if they are those of iptables.
    pub fn infix(self) -> Option<&'static str> {
        match self {
            Nftables => None,
            IptablesNft => Some("-nft"),
            IptablesLegacy => Some("-legacy"),
        }
    }

    /// Loads what the operator has.
    pub fn load_rules_of_others(self, lab: &Lab) {
        let Some(infix) = self.infix() else {
            return drop(lab.sh(
                lab::SERVER,
                "nft -f - <<'END'\ntable inet filter {\n set friends { type ipv4_addr; elements = { 10.77.0.9 }; }\n \
                 chain input {\n type filter hook input priority 0; policy accept;\n ip saddr @friends counter accept\n \
                 tcp dport 25 drop\n }\n}\nEND",
            ));
        };
        lab.sh(
            lab::SERVER,
            &format!(
                "for program in iptables ip6tables; do $program{infix}-restore --wait=20 <<'END'\n\
                 *raw\nCOMMIT\n*mangle\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:mine - [0:0]\n\
                 -A INPUT -p tcp -m tcp --dport 25 -j mine\n-A mine -m comment --comment \"of the operator\" -j DROP\nCOMMIT\n\
                 END\ndone"
            ),
        );
    }

    /// What takes away all that is ours: a few words of shell.
    pub fn flush(self) -> String {
        let Some(infix) = self.infix() else { return "nft delete table inet spad".to_owned() };
        let flush = |program: &str| {
            ["raw", "mangle"].map(|table| format!("{program}{infix} -w 20 -t {table} -F; ")).concat()
        };
        format!("{}{}", flush("iptables"), flush("ip6tables"))
    }
}
