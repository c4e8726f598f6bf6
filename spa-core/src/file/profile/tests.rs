use super::*;

#[test]
fn how_doors_end_must_be_possible() {
    #[rustfmt::skip]
    let rows = [
        // open, lines, part of the refusal
        ("tcp/22",             "",                                     None),
        ("tcp/22",             "once = true",                          None),
        ("tcp/22\", \"udp/53", "once = true",                          Some("take udp/53 out")),
        ("tcp/22\", \"udp/53", "on_close = \"cut\"",                   None),
        ("tcp/22",             "on_close = \"drop\"",                  Some("unknown variant")),
        ("tcp/22",             "once = true\non_close = \"cut\"",      Some("would end both")),
        ("tcp/22",             "once = true\nextend_while_used = \"5m\"", Some("would never be")),
        ("tcp/22",             "extend_while_used = \"30s\"",          None),
        ("tcp/22",             "extend_while_used = \"29s\"",          Some("shorter than window")),
        ("tcp/22",             "extend_while_used = \"24h\"",          None),
        ("tcp/22",             "extend_while_used = \"25h\"",          Some("longer than 1day")),
    ];
    for (open, lines, refused) in rows {
        let text = format!(
            "format = 1\nkey_id = 7\nkey = \"{}\"\nsuite = \"aes256gcm\"\nopen = [\"{open}\"]\n\
             created = 2026-01-01T00:00:00Z\n{lines}\n",
            ProfileKey::new([7; 32]).to_base64().as_str()
        );
        match (ProfileFile::parse(&text), refused) {
            (Ok(file), None) => {
                let again = ProfileFile::parse(&file.to_text()).map_err(|bad| bad.reason);
                let ends = |file: &ProfileFile| (file.once, file.on_close, file.extend_while_used);
                assert_eq!(again.map(|again| ends(&again)), Ok(ends(&file)), "{lines}");
            }
            (Err(bad), Some(part)) => assert!(bad.reason.contains(part), "{lines}: {}", bad.reason),
            (got, _) => panic!("{lines}: {:?}", got.err().map(|bad| bad.reason)),
        }
    }
}

#[test]
fn a_rotated_key_leaves_the_one_before_valid_until_its_time() {
    let at = |millis| UnixMillis::new(millis).unwrap();
    let site = SiteId([1; 16]);
    #[rustfmt::skip]
    let rows = [
        // expires,       overlap,                                            end of the one before, and its successor
        (None,            Overlap::Until(at(9_000)),                          Some((at(9_000), None))),
        (Some(at(5_000)), Overlap::Until(at(9_000)),                          Some((at(5_000), None))),
        (Some(at(5_000)), Overlap::UntilUsed(JournalEpoch([5; 8]), at(9_000)), Some((at(5_000), Some(JournalEpoch([5; 8]))))),
        (Some(at(5_000)), Overlap::None,                                      None),
    ];
    for freshness in [Freshness::Clock, Freshness::Monotonic(JournalEpoch([3; 8]))] {
        for (expires, overlap, end) in rows {
            let (id, key, open) = (KeyId(7), ProfileKey::new([7; 32]), vec!["tcp/22".parse().unwrap()]);
            let mut file = ProfileFile::new(id, key, Suite::Aes256Gcm, open, at(1_000), freshness);
            file.expires = expires;
            file.invoke = vec!["wake-nas".parse().unwrap()];
            let later = match freshness {
                Freshness::Clock => Freshness::Clock,
                Freshness::Monotonic(_) => Freshness::Monotonic(JournalEpoch([4; 8])),
            };
            file.rotate(KeyId(8), ProfileKey::new([8; 32]), at(2_000), later, overlap);
            let read = ProfileFile::parse(&file.to_text()).map_err(|bad| bad.reason).unwrap();
            assert_eq!(read.to_text(), file.to_text());
            let before = read.previous_profile("laptop".into(), site);
            let seen = before.as_ref().map(|one| (one.key_id, one.created, one.freshness, &*one.name));
            assert_eq!(seen, end.map(|_| (KeyId(7), at(1_000), freshness, "laptop")));
            assert!(before.iter().all(|one| one.invoke == file.invoke), "by either key");
            let successor = |epoch| Successor { key_id: KeyId(8), epoch };
            assert_eq!(
                before.map(|one| (one.expires, one.successor)),
                end.map(|(at, epoch)| (Some(at), epoch.map(successor)))
            );
            let now = read.into_profile("laptop".into(), site);
            assert_eq!((now.key_id, now.created, now.expires), (KeyId(8), at(2_000), expires));
            assert_eq!(now.successor, None);
            assert_eq!((now.freshness, &now.invoke), (later, &file.invoke));
        }
    }
}

#[test]
fn a_previous_key_that_cannot_be_is_refused() {
    let file = |more: &str| {
        let key = ProfileKey::new([7; 32]).to_base64();
        ProfileFile::parse(&format!(
            "format = 1\nkey_id = 7\nkey = \"{0}\"\nsuite = \"aes256gcm\"\nopen = [\"tcp/22\"]\n\
             created = 2026-01-01T00:00:00Z\n[previous]\nkey = \"{0}\"\ncreated = 2025-01-01T00:00:00Z\n\
             until = 2026-01-08T00:00:00Z\n{more}\n",
            key.as_str()
        ))
    };
    assert!(file("key_id = 6").is_ok());
    #[rustfmt::skip]
    let rows = [
        // lines,                                    part of the refusal
        ("key_id = 7",                               "the same key_id"),
        ("key_id = 6\njournal = \"AAAAAAAAAAA=\"", "as fresh as the profile"),
        ("key_id = 6\nname = \"x\"",              "unknown field"),
    ];
    for (lines, part) in rows {
        let bad = file(lines).err().expect(lines);
        assert!(bad.reason.contains(part), "{lines}: {}", bad.reason);
    }
}
