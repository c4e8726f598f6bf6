//! `spad`: watches a closed port and opens the firewall for whoever proves to hold a key.
//!
//! The process that is started is the starter; it starts the monitor and the worker (docs/ARCHITECTURE.md).

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use rustix::thread::CapabilitySet;
use tracing::error;

use spad::arguments::{Arguments, Command, RoleName};
use spad::doctor::Form;
use spad::exit::ExitStatus;
use spad::firewall::{self, iptables};
use spad::lock::Lock;
use spad::operator::{Outlet, Target};
use spad::role::Role;
use spad::starter::{self, Options};
use spad::{
    actions, apply, check, doctor, explain, guard, kept, log, monitor, operator, sender, witness, worker,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start(arguments.quiet, arguments.verbose);
    if arguments.observe && arguments.command.is_some() {
        error!("--observe is for serving alone (hint: leave it away, or the command)");
        return ExitStatus::Usage.into();
    }
    let options = Options {
        config: arguments.config,
        state_dir: arguments.state_dir,
        log: [(arguments.quiet, "-q"), (arguments.verbose, "-v")]
            .into_iter()
            .filter(|(given, _)| *given)
            .map(|(_, flag)| OsString::from(flag))
            .collect(),
        observe: arguments.observe,
        again: arguments.again,
    };
    let status = match (arguments.role, arguments.command) {
        (Some(RoleName::Monitor), _) => enter(Role::Monitor, &options),
        (Some(RoleName::Worker), _) => enter(Role::Worker, &options),
        (Some(RoleName::Loader), _) => enter(Role::Loader, &options),
        (Some(RoleName::Sender), _) => enter(Role::Sender, &options),
        (Some(RoleName::Supervisor), _) => enter(Role::Supervisor, &options),
        (Some(RoleName::Command), _) => enter(Role::Command, &options),
        (None, Some(Command::Check)) => check::run(&options),
        (None, Some(Command::Doctor { json, self_test })) => doctor::run(&options, form(json), self_test),
        (None, Some(Command::Guard)) => guard::run(&options.state_dir),
        (None, Some(Command::Apply { confirm })) => apply::run(&options, confirm),
        (None, Some(Command::Confirm)) => apply::confirm(&options),
        (None, Some(Command::Status { json })) => operator::status(&options.state_dir, form(json)),
        (None, Some(Command::Grants { json })) => operator::grants(&options.state_dir, form(json)),
        (None, Some(Command::Revoke { whose, json })) => {
            operator::revoke(&options.state_dir, &whose, form(json))
        }
        (None, Some(Command::Watch { json })) => operator::watch(&options.state_dir, form(json)),
        // Without a file it is the journal: one of both is asked for.
        (None, Some(Command::Audit { file, .. })) => {
            operator::audit(&options.state_dir, &file.map_or(Target::Journal, Target::File))
        }
        (None, Some(Command::Metrics { textfile, every, listen })) => {
            let outlet = match (textfile, listen) {
                (Some(file), _) => Outlet::Textfile(file, every),
                (None, Some(at)) => Outlet::Listen(at),
                (None, None) => Outlet::Once,
            };
            operator::metrics(&options.state_dir, &outlet)
        }
        (None, Some(Command::Runner)) => actions::runner(&options),
        (None, Some(Command::Clock)) => witness::vouch(),
        (None, Some(Command::Reload { json })) => operator::reload(&options.state_dir, form(json)),
        (None, Some(Command::Explain { capture, at, journal, json })) => {
            explain::run(&options, &explain::What { capture, at, journal }, form(json))
        }
        (None, Some(Command::Teardown)) => teardown(&options.state_dir),
        (None, None) => start(options),
    };
    status.into()
}

fn form(json: bool) -> Form {
    if json { Form::Json } else { Form::Lines }
}

fn enter(role: Role, options: &Options) -> ExitStatus {
    match role.enter() {
        Ok(channel) => match role {
            Role::Monitor => monitor::run(options, channel),
            Role::Worker => worker::run(options, channel),
            Role::Loader => iptables::run_loader(&channel),
            Role::Sender => sender::run(&channel),
            Role::Supervisor => actions::run_supervisor(&channel),
            Role::Command => actions::run_command(&channel),
        },
        Err(error) => {
            error!("--role is not for use by hand: {error}");
            ExitStatus::Usage
        }
    }
}

fn start(options: Options) -> ExitStatus {
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    if !rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        error!("spad may not capture packets or change the firewall (hint: run it as root, or by its unit)");
        return ExitStatus::NotPermitted;
    }
    // Held until this process ends, however it ends.
    match Lock::take(&options.state_dir) {
        Ok(mut lock) => {
            lock.sign(&options.config);
            starter::run(options)
        }
        Err((status, reason)) => {
            error!("{reason}");
            status
        }
    }
}

fn teardown(state_dir: &Path) -> ExitStatus {
    // A daemon that runs would put the table back at once. Without a state folder there is none.
    let _lock = match Lock::take(state_dir) {
        Ok(lock) => Some(lock),
        Err((ExitStatus::Failure, reason)) => {
            error!("{reason}");
            return ExitStatus::Failure;
        }
        Err(_) => None,
    };
    // First: nothing that is taken down now may come back at the next boot.
    let forgotten = match kept::forget(state_dir) {
        Ok(true) => ", nor will be at the next boot",
        Ok(false) => "",
        Err(error) => {
            error!("{error}");
            return ExitStatus::Failure;
        }
    };
    match firewall::teardown() {
        Ok(removed) => {
            let removed = if removed.is_empty() {
                "nothing of spad's was there".to_owned()
            } else {
                format!("removed: {}", removed.join(", "))
            };
            println!("{removed}; nothing is guarded{forgotten}, and the rules of others are as they were");
            ExitStatus::Done
        }
        Err(error) => {
            error!("{error}");
            (&error).into()
        }
    }
}
