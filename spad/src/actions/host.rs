//! What of an action depends on this host: whether its user is there and may have it run, and whether the program is one
//! that nobody else can put another in the place of.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use spa_core::action::ActionName;

use super::table::{Action, Table};
use crate::identity;

/// An action that can be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// User id.
    pub(super) uid: u32,
    /// Group id.
    pub(super) gid: u32,
}

/// Why not: one sentence for each action that cannot be run.
pub fn faults(table: &Table) -> Vec<String> {
    let host = Host::read();
    let fault =
        |(name, action): (&ActionName, &Action)| Some(format!("action.{name}: {}", host.fit(action).err()?));
    table.actions.iter().filter_map(fault).collect()
}

/// The files that name users and groups, read once.
pub(super) struct Host {
    passwd: String,
    group: String,
    /// Whom the daemon runs as, so that its keys can be read, and its processes ended, by that user.
    own: Vec<u32>,
}

impl Host {
    pub(super) fn read() -> Self {
        // As files: see `identity.rs`.
        let [passwd, group] = ["/etc/passwd", "/etc/group"]
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned());
        let this = rustix::process::geteuid().as_raw();
        let own = [identity::daemon_user(), this].into_iter().filter(|uid| *uid != 0).collect();
        Self { passwd, group, own }
    }

    /// Whose rights the action gets, if all is well.
    pub(super) fn fit(&self, action: &Action) -> Result<Fit, String> {
        let user = &action.user;
        let found = identity::find(&self.passwd, user).ok().flatten();
        let Some((uid, own_group)) = found else {
            return Err(format!("there is no user {user} in /etc/passwd"));
        };
        if self.own.contains(&uid) {
            return Err(format!(
                "user {user} is whom the daemon runs as, who can read its keys: name another (without a user spad that is nobody)"
            ));
        }
        let gid = match &action.group {
            None => own_group,
            Some(group) => group_id(&self.group, group)
                .ok_or_else(|| format!("there is no group {group} in /etc/group"))?,
        };
        program(Path::new(action.argv.first().map_or("", String::as_str)), uid)?;
        Ok(Fit { uid, gid })
    }
}

/// `name:password:gid:members` (group(5)).
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Refuses a program that others than root and the user could exchange: of the path as it is written, and of where it leads.
fn program(path: &Path, uid: u32) -> Result<(), String> {
    let cannot = |error| format!("{}: {error}", path.display());
    let meta = fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() || meta.mode() & 0o111 == 0 {
        return Err(format!("{} is not a program", path.display()));
    }
    let real = fs::canonicalize(path).map_err(cannot)?;
    for place in real.ancestors().chain(path.ancestors().skip(1)) {
        let meta = fs::metadata(place).map_err(cannot)?;
        if meta.mode() & 0o022 != 0 {
            return Err(format!("others may write {}, and so say what is run", place.display()));
        }
        if meta.uid() != 0 && meta.uid() != uid {
            return Err(format!("{} belongs to another user, who says what is run", place.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use super::*;

    const PASSWD: &str = "root:x:0:0:::\nspad:x:998:997:::\nnobody:x:65534:65534:::\nmail:x:8:9:::\n";
    const GROUP: &str = "root:x:0:\nplugdev:x:46:spad\nbroken:x:many:\n";

    fn action(program: &Path, user: &str, group: Option<&str>) -> Action {
        Action {
            argv: vec![program.display().to_string()],
            arguments: Vec::new(),
            user: user.into(),
            group: group.map(str::to_owned),
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn whom_an_action_runs_as_is_looked_up_and_never_the_daemon() {
        let host = Host { passwd: PASSWD.into(), group: GROUP.into(), own: vec![998] };
        #[rustfmt::skip]
        let rows = [
            // user, group, ids or a part of the refusal, why
            ("nobody", None,            Ok((65534, 65534)),      "the default"),
            ("mail",   None,            Ok((8, 9)),              "the user's own group"),
            ("mail",   Some("plugdev"), Ok((8, 46)),             "another group"),
            ("root",   None,            Ok((0, 0)),              "root, if the operator wants that"),
            ("spad",   None,            Err("can read its keys"), "the daemon's own user"),
            ("nemo",   None,            Err("no user nemo"),     "nobody of that name"),
            ("mail",   Some("nemo"),    Err("no group nemo"),    "no such group"),
            ("mail",   Some("broken"),  Err("no group broken"),  "a line that is none"),
        ];
        for (user, group, expected, why) in rows {
            let fit = host.fit(&action(Path::new("/bin/sh"), user, group));
            match expected {
                Ok((uid, gid)) => assert_eq!(fit, Ok(Fit { uid, gid }), "{why}"),
                Err(part) => assert!(fit.unwrap_err().contains(part), "{why}"),
            }
        }
    }

    #[test]
    fn a_program_that_others_could_exchange_is_refused() {
        let uid = rustix::process::geteuid().as_raw();
        // Beside this very program: whoever may write /tmp could write what stands below it.
        let program_of_the_test = std::env::current_exe().unwrap();
        let folder = program_of_the_test.with_file_name(format!("actions-{}", std::process::id()));
        let make = |name: &str, mode: u32| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let plain = make("plain", 0o755);
        let (group, world, none) = (make("group", 0o775), make("world", 0o757), make("none", 0o644));
        let open = make("open/program", 0o755);
        fs::set_permissions(folder.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        let link = folder.join("link");
        symlink(&open, &link).unwrap();
        let hidden = folder.join("open/link");
        symlink(&plain, &hidden).unwrap();
        #[rustfmt::skip]
        let rows = [
            (&group,  "others may write", "its group may write it"),
            (&world,  "others may write", "everybody may"),
            (&none,   "not a program",    "nobody may execute it"),
            (&open,   "others may write", "its folder may be written"),
            (&link,   "others may write", "where a link leads"),
            (&hidden, "others may write", "where a link stands"),
            (&folder, "not a program",    "a folder"),
        ];
        for (path, part, why) in rows {
            let refusal = program(path, uid).unwrap_err();
            assert!(refusal.contains(part), "{why}: {refusal}");
        }
        let of_others = program(&plain, uid.wrapping_add(1));
        assert!(of_others.is_err() || uid == 0, "somebody else's");
        // Above the test's folder stands what the machine has.
        let outside = folder.ancestors().skip(1).any(|place| program_place(place, uid));
        assert!(outside || program(&plain, uid).is_ok());
        assert!(program(&folder.join("missing"), uid).unwrap_err().contains("missing"));
        fs::remove_dir_all(&folder).unwrap();
    }

    fn program_place(place: &Path, uid: u32) -> bool {
        let meta = fs::metadata(place).unwrap();
        meta.mode() & 0o022 != 0 || (meta.uid() != 0 && meta.uid() != uid)
    }
}
