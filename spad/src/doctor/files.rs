//! The files: who may read and write them, and what is left out of the site.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::finding::{Finding, or_ok};
use crate::config::Config;
use crate::site::Site;

/// Folder and files that hold secrets or decide what is open.
pub(super) fn permissions(config: &Path, state_dir: &Path) -> Vec<Finding> {
    const ID: &str = "permissions";
    let folder = config.parent().unwrap_or(Path::new("."));
    let profiles = folder.join("profiles");
    let mut paths = vec![
        (folder.to_owned(), 0o022),
        (config.to_owned(), 0o022),
        (folder.join("site.toml"), 0o077),
        (profiles.clone(), 0o022),
        (state_dir.to_owned(), 0o022),
    ];
    let within = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let is_profile = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
    paths.extend(within(&profiles).into_iter().filter(is_profile).map(|path| (path, 0o077)));
    // Who may call by the control socket, its folder's group says, and SO_PEERCRED.
    let is_socket =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let state = within(state_dir).into_iter().filter(|path| !is_socket(path));
    paths.extend(state.map(|path| (path, 0o022)));
    let mut found = Vec::new();
    for (path, forbidden) in paths {
        // What is not there is another check's.
        let Ok(meta) = fs::metadata(&path) else { continue };
        let loose = meta.mode() & forbidden;
        if loose == 0 {
            continue;
        }
        let may = if loose & 0o022 == 0 { "read" } else { "write" };
        let letters = if forbidden == 0o077 { "go=" } else { "go-w" };
        found.push(Finding::bad(
            ID,
            format!("others may {may} {} (mode {:o})", path.display(), meta.mode() & 0o7777),
            format!("chmod {letters} {}; if it is a secret, ask who has read it", path.display()),
        ));
    }
    or_ok(found, ID, "configuration, secrets and state are for nobody else")
}

/// What of the site does not serve.
pub fn profiles(config: &Config, site: &Site) -> Vec<Finding> {
    const ID: &str = "profiles";
    let left_out = |reason: &String| {
        let fix = "mend the file and reload, or remove it";
        Finding::warning(ID, format!("left out: {reason}"), fix)
    };
    let mut found: Vec<Finding> = site.left_out.iter().map(left_out).collect();
    found.extend(site.unknown_actions(&config.table).map(|what| {
        Finding::bad(ID, what, "add [action.NAME] there, or take it out of the profile's invoke")
    }));
    let protected: BTreeSet<_> = config.protect.iter().map(|protected| protected.service).collect();
    for profile in &site.profiles {
        for service in profile.open.iter().filter(|service| !protected.contains(service)) {
            let what = format!("profile {} may open {service}, which is not protected", profile.name);
            found.push(Finding::warning(ID, what, "add it to firewall.protect"));
        }
        for length in profile.prefixes.iter().filter(|length| !config.ceiling.prefixes.contains(length)) {
            let what = format!(
                "profile {} may open for prefixes of {length}, which is not among ceiling.prefixes",
                profile.name
            );
            found.push(Finding::warning(ID, what, "add it there, or take it out of the profile"));
        }
        for forward in profile.forward.iter().filter(|to| config.ceiling.permit_forward(to).is_err()) {
            let what = format!(
                "profile {} leads to {forward}, which firewall.forward and forward_sources do not allow",
                profile.name
            );
            found.push(Finding::warning(ID, what, "add it there, or take it out of the profile"));
        }
        if profile.receipt.is_some() && !config.receipts {
            let what =
                format!("profile {} may have receipts, which ceiling.receipts does not allow", profile.name);
            found.push(Finding::warning(ID, what, "set it to true, or take receipt out of the profile"));
        }
        if profile.max_window > config.ceiling.max_window {
            let cut = humantime::format_duration(config.ceiling.max_window);
            let what = format!("profile {}: max_window is cut to ceiling.max_window, {cut}", profile.name);
            found.push(Finding::warning(ID, what, "shorten the one or lengthen the other"));
        }
    }
    or_ok(found, ID, format!("{} profiles are in order", site.profiles.len()))
}
