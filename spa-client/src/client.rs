//! `spa-client`: one command, sealed anew for each address of the server, sent more than once, never answered.

mod address;
mod args;
mod command;
mod knock;
mod memory;
mod opening;
mod preview;
mod profile;
mod reach;
mod receipt_words;
mod receipts;
mod relay;
mod resolve;
mod saved;
mod stamp;
mod then;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Args;
use clap::CommandFactory as _;
use command::Command;
use knock::Plan;
use profile::Profile;

use crate::failure::{Failure, exit};
use crate::output::{complain, say};
use crate::random::random;
use crate::usage;

/// The command line as it is parsed: the manual page, the completions and the tests of both are made from it.
#[must_use]
pub fn command_line() -> clap::Command {
    Args::command()
}

/// The program.
pub fn main() -> ExitCode {
    exit("spa-client", run(std::env::args_os()))
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let Some(mut args) = usage::parse::<Args>(arguments, &args::HABITS)? else { return Ok(()) };
    args.check()?;
    if let Some(then) = args.then.take() {
        return then::run(args, then);
    }
    let profile = Profile::load(args.profile.as_deref(), args.destination.as_ref())?;
    let mut random = random()?;
    if let Some(patience) = args.wait.filter(|_| !args.dry_run) {
        return then::wait(&args, profile, patience, random);
    }
    let command = Command::new(&args, &profile)?;
    if !args.quiet {
        for warning in command.warnings(&profile) {
            complain(&format!("spa-client: {warning}"));
        }
    }
    let routes: Vec<_> = command.servers()?.into_iter().map(address::Route::to).collect();
    let families = knock::families(&routes);
    let first = if args.dry_run && args.save_packet.is_none() {
        stamp::next(&profile)?
    } else {
        stamp::reserve(&profile, families.len(), &mut random)?
    };
    let plan = Plan::new(&command.verb, command.allow, routes, first, &mut random).with_copies(args.copies);
    let receipt = args.receipt || profile.file.receipt;
    let plan = plan.with_receipts(receipt);
    let keys = profile.file.sealing_keys();
    if args.dry_run {
        say(&preview::text(&command, &plan, &profile, first));
        if let Some(path) = &args.save_packet {
            let datagram = plan.first_datagram(&keys, &mut random)?;
            saved::write(path, &datagram, &mut random)?;
            say(&format!("saved     one datagram of {} bytes to {}", datagram.len(), path.display()));
        }
        return Ok(());
    }
    let saved = match &args.save_packet {
        Some(path) if plan.has_route() => {
            let datagram = plan.first_datagram(&keys, &mut random)?;
            saved::write(path, &datagram, &mut random)?;
            Some(datagram)
        }
        _ => None,
    };
    if !receipt {
        let reached = plan.send(&keys, saved, args.verbose, &mut random)?;
        if !args.quiet {
            say(&command.told(&reached));
        }
        return Ok(());
    }
    let opens = profile.file.receipt_keys();
    let (reached, answers) = receipts::send(&plan, &keys, &opens, saved, args.verbose, &mut random)?;
    if !args.quiet {
        say(&receipt_words::text(&command.told(&reached), &answers));
        answers
            .iter()
            .filter_map(receipt_words::clock)
            .for_each(|clock| complain(&format!("spa-client: {clock}")));
    }
    // What one family was granted is granted; the other's refusal says the same of the same profile.
    answers.iter().find_map(|answer| receipt_words::refused(answer, &command.deed())).map_or(Ok(()), Err)
}
