//! What is noted from one command to the next and may be forgotten at any time: text files of this user's, no secret in them.

use std::fs;
use std::path::PathBuf;

use etcetera::BaseStrategy as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::new_file::NewFile;
use crate::random::Random;

/// Where one file of notes lies; `None` where there is no place for it, which is no reason to fail.
pub(super) fn place(name: &str) -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()).join("spa").join(name))
}

/// What stands there. A file that cannot be read is as good as none.
pub(super) fn read<T: DeserializeOwned + Default>(place: Option<&PathBuf>) -> T {
    let text = place.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    toml::from_str(&text).unwrap_or_default()
}

/// Writes it anew. Nobody is told if that fails.
pub(super) fn write(place: Option<&PathBuf>, notes: &impl Serialize, random: &mut Random) {
    let (Some(path), Ok(text)) = (place, toml::to_string(notes)) else { return };
    let _ = path.parent().map(fs::create_dir_all);
    let _ = NewFile::begin(path, None, random).and_then(|mut file| {
        file.write(text.as_bytes())?;
        file.replace()
    });
}
