//! Why the kernel's firewall could not be asked or changed.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// Why the kernel's firewall could not be asked or changed. Where a change fails, nothing of it was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// EPERM.
    #[error("the kernel does not let this process change the firewall: it needs CAP_NET_ADMIN")]
    NotPermitted,
    /// ENOENT, EOPNOTSUPP and their like, where they can mean only one thing.
    #[error("this kernel lacks {feature}, which {what} needs")]
    Unsupported {
        /// What was to be made.
        what: String,
        /// What to look for in the kernel's configuration.
        feature: String,
    },
    /// The table, or one of the sets, was taken away by somebody else.
    #[error("what spad had loaded is not there, or not whole")]
    Absent,
    /// The chain that is to be attached to.
    #[error("there is no chain {0} to attach to (hint: it must be loaded before spad starts)")]
    NoChain(String),
    /// Something of our name in another shape.
    #[error("{what} exists in another shape: `spad teardown` removes what is spad's")]
    Shape {
        /// The part that does not fit.
        what: String,
    },
    /// No answer. Whether the change was made is unknown: ask again, or repeat it.
    #[error("the kernel did not answer within {0:?}")]
    Timeout(Duration),
    /// ENOBUFS. Whether the change was made is unknown: ask again, or repeat it.
    #[error("the kernel's answer was lost: the socket's receive buffer overran")]
    Overrun,
    /// Any other answer.
    #[error("the kernel refused {what}: {source}")]
    Refused {
        /// The part of the change that it refused.
        what: String,
        /// Its reason.
        source: io::Error,
    },
    /// What another configuration loaded is still there.
    #[error(
        "{0} of an earlier configuration still stands: `spad teardown` removes it, then start spad again"
    )]
    Leftover(String),
    /// A program that loads rules failed, or cannot be started.
    #[error("{0}")]
    Program(String),
    /// The loader ended, or does not answer: only a new monitor can start another.
    #[error("the loader of iptables' rules is gone ({0})")]
    LoaderGone(String),
    /// The socket itself failed.
    #[error("netlink socket: {0}")]
    Socket(#[source] io::Error),
    /// An answer in no known form.
    #[error("the kernel's answer is not understood: {0}")]
    Answer(String),
}

/// What a request asks for. It decides what an error number means in the answer.
#[derive(Clone, Debug)]
pub(super) enum Aim {
    /// Something that may exist already, in the same shape or in another: the table, a set, a chain.
    Frame { what: String },
    /// Anything else that takes this from the kernel.
    Use { what: String, feature: String },
    /// Elements of a set that is expected to be there are listed, added or removed.
    Elements { set: &'static str },
    /// Something of the kernel's own that may be gone already; to reach it takes this from the kernel.
    Entry { what: &'static str, feature: &'static str },
    /// A chain of the operator's, to be attached to.
    Chain { what: String },
    /// A set of ipset, which takes this from the kernel.
    Ipset { set: &'static str, feature: &'static str },
}

/// Error numbers of ipset's own (linux/netfilter/ipset/ip_set.h) begin where the kernel's end.
const IPSET_FIRST: i32 = 4096;
const IPSET_NO_TYPE: i32 = 4098;
const IPSET_TOO_MANY_SETS: i32 = 4099;
const IPSET_BUSY: i32 = 4100;
const IPSET_FULL: i32 = 4352;

const NF_TABLES: &str = "nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)";

/// What ipset takes from the kernel in any case.
pub(super) const IP_SET: &str = "ipset (CONFIG_IP_SET, CONFIG_NETFILTER_XT_SET)";

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { what } | Self::Use { what, .. } => f.write_str(what),
            Self::Entry { what, .. } => f.write_str(what),
            Self::Chain { what } => write!(f, "chain {what}"),
            Self::Elements { set } => write!(f, "the elements of set {set}"),
            Self::Ipset { set, .. } => write!(f, "set {set}"),
        }
    }
}

impl Aim {
    /// The transaction as a whole.
    pub(super) fn whole() -> Self {
        Self::Use { what: "the transaction".into(), feature: NF_TABLES.into() }
    }
}

impl FirewallError {
    /// What the kernel's answer means for a request with that aim: an error number, or one of ipset's.
    pub(super) fn from_code(code: i32, aim: &Aim) -> Self {
        let refused =
            |reason: &str| Self::Refused { what: aim.to_string(), source: io::Error::other(reason) };
        match (code, aim) {
            (1..IPSET_FIRST, _) => Self::from_answer(Errno::from_raw_os_error(code), aim),
            (IPSET_NO_TYPE, Aim::Ipset { feature, .. }) => {
                Self::Unsupported { what: aim.to_string(), feature: (*feature).to_owned() }
            }
            (IPSET_TOO_MANY_SETS, _) => refused("there are too many sets"),
            (IPSET_BUSY, _) => refused("a rule still uses it"),
            (IPSET_FULL, _) => refused("the set is full"),
            _ => refused(&format!("ipset's error {code}")),
        }
    }

