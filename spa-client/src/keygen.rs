//! `spa-keygen`: makes a profile, both halves, and the site at the first; gives it another key, lists it, takes it away. It
//! overwrites nothing but the server's half whose key is rotated, and what it cannot make whole it does not leave behind.

mod accept;
mod actions;
mod args;
mod edit;
mod folder;
mod freshness;
mod halves;
mod journal;
mod key_id;
mod list;
mod machine;
mod port;
mod profile;
mod qr;
mod reload;
mod report;
mod revoke;
mod rotate;
mod site;
mod told;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Args, Task};
use clap::CommandFactory as _;
use folder::Folders;
use freshness::Choice;
use profile::Wish;
use report::Report;
use site::Site;
use told::Told;

use crate::failure::{Failure, exit};
use crate::new_file::Created;
use crate::random::random;
use crate::{clock, usage};

/// The command line as it is parsed: the manual page, the completions and the tests of both are made from it.
#[must_use]
pub fn command_line() -> clap::Command {
    Args::command()
}

/// The program.
pub fn main() -> ExitCode {
    exit("spa-keygen", run(std::env::args_os()))
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let Some(args) = usage::parse::<Args>(arguments, command_line, &args::HABITS)? else {
        return Ok(());
    };
    let json = match &args.task {
        None => args.json,
        Some(Task::Accept(accept)) => accept.json,
        Some(Task::Rotate(rotate)) => rotate.json,
        Some(Task::Revoke(revoke)) => revoke.json,
        Some(Task::List(list)) => list.json,
    };
    let lists = matches!(args.task, Some(Task::List(_)));
    let mut told = Told::new(json);
    let end = carry_out(args, &mut told);
    // A list is an object of its own, unless it could not be made.
    if !lists || end.is_err() {
        told.end(&end);
    }
    end
}

fn carry_out(mut args: Args, told: &mut Told) -> Result<(), Failure> {
    let now = clock::now();
    match args.task.take() {
        Some(Task::Accept(accept)) => return accept::run(&accept, now, told),
        Some(Task::Rotate(rotate)) => return rotate::run(&rotate, now, told),
        Some(Task::Revoke(revoke)) => return revoke::run(&revoke, told),
        Some(Task::List(list)) => return list::run(&list, now),
        None => {}
    }
    args.check(now)?;
    let Some(server) = args.server else { return Err(Failure::usage("name this server with --server")) };
    let wish = Wish { names: &args.names, server, terms: &args.terms, out: args.out.as_deref() };
    let folders = Folders::of(&args.terms.place);
    let outputs = wish.outputs()?;
    let servers: Vec<_> = args.names.iter().map(|name| folders.profile(name.as_str())).collect();
    profile::refuse_existing(servers.iter().zip(&outputs).flat_map(|(ours, theirs)| [&**ours, &**theirs]))?;
    halves::refuse_taken(&folders, &args.names)?;
    let machine_id = machine::id();
    let mut random = random()?;
    let choice = Choice::of(args.terms.freshness);
    folders.make()?;
    let site = Site::load_or_make(&folders, args.terms.port, &machine_id, &mut random)?;
    let freshness = choice.freshness(&site)?;
    let made = wish.make(&folders, &outputs, &site, freshness, now, &mut random)?;
    let pictures = match args.qr {
        Some(_) => made.clients.iter().map(|text| qr::picture(text)).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let report = Report { wish: &wish, folders: &folders, outputs: &outputs, site: &site, choice };
    made.files.into_iter().for_each(Created::keep);
    told.say(&report.text(&machine_id));
    report.tell(&machine_id, &made.key_ids, told);
    for (name, picture) in args.names.iter().zip(pictures) {
        told.say(&format!(
            "\nThe client's half of {name}, for whoever sees it (on the device: spa-client profiles import -):\n"
        ));
        told.say(&picture);
    }
    Ok(())
}
