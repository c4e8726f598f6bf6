//! Named actions and hooks (docs/ARCHITECTURE.md, "Actions"). The daemon never starts a program for anybody: it tells the
//! runner, `spad runner`, a process of its own with a unit of its own, what happened; that one runs what spad.toml names.
//!
//! ```text
//! table.rs       what spad.toml says              host.rs     users, groups and programs of this host
//! occasion.rs    what an event has run, and with which environment
//! queue.rs       how many run and wait            output.rs   what a command says, as lines of the log
//! run.rs         one command, seen by the runner  runner.rs   the runner
//! supervisor.rs  the process above a command      command.rs  the last steps before it
//! orphans.rs     ending whatever a command left behind
//! ```

mod command;
mod host;
mod occasion;
mod orphans;
mod output;
mod queue;
mod run;
mod runner;
mod supervisor;
mod table;

pub use self::command::run as run_command;
pub use self::host::faults;
pub use self::occasion::Occasion;
pub use self::runner::runner;
pub use self::supervisor::run as run_supervisor;
pub use self::table::{Action, Table};
pub(crate) use self::table::{ActionTable, HooksTable};
