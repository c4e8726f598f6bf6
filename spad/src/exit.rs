//! The exit statuses of `spad`, for the starter and for both of its children.

use std::process::ExitCode;

use crate::firewall::FirewallError;

/// How a process of the daemon ended. The number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Ended as asked.
    Done = 0,
    /// Any other failure; starting again may help.
    Failure = 1,
    /// A command line that cannot be understood.
    Usage = 2,
    /// The configuration was refused.
    Configuration = 3,
    /// The firewall could not be prepared.
    Firewall = 4,
    /// Not root, or a capability is missing.
    NotPermitted = 5,
    /// `spad doctor` found something bad, or `spad status` a part that is degraded.
    Unwell = 6,
    /// No daemon runs that could be asked.
    NotRunning = 7,
}

impl ExitStatus {
    /// The reasons that starting again would only repeat; `None` for every other status.
    pub fn lasting(code: i32) -> Option<Self> {
        [Self::Usage, Self::Configuration, Self::Firewall, Self::NotPermitted]
            .into_iter()
            .find(|status| *status as i32 == code)
    }
}

impl From<&FirewallError> for ExitStatus {
    fn from(error: &FirewallError) -> Self {
        match error {
            FirewallError::NotPermitted => Self::NotPermitted,
            _ => Self::Firewall,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
