//! Every file of `tests/vectors/receipt`: opened as it expects, and sealed into its bytes again.

use std::collections::BTreeMap;
use std::fs;

use lab::repository;
use spa_core::crypto::key::{ProfileKey, SiteId};
use spa_core::crypto::suite::ReceiptKeys;
use spa_core::receipt::sealed::{Binding, open, seal_exact};
use spa_core::receipt::{Outcome, Receipt};

type Fields = BTreeMap<String, String>;

fn vectors() -> Vec<(String, Fields)> {
    let folder = repository().join("tests/vectors/receipt");
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            (name.to_owned(), value.trim().to_owned())
        };
        let fields = text.lines().skip(1).map(field).collect();
        vectors.push((path.file_stem().unwrap().to_string_lossy().into_owned(), fields));
    }
    assert!(vectors.len() > 40, "only {} vectors", vectors.len());
    vectors
}

fn bytes(fields: &Fields, name: &str) -> Vec<u8> {
    let text = &fields[name];
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(fields: &Fields, name: &str) -> [u8; N] {
    bytes(fields, name).try_into().unwrap()
}

fn keys(fields: &Fields) -> ReceiptKeys {
    let (key, site) = (ProfileKey::new(array(fields, "profile-key")), SiteId(array(fields, "site-id")));
    ReceiptKeys::derive(&key, site, fields["suite"].parse().unwrap())
}

/// What a receipt says, in the words of a vector.
fn told(receipt: &Receipt) -> Fields {
    let mut told = vec![
        ("server-time", receipt.time.get().to_string()),
        ("seen", receipt.seen.to_string()),
        (
            "outcome",
            match receipt.outcome {
                Outcome::Done { .. } => "done".to_owned(),
                Outcome::Refused(why) => format!("{why:?}").to_lowercase(),
            },
        ),
    ];
    if let Outcome::Done { until: Some(until) } = receipt.outcome {
        told.push(("until", until.get().to_string()));
    }
    told.extend(receipt.skew.map(|skew| ("skew-ms", skew.as_millis().to_string())));
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn every_receipt_opens_or_is_refused_as_it_expects() {
    for (name, fields) in vectors() {
        let binding = Binding::of(&bytes(&fields, "request")).unwrap();
        let opened = open(&keys(&fields), &binding, &bytes(&fields, "receipt"));
        match (fields["expect"].as_str(), opened) {
            ("refused", None) => {}
            ("opens", Some(receipt)) => {
                for (field, value) in told(&receipt) {
                    assert_eq!(fields.get(&field), Some(&value), "{name}: {field}");
                }
                let said = ["until", "skew-ms"].map(|field| fields.contains_key(field));
                let read = ["until", "skew-ms"].map(|field| told(&receipt).contains_key(field));
                assert_eq!(said, read, "{name}");
            }
            (expect, opened) => panic!("{name}: {expect}, but {opened:?}"),
        }
    }
}

#[test]
fn sealing_gives_the_bytes_of_every_receipt_that_opens() {
    let mut sealed = 0;
    for (name, fields) in vectors() {
        if fields["expect"] != "opens" {
            continue;
        }
        let (binding, datagram) =
            (Binding::of(&bytes(&fields, "request")).unwrap(), bytes(&fields, "receipt"));
        let nonce = datagram[..24].try_into().unwrap();
        let plain = bytes(&fields, "plain");
        let again = seal_exact(&keys(&fields), &binding, plain.clone(), &nonce, datagram.len()).unwrap();
        assert_eq!(again.bytes(), datagram, "{name}");
        // An extension is read over, and not written again.
        if !name.contains("extension") {
            assert_eq!(Receipt::decode(&plain).unwrap().encode(), plain, "{name}");
        }
        sealed += 1;
    }
    assert!(sealed > 10, "{sealed}");
}
