//! Ids of keys. An id is never used for a second key: the replay memory of the first would be taken for its own.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rand::Rng as _;
use spa_core::crypto::key::KeyId;
use spa_core::file::profiles::Profiles;
use zeroize::Zeroizing;

use crate::random::Random;

/// The ids that are known to be used up.
pub(super) struct Used(HashSet<KeyId>);

impl Used {
    /// Those of every file in the folder of profiles and in `retired` below it, whatever their ending, and those that
    /// the journal remembers. A file that does not read as a profile is passed over, and a profile may have been
    /// removed: against that, 32 random bits suffice (with a thousand forgotten keys, one in four million).
    pub(super) fn at(profiles: &Path, remembered: &[KeyId]) -> Self {
        let mut used: HashSet<KeyId> = remembered.iter().copied().collect();
        for folder in [profiles, &profiles.join("retired")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()) {
                let text = fs::read_to_string(path).map(Zeroizing::new);
                let Some(file) = text.ok().and_then(|text| Profiles::parse(&text).ok()) else { continue };
                for (_, profile) in file.into_good() {
                    used.insert(profile.key_id());
                    used.extend(profile.previous.map(|old| old.key_id()));
                }
            }
        }
        Self(used)
    }

    /// Whether an id names a key already.
    pub(super) fn has(&self, id: KeyId) -> bool {
        self.0.contains(&id)
    }

    /// A new id, used up from now on. Zero is none.
    pub(super) fn draw(&mut self, random: &mut Random) -> KeyId {
        loop {
            let id = KeyId(random.next_u32());
            if id.0 != 0 && self.0.insert(id) {
                return id;
            }
        }
    }
}
