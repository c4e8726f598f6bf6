//! The keys of a site, found by key id in constant time however many there are.

use std::collections::HashMap;

use crate::crypto::key::KeyId;
use crate::profile::Profile;
use crate::reject::Reject;
use crate::request::Request;
use crate::scheme::native::Sealed;

/// An authentic request: sealed by whoever holds the profile's key. Only [`Keyring::open`] can make one.
pub struct Authentic<'k> {
    profile: &'k Profile,
    request: Request,
}

impl<'k> Authentic<'k> {
    /// Whose request it is, and what it says. Consumes the proof: what follows has its own.
    pub fn into_parts(self) -> (&'k Profile, Request) {
        (self.profile, self.request)
    }
}

/// Why a datagram was not opened, and whose it was if its MAC was right.
pub struct NotOpened<'k> {
    /// The reason.
    pub reject: Reject,
    /// The profile, known from the MAC on.
    pub profile: Option<&'k Profile>,
}

/// The profiles of a site.
#[derive(Default)]
pub struct Keyring {
    entries: HashMap<KeyId, Profile>,
}

impl Keyring {
    /// A keyring of these profiles; of two with one key id, the caller has left both out.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        Self { entries: profiles.into_iter().map(|profile| (profile.key_id, profile)).collect() }
    }

    /// How many profiles there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All profiles, in no order.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.entries.values()
    }

    /// The profile whose key has this id.
    pub fn profile(&self, key_id: KeyId) -> Option<&Profile> {
        self.entries.get(&key_id)
    }

    /// Steps 3 to 6: key, MAC, AEAD, CBOR.
    pub fn open(&self, sealed: &Sealed<'_>) -> Result<Authentic<'_>, NotOpened<'_>> {
        let Some(profile) = self.entries.get(&sealed.key_id()) else {
            return Err(NotOpened { reject: Reject::UnknownKey, profile: None });
        };
        if let Err(reject) = sealed.verify(&profile.keys) {
            // Not counted against the profile: anybody who knows the site key can write its id into a header.
            return Err(NotOpened { reject, profile: None });
        }
        match read(sealed, profile) {
            Ok(request) => Ok(Authentic { profile, request }),
            Err(reject) => Err(NotOpened { reject, profile: Some(profile) }),
        }
    }
}

fn read(sealed: &Sealed<'_>, profile: &Profile) -> Result<Request, Reject> {
    let plaintext = sealed.open(&profile.keys)?;
    Request::decode(&plaintext).map_err(|_| Reject::Malformed)
}

#[cfg(test)]
mod tests;
