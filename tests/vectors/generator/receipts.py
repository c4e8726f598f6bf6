"""Receipts (SPEC.md, section 18)."""

import hashlib
import hmac

from spa import OVERHEAD, seal_receipt

from generator.scenario import *
from generator.strangers import flip

RECEIPTS = {}


def receipt(time=NOW, outcome=0, until=NOW + 30000, seen=V4, skew=SKEW, **more):
    """A well-formed receipt; None leaves a field out."""
    fields = {1: time, 2: outcome, 3: until, 4: seen, 5: skew}
    fields.update({int(key[1:]): value for key, value in more.items()})
    return cbor({key: value for key, value in fields.items() if value is not None})


class Receipt(Writer):
    """Makes one vector of a receipt; the request is always the same kind, sealed anew."""

    def __init__(self, name, suite=AES):
        super().__init__("receipt " + name, suite=suite)
        self.file = name
        self.asked = self.seal(request(k12=True))

    def answer(self, plain, total=128, asked=None):
        nonce = hashlib.sha256(("spad receipt %s" % self.file).encode()).digest()[:24]
        return seal_receipt(self.keys(), asked or self.asked, plain, nonce, total)

    def keep(self, why, datagram, expect, plain=None, **outcome):
        rows = [("site-id", SITE_ID.hex()), ("profile-key", PROFILE_KEY.hex()), ("suite", self.suite),
                ("request", self.asked.hex()), ("receipt", datagram.hex()), ("expect", expect),
                ("plain", plain.hex() if plain else None)]
        rows += [(key, outcome.pop(key, None)) for key in ("server-time", "outcome", "until", "seen", "skew-ms")]
        assert not outcome and self.file.startswith(expect) and self.file not in RECEIPTS, self.file
        RECEIPTS[self.file] = "# %s\n" % why + "".join("%s: %s\n" % row for row in rows if row[1] is not None)


def receipts():
    def good(name, why, plain, total=128, suite=AES, **outcome):
        w = Receipt("opens-" + name, suite)
        told = {"server-time": NOW, "outcome": "done", "seen": "192.0.2.10", "skew-ms": SKEW}
        told.update({key.replace("_", "-"): value for key, value in outcome.items()})
        w.keep(why, w.answer(plain, total), "opens", plain, **told)

    def bad(name, why, make):
        w = Receipt("refused-" + name)
        w.keep(why, make(w), "refused")

    until = NOW + 30000
    for suite in (AES, XCHACHA):
        good("granted-" + suite, "Granted until then, by the server's clock.", receipt(), suite=suite, until=until)
    good("granted-v6", "The address as seen is of IPv6.", receipt(seen=V6), until=until, seen="2001:db8::10")
    good("granted-longest", "The longest receipt, in the shortest datagram.",
         receipt(time=2**48 - 1, until=2**48 - 1, seen=V6, skew=3600000), server_time=2**48 - 1, until=2**48 - 1,
         seen="2001:db8::10", skew_ms=3600000)
    good("closed", "A close was carried out: there is no end to tell.", receipt(until=None))
    good("monotonic", "The server's clock plays no part.", receipt(skew=None), until=until, skew_ms=None)
    good("length-176", "The longest datagram.", receipt(), 176, until=until)
    good("extension", "What a later server may add, and a client ignores.", receipt(k128=b"\1\2"), until=until)
    for number, reason in enumerate(("service", "expired", "prefix", "target", "narrowing", "verb", "limits"), 1):
        good(reason, "Refused, and why.", receipt(outcome=number, until=None), outcome=reason)

    plain = receipt()
    bad("length-127", "One byte too short.", lambda w: w.answer(plain, 127))
    bad("length-177", "One byte too long.", lambda w: w.answer(plain, 177))
    bad("empty", "An empty datagram.", lambda w: b"")
    bad("noise", "Not sealed at all.", lambda w: bytes(140))
    bad("reflected", "The request itself comes back.", lambda w: w.asked)
    bad("reflected-cut", "As much of it as a receipt has.", lambda w: w.asked[:176])
    bad("nonce", "The nonce was changed.", lambda w: flip(w.answer(plain), 0))
    bad("body", "The body was changed.", lambda w: flip(w.answer(plain), 24))
    bad("mac", "The MAC was changed.", lambda w: flip(w.answer(plain), -1))
    bad("other-copy", "The receipt for another copy of the same command.",
        lambda w: w.answer(plain, asked=w.seal(request(k12=True))))
    bad("other-request-mac", "Bound to another MAC.", lambda w: w.answer(plain, asked=flip(w.asked, -1)))
    bad("other-request-nonce", "Bound to another nonce.", lambda w: w.answer(plain, asked=flip(w.asked, 0)))

    def with_request_keys(w):
        keys = w.keys()
        keys.receipt_encryption_key, keys.receipt_mac_key = keys.encryption_key, keys.mac_key
        return seal_receipt(keys, w.asked, plain, bytes(24), 128)

    bad("request-keys", "Sealed with the request's keys.", with_request_keys)

    def resealed(w):
        """A right MAC over a body that does not open."""
        signed = w.asked[:16] + w.asked[-32:] + flip(w.answer(plain)[:-32], -1)
        return signed[48:] + hmac.new(w.keys().receipt_mac_key, signed, hashlib.sha256).digest()

    bad("tag", "A right MAC over a wrong AEAD tag.", resealed)
    bad("padding", "A byte of the padding is not zero.",
        lambda w: w.answer(plain + bytes(128 - OVERHEAD - len(plain) - 1) + b"\1"))
    for name, why, wrong in (
        ("time-missing", "No server's time.", receipt(time=None)),
        ("outcome-missing", "No outcome.", receipt(outcome=None)),
        ("outcome-8", "An outcome that there is not.", receipt(outcome=8, until=None)),
        ("outcome-wide", "An outcome in two bytes.", plain.replace(b"\x02\x00\x03", b"\x02\x18\x00\x03")),
        ("seen-missing", "No address.", receipt(seen=None)),
        ("seen-3-bytes", "An address of three bytes.", receipt(seen=V4[:3])),
        ("until-refused", "Refused, and open until then all the same.", receipt(outcome=1)),
        ("until-2-48", "A time of 2^48.", receipt(until=2**48)),
        ("skew-too-wide", "A skew of more than an hour.", receipt(skew=3600001)),
        ("key-6", "A key that is not assigned.", receipt(k6=0)),
        ("two-maps", "A second map behind the first.", plain + b"\xa0"),
    ):
        bad(name, why, lambda w, wrong=wrong: w.answer(wrong))
