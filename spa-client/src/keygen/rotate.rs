//! New keys for old, with a time in which both are valid: nobody is ever without a way in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use spa_core::crypto::key::{ProfileKey, SiteKey};
use spa_core::file::client::{ClientFile, NewClient};
use spa_core::file::profile::{FreshnessName, Overlap, ProfileFile};
use spa_core::name::ProfileName;
use spa_core::profile::{Freshness, JournalEpoch};
use spa_core::time::UnixMillis;
use zeroize::Zeroizing;

use super::args::{Kind, Rotate, Wished};
use super::edit;
use super::folder::{self, Folders, cannot};
use super::freshness::Choice;
use super::halves::{self, Half, Place};
use super::key_id::Used;
use super::list;
use super::profile::{caller, outputs, refuse_existing, write};
use super::reload::{Reload, reload};
use super::revoke::unchanged;
use super::site::Site;
use super::told::{Told, Touched};
use crate::clock;
use crate::failure::{Failure, Status};
use crate::host::Host;
use crate::new_file::{Created, NewFile};
use crate::owner::owner_in;
use crate::random::{Random, random};
use crate::secret_file::quoted;

/// What `until-used` ends with when the new key is never used: a stolen one must not work for ever.
const LONGEST_UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// `spa-keygen rotate`.
pub(super) fn run(rotate: &Rotate, now: UnixMillis, told: &mut Told) -> Result<(), Failure> {
    let folders = Folders::of(&rotate.place);
    let _lock = halves::lock(&folders);
    let mut site = Site::load(&folders)?;
    match (&rotate.name, &rotate.server) {
        (Some(name), Some(server)) => profile(rotate, name, server, &folders, &site, now, told)?,
        (None, Some(server)) => {
            site_key(rotate.out.as_deref(), server, &folders, &mut site, told)?;
        }
        (_, None) => finish(&folders, site, told)?,
    }
    take_up(&folders, told)
}

/// The daemon reads what was written.
fn take_up(folders: &Folders, told: &mut Told) -> Result<(), Failure> {
    match reload(folders.state()) {
        Reload::Taken => {
            told.object().taken_up = Some(true);
            told.say("spad has taken it up");
        }
        Reload::NotRunning => {
            told.object().taken_up = Some(false);
            told.say("no spad runs with this state folder: it counts from the next start");
        }
        Reload::Refused(why) => {
            let sentence = format!("the files are written, but spad goes on with those before: {why}");
            return Err(Failure::new(Status::Other, sentence, "mend that, and run: spad reload"));
        }
    }
    Ok(())
}

fn profile(
    rotate: &Rotate,
    name: &ProfileName,
    server: &Host,
    folders: &Folders,
    site: &Site,
    now: UnixMillis,
    told: &mut Told,
) -> Result<(), Failure> {
    let random = &mut random()?;
    let Half { place, profile, .. } = halves::find(folders, name)?;
    let mut file = profile.map_err(|why| {
        let hint = "correct the file; nothing was changed";
        Failure::new(Status::File, format!("{place}: {why}"), hint)
    })?;
    if let Some(expires) = file.expires.filter(|&expires| expires <= now) {
        let sentence = format!("{name} has expired at {}; a new key would open nothing", clock::utc(expires));
        return Err(Failure::new(Status::File, sentence, "change expires in its file first"));
    }
    let working = list::previous(name, &file, site, now).and_then(|old| old.expires);
    if let Some(until) = working.filter(|_| rotate.overlap != Wished::Nothing) {
        let until = clock::utc(until);
        let sentence =
            format!("the key of {name} was rotated before, and the one before it works until {until}");
        let hint = "wait until then; or end both that one and the present one at once with --overlap 0s";
        return Err(Failure::new(Status::File, sentence, hint));
    }
    let freshness = match file.freshness() {
        Freshness::Clock => Freshness::Clock,
        Freshness::Monotonic(_) => Choice::Said(Kind::Monotonic).freshness(site)?,
    };
    let output = outputs(std::slice::from_ref(name), rotate.out.as_deref())?;
    refuse_existing(output.iter().map(PathBuf::as_path))?;
    let key_id = Used::at(&folders.profiles(), site.key_ids()).draw(random);
    let overlap = match rotate.overlap {
        Wished::Nothing => Overlap::None,
        Wished::For(time) => Overlap::Until(now.plus(time)),
        Wished::UntilUsed => Overlap::UntilUsed(remembering(site)?, now.plus(LONGEST_UNUSED)),
    };
    file.rotate(key_id, ProfileKey::random(random), now, freshness, overlap);

    // The client's half first: no key counts that nobody can have.
    let text = halves::read(&place.path)?.text;
    let changed = edit::rotated(&text, place.at(), &file).map_err(|hint| unchanged(&place, hint))?;
    let made = client_halves(&[(name, &file)], &output, server, site, random)?;
    replace(&place.path, &changed, random)?;
    made.into_iter().for_each(Created::keep);
    let ends = match overlap {
        Overlap::None => "the one before has ended".to_owned(),
        Overlap::Until(until) => format!("the one before works until {}", clock::utc(until)),
        Overlap::UntilUsed(_, until) => {
            format!("the one before works until this one is used, {} at the latest", clock::utc(until))
        }
    };
    told.say(&format!("{name} has a new key, {:08x}; {ends}", key_id.0));
    tell(&output, told);
    let mut touched = touched(name, &file, &place, output.first());
    if let Some(old) = &file.previous {
        touched.previous_until = Some(clock::utc(old.until));
        touched.until_used = Some(old.until_used().is_some());
    }
    told.object().profiles.push(touched);
    Ok(())
}

