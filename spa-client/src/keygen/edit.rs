//! Changes of one profile in the text of a file. All else in it, comments and other profiles, stays byte for byte.

use spa_core::file::profile::ProfileFile;
use spa_core::file::profiles::Profiles;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};
use zeroize::Zeroizing;

/// What differs between a profile and the same with another key.
const OF_A_KEY: [&str; 5] = ["key_id", "key", "created", "journal", "previous"];

/// Why a text is left as it is; what to do about it.
pub(super) type Unchanged = &'static str;

/// The text with another key in one of its profiles, as `rotated` has it.
///
/// - `at`: which of several; `None` where the profile has its file for itself.
pub(super) fn rotated(
    text: &str,
    at: Option<usize>,
    rotated: &ProfileFile,
) -> Result<Zeroizing<String>, Unchanged> {
    let mut document = read(text)?;
    let wish = read(&rotated.to_text())?;
    let table = match at {
        None => document.as_table_mut(),
        Some(at) => tables(&mut document)?.get_mut(at).ok_or(NOT_FOUND)?,
    };
    OF_A_KEY.iter().for_each(|key| take_over(table, wish.as_table(), key));
    let changed = Zeroizing::new(document.to_string());
    // The readers are asked, not the writer: this profile is as it is wished, and every other as it was.
    let (before, after) = (texts(text), texts(&changed));
    let expected = before.map(|mut all| {
        if let Some(one) = all.get_mut(at.unwrap_or(0)) {
            *one = Some(rotated.to_text());
        }
        all
    });
    if expected.is_some() && expected == after { Ok(changed) } else { Err(NOT_SURE) }
}

/// The text without one of several profiles, and that one's own text; nothing is left of the file if it was the last.
pub(super) fn without(
    text: &str,
    at: usize,
) -> Result<(Option<Zeroizing<String>>, Zeroizing<String>), Unchanged> {
    let mut document = read(text)?;
    let tables = tables(&mut document)?;
    if at >= tables.len() {
        return Err(NOT_FOUND);
    }
    let mut alone = DocumentMut::new();
    alone.insert("format", toml_edit::value(1));
    let mut taken = ArrayOfTables::new();
    taken.push(tables.get(at).ok_or(NOT_FOUND)?.clone());
    alone.insert("profile", Item::ArrayOfTables(taken));
    let alone = Zeroizing::new(alone.to_string());
    if tables.len() == 1 {
        return Ok((None, alone));
    }
    tables.remove(at);
    let left = Zeroizing::new(document.to_string());
    let expected = texts(text).map(|mut all| {
        all.remove(at);
        all
    });
    if expected.is_some() && expected == texts(&left) { Ok((Some(left), alone)) } else { Err(NOT_SURE) }
}

const NOT_FOUND: Unchanged = "write each of several profiles below a line [[profile]]";
const NOT_SURE: Unchanged =
    "write it as spa-keygen does: one field a line, and each of several profiles below a line [[profile]]";

/// A document that is written as it was read.
fn read(text: &str) -> Result<DocumentMut, Unchanged> {
    let document: DocumentMut = text.parse().map_err(|_| "correct the file")?;
    // Carriage returns do not survive, and what else does not is not known.
    if document.to_string() == text { Ok(document) } else { Err("end its lines without a carriage return") }
}

