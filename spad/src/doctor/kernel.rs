//! What spad takes from the kernel, besides the firewall itself.

use std::fs;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};

use super::finding::Finding;

pub(super) fn features() -> Vec<Finding> {
    vec![landlock(), seccomp(), tracking()]
}

fn landlock() -> Finding {
    const ID: &str = "kernel-landlock";
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let made = rules.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create);
    match made {
        Ok(_) => Finding::ok(ID, "this kernel has landlock"),
        Err(_) => Finding::warning(
            ID,
            "this kernel has no landlock: the list of system calls alone keeps the worker from files",
            "Linux 5.13 or later, with landlock in its list of security modules (lsm=)",
        ),
    }
}

fn seccomp() -> Finding {
    const ID: &str = "kernel-seccomp";
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if actions.split_whitespace().any(|action| action == "kill_process") {
        return Finding::ok(ID, "this kernel can limit the worker's system calls");
    }
    let what = "this kernel cannot limit a process's system calls, and spad does not start without that";
    Finding::bad(ID, what, "a kernel with CONFIG_SECCOMP_FILTER")
}

/// A full table denies the SYN of who has knocked, too: it fails closed.
fn tracking() -> Finding {
    const ID: &str = "kernel-conntrack";
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok()?.trim().parse().ok()
    };
    match (number("count"), number("max")) {
        (Some(count), Some(max)) if count > max / 10 * 9 => Finding::warning(
            ID,
            format!("{count} of {max} connections are tracked: when the table is full, nobody gets in"),
            "raise net.netfilter.nf_conntrack_max",
        ),
        (Some(count), Some(max)) => Finding::ok(ID, format!("{count} of {max} connections are tracked")),
        _ => Finding::warning(
            ID,
            "connections are not tracked here yet",
            "start spad; if this stays, the kernel lacks CONFIG_NF_CONNTRACK",
        ),
    }
}