/// The life of the journal that will know of the first use of a new key.
fn remembering(site: &Site) -> Result<JournalEpoch, Failure> {
    site.journal.as_ref().map(|journal| journal.epoch).map_err(|why| {
        let sentence = format!("nobody would know when the new key is used: the replay journal {why}");
        Failure::new(
            Status::File,
            sentence,
            "start spad, which begins a new one; or say a time: --overlap 7days",
        )
    })
}

/// A new key for the site, and every client's half anew with it.
fn site_key(
    out: Option<&Path>,
    server: &Host,
    folders: &Folders,
    site: &mut Site,
    told: &mut Told,
) -> Result<(), Failure> {
    let random = &mut random()?;
    if site.file.previous_key.is_some() {
        let sentence = "the site's key was rotated before, and the one before it is still valid";
        let hint = "once every client has the present one: spa-keygen rotate --site --finish";
        return Err(Failure::new(Status::File, sentence, hint));
    }
    let mut profiles: Vec<(ProfileName, Box<ProfileFile>, Place)> = Vec::new();
    for Half { place, name, profile } in halves::all(folders)? {
        match (name, profile) {
            (Some(name), Ok(_)) if profiles.iter().any(|(other, ..)| *other == name) => {
                told.note(format!("{place} is passed over: another profile has its name"));
            }
            (Some(name), Ok(file)) => profiles.push((name, file, place)),
            (_, Err(why)) => told.note(format!("{place} is passed over: {why}")),
            // Whoever has no name has a reason for that.
            (None, Ok(_)) => {}
        }
    }
    let names: Vec<ProfileName> = profiles.iter().map(|(name, ..)| name.clone()).collect();
    // A folder even for one: there are as many files as there are profiles, whoever counts them.
    let folder = out.unwrap_or(Path::new("."));
    folder::make(folder, caller())?;
    let outputs = outputs(&names, Some(folder))?;
    refuse_existing(outputs.iter().map(PathBuf::as_path))?;
    site.file.rotate(SiteKey::random(random));
    let pairs: Vec<(&ProfileName, &ProfileFile)> =
        profiles.iter().map(|(name, file, _)| (name, &**file)).collect();
    let made = client_halves(&pairs, &outputs, server, site, random)?;
    replace(&folders.site(), &site.file.to_text(), random)?;
    made.into_iter().for_each(Created::keep);
    told.say("the site has a new key; the one before is valid too, until: spa-keygen rotate --site --finish");
    tell(&outputs, told);
    let all = profiles.iter().zip(&outputs);
    let all = all.map(|((name, file, place), output)| touched(name, file, place, Some(output)));
    told.object().profiles.extend(all);
    Ok(())
}

/// Ends the overlap of the site's keys.
fn finish(folders: &Folders, mut site: Site, told: &Told) -> Result<(), Failure> {
    if site.file.previous_key.take().is_none() {
        let sentence = "the site has one key only, so there is nothing to finish";
        return Err(Failure::new(Status::File, sentence, "rotate it first: spa-keygen rotate --site"));
    }
    replace(&folders.site(), &site.file.to_text(), &mut random()?)?;
    told.say(
        "the site's key before the present one is not valid any more: a client that still has it is a stranger",
    );
    Ok(())
}

fn touched(name: &ProfileName, file: &ProfileFile, place: &Place, client_half: Option<&PathBuf>) -> Touched {
    let mut touched = Touched::new(name, Some(file.key_id()), place.path.clone());
    touched.client_half = client_half.cloned();
    touched
}

fn client_halves(
    profiles: &[(&ProfileName, &ProfileFile)],
    outputs: &[PathBuf],
    server: &Host,
    site: &Site,
    random: &mut Random,
) -> Result<Vec<Created>, Failure> {
    let pairs = profiles.iter().zip(outputs);
    pairs
        .map(|((name, file), output)| write(output, &half(name, file, server, site), caller(), random))
        .collect()
}

/// The client's half, from the server's.
fn half(name: &ProfileName, file: &ProfileFile, server: &Host, site: &Site) -> Zeroizing<String> {
    let client = ClientFile::from(NewClient {
        name: name.to_string(),
        server: server.to_string(),
        port: site.file.port,
        site_id: site.file.id,
        site_key: SiteKey::copy_of(&site.file.key),
        key_id: file.key_id(),
        key: ProfileKey::copy_of(&file.key),
        suite: file.suite,
        open: file.open.clone(),
        window: file.window,
        freshness: match file.freshness() {
            Freshness::Clock => FreshnessName::Clock,
            Freshness::Monotonic(_) => FreshnessName::Monotonic,
        },
        created: file.created,
        receipt: file.receipt,
    });
    client.to_text()
}

/// The only files of ours that are written in place of others: there is the old one or the new one, whole.
pub(super) fn replace(path: &Path, text: &str, random: &mut Random) -> Result<(), Failure> {
    let text = Zeroizing::new(text.to_owned());
    let owner = path.parent().and_then(owner_in);
    let replaced = NewFile::begin(path, owner, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.replace()
    });
    replaced.map_err(|error| cannot("write", path, &error))
}

fn tell(outputs: &[PathBuf], told: &Told) {
    for output in outputs {
        told.say(&format!("  client's half {} (secret; remove it here once it is copied)", quoted(output)));
    }
    if !outputs.is_empty() {
        told.say("On each client, with the file copied there: spa-client profiles import FILE --force");
    }
}
