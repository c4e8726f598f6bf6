//! The system calls of worker, monitor and sender (seccomp): for each a list of what is allowed; anything else kills the
//! process. No call of any list takes a path, and none starts anything: to a process that can name no file, its root folder
//! is an empty one.
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

/// Allowed to all three whatever the arguments: none of these can open, send, start, or reach another process. The sender has
/// no others.
const FREE: &[c_long] = &[
    // Waiting. No `epoll`: nothing here uses it.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_close,
    // Memory; `mmap` and `mprotect` stand in `for_everybody`.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
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

/// The worker's besides: captures, the channel, files that are open.
const FREE_TO_THE_WORKER: &[c_long] = &[
    // No `recvmmsg`: nothing here uses it.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
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
    // Whether the clock is synchronised, unless the unit forbids the question. Without CAP_SYS_TIME they can only read.
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // What a hash map's seed comes from.
    libc::SYS_getrandom,
];

/// The monitor's besides: netlink, channels, the control socket, the file that keeps what is in force, a timer.
const FREE_TO_THE_MONITOR: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    // To channels, which come and go, and to standard error. Of what else is open all but `kept` is open for reading.
    libc::SYS_write,
    // Of the sockets that it has, only those of netlink have any address to be bound to, or to send to.
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_timerfd_settime,
    // Whether the loader has ended, and a moment's wait for that.
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    // As in the worker's.
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_getrandom,
];

/// What the monitor speaks with the kernel: interfaces and routes, sockets of others, the firewall.
const PROTOCOLS: [c_int; 3] = [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG, libc::NETLINK_NETFILTER];

/// What it sets of a netlink socket, besides all that is netlink's own: how long to wait, how much may wait, and a filter.
/// 66 is SO_RCVTIMEO for times of 64 bits.
const OF_A_SOCKET: [c_int; 7] = [
    libc::SO_RCVTIMEO,
    66,
    libc::SO_RCVBUF,
    libc::SO_RCVBUFFORCE,
    libc::SO_SNDBUF,
    libc::SO_SNDBUFFORCE,
    libc::SO_ATTACH_FILTER,
];

/// Answered with EPERM, because a library tries them in passing and goes on without:
/// - `ioctl`: libpcap asks for the state of an interface that vanished;
/// - `setsockopt`: libpcap gives a capture's ring back when it is closed;
/// - `statx` and `newfstatat` look a name up in the file system: the standard library asks them for a file's size.
const REFUSED: &[c_long] = &[libc::SYS_ioctl, libc::SYS_statx, libc::SYS_newfstatat, libc::SYS_setsockopt];

/// The monitor sets something of each netlink socket that it makes, so that there `setsockopt` stands in a list.
const REFUSED_TO_THE_MONITOR: &[c_long] = &[libc::SYS_ioctl, libc::SYS_statx, libc::SYS_newfstatat];

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
    let mut conditional = for_everybody();
    let written = [libc::SYS_write, libc::SYS_writev, libc::SYS_pwrite64];
    conditional.extend(written.map(|call| (call, equal(0, &writable))));
    conditional.push((libc::SYS_fcntl, equal(1, FCNTL)));
    install_both(FREE_TO_THE_WORKER, REFUSED, conditional)
}

/// The same for the sender: it reads its channel, sends by its sockets and writes to standard error.
pub(super) fn allow_only_the_senders(channel: RawFd, sockets: &[RawFd]) -> Result<(), SandboxError> {
    let mut conditional = for_everybody();
    let stderr = [io::stderr().as_raw_fd()];
    conditional.extend([libc::SYS_bind, libc::SYS_sendto].map(|call| (call, equal(0, sockets))));
    conditional.extend([libc::SYS_write, libc::SYS_writev].map(|call| (call, equal(0, &stderr))));
    conditional.push((libc::SYS_recvfrom, equal(0, &[channel])));
    // What a build for tests asks of each descriptor that it closes.
    conditional.push((libc::SYS_fcntl, equal(1, &[libc::F_GETFD])));
    install_both(&[], REFUSED, conditional)
}

/// The same for the monitor: it makes netlink sockets and no others, and writes to one file.
pub(super) fn allow_only_the_monitors(kept: Option<RawFd>) -> Result<(), SandboxError> {
    let mut conditional = for_everybody();
    let stderr = [io::stderr().as_raw_fd()];
    let netlink = (0, SeccompCmpOp::Eq, word(libc::AF_NETLINK));
    let makes = PROTOCOLS.map(|protocol| vec![netlink.clone(), (2, SeccompCmpOp::Eq, word(protocol))]);
    conditional.push((libc::SYS_socket, makes.to_vec()));
    let mut sets = equal(1, &[libc::SOL_NETLINK]);
    let of_a_socket = (1, SeccompCmpOp::Eq, word(libc::SOL_SOCKET));
    sets.extend(OF_A_SOCKET.map(|name| vec![of_a_socket.clone(), (2, SeccompCmpOp::Eq, word(name))]));
    conditional.push((libc::SYS_setsockopt, sets));
    conditional.push((libc::SYS_writev, equal(0, &stderr)));
    conditional.extend(kept.map(|kept| (libc::SYS_pwrite64, equal(0, &[kept]))));
    // F_OFD_GETLK: whether somebody vouches for the clock.
    conditional
        .push((libc::SYS_fcntl, equal(1, &[libc::F_GETFD, libc::F_GETFL, libc::F_SETFL, libc::F_OFD_GETLK])));
    install_both(FREE_TO_THE_MONITOR, REFUSED_TO_THE_MONITOR, conditional)
}

