//! `spa-keygen`: makes a profile, both halves, and the site at the first. It never overwrites, and what it cannot make
//! whole it does not leave behind.

mod args;
mod folder;
mod freshness;
mod journal;
mod key_id;
mod machine;
mod port;
mod profile;
mod report;
mod site;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Args;
use clap::CommandFactory as _;
use folder::Folders;
use freshness::Choice;
use report::Report;
use site::Site;

use crate::failure::{Failure, exit};
use crate::new_file::Created;
use crate::output::say;
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
    let Some(args) = usage::parse::<Args>(arguments, &args::HABITS)? else { return Ok(()) };
    let now = clock::now();
    args.check(now)?;
    let folders = Folders::of(&args);
    let outputs = profile::outputs(&args)?;
    profile::refuse_existing(&args, &folders, &outputs)?;
    let machine_id = machine::id();
    let mut random = random()?;
    let choice = Choice::of(args.freshness);
    folders.make()?;
    let site = Site::load_or_make(&folders, args.port, &machine_id, &mut random)?;
    let freshness = choice.freshness(&site)?;
    let made = profile::make(&args, &folders, &outputs, &site, freshness, now, &mut random)?;
    let report = Report { args: &args, folders: &folders, outputs: &outputs, site: &site, choice };
    made.into_iter().for_each(Created::keep);
    say(&report.text(&machine_id));
    Ok(())
}
