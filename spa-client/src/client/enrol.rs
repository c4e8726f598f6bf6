//! `spa-client enrol`: a profile without a secret that travels. Between the two commands the client's own key waits in
//! `enrolments/NAME.toml`, beside the folder of profiles.

use std::fs;
use std::path::{Path, PathBuf};

use spa_core::enrolment::{Answer, Begun, NotForUs};
use spa_core::file::pending;
use spa_core::name::ProfileName;

use super::args::Enrol;
use super::profile;
use super::profiles::{add_enrolled, cannot_write, make_folder};
use crate::ask;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::new_file::NewFile;
use crate::output::{complain, say};
use crate::random::random;
use crate::secret_file::{self, quoted};
use crate::usage::listed;

const ENDING: &str = ".toml";

/// Either half.
pub(super) fn run(enrol: &Enrol) -> Result<(), Failure> {
    match (&enrol.host, enrol.finish.as_deref()) {
        (Some(host), None) => begin(host, enrol.name.clone(), enrol.force),
        (_, Some("-")) => finish(&ask::line("Paste the line that spa-keygen accept printed")?),
        (_, Some(line)) => finish(line),
        (None, None) => Err(Failure::usage("name the server: spa-client enrol HOST")),
    }
}

/// Makes a key, keeps it, and prints the line; or prints the line again whose answer is still missing.
fn begin(host: &Host, name: Option<ProfileName>, force: bool) -> Result<(), Failure> {
    let name = name.map_or_else(this_machine, Ok)?;
    let profiles = profile::folder()?;
    let there = profile::place(&profiles, name.as_str());
    if there.symlink_metadata().is_ok() {
        let sentence = format!("there is a profile {name} already: {}", there.display());
        return Err(Failure::new(Status::File, sentence, "choose another name: --name NAME"));
    }
    let folder = folder(&profiles);
    let path = folder.join(format!("{name}{ENDING}"));
    let begun = match path.symlink_metadata() {
        Ok(_) if !force => {
            let begun = read(&path)?;
            if begun.request().server() != host.to_string() {
                let sentence = format!("an enrolment {name} is pending, for {}", begun.request().server());
                return Err(Failure::new(
                    Status::File,
                    sentence,
                    "choose another --name, or begin anew with --force",
                ));
            }
            begun
        }
        _ => {
            let mut random = random()?;
            let Some(begun) = Begun::new(name.clone(), host.to_string(), &mut random) else {
                return Err(Failure::usage("the server's name does not fit into a line"));
            };
            make_folder(&folder)?;
            let cannot = |error: std::io::Error| cannot_write(&path, &error);
            let mut file = NewFile::begin(&path, None, &mut random).map_err(cannot)?;
            file.write(pending::write(&begun).as_bytes()).map_err(cannot)?;
            file.replace().map_err(cannot)?;
            begun
        }
    };
    complain("Give this line to whoever runs the server, for spa-keygen accept LINE --open SERVICE:");
    say(&begun.request().to_string());
    complain(
        "Whoever reads it cannot knock. Then, with the line that comes back: spa-client enrol --finish LINE",
    );
    Ok(())
}

/// Makes the profile of a pending enrolment and its answer.
fn finish(line: &str) -> Result<(), Failure> {
    let answer: Answer = line.parse().map_err(|bad: spa_core::enrolment::BadLine| {
        Failure::new(
            Status::Usage,
            bad.to_string(),
            "paste the whole line that spa-keygen accept printed, in one piece",
        )
    })?;
    let folder = folder(&profile::folder()?);
    let mut broken = None;
    for path in pending(&folder) {
        let begun = match read(&path) {
            Ok(begun) => begun,
            Err(failure) => {
                broken = Some(failure);
                continue;
            }
        };
        let finished = match begun.finish(&answer) {
            Err(NotForUs::Another) => continue,
            Err(why) => {
                let hint =
                    "nothing was made; ask for the line again over another way, or begin anew with --force";
                return Err(Failure::new(Status::File, why.to_string(), hint));
            }
            Ok(finished) => finished,
        };
        let file = &finished.profile;
        // The operator's name for it, if it can be a file's; else the own.
        let name = file.name.parse().unwrap_or_else(|_| begun.request().name().clone());
        let made = add_enrolled(&name, file, &mut random()?)?;
        let _ = fs::remove_file(&path);
        let services = listed(&file.open, "nothing");
        say(&format!("made the profile {name}: opens {services} at {}", file.server));
        say(&format!("fingerprint: {}", finished.fingerprint));
        complain(&format!(
            "The server must show the same. If it shows another, somebody changed a line: spa-client profiles remove {}",
            quoted(Path::new(name.as_str()))
        ));
        complain(&format!("  {}", made.display()));
        return Ok(());
    }
    Err(broken.unwrap_or_else(|| {
        Failure::new(
            Status::File,
            "no enrolment is pending here that this line answers",
            "it was finished already, begun anew since, or begun on another device: spa-client enrol HOST",
        )
    }))
}

fn folder(profiles: &Path) -> PathBuf {
    profiles.with_file_name("enrolments")
}

fn pending(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.ends_with(ENDING) && !name.starts_with('.')
            })
        })
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<Begun, Failure> {
    let text = secret_file::read(path)?.text;
    pending::read(&text).map_err(|bad| {
        secret_file::refuse(path, &bad, "remove the file and begin anew: spa-client enrol HOST")
    })
}

/// The first label of this machine's name.
fn this_machine() -> Result<ProfileName, Failure> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let label = name.split('.').next().unwrap_or_default();
    label
        .parse()
        .map_err(|_| Failure::usage("this machine's name is none for a profile; choose one: --name NAME"))
}