fn tables(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, Unchanged> {
    document.get_mut("profile").and_then(Item::as_array_of_tables_mut).ok_or(NOT_FOUND)
}

/// What every profile of a text says, or that it says nothing.
fn texts(text: &str) -> Option<Vec<Option<String>>> {
    Some(match Profiles::parse(text).ok()? {
        Profiles::One(file) => vec![Some(file.to_text())],
        Profiles::Several(entries) => {
            entries.into_iter().map(|entry| Some(entry.profile.ok()?.to_text())).collect()
        }
    })
}

/// Gives a field the value that it has in `from`; what is written around it stays.
fn take_over(table: &mut Table, from: &Table, key: &str) {
    match (table.get_mut(key), from.get(key)) {
        (None, None) => {}
        (Some(_), None) => drop(table.remove(key)),
        (Some(Item::Value(old)), Some(Item::Value(new))) => {
            let decor = old.decor().clone();
            *old = new.clone();
            *old.decor_mut() = decor;
        }
        (Some(Item::Table(old)), Some(Item::Table(new))) => merge(old, new),
        (_, Some(Item::Table(new))) => {
            // Without the place that it had where it comes from.
            let mut fresh = Table::new();
            merge(&mut fresh, new);
            table.insert(key, Item::Table(fresh));
        }
        (_, Some(new)) => drop(table.insert(key, new.clone())),
    }
}

fn merge(old: &mut Table, new: &Table) {
    let mut keys: Vec<String> = old.iter().chain(new.iter()).map(|(key, _)| key.to_owned()).collect();
    keys.dedup();
    keys.iter().for_each(|key| take_over(old, new, key));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spa_core::crypto::key::{KeyId, ProfileKey};
    use spa_core::crypto::suite::Suite;
    use spa_core::file::profile::Overlap;
    use spa_core::profile::{Freshness, JournalEpoch};
    use spa_core::time::UnixMillis;

    use super::*;

    const NOW: u64 = 1_795_175_999_000;

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis::new(NOW).unwrap().plus(Duration::from_secs(seconds))
    }

    fn profile(id: u8, freshness: Freshness) -> ProfileFile {
        let open = vec!["tcp/22".parse().unwrap()];
        ProfileFile::new(
            KeyId(id.into()),
            ProfileKey::new([id; 32]),
            Suite::Aes256Gcm,
            open,
            at(0),
            freshness,
        )
    }

    fn rotate(file: &mut ProfileFile, id: u8, overlap: Overlap) {
        file.rotate(KeyId(id.into()), ProfileKey::new([id; 32]), at(60), file.freshness(), overlap);
    }

    /// The text of a profile in a file of several.
    fn table(name: &str, file: &ProfileFile) -> String {
        let text = file.to_text();
        let lines = text.lines().filter(|line| !line.starts_with("format") && !line.starts_with('#'));
        let lines: String =
            lines.map(|line| line.replace("[previous]", "[profile.previous]") + "\n").collect();
        format!("[[profile]]\nname = \"{name}\"\n{lines}")
    }

    fn without_lines_of_keys(text: &str) -> Vec<&str> {
        let of_a_key = |line: &&str| OF_A_KEY.iter().any(|key| line.starts_with(key));
        text.lines().filter(|line| !of_a_key(line)).collect()
    }

    #[test]
    fn comments_stay_and_the_key_changes() {
        let epoch = JournalEpoch([9; 8]);
        for freshness in [Freshness::Clock, Freshness::Monotonic(epoch)] {
            let mut file = profile(1, freshness);
            let text = file
                .to_text()
                .replace("key_id = 1\n", "key_id   =  1   # Anna's old laptop\n")
                .replace("suite", "\n# Asked for by Anna, 2026.\nsuite")
                + "# The end.\n";
            for (id, overlap) in [
                (2, Overlap::Until(at(3600))),
                (3, Overlap::UntilUsed(epoch, at(7200))),
                (4, Overlap::Until(at(9000))),
                (5, Overlap::None),
                (6, Overlap::None),
            ] {
                rotate(&mut file, id, overlap);
                let changed = rotated(&text, None, &file).unwrap();
                let read = ProfileFile::parse(&changed).unwrap();
                assert_eq!(read.to_text(), file.to_text());
                assert!(
                    changed.contains(&format!("key_id   =  {id}   # Anna's old laptop\n")),
                    "{}",
                    *changed
                );
                let [before, after] = [&*text, &**changed].map(without_lines_of_keys);
                assert!(before.iter().all(|line| after.contains(line)), "{}", *changed);
                // The next rotation finds what this one wrote.
                let again = {
                    rotate(&mut file, id + 100, overlap);
                    rotated(&changed, None, &file).unwrap()
                };
                assert_eq!(ProfileFile::parse(&again).unwrap().to_text(), file.to_text());
            }
        }
    }

    #[test]
    fn one_of_several_changes_or_goes_and_the_others_stay_byte_for_byte() {
        let mut files = [1, 2, 3].map(|id| profile(id, Freshness::Clock));
        rotate(&mut files[1], 12, Overlap::Until(at(3600)));
        let [anna, ben, carl] = ["anna", "ben", "carl"];
        let tables = [
            format!("\n# Anna\n{}", table(anna, &files[0])),
            format!("\n# Ben, with   blanks\t\n{}", table(ben, &files[1])),
            format!(
                "\n{}",
                table(carl, &files[2]).replace("suite", "zzz = 1 # wrong, and left alone\nsuite")
            ),
        ];
        let front = "# All of us.\nformat = 1 # the only one\n";
        let text = format!("{front}{}", tables.concat());
        for number in [0, 1] {
            for overlap in [Overlap::Until(at(3600)), Overlap::None] {
                let mut file = files[number].clone_by_text();
                rotate(&mut file, 20, overlap);
                let changed = rotated(&text, Some(number), &file).unwrap();
                for (other, table) in tables.iter().enumerate().filter(|(other, _)| *other != number) {
                    assert!(changed.contains(table.as_str()), "{other}: {}", *changed);
                }
                assert!(changed.starts_with(front), "{}", *changed);
            }
        }
        for number in [0, 1, 2] {
            let (left, taken) = without(&text, number).unwrap();
            let left = left.unwrap();
            let others = tables.iter().enumerate().filter(|(other, _)| *other != number);
            let others: String = others.map(|(_, table)| table.as_str()).collect();
            assert_eq!(
                left.trim(),
                format!("{front}{others}").trim().trim_end_matches("# below\n"),
                "{number}"
            );
            assert!(taken.contains(&format!("name = \"{}\"", [anna, ben, carl][number])), "{}", *taken);
            assert_eq!(Profiles::parse(&taken).unwrap().into_good().len(), usize::from(number < 2));
        }
        let alone = format!("format = 1\n{}", table(anna, &files[0]));
        assert!(without(&alone, 0).unwrap().0.is_none());
    }

    #[test]
    fn what_cannot_be_changed_soundly_is_left_alone() {
        let mut file = profile(1, Freshness::Clock);
        let inline = format!(
            "format = 1\nprofile = [{{ name = \"anna\", {} }}]\n",
            file.to_text().lines().skip(2).collect::<Vec<_>>().join(", ")
        );
        assert_eq!(Profiles::parse(&inline).unwrap().into_good().len(), 1, "{inline}");
        let returns = file.to_text().replace('\n', "\r\n");
        let broken = "format = \n".to_owned();
        rotate(&mut file, 2, Overlap::None);
        assert_eq!(rotated(&inline, Some(0), &file).err(), Some(NOT_FOUND));
        assert!(without(&inline, 0).is_err());
        assert!(rotated(&returns, None, &file).is_err());
        assert!(rotated(&broken, None, &file).is_err());
    }

    trait ByText {
        fn clone_by_text(&self) -> Self;
    }

    impl ByText for ProfileFile {
        fn clone_by_text(&self) -> Self {
            Self::parse(&self.to_text()).unwrap()
        }
    }
}
