//! `spa-client`: one command, sealed anew for each address of the server, sent more than once, never answered.

mod address;
mod args;
mod command;
mod enrol;
mod half;
mod invoke;
mod keep;
mod knock;
mod learnt;
mod memory;
mod notes;
mod opening;
mod passphrase;
mod preview;
mod profile;
mod profiles;
mod proxy;
mod reach;
mod receipt_words;
mod receipts;
mod relay;
mod resolve;
mod saved;
mod seen;
mod signals;
mod stamp;
mod then;
mod told;
mod watch;
mod whom;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Args, Then};
use clap::CommandFactory as _;
use command::Command;
use knock::Plan;
use profile::Profile;
use told::Told;

use crate::failure::{Failure, exit};
use crate::output::{complain, say};
use crate::random::random;
use crate::usage;

/// The command line: the manual page, the completions and the tests of both are made from it.
#[must_use]
pub fn command_line() -> clap::Command {
    Args::command()
}

/// The same as its help shows it: to no command an option that is of no use there.
#[must_use]
pub fn helping(command: clap::Command) -> clap::Command {
    args::without_idle_options(command)
}

/// The program.
pub fn main() -> ExitCode {
    exit("spa-client", run(std::env::args_os()))
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let Some(args) = usage::parse::<Args>(arguments, || helping(command_line()), &args::HABITS)? else {
        return Ok(());
    };
    let json = args.json;
    let end = carry_out(args);
    if let (true, Err(failure)) = (json, &end) {
        Told::failed(failure).say();
    }
    end
}

fn carry_out(mut args: Args) -> Result<(), Failure> {
    args.check()?;
    match args.then.take() {
        Some(Then::Profiles { .. } | Then::Enrol(_)) if args.are_for_a_knock() => {
            let sentence =
                "what is said of a knock has no use here: leave out all but the command's own options";
            return Err(Failure::usage(sentence));
        }
        Some(Then::Profiles { what }) => return profiles::run(&args, what),
        Some(Then::Enrol(_)) if args.json => {
            return Err(Failure::usage("--json does not go with enrol, whose lines are for people"));
        }
        Some(Then::Enrol(enrol)) => return enrol::run(&enrol),
        Some(then) => return then::run(args, then),
        None => {}
    }
    let profile =
        Profile::load(args.profile.as_deref(), args.destination.as_ref(), args.passphrase_file.as_deref())?;
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
    let servers = command.servers()?;
    let seen = command.seen(&servers, &mut random)?;
    let routes: Vec<_> =
        servers.into_iter().map(|server| address::Route::to(server).seen_as(&seen)).collect();
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
        if !args.json {
            say(&preview::text(&command, &plan, &profile, first));
        }
        if let Some(path) = &args.save_packet {
            let datagram = plan.first_datagram(&keys, &mut random)?;
            saved::write(path, &datagram, &mut random)?;
            if !args.json {
                say(&format!("saved     one datagram of {} bytes to {}", datagram.len(), path.display()));
            }
        }
        if args.json {
            Told::of(&command, &profile).dry(&command, &plan, first).say();
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
    let (reached, answers) = if receipt {
        let opens = profile.file.receipt_keys();
        receipts::send(&plan, &keys, &opens, saved, args.verbose, &mut random)?
    } else {
        (plan.send(&keys, saved, args.verbose, &mut random)?, Vec::new())
    };
    if !answers.is_empty() {
        learnt::note(command.host(), plan.knocks().map(|knock| &knock.route), &answers, &mut random);
    }
    let refused = answers.iter().find_map(|answer| receipt_words::refused(answer, &command.deed()));
    if args.json && refused.is_none() {
        Told::of(&command, &profile).sent(first, reached).receipts(&answers).say();
    } else if !args.json && !args.quiet {
        let asked = command.told(&reached);
        say(&if receipt { receipt_words::text(&asked, &answers) } else { asked });
        answers
            .iter()
            .filter_map(receipt_words::clock)
            .for_each(|clock| complain(&format!("spa-client: {clock}")));
    }
    // What one family was granted is granted; the other's refusal says the same of the same profile.
    refused.map_or(Ok(()), Err)
}