/// What neither `iptables-restore` nor what it starts ever needs, and what a way out of a sandbox often begins with. Answered
/// with EPERM, for good: the loader must start programs, of which nobody has the list.
const NOT_THE_LOADERS: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_personality,
    libc::SYS_setuid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
];

/// Installs that in the loader, and so in all that it starts.
pub(super) fn refuse_what_no_loader_needs() -> Result<(), SandboxError> {
    let program = refused_calls(NOT_THE_LOADERS).map_err(io::Error::other);
    program
        .and_then(|program| seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other))
        .map_err(|error| SandboxError::Step("the system call filter", error))
}

fn install_both(
    free: &[c_long],
    refused: &[c_long],
    conditional: Vec<Conditional>,
) -> Result<(), SandboxError> {
    // The first look at a clock asks the kernel by `prctl` where its clocks are; no later one does.
    clock::boottime();
    let install = |program: Result<BpfProgram, BackendError>| {
        let program = program.map_err(io::Error::other)?;
        seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
    };
    install(refused_calls(refused))
        .and_then(|()| install(allowed_calls(FREE.iter().chain(free).chain(refused), conditional)))
        .map_err(|error| SandboxError::Step("the system call filter", error))
}

/// The filter that answers EPERM.
fn refused_calls(refused: &[c_long]) -> Result<BpfProgram, BackendError> {
    let rules = refused.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// The list of what is allowed.
fn allowed_calls<'c>(
    free: impl Iterator<Item = &'c c_long>,
    conditional: Vec<Conditional>,
) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = free.map(|call| (*call, Vec::new())).collect();
    for (call, ways) in conditional {
        let rules: &mut Vec<_> = rules.entry(call).or_default();
        for way in ways {
            let conditions = way.into_iter().map(|(argument, operator, value)| {
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
            });
            rules.push(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?);
        }
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// A system call, and the ways in which it is allowed: of each all conditions must hold, which are the position of an
/// argument and what it must be. The kernel reads each of these arguments as 32 bits.
type Conditional = (c_long, Vec<Vec<(u8, SeccompCmpOp, u64)>>);

/// One argument has one of these values.
fn equal(argument: u8, values: &[c_int]) -> Vec<Vec<(u8, SeccompCmpOp, u64)>> {
    values.iter().map(|value| vec![(argument, SeccompCmpOp::Eq, word(*value))]).collect()
}

fn word(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

fn for_everybody() -> Vec<Conditional> {
    let not_executable = || vec![vec![(2, SeccompCmpOp::MaskedEq(u64::from(PROT_EXEC.unsigned_abs())), 0)]];
    vec![
        (libc::SYS_mmap, not_executable()),
        (libc::SYS_mprotect, not_executable()),
        // A signal to ourselves, for abort; others may run as the same user.
        (libc::SYS_tgkill, vec![vec![(0, SeccompCmpOp::Eq, u64::from(std::process::id()))]]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every call that takes the name of a file, or starts something.
    #[rustfmt::skip]
    const NAMING: &[c_long] = &[
        libc::SYS_openat, libc::SYS_openat2, libc::SYS_execve, libc::SYS_execveat, libc::SYS_clone, libc::SYS_clone3,
        libc::SYS_chdir, libc::SYS_chroot, libc::SYS_pivot_root, libc::SYS_mount, libc::SYS_umount2, libc::SYS_open_tree,
        libc::SYS_move_mount, libc::SYS_fspick, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_statfs,
        libc::SYS_truncate, libc::SYS_fchmodat, libc::SYS_fchownat, libc::SYS_mkdirat, libc::SYS_mknodat,
        libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat,
        libc::SYS_readlinkat, libc::SYS_utimensat, libc::SYS_setxattr, libc::SYS_getxattr, libc::SYS_listxattr,
        libc::SYS_removexattr, libc::SYS_inotify_add_watch, libc::SYS_fanotify_mark, libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at, libc::SYS_acct, libc::SYS_swapon, libc::SYS_quotactl,
    ];

    #[test]
    fn no_list_holds_a_call_that_takes_a_path_or_starts_something() {
        for list in [FREE, FREE_TO_THE_WORKER, FREE_TO_THE_MONITOR] {
            assert!(list.iter().all(|call| !NAMING.contains(call)));
            #[cfg(target_arch = "x86_64")]
            for call in [libc::SYS_open, libc::SYS_stat, libc::SYS_fork, libc::SYS_vfork, libc::SYS_unlink] {
                assert!(!list.contains(&call));
            }
        }
    }
}