    fn from_answer(errno: Errno, aim: &Aim) -> Self {
        use Aim::{Chain, Elements, Entry, Frame, Ipset, Use};

        match (errno, aim) {
            (Errno::PERM | Errno::ACCESS, _) => Self::NotPermitted,
            (Errno::NOBUFS, _) => Self::Overrun,
            (Errno::NOENT, Elements { .. } | Ipset { .. } | Entry { .. }) => Self::Absent,
            // nfnetlink and sock_diag answer so where a part of theirs is not there.
            (Errno::INVAL | Errno::OPNOTSUPP, Entry { what, feature }) => {
                Self::Unsupported { what: (*what).to_owned(), feature: (*feature).to_owned() }
            }
            (Errno::NOENT, Chain { what }) => Self::NoChain(what.clone()),
            (Errno::EXIST, Ipset { .. }) => Self::Shape { what: aim.to_string() },
            // nfnetlink's answer where a subsystem is not there.
            (Errno::INVAL, Ipset { .. }) => {
                Self::Unsupported { what: aim.to_string(), feature: IP_SET.to_owned() }
            }
            // A chain that hangs elsewhere is "not supported" to some kernels, and "busy" to others.
            (Errno::EXIST | Errno::BUSY | Errno::OPNOTSUPP, Frame { what }) => {
                Self::Shape { what: what.clone() }
            }
            (Errno::NOENT | Errno::AFNOSUPPORT, Frame { what }) => {
                Self::Unsupported { what: what.clone(), feature: NF_TABLES.into() }
            }
            (Errno::NOENT | Errno::OPNOTSUPP, Use { what, feature }) => {
                Self::Unsupported { what: what.clone(), feature: feature.clone() }
            }
            _ => Self::Refused { what: aim.to_string(), source: errno.into() },
        }
    }

    /// What a failed call on a netlink socket means.
    pub(super) fn from_socket(error: io::Error, patience: Duration) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::AGAIN) => Self::Timeout(patience),
            Some(Errno::NOBUFS) => Self::Overrun,
            Some(Errno::PERM | Errno::ACCESS) => Self::NotPermitted,
            Some(Errno::PROTONOSUPPORT) => Self::Unsupported {
                what: "the socket".into(),
                feature: "netlink for it (CONFIG_NETFILTER_NETLINK, CONFIG_INET_DIAG)".into(),
            },
            _ => Self::Socket(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_number_means_what_the_request_makes_of_it() {
        let frame = || Aim::Frame { what: "chain guard".into() };
        let rule = || Aim::Use { what: "the rule \"x\"".into(), feature: "nft_ct (CONFIG_NFT_CT)".into() };
        let elements = || Aim::Elements { set: "grants4" };
        #[rustfmt::skip]
        let rows = [
            (Errno::PERM,        elements(),    "the kernel does not let this process change the firewall: it needs CAP_NET_ADMIN"),
            (Errno::NOENT,       elements(),    "what spad had loaded is not there, or not whole"),
            (Errno::NOENT,       rule(),        "this kernel lacks nft_ct (CONFIG_NFT_CT), which the rule \"x\" needs"),
            (Errno::AFNOSUPPORT, frame(),       "this kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET), which chain guard needs"),
            (Errno::OPNOTSUPP,   Aim::whole(),  "this kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET), which the transaction needs"),
            (Errno::EXIST,       frame(),       "chain guard exists in another shape: `spad teardown` removes what is spad's"),
            (Errno::NOMEM,       elements(),    "the kernel refused the elements of set grants4: Cannot allocate memory (os error 12)"),
            (Errno::NOBUFS,      rule(),        "the kernel's answer was lost: the socket's receive buffer overran"),
        ];
        for (errno, aim, sentence) in rows {
            assert_eq!(FirewallError::from_answer(errno, &aim).to_string(), sentence);
        }
    }

    #[test]
    fn ipset_has_error_numbers_of_its_own() {
        let feature = "hash:ip,port (CONFIG_IP_SET_HASH_IPPORT)";
        let aim = Aim::Ipset { set: "spad_grants4", feature };
        #[rustfmt::skip]
        let rows = [
            (Errno::INVAL.raw_os_error(), "this kernel lacks ipset (CONFIG_IP_SET, CONFIG_NETFILTER_XT_SET), which set spad_grants4 needs"),
            (IPSET_NO_TYPE,               "this kernel lacks hash:ip,port (CONFIG_IP_SET_HASH_IPPORT), which set spad_grants4 needs"),
            (IPSET_FULL,                  "the kernel refused set spad_grants4: the set is full"),
            (Errno::EXIST.raw_os_error(), "set spad_grants4 exists in another shape: `spad teardown` removes what is spad's"),
            (5000,                        "the kernel refused set spad_grants4: ipset's error 5000"),
        ];
        for (code, sentence) in rows {
            assert_eq!(FirewallError::from_code(code, &aim).to_string(), sentence);
        }
    }
}
