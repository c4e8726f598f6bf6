//! Who gets a receipt: the sender of a request that is authentic and was seen for the first time, if it asks for one, if
//! its profile may have one, and if it is itself among those for whom the door is asked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_core::CryptoRng;

use super::sealed::{self, Binding, SealedReceipt};
use super::{Outcome, Receipt};
use crate::crypto::key::KeyId;
use crate::frame::Datagram;
use crate::grantee::Grantee;
use crate::keyring::Keyring;
use crate::profile::Freshness;
use crate::replay::Fresh;
use crate::time::UnixMillis;

/// A receipt that may be sent, once something can be said. Only `Wanted::by` can make one, from the proof that the
/// request is fresh: a replay, a skewed clock or a forgery has none, so nothing can be sent in answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    key_id: KeyId,
    binding: Binding,
    from: IpAddr,
    to: SocketAddr,
    time: UnixMillis,
}

impl Wanted {
    /// That of a request, if there may be one.
    ///
    /// A prefix or an address of a link is never answered: its holder is not known to be the sender, or not to the kernel
    /// by his address alone. `time` is the server's clock.
    pub(crate) fn by(
        fresh: &Fresh<'_>,
        datagram: &Datagram<'_>,
        binding: Binding,
        time: UnixMillis,
    ) -> Option<Box<Self>> {
        let to = datagram.source;
        let asked = fresh.request().receipt && fresh.profile().receipt.is_some() && to.port() != 0;
        (asked && fresh.grantees().contains(&Grantee::Address(to.ip()))).then(|| {
            let (key_id, from) = (fresh.profile().key_id, datagram.destination.ip());
            Box::new(Self { key_id, binding, from, to, time })
        })
    }

    /// The address that the request was sent to.
    pub const fn from(&self) -> IpAddr {
        self.from
    }

    /// Where the request came from.
    pub const fn to(&self) -> SocketAddr {
        self.to
    }

    /// The server's clock when the request was judged.
    pub const fn time(&self) -> UnixMillis {
        self.time
    }

    /// Seals what is to be said. `skew`: what the server accepts, told to those whom it concerns.
    ///
    /// `None` if the profile is gone from the keyring, which it is not while its request is judged.
    pub fn seal(
        &self,
        keyring: &Keyring,
        outcome: Outcome,
        skew: Duration,
        rng: &mut impl CryptoRng,
    ) -> Option<SealedReceipt> {
        let profile = keyring.profile(self.key_id)?;
        let skew = (profile.freshness == Freshness::Clock).then_some(skew);
        let receipt = Receipt { time: self.time, outcome, seen: self.to.ip(), skew };
        sealed::seal(profile.receipt.as_deref()?, &self.binding, &receipt, rng).ok()
    }
}
