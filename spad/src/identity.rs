//! Whose uid and gid the starter's children take.

use std::{fmt, fs, io};

use rustix::process::{Gid, Uid};

/// The system user that the packages create.
const USER: &str = "spad";
/// What `nobody` and its group are on every distribution.
const NOBODY: u32 = 65534;

/// Who a child becomes before it reads anything from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Started by root: this user and group, and no supplementary group.
    Become {
        /// User and group id.
        ids: (u32, u32),
        /// Whether that is the user `spad`; `nobody` otherwise.
        own: bool,
    },
    /// The ids stay as they are.
    Keep(Reason),
}

/// Why the ids stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not started by root, but for example by a service manager as `User=spad`.
    NotRoot,
    /// Root of a user namespace that knows no other id, or forbids to change groups.
    UserNamespace,
}

/// Why no identity can be chosen or taken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A line for `spad` that would keep root's rights.
    #[error("the user spad in /etc/passwd has root's uid or gid; give it its own")]
    Root,
    /// A line for `spad` that is not one.
    #[error("the line of user spad in /etc/passwd has no valid uid and gid")]
    Malformed,
    /// Reading the facts, or changing the ids, failed.
    #[error("cannot change the user id: {0}")]
    Io(#[from] io::Error),
}

/// The uid of the user spad, if there is one.
pub fn system_user() -> Option<u32> {
    let passwd = fs::read("/etc/passwd").ok()?;
    Some(find(&String::from_utf8_lossy(&passwd), USER).ok()??.0)
}

/// Whom a daemon that root starts becomes: the user spad, else nobody.
pub(crate) fn daemon_user() -> u32 {
    system_user().unwrap_or(NOBODY)
}

/// What the choice depends on.
struct Facts {
    uid: u32,
    passwd: String,
    uid_map: String,
    gid_map: String,
    setgroups: String,
}

impl Identity {
    /// Chooses by the uid of this process, /etc/passwd and the id maps of its user namespace.
    ///
    /// /etc/passwd is read as a file: the name service would load foreign libraries into a process with
    /// root's rights, and a package's system user is always in the file.
    ///
    /// # Errors
    /// See [`IdentityError`]. A machine without /etc/passwd has no user `spad`, which is no error.
    pub fn choose() -> Result<Self, IdentityError> {
        let passwd = match fs::read("/etc/passwd") {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        decide(&Facts {
            uid: rustix::process::geteuid().as_raw(),
            passwd,
            uid_map: fs::read_to_string("/proc/self/uid_map")?,
            gid_map: fs::read_to_string("/proc/self/gid_map")?,
            setgroups: fs::read_to_string("/proc/self/setgroups")?,
        })
    }

    /// Changes real, effective and saved ids and drops the supplementary groups. For good: the caller has
    /// to drop the capabilities that could undo it.
    ///
    /// The kernel changes one thread only; the caller made sure that there is no other.
    ///
    /// # Errors
    /// Any refusal is an error: nothing may go on with half an identity.
    pub(crate) fn take(self) -> io::Result<()> {
        let Self::Become { ids: (uid, gid), .. } = self else { return Ok(()) };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }

    /// Whether this process now is who it was to become.
    pub(crate) fn taken(self) -> io::Result<bool> {
        let Self::Become { ids: (uid, gid), .. } = self else { return Ok(true) };
        let groups = rustix::process::getgroups()?;
        Ok(rustix::process::getuid().as_raw() == uid
            && rustix::process::geteuid().as_raw() == uid
            && rustix::process::getgid().as_raw() == gid
            && rustix::process::getegid().as_raw() == gid
            && groups.is_empty())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Become { ids: (uid, gid), own: true } => write!(f, "user spad ({uid}:{gid})"),
            Self::Become { own: false, .. } => f.write_str("nobody, as there is no user spad"),
            Self::Keep(Reason::NotRoot) => f.write_str("the user it was started as"),
            Self::Keep(Reason::UserNamespace) => {
                f.write_str("the only user of this user namespace, without its capabilities")
            }
        }
    }
}

