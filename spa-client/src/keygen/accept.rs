//! Answers an enrolment: from the client's line to the server's half of a profile, and a line for the client. Nothing that
//! is printed is secret.

use spa_core::enrolment::Request;
use spa_core::time::UnixMillis;

use super::args::Accept;
use super::folder::Folders;
use super::freshness::Choice;
use super::halves;
use super::key_id::Used;
use super::machine;
use super::profile::{Pair, Wish, refuse_existing};
use super::report::Report;
use super::site::Site;
use super::told::Told;
use crate::ask;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::output::complain;
use crate::random::random;

/// `spa-keygen accept`.
pub(super) fn run(accept: &Accept, now: UnixMillis, told: &mut Told) -> Result<(), Failure> {
    accept.terms.check(now)?;
    // Before there is an answer that somebody could use, and no profile for it.
    if !accept.yes && !ask::is_somebody_there() {
        return Err(nobody());
    }
    let typed = match accept.line.as_str() {
        "-" => ask::line("Paste the line that spa-client enrol printed")?,
        line => line.to_owned(),
    };
    let request: Request = typed.parse().map_err(|bad| refused(&bad))?;
    let name = accept.name.as_ref().unwrap_or(request.name());
    let server = match &accept.server {
        Some(server) => server.clone(),
        None => request.server().parse::<Host>().map_err(|bad| refused(&bad))?,
    };
    let wish = Wish { names: std::slice::from_ref(name), server, terms: &accept.terms, out: None };
    let folders = Folders::of(&accept.terms.place);
    let target = folders.profile(name.as_str());
    let machine_id = machine::id();
    let mut random = random()?;
    let choice = Choice::of(accept.terms.freshness);
    folders.make()?;
    let site = Site::load_or_make(&folders, accept.terms.port, &machine_id, &mut random)?;
    let freshness = choice.freshness(&site)?;
    let key_id = request.key_id();
    if Used::at(&folders.profiles(), site.key_ids()).has(key_id) {
        return Err(Failure::new(
            Status::File,
            "this line was accepted already, or its profile is retired",
            "let the client begin anew: spa-client enrol HOST --force",
        ));
    }
    refuse_existing([&*target])?;
    halves::refuse_taken(&folders, std::slice::from_ref(name))?;
    let reply = request.reply(&mut random).map_err(|bad| refused(&bad))?;
    let pair = Pair { name, key_id, key: reply.profile_key(), freshness, created: now };
    let sealed = reply.seal(&wish.client_half(&pair, &site));
    let (answer, fingerprint) = sealed.map_err(|bad| refused(&bad))?;

    let report = Report { wish: &wish, folders: &folders, outputs: &[], site: &site, choice };
    let notes = report.notes(&machine_id).into_iter().map(|note| format!("note: {note}"));
    report.made().into_iter().chain(notes).for_each(|line| complain(&line));
    complain(&format!("Give this line to the client {name}, with spa-client enrol --finish LINE:"));
    told.say(&answer.to_string());
    complain(&format!("It must show this fingerprint: {fingerprint}"));
    // Until that is known the profile is not there: it may be somebody else's who changed the line.
    match (accept.yes, accept.yes || ask::sure("Does it?").ok_or_else(nobody)?) {
        (_, false) => {
            let hint = "do it again over a way on which you trust nobody less; nothing was made";
            return Err(Failure::new(
                Status::Other,
                "the fingerprints differ: somebody changed a line",
                hint,
            ));
        }
        (true, _) => complain(&format!("If it shows another: rm {}", crate::secret_file::quoted(&target))),
        (false, _) => {}
    }
    wish.write_server_half(&pair, &folders, &mut random)?.keep();
    report.tell(&machine_id, &[key_id], told);
    told.object().answer = Some(answer.to_string());
    told.object().fingerprint = Some(fingerprint.to_string());
    report.profile(name).into_iter().chain(report.ends()).for_each(|line| complain(&line));
    Ok(())
}

fn refused(why: &dyn std::fmt::Display) -> Failure {
    let hint = "paste the whole line that spa-client enrol printed, in one piece";
    Failure::new(Status::Usage, why.to_string(), hint)
}

fn nobody() -> Failure {
    let hint =
        "run it at a terminal; or give --yes, and compare the fingerprints yourself before you rely on it";
    Failure::new(Status::Usage, "there is nobody to ask whether the fingerprints are the same", hint)
}
