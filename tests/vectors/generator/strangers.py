"""Steps 1 to 5: length, header, key, MAC, AEAD."""

import hashlib
import hmac

from generator.scenario import *


def flip(datagram, at):
    changed = bytearray(datagram)
    changed[at] ^= 1
    return bytes(changed)


def strangers():
    def one(name, why, make, **writer):
        w = Writer(name, **writer)
        expect = next(e for e in ("unknown-key", "length", "header", "mac") if name.startswith(e))
        w.write(why, make(w), expect)

    good = request()
    one("length-empty", "An empty datagram.", lambda w: b"")
    one("length-71", "Shorter than what is not request.", lambda w: w.seal(good)[:71])
    one("length-255", "One byte too short.", lambda w: w.seal(good, 255))
    one("length-1233", "One byte too long.", lambda w: w.seal(good, 1233))
    one("header-zero", "Nothing but zeros.", lambda w: bytes(256))
    one("header-text", "Somebody else's protocol.", lambda w: (b"GET / HTTP/1.1\r\n" * 16))
    one("header-check-first-bit", "The first bit of the check word.", lambda w: flip(w.seal(good), 16))
    one("header-check-last-byte", "The last byte of the check word.", lambda w: flip(w.seal(good), 19))
    one("header-nonce", "The nonce was changed.", lambda w: flip(w.seal(good), 0))
    one("header-other-site-key", "Sealed for another site key.", lambda w: w.seal(good, site_key=OTHER_SITE_KEY))
    one("header-other-site-id", "Another site that uses the same keys: the site id is the salt of all of them.",
        lambda w: w.seal(good, site_id=SITE_ID[::-1]))
    one("unknown-key-other", "No profile has this key id.", lambda w: w.seal(good, key_id=0x1A2B3C4E))
    one("unknown-key-zero", "Key id 0 is never given.", lambda w: w.seal(good, key_id=0))
    one("unknown-key-flipped", "A captured header with another key id under the mask passes the check word.",
        lambda w: flip(w.seal(good), 23))

    one("mac-last-bit", "The MAC was changed.", lambda w: flip(w.seal(good), -1))
    one("mac-first-byte", "The MAC was changed.", lambda w: flip(w.seal(good), -32))
    one("mac-body", "The body was changed.", lambda w: flip(w.seal(good), 24))
    one("mac-aead-tag", "The AEAD tag was changed: found by the MAC, which is judged first.",
        lambda w: flip(w.seal(good), -33))
    one("mac-appended", "A byte was appended.", lambda w: w.seal(good) + b"\0")
    one("mac-cut", "The last byte is missing.", lambda w: w.seal(good, 257)[:-1])
    one("mac-copied-header", "The first 24 bytes of a captured datagram, then junk.",
        lambda w: w.seal(good)[:24] + bytes(232))
    one("mac-other-key", "Sealed with another profile key under this key id.",
        lambda w: w.seal(good, profile_key=OTHER_PROFILE_KEY))
    one("mac-other-suite", "Sealed by the other suite with the same profile key: the labels differ.",
        lambda w: w.seal(good, suite=XCHACHA))

    def resealed(w, body_of):
        """A right MAC over a body that does not open."""
        keys, datagram = w.keys(), w.seal(good)
        signed = datagram[:24] + body_of(w, datagram)
        return signed + hmac.new(keys.mac_key, signed, hashlib.sha256).digest()

    for suite in (AES, XCHACHA):
        w = Writer("aead-tag-" + suite, suite=suite)
        w.write("A right MAC over a wrong AEAD tag.", resealed(w, lambda w, d: flip(d[24:-32], -1)), "aead")
        w = Writer("aead-ciphertext-" + suite, suite=suite)
        w.write("A right MAC over a changed ciphertext.", resealed(w, lambda w, d: flip(d[24:-32], 0)), "aead")
    w = Writer("aead-other-header")
    w.write("Sealed under other additional data: the header of another key id.",
            resealed(w, lambda w, d: w.seal(good, key_id=7)[24:-32]), "aead")