/// The choice itself.
fn decide(facts: &Facts) -> Result<Identity, IdentityError> {
    if facts.uid != 0 {
        return Ok(Identity::Keep(Reason::NotRoot));
    }
    let own = find(&facts.passwd, USER)?;
    let ids = own.unwrap_or((NOBODY, NOBODY));
    if ids.0 == 0 || ids.1 == 0 {
        return Err(IdentityError::Root);
    }
    let possible =
        maps(&facts.uid_map, ids.0) && maps(&facts.gid_map, ids.1) && facts.setgroups.trim() != "deny";
    Ok(match possible {
        true => Identity::Become { ids, own: own.is_some() },
        false => Identity::Keep(Reason::UserNamespace),
    })
}

/// Finds a user's uid and gid in the text of /etc/passwd (`name:password:uid:gid:…`, see passwd(5)).
pub(crate) fn find(passwd: &str, user: &str) -> Result<Option<(u32, u32)>, IdentityError> {
    let Some(line) = passwd.lines().find(|line| line.split(':').next() == Some(user)) else {
        return Ok(None);
    };
    let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
    match (fields.next(), fields.next()) {
        // The largest number means "leave as it is" to the kernel.
        (Some(Ok(uid)), Some(Ok(gid))) if uid != u32::MAX && gid != u32::MAX => Ok(Some((uid, gid))),
        _ => Err(IdentityError::Malformed),
    }
}

/// Whether an id exists in a user namespace, by its map: lines of `first-inside first-outside count`
/// (user_namespaces(7)).
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => (first..first + count).contains(&u64::from(id)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "         0          0 4294967295\n";
    const SINGLE: &str = "         0       1000          1\n";
    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nspad:x:998:997::/:/usr/sbin/nologin\n";

    fn decided(uid: u32, passwd: &str, map: &str, setgroups: &str) -> Option<Identity> {
        decide(&Facts {
            uid,
            passwd: passwd.into(),
            uid_map: map.into(),
            gid_map: map.into(),
            setgroups: setgroups.into(),
        })
        .ok()
    }

    #[test]
    fn choice() {
        let spad = Identity::Become { ids: (998, 997), own: true };
        let nobody = Identity::Become { ids: (NOBODY, NOBODY), own: false };
        let only = Identity::Keep(Reason::UserNamespace);
        #[rustfmt::skip]
        let rows = [
            // uid, passwd, map, setgroups, choice, why
            (0,   PASSWD,                    WHOLE,          "allow\n", Some(spad),   "root, and the user exists"),
            (0,   "spadx:x:5:5:::\n",        WHOLE,          "allow\n", Some(nobody), "a longer name is another user"),
            (0,   "",                        WHOLE,          "allow\n", Some(nobody), "no /etc/passwd at all"),
            (998, PASSWD,                    WHOLE,          "allow\n", Some(Identity::Keep(Reason::NotRoot)), "User=spad"),
            (0,   PASSWD,                    SINGLE,         "deny\n",  Some(only),   "unshare -Ur"),
            (0,   "",                        SINGLE,         "allow\n", Some(only),   "nobody is not mapped"),
            (0,   PASSWD,                    "0 100000 65536\n", "allow\n", Some(spad), "a rootless container with a range"),
            (0,   "",                        "0 100000 65534\n", "allow\n", Some(only), "a range that ends just before nobody"),
            (0,   PASSWD,                    WHOLE,          "deny\n",  Some(only),   "groups could not be dropped"),
            (0,   "spad:x:0:997:::\n",       WHOLE,          "allow\n", None,         "spad is root"),
            (0,   "spad:x:998:0:::\n",       WHOLE,          "allow\n", None,         "spad is in root's group"),
            (0,   "spad:x:998\n",            WHOLE,          "allow\n", None,         "a line cut short"),
            (0,   "spad:x:4294967295:1:::\n", WHOLE,         "allow\n", None,         "the id that is none"),
        ];
        for (uid, passwd, map, setgroups, choice, why) in rows {
            assert_eq!(decided(uid, passwd, map, setgroups), choice, "{why}");
        }
    }

    #[test]
    fn the_facts_of_this_machine_can_be_read() {
        Identity::choose().unwrap();
    }
}
