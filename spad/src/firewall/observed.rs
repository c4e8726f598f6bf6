//! No firewall: for `spad --observe`, which judges and logs, and leaves the kernel alone. Remembers nothing: the table of
//! leases says what would be open.

use std::fmt;

use spa_core::lease::{Change, Door};

use super::{Element, Firewall, FirewallError, Plan, Progress, Session};

/// What stands nowhere.
pub struct Observed;

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none")
    }
}

impl Firewall for Observed {
    /// As if: so that nothing is newly shut, and no session is asked about.
    fn exists(&mut self) -> Result<bool, FirewallError> {
        Ok(true)
    }

    fn prepare(&mut self, _: &Plan) -> Result<Progress, FirewallError> {
        Ok(Progress::Done)
    }

    fn defeated(&mut self) -> Result<Vec<String>, FirewallError> {
        Ok(Vec::new())
    }

    /// No connection can spend what is not there.
    fn holds(&mut self, _: &Door) -> Result<bool, FirewallError> {
        Ok(true)
    }

    fn grants(&mut self) -> Result<Vec<Element>, FirewallError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, _: &[Change]) -> Result<(), FirewallError> {
        Ok(())
    }

    fn cuts(&mut self) -> Result<Vec<Door>, FirewallError> {
        Ok(Vec::new())
    }

    fn uncut(&mut self, _: &[Door]) -> Result<(), FirewallError> {
        Ok(())
    }

    fn keep(&mut self, _: &[Session]) -> Result<(), FirewallError> {
        Ok(())
    }

    fn drop_kept(&mut self, _: &[Session]) -> Result<(), FirewallError> {
        Ok(())
    }

    fn kept(&mut self) -> Result<Vec<Session>, FirewallError> {
        Ok(Vec::new())
    }

    fn teardown(&mut self) -> Result<(), FirewallError> {
        Ok(())
    }

    fn listen(&mut self) -> Result<(), FirewallError> {
        Ok(())
    }

    fn lost(&mut self) -> bool {
        false
    }
}
