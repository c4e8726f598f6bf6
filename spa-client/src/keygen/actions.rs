//! Which actions the server has, as far as that can be seen here. `spad check` judges the file; this only notices a name
//! that was spelt wrong.

use std::fs;

use spa_core::action::ActionName;
use toml::{Table, Value};

use super::folder::Folders;

/// Those that spad.toml does not name; none if it cannot be read, or is no TOML.
pub(super) fn unknown(folders: &Folders, invoke: &[ActionName]) -> Vec<ActionName> {
    if invoke.is_empty() {
        return Vec::new();
    }
    let text = fs::read_to_string(folders.configuration()).ok();
    let Some(table) = text.and_then(|text| text.parse::<Table>().ok()) else { return Vec::new() };
    let known = table.get("action").and_then(Value::as_table);
    let is_unknown = |name: &&ActionName| !known.is_some_and(|known| known.contains_key(name.as_str()));
    invoke.iter().filter(is_unknown).cloned().collect()
}
