#!/usr/bin/env python3
"""Computes the vectors of SPEC.md, sections 14.1 and 14.2, without a line of the Rust code.

    python3 tests/vectors/passphrases_and_enrolments.py > tests/vectors/passphrases-and-enrolments.txt

Needs `pip install cryptography` (45 or later), which brings Argon2id, X25519 and ChaCha20-Poly1305. What it prints is
committed, so that nobody needs it to test.
"""

import base64
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def hchacha20(key, nonce):
    state = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            word = state[z] ^ state[x]
            state[z] = ((word << turn) | (word >> (32 - turn))) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<8I", *(state[:4] + state[12:]))


def seal(key, nonce, aad, text):
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha)."""
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], text, aad)


def hkdf(ikm, salt, info):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def sha(label, *parts):
    return hashlib.sha256(label.encode() + b"".join(parts)).digest()


def line(prefix, content):
    checked = content + sha("spa1 enrolment checksum", prefix.encode(), content)[:4]
    return prefix + base64.urlsafe_b64encode(checked).decode().rstrip("=")


def tell(name, value):
    print(f"{name}: {value.hex() if isinstance(value, bytes) else value}")


# ---- a client's file under a passphrase ------------------------------------------------------------------------------

passphrase, text = "correct horse battery staple", "format = 1\n"
name, server = b"laptop", b"vpn.example.org"
salt, nonce = bytes(range(16)), bytes(range(32, 56))
public = b"".join(struct.pack(">Q", len(part)) + part for part in (name, server))
tell("passphrase", passphrase)
tell("public", public)
for memory, passes, lanes in ((64 * 1024, 3, 4), (64, 1, 1)):
    key = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(passphrase.encode())
    header = bytes([1]) + struct.pack(">I", memory) + bytes([passes, lanes]) + salt + nonce
    tell("envelope", header + seal(key, nonce, header + public, text.encode()))

# ---- enrolment -------------------------------------------------------------------------------------------------------

client, host = bytes(range(64, 96)), bytes(range(96, 128))
raw = lambda secret: X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
request = bytes([1]) + raw(client) + bytes([len(name)]) + name + bytes([len(server)]) + server
shared = X25519PrivateKey.from_private_bytes(host).exchange(X25519PublicKey.from_public_bytes(raw(client)))
transcript = sha("spa1 enrolment transcript", sha("spa1 enrolment request", request), raw(host))
profile_key = hkdf(shared, transcript, b"spa1 enrolment profile key")
answer_key = hkdf(shared, transcript, b"spa1 enrolment answer key")
half = (
    'format = 1\nname = "laptop"\nserver = "vpn.example.org"\nport = 1\nsite_id = "AQEBAQEBAQEBAQEBAQEBAQ=="\n'
    'site_key = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="\nkey_id = %d\nsuite = "aes256gcm"\n'
    'open = ["tcp/22"]\nwindow = "30s"\nfreshness = "clock"\ncreated = 1970-01-01T00:00:00Z\n'
) % struct.unpack(">I", sha("spa1 enrolment key id", request)[:4])
front = bytes([1]) + sha("spa1 enrolment id", request)[:8] + raw(host)
answer = front + seal(answer_key, bytes(24), front, half.encode())
fingerprint = base64.b32encode(sha("spa1 enrolment fingerprint", transcript, answer)[:10]).decode()
tell("client-secret", client)
tell("server-secret", host)
tell("request", line("spa-enrol:", request))
tell("profile-key", profile_key)
tell("answer", line("spa-answer:", answer))
tell("fingerprint", "-".join(fingerprint[at:at + 4] for at in range(0, 16, 4)))
