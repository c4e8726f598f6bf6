//! The system calls of a worker, and of the sender (seccomp): a list of what is allowed; anything else kills the process.
//!
//! Two filters are stacked, of which the kernel obeys the stricter. The first answers EPERM to a few calls
//! that libraries make in passing; the second is the list.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use libc::{PROT_EXEC, c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::SandboxError;
use crate::sys::clock;

/// Allowed whatever the arguments: none of them can open, send, start, or reach another process.
const FREE: &[c_long] = &[
    // Waiting and reading. No `recvmmsg`, no `epoll`: nothing here uses them.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    // Files that are open.
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    // Counters of a capture, a socket's pending error, and whether its interface is still there.
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    // Memory; `mmap` and `mprotect` stand in `conditional`.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Time. Without CAP_SYS_TIME the last two can only read.
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // Randomness: what a hash map's seed comes from.
    libc::SYS_getrandom,
    // The language runtime, and ending, also by abort.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The same for the sender, which reads and writes by number only.
const FREE_TO_THE_SENDER: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Answered with EPERM, because a library tries them in passing and goes on without:
/// - `ioctl`: libpcap asks for the state of an interface that vanished;
/// - `setsockopt`: libpcap gives a capture's ring back when it is closed;
/// - the last two look a name up in the file system: the standard library asks them for a file's size.
const REFUSED: &[c_long] = &[libc::SYS_ioctl, libc::SYS_setsockopt, libc::SYS_statx, libc::SYS_newfstatat];

/// `fcntl` on an open file: its flags and locks. Never F_DUPFD: a capture socket duplicated onto the number
/// of a journal could be written to, that is: it could send.
const FCNTL: &[c_int] = &[
    libc::F_GETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
];

/// Installs both filters, for good.
pub(super) fn allow_only_the_workers(writable: impl Iterator<Item = RawFd>) -> Result<(), SandboxError> {
    let mut writable: Vec<RawFd> = writable.collect();
    writable.push(io::stderr().as_raw_fd());
    let mut conditional = for_everybody(std::process::id());
    let written = [libc::SYS_write, libc::SYS_writev, libc::SYS_pwrite64];
    conditional.extend(written.map(|call| (call, 0, equal(&writable))));
    conditional.push((libc::SYS_fcntl, 1, equal(FCNTL)));
    install_both(FREE, conditional)
}

/// The same for the sender: it reads its channel, sends by its sockets and writes to standard error.
pub(super) fn allow_only_the_senders(channel: RawFd, sockets: &[RawFd]) -> Result<(), SandboxError> {
    let mut conditional = for_everybody(std::process::id());
    let stderr = [io::stderr().as_raw_fd()];
    conditional.extend([libc::SYS_bind, libc::SYS_sendto].map(|call| (call, 0, equal(sockets))));
    conditional.extend([libc::SYS_write, libc::SYS_writev].map(|call| (call, 0, equal(&stderr))));
    conditional.push((libc::SYS_recvfrom, 0, equal(&[channel])));
    // What a build for tests asks of each descriptor that it closes.
    conditional.push((libc::SYS_fcntl, 1, equal(&[libc::F_GETFD])));
    install_both(FREE_TO_THE_SENDER, conditional)
}

fn install_both(free: &[c_long], conditional: Vec<Conditional>) -> Result<(), SandboxError> {
    // The first look at a clock asks the kernel by `prctl` where its clocks are; no later one does.
    clock::boottime();
    let install = |program: Result<BpfProgram, BackendError>| {
        let program = program.map_err(io::Error::other)?;
        seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
    };
    install(refused_calls())
        .and_then(|()| install(allowed_calls(free, conditional)))
        .map_err(|error| SandboxError::Step("the system call filter", error))
}

/// The filter that answers EPERM.
fn refused_calls() -> Result<BpfProgram, BackendError> {
    let rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// The list of what is allowed.
fn allowed_calls(free: &[c_long], conditional: Vec<Conditional>) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        free.iter().chain(REFUSED).map(|call| (*call, Vec::new())).collect();
    for (call, argument, values) in conditional {
        let rules: &mut Vec<_> = rules.entry(call).or_default();
        for (operator, value) in values {
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
            rules.push(SeccompRule::new(vec![condition])?);
        }
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// A system call, the position of one argument, and the values of it that are allowed.
type Conditional = (c_long, u8, Vec<(SeccompCmpOp, u64)>);

fn equal(values: &[c_int]) -> Vec<(SeccompCmpOp, u64)> {
    values.iter().map(|value| (SeccompCmpOp::Eq, u64::from(value.cast_unsigned()))).collect()
}

/// Calls allowed for some values of one argument, which the kernel reads as 32 bits in each of them.
fn for_everybody(pid: u32) -> Vec<Conditional> {
    let not_executable = || vec![(SeccompCmpOp::MaskedEq(u64::from(PROT_EXEC.unsigned_abs())), 0)];
    vec![
        (libc::SYS_mmap, 2, not_executable()),
        (libc::SYS_mprotect, 2, not_executable()),
        // A signal to ourselves, for abort; the monitor may run as the same user.
        (libc::SYS_tgkill, 0, vec![(SeccompCmpOp::Eq, u64::from(pid))]),
    ]
}
