//! What comes after the knock: a wait for the service, a connection that is relayed, a command that is run.

use std::process::Command as Program;

use spa_core::service::{Service, Transport};

use super::args::{Args, Then};
use super::opening::{Opened, Opening, PATIENCE};
use super::profile::Profile;
use super::{keep, proxy, relay};
use crate::failure::{Failure, Status};
use crate::output::{complain, say};
use crate::random::{Random, random};
use crate::secret_file::plain;

/// Carries out a subcommand.
pub(super) fn run(mut args: Args, then: Then) -> Result<(), Failure> {
    let alone = args.close || !args.invoke.is_empty() || args.dry_run || args.receipt;
    if alone || args.save_packet.is_some() {
        return Err(Failure::usage(
            "--close, --invoke, --dry-run, --save-packet and --receipt are for a knock alone",
        ));
    }
    if args.json && !matches!(then, Then::Ensure { .. }) {
        let sentence = "--json goes with a knock, --wait, ensure, and the lists of profiles: no other command ends with one result";
        return Err(Failure::usage(sentence));
    }
    let patience = args.wait.unwrap_or(PATIENCE);
    match then {
        Then::Proxy { listen, direct } => proxy::run(args, listen, direct, patience),
        Then::Keep { host } => {
            args.destination = host.or(args.destination);
            keep::run(&args)
        }
        Then::Connect { host, at } => {
            args.destination = Some(host);
            args.access = vec![Service::new(Transport::Tcp, at)];
            let mut opening = opening(&args)?;
            relay::relay(opening.connect(patience)?.reached.stream)
        }
        Then::Ensure { host } => {
            args.destination = host.or(args.destination);
            let mut opening = opening(&args)?;
            let believed = opening.is_believed_open();
            let mut told = opening.told().believed(believed);
            if !believed {
                let Opened { reached, took } = opening.knock_until_open(patience)?;
                told = told.answered(&reached, took);
            }
            if args.json {
                told.say();
            }
            Ok(())
        }
        Then::Run { command } => {
            let mut opening = opening(&args)?;
            let Opened { reached, .. } = opening.connect(patience)?;
            let [program, arguments @ ..] = command.as_slice() else { return Ok(()) };
            let mut program = Program::new(program);
            program.args(arguments);
            program.env("SPA_ADDRESS", reached.server.ip().to_string());
            program.env("SPA_PORT", reached.server.port().to_string());
            drop(reached);
            become_it(program)
        }
        // They have files of their own.
        Then::Profiles { .. } | Then::Enrol(_) => Ok(()),
    }
}

/// A knock that waits for the service, and says how long that took.
pub(super) fn wait(
    args: &Args,
    profile: Profile,
    patience: std::time::Duration,
    random: Random,
) -> Result<(), Failure> {
    let mut opening = Opening::new(args, profile, random)?;
    warn(args, &opening);
    let opened = opening.knock_until_open(patience)?;
    if args.json {
        opening.told().answered(&opened.reached, opened.took).say();
    } else if !args.quiet {
        let took = opened.took.unwrap_or_default().as_secs_f64() * 1000.0;
        let server = opened.reached.server;
        say(&format!("{} answers ({server}), {took:.1} ms after the knock", opening.place()));
    }
    Ok(())
}

fn opening(args: &Args) -> Result<Opening, Failure> {
    let profile =
        Profile::load(args.profile.as_deref(), args.destination.as_ref(), args.passphrase_file.as_deref())?;
    let opening = Opening::new(args, profile, random()?)?;
    warn(args, &opening);
    Ok(opening)
}

fn warn(args: &Args, opening: &Opening) {
    for warning in opening.warnings().into_iter().filter(|_| !args.quiet) {
        complain(&format!("spa-client: {warning}"));
    }
}

/// Gives this process to the command, so that signals and its exit status are its own.
#[cfg(unix)]
fn become_it(mut program: Program) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt as _;
    let error = program.exec();
    Err(not_started(&program, &error))
}

/// Waits for the command, and ends as it does.
#[cfg(not(unix))]
fn become_it(mut program: Program) -> Result<(), Failure> {
    let status = program.status().map_err(|error| not_started(&program, &error))?;
    std::process::exit(status.code().unwrap_or(Status::Other as i32))
}

fn not_started(program: &Program, error: &std::io::Error) -> Failure {
    let name = program.get_program().to_string_lossy();
    Failure::new(
        Status::Other,
        format!("{name} could not be started: {}", plain(error)),
        "check its name and path",
    )
}
