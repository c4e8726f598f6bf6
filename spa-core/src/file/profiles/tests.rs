use super::*;

const KEY: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";

/// The fields of a profile but its name.
fn fields(key_id: u32) -> String {
    format!(
        "key_id = {key_id}\nkey = \"{KEY}\"\nsuite = \"aes256gcm\"\nopen = [\"tcp/22\"]\ncreated = 2026-11-20T10:00:00Z\n"
    )
}

fn table(name: &str, key_id: u32) -> String {
    format!("[[profile]]\nname = \"{name}\"\n{}", fields(key_id))
}

fn several(text: &str) -> Vec<Entry> {
    match Profiles::parse(text) {
        Ok(Profiles::Several(entries)) => entries,
        Ok(Profiles::One(_)) => panic!("it is one: {text}"),
        Err(bad) => panic!("{bad}: {text}"),
    }
}

#[test]
fn a_file_is_one_profile_or_several_with_names() {
    let one = format!("format = 1\n{}", fields(7));
    assert!(matches!(Profiles::parse(&one), Ok(Profiles::One(_))));
    let previous = format!(
        "[profile.previous]\nkey_id = 6\nkey = \"{KEY}\"\ncreated = 2025-11-20T10:00:00Z\nuntil = 2026-12-01T00:00:00Z\n"
    );
    let text = format!("format = 1\n\n{}{previous}\n# Ben\n{}", table("anna", 7), table("ben", 8));
    let read: Vec<_> = several(&text)
        .into_iter()
        .map(|entry| {
            let profile = entry.profile.map_err(|bad| bad.reason).unwrap();
            let before = profile.previous.as_ref().map(|old| old.key_id().0);
            (entry.name.unwrap().to_string(), entry.line, profile.key_id().0, before)
        })
        .collect();
    assert_eq!(read, [("anna".to_owned(), 3, 7, Some(6)), ("ben".to_owned(), 17, 8, None)]);
    assert!(several("format = 1\nprofile = []\n").is_empty());
}

#[test]
fn one_that_is_wrong_is_named_with_its_line_and_takes_no_other_with_it() {
    let good = table("ben", 8);
    #[rustfmt::skip]
    let rows = [
        // what stands first, its name, line, part of the reason
        (table("anna", 7).replace("suite = \"aes256gcm\"", "suite = \"rot13\""), Some("anna"), 6, "no such suite"),
        (table("anna", 7).replace("suite = \"aes256gcm\"\n", ""),               Some("anna"), 2, "missing field `suite`"),
        (table("anna", 7).replace("name = \"anna\"\n", ""),                     None,         2, "missing field `name`"),
        (table("an na", 7),                                                     None,         3, "not a name"),
        (table("anna", 0),                                                      Some("anna"), 4, "key_id"),
        (table("anna", 7) + "zzz = 1\n",                                        Some("anna"), 9, "unknown field `zzz`"),
        (table("anna", 7) + "format = 1\n",                                     Some("anna"), 2, "format stands once"),
        (table("anna", 7) + "window = \"1h\"\n",                                Some("anna"), 2, "longer than max_window"),
    ];
    for (first, name, line, part) in rows {
        let text = format!("format = 1\n{first}{good}");
        let entries = several(&text);
        let [wrong, right] = entries.as_slice() else { panic!("{} entries: {text}", entries.len()) };
        assert_eq!(wrong.name.as_ref().map(ProfileName::as_str), name, "{first}");
        let bad = wrong.profile.as_ref().err().expect(&first);
        assert_eq!(bad.line, Some(line), "{first}: {bad}");
        assert!(bad.reason.contains(part), "{first}: {bad}");
        assert!(right.profile.is_ok(), "{first}");
    }
}

#[test]
fn a_file_that_is_neither_is_refused_whole_and_shows_no_secret() {
    let anna = table("anna", 7);
    #[rustfmt::skip]
    let rows = [
        // text, line, part of the reason
        (anna.clone(),                                       None,    "missing field `format`"),
        (format!("format = 2\n{anna}"),                      Some(1), "format = 1"),
        (format!("format = 1\nkey_id = 7\n{anna}"),          Some(2), "format and nothing else"),
        (format!("format = 1\n{} = 1\n{anna}", &KEY[..43]),  Some(2), "format and nothing else"),
        (format!("format = 1\n{}", anna.replace("[[profile]]", "[profile]")), Some(2), "write [[profile]]"),
        (format!("format = 1\n{anna}{KEY}\n"),               Some(9), "must be quoted"),
        (format!("format = 1\n{anna}key = \"{KEY}\"\n"),     Some(9), "duplicate key"),
        (format!("format = 1\nname = \"anna\"\n{}", fields(7)), None, "name is for a file of several"),
        ("format = 1\n".to_owned(),                          None,    "missing field"),
    ];
    for (text, line, part) in rows {
        let bad = Profiles::parse(&text).err().expect(&text);
        assert_eq!(bad.line, line, "{text}: {bad}");
        assert!(bad.reason.contains(part), "{text}: {bad}");
        assert!(!bad.to_string().contains(&KEY[4..20]), "{bad}");
    }
    // A key in the place of anything else, in a table.
    for broken in [format!("key_id = \"{KEY}\""), format!("open = \"{KEY}\""), format!("{} = 1", &KEY[..43])]
    {
        let text = format!("format = 1\n[[profile]]\nname = \"anna\"\n{broken}\n");
        let [entry] = several(&text).try_into().ok().unwrap();
        let bad = entry.profile.err().expect(&broken).to_string();
        assert!(!bad.contains(&KEY[4..20]), "{broken}: {bad}");
    }
}
