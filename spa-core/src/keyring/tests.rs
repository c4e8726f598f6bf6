use super::*;
use crate::crypto::header::HeaderKey;
use crate::crypto::key::{ProfileKey, SiteKey};
use crate::crypto::suite::{Suite, SuiteKeys};
use crate::fixture::*;
use crate::scheme::native::SealingKeys;

fn header() -> HeaderKey {
    HeaderKey::derive(&SiteKey::new([7; 32]), SITE)
}

fn open_by(keyring: &Keyring, datagram: &[u8]) -> Result<KeyId, (&'static str, bool)> {
    let sealed = Sealed::read(datagram, &[header()]).unwrap();
    keyring
        .open(&sealed)
        .map(|authentic| authentic.into_parts().0.key_id)
        .map_err(|not| (not.reject.name(), not.profile.is_some()))
}

#[test]
fn a_datagram_opens_under_the_one_key_that_it_names() {
    let (laptop, phone, nobody) = (LAPTOP, KeyId(9), KeyId(10));
    let keyring = Keyring::new([profile(laptop), profile(phone)]);
    assert_eq!((keyring.len(), keyring.is_empty(), keyring.profiles().count()), (2, false, 2));
    let knock = request(0, 1, open("tcp/22"));
    let named = |key_id, keys: SealingKeys| datagram(&SealingKeys { key_id, ..keys }, &knock);
    let other_suite = SealingKeys {
        suite: SuiteKeys::derive(&ProfileKey::new([9; 32]), SITE, Suite::XChaCha20Poly1305),
        ..sealing_keys(phone)
    };
    #[rustfmt::skip]
    let rows = [
        (named(laptop, sealing_keys(laptop)), Ok(laptop),                   "its own"),
        (named(phone,  sealing_keys(phone)),  Ok(phone),                    "its own"),
        (named(nobody, sealing_keys(phone)),  Err(("unknown-key", false)),  "nobody's id"),
        (named(laptop, sealing_keys(phone)),  Err(("mac", false)),          "another profile's key; not held against that profile"),
        (named(phone,  other_suite),          Err(("mac", false)),          "the other suite: the labels differ"),
    ];
    for (datagram, expected, why) in rows {
        assert_eq!(open_by(&keyring, &datagram), expected, "{why}");
    }
}

#[test]
fn a_broken_request_names_its_profile() {
    let keyring = Keyring::new([profile(LAPTOP)]);
    let keys = sealing_keys(LAPTOP);
    let nonce = crate::crypto::header::Nonce([3; 16]);
    let nothing = crate::scheme::native::seal_exact(&keys, vec![0xa0], nonce, 256).unwrap();
    assert_eq!(open_by(&keyring, &nothing), Err(("malformed", true)));
    // A right MAC over a body whose tag is wrong: a broken client, and nobody else can be that.
    let mut body = nothing[..224].to_vec();
    body[30] ^= 1;
    let mac = keys.suite.mac.mac(&body);
    body.extend_from_slice(&mac.0);
    assert_eq!(open_by(&keyring, &body), Err(("aead", true)));
}
