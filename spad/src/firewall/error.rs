//! Why the kernel's firewall could not be asked or changed.

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
    /// The table, or one of its sets, was taken away by somebody else.
    #[error("table inet spad is not there, or not whole")]
    Absent,
    /// A table of our name with other sets or chains.
    #[error("table inet spad exists in another shape ({what}): `spad teardown` removes it")]
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
}

const NF_TABLES: &str = "nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)";

impl Aim {
    /// The transaction as a whole.
    pub(super) fn whole() -> Self {
        Self::Use { what: "the transaction".into(), feature: NF_TABLES.into() }
    }
}

impl FirewallError {
    /// What the kernel's answer means for a request with that aim.
    pub(super) fn from_answer(errno: Errno, aim: &Aim) -> Self {
        use Aim::{Elements, Frame, Use};

        match (errno, aim) {
            (Errno::PERM | Errno::ACCESS, _) => Self::NotPermitted,
            (Errno::NOBUFS, _) => Self::Overrun,
            (Errno::NOENT, Elements { .. }) => Self::Absent,
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
            (_, Frame { what } | Use { what, .. }) => {
                Self::Refused { what: what.clone(), source: errno.into() }
            }
            (_, Elements { set }) => {
                Self::Refused { what: format!("the elements of set {set}"), source: errno.into() }
            }
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
            (Errno::NOENT,       elements(),    "table inet spad is not there, or not whole"),
            (Errno::NOENT,       rule(),        "this kernel lacks nft_ct (CONFIG_NFT_CT), which the rule \"x\" needs"),
            (Errno::AFNOSUPPORT, frame(),       "this kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET), which chain guard needs"),
            (Errno::OPNOTSUPP,   Aim::whole(),  "this kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET), which the transaction needs"),
            (Errno::EXIST,       frame(),       "table inet spad exists in another shape (chain guard): `spad teardown` removes it"),
            (Errno::NOMEM,       elements(),    "the kernel refused the elements of set grants4: Cannot allocate memory (os error 12)"),
            (Errno::NOBUFS,      rule(),        "the kernel's answer was lost: the socket's receive buffer overran"),
        ];
        for (errno, aim, sentence) in rows {
            assert_eq!(FirewallError::from_answer(errno, &aim).to_string(), sentence);
        }
    }
}
