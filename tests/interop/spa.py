#!/usr/bin/env python3
"""spa.py: opens a service guarded by spad. One file, Python 3.8 or later, standard library only.

    python3 spa.py --profile laptop.spa.toml -A tcp/22

Written from docs/SPEC.md alone, as the proof that the paper suffices; section numbers below are those of that page.
The ciphers are plain Python: slow, and not in constant time. That does for a client, whose secrets nobody can make it
process at will. It must not be used to judge datagrams.

Exit status: 0 sent, 1 other failure, 2 usage, 3 profile, 4 name, 5 no route, 6 timed out.
"""

import argparse
import base64
import datetime
import difflib
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
import stat
import struct
import sys
import threading
import time

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None
try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = None

OTHER, USAGE, PROFILE, NAME, NO_ROUTE, TIMED_OUT = 1, 2, 3, 4, 5, 6


class Fail(Exception):
    """Ends the program with one line and a status."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


# ---- AES-256-GCM (FIPS 197, NIST SP 800-38D) ------------------------------------------------------------------------

def _aes_tables():
    sbox, p, q = [0x63] * 256, 1, 1
    while True:  # p runs through the field by the generator 3, q through the inverses
        p ^= ((p << 1) ^ (0x11B if p & 0x80 else 0)) & 0x1FF
        for shift in (1, 2, 4):
            q ^= (q << shift) & 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = q
        for turn in (1, 2, 3, 4):
            rotated ^= ((q << turn) | (q >> (8 - turn))) & 0xFF
        sbox[p] = rotated ^ 0x63
        if p == 1:
            break
    double = [((b << 1) ^ (0x1B if b & 0x80 else 0)) & 0xFF for b in range(256)]
    return sbox, double


SBOX, DOUBLE = _aes_tables()


def aes256_round_keys(key):
    words = [list(key[i:i + 4]) for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        word = list(words[-1])
        if i % 8 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = DOUBLE[rcon]
        elif i % 8 == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - 8], word)])
    return [sum(words[i:i + 4], []) for i in range(0, 60, 4)]


def aes256_block(round_keys, block):
    state = [a ^ b for a, b in zip(block, round_keys[0])]
    for number in range(1, 15):
        # SubBytes and ShiftRows together; byte 4c + r is row r of column c.
        state = [SBOX[state[(4 * (i // 4 + i % 4) + i % 4) % 16]] for i in range(16)]
        if number < 14:
            mixed = []
            for c in range(0, 16, 4):
                a = state[c:c + 4]
                every = a[0] ^ a[1] ^ a[2] ^ a[3]
                mixed += [a[r] ^ every ^ DOUBLE[a[r] ^ a[(r + 1) % 4]] for r in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, round_keys[number])]
    return bytes(state)


def _ghash(h, data):
    y = 0
    for i in range(0, len(data), 16):
        x = y ^ int.from_bytes(data[i:i + 16], "big")
        v, y = h, 0
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = (v >> 1) ^ (0xE1 << 120 if v & 1 else 0)
    return y.to_bytes(16, "big")


def _pad16(data):
    return data + bytes(-len(data) % 16)


class Aes256Gcm:
    """Seals and opens under a 12-byte nonce."""

    def __init__(self, key):
        self.keys = aes256_round_keys(key)
        self.h = int.from_bytes(aes256_block(self.keys, bytes(16)), "big")

    def _stream(self, nonce, data):
        out = bytearray()
        for i in range(0, len(data), 16):
            pad = aes256_block(self.keys, nonce + struct.pack(">I", i // 16 + 2))
            out += bytes(a ^ b for a, b in zip(data[i:i + 16], pad))
        return bytes(out)

    def _tag(self, nonce, aad, ciphertext):
        lengths = struct.pack(">QQ", 8 * len(aad), 8 * len(ciphertext))
        digest = _ghash(self.h, _pad16(aad) + _pad16(ciphertext) + lengths)
        return bytes(a ^ b for a, b in zip(digest, aes256_block(self.keys, nonce + b"\0\0\0\1")))

    def seal(self, nonce, aad, plaintext):
        ciphertext = self._stream(nonce, plaintext)
        return ciphertext + self._tag(nonce, aad, ciphertext)

    def open(self, nonce, aad, body):
        ciphertext, tag = body[:-16], body[-16:]
        if not hmac.compare_digest(self._tag(nonce, aad, ciphertext), tag):
            return None
        return self._stream(nonce, ciphertext)


# ---- XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha) ---------------------------------------------------------

def _chacha_rounds(state):
    s = list(state)

    def quarter(a, b, c, d):
        for to, by, rotated, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[to] = (s[to] + s[by]) & 0xFFFFFFFF
            x = s[rotated] ^ s[to]
            s[rotated] = ((x << turn) | (x >> (32 - turn))) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


def _chacha_state(key, last16):
    return struct.unpack("<16I", b"expand 32-byte k" + key + last16)


def chacha20_block(key, counter, nonce12):
    state = _chacha_state(key, struct.pack("<I", counter) + nonce12)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, _chacha_rounds(state))))


def hchacha20(key, nonce16):
    s = _chacha_rounds(_chacha_state(key, nonce16))
    return struct.pack("<8I", *(s[:4] + s[12:]))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


class ChaCha20Poly1305:
    """Seals and opens under a 12-byte nonce."""

    def __init__(self, key):
        self.key = key

    def _stream(self, nonce, data):
        out = bytearray()
        for i in range(0, len(data), 64):
            pad = chacha20_block(self.key, i // 64 + 1, nonce)
            out += bytes(a ^ b for a, b in zip(data[i:i + 64], pad))
        return bytes(out)

    def _tag(self, nonce, aad, ciphertext):
        lengths = struct.pack("<QQ", len(aad), len(ciphertext))
        return poly1305(chacha20_block(self.key, 0, nonce)[:32], _pad16(aad) + _pad16(ciphertext) + lengths)

    def seal(self, nonce, aad, plaintext):
        ciphertext = self._stream(nonce, plaintext)
        return ciphertext + self._tag(nonce, aad, ciphertext)

    def open(self, nonce, aad, body):
        ciphertext, tag = body[:-16], body[-16:]
        if not hmac.compare_digest(self._tag(nonce, aad, ciphertext), tag):
            return None
        return self._stream(nonce, ciphertext)


class XChaCha20Poly1305:
    """Seals and opens under a 24-byte nonce."""

    def __init__(self, key):
        self.key = key

    def _inner(self, nonce):
        return ChaCha20Poly1305(hchacha20(self.key, nonce[:16])), bytes(4) + nonce[16:]

    def seal(self, nonce, aad, plaintext):
        inner, short = self._inner(nonce)
        return inner.seal(short, aad, plaintext)

    def open(self, nonce, aad, body):
        inner, short = self._inner(nonce)
        return inner.open(short, aad, body)


# ---- SipHash-2-4, HKDF (RFC 5869) -----------------------------------------------------------------------------------

def siphash24(key, message):
    """The 8 bytes of output, in the (little-endian) order of the paper."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, turn):
        return ((x << turn) | (x >> (64 - turn))) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def hkdf_sha256(ikm, salt, info, length):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    okm, block = b"", b""
    while len(okm) < length:
        block = hmac.new(prk, block + info + bytes([len(okm) // 32 + 1]), hashlib.sha256).digest()
        okm += block
    return okm[:length]


# ---- Keys (section 4) -----------------------------------------------------------------------------------------------

# name: AEAD, bytes of the datagram that are its nonce
SUITES = {"aes256gcm": (Aes256Gcm, 12), "xchacha20poly1305": (XChaCha20Poly1305, 24)}


class Keys:
    """All that seals a datagram for one profile."""

    def __init__(self, site_id, site_key, key_id, profile_key, suite):
        label = "spa1 " + suite
        self.key_id = key_id
        self.aead, self.nonce_size = SUITES[suite]
        self.header_key = hkdf_sha256(site_key, site_id, b"spa1 header", 16)
        self.encryption_key = hkdf_sha256(profile_key, site_id, (label + " encryption").encode(), 32)
        self.mac_key = hkdf_sha256(profile_key, site_id, (label + " mac").encode(), 32)
        self.receipt_encryption_key = hkdf_sha256(profile_key, site_id, (label + " receipt encryption").encode(), 32)
        self.receipt_mac_key = hkdf_sha256(profile_key, site_id, (label + " receipt mac").encode(), 32)

    def header(self, nonce):
        """Section 5: SipHash of the nonce, the key id behind its second half."""
        plain = bytes(4) + struct.pack(">I", self.key_id)
        return bytes(a ^ b for a, b in zip(siphash24(self.header_key, nonce), plain))


# ---- CBOR (section 6): writes unsigned integers, bytes, text, lists, maps and True ----------------------------------

def cbor(value):
    def head(major, number):
        for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if number < 24:
                return bytes([major << 5 | number])
            if number < 1 << (8 * size):
                return bytes([major << 5 | code]) + number.to_bytes(size, "big")
        raise ValueError("an integer of more than 64 bits")

    if value is True:
        return b"\xf5"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(cbor(item) for item in value)
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(key) + cbor(value[key]) for key in sorted(value))
    raise ValueError("no such form in a request")


# ---- The datagram (sections 3 and 7) --------------------------------------------------------------------------------

OVERHEAD = 72
SHORTEST, MIDDLE, LONGEST = 256, 640, 1232
OPEN, CLOSE = 0, 1


def draw_length(request):
    """Section 7, step 2."""
    if len(request) > MIDDLE - OVERHEAD:
        raise Fail(OTHER, "the request has %d bytes and at most 568 fit; name fewer services" % len(request))
    low, high = (SHORTEST, MIDDLE) if len(request) + OVERHEAD <= SHORTEST else (MIDDLE, LONGEST)
    return low + secrets.randbelow(high - low + 1)


def seal(keys, request, nonce=None, total=None):
    """Section 7. A test gives nonce and length; a client never does."""
    total = draw_length(request) if total is None else total
    nonce = secrets.token_bytes(16) if nonce is None else nonce
    plaintext = request + bytes(total - OVERHEAD - len(request))
    aad = nonce + keys.header(nonce)
    body = keys.aead(keys.encryption_key).seal(aad[:keys.nonce_size], aad, plaintext)
    return aad + body + hmac.new(keys.mac_key, aad + body, hashlib.sha256).digest()


def open_datagram(keys, datagram):
    """Section 8, steps 1 to 6, for the self-test: the plaintext, or None."""
    if not SHORTEST <= len(datagram) <= LONGEST:
        return None
    signed, mac, aad = datagram[:-32], datagram[-32:], datagram[:24]
    if keys.header(aad[:16]) != aad[16:]:
        return None
    if not hmac.compare_digest(hmac.new(keys.mac_key, signed, hashlib.sha256).digest(), mac):
        return None
    return keys.aead(keys.encryption_key).open(aad[:keys.nonce_size], aad, signed[24:])


# ---- Receipts (section 18) ------------------------------------------------------------------------------------------

RECEIPT_SHORTEST, RECEIPT_LONGEST = 128, 176


def seal_receipt(keys, request, receipt, nonce, total):
    """18.3, for test vectors: a client never seals one. `request` is the datagram that is answered."""
    binding = request[:16] + request[-32:]
    plaintext = receipt + bytes(total - OVERHEAD - len(receipt))
    body = keys.aead(keys.receipt_encryption_key).seal(nonce[:keys.nonce_size], binding, plaintext)
    return nonce + body + hmac.new(keys.receipt_mac_key, binding + nonce + body, hashlib.sha256).digest()


def open_receipt(keys, request, datagram):
    """18.4, steps 1 to 3: the plaintext, or None."""
    if not RECEIPT_SHORTEST <= len(datagram) <= RECEIPT_LONGEST:
        return None
    binding, signed, mac = request[:16] + request[-32:], datagram[:-32], datagram[-32:]
    if not hmac.compare_digest(hmac.new(keys.receipt_mac_key, binding + signed, hashlib.sha256).digest(), mac):
        return None
    return keys.aead(keys.receipt_encryption_key).open(signed[:keys.nonce_size], binding, signed[24:])


def request_bytes(verb, time_ms, request_id, services, address, window):
    """Section 6: what this client can ask for."""
    fields = {1: time_ms, 2: request_id, 3: verb}
    if services:
        fields[4] = [[{"tcp": 6, "udp": 17}[transport], port] for transport, port in services]
    if address is not None:
        fields[5] = [address.packed]
    if verb == OPEN and window is not None:
        fields[6] = window
    return cbor(fields)


# ---- Values as people write them ------------------------------------------------------------------------------------

def parse_service(text):
    found = re.fullmatch(r"(tcp|udp)/([0-9]{1,5})", text, re.ASCII)
    if not found or not 1 <= int(found.group(2)) <= 65535:
        raise ValueError('"%s" is not a service: write it like tcp/22 or udp/51820' % text)
    return found.group(1), int(found.group(2))


def parse_services(text):
    services = []
    for part in text.split(","):
        service = parse_service(part.strip())
        if service in services:
            raise ValueError("%s/%d is named twice" % service)
        services.append(service)
    if len(services) > 16:
        raise ValueError("at most 16 services fit one request")
    return services


UNITS = {
    name: seconds
    for names, seconds in (
        ("s sec secs second seconds", 1), ("m min mins minute minutes", 60), ("h hr hrs hour hours", 3600),
        ("d day days", 86400), ("w week weeks", 604800),
    )
    for name in names.split()
}


def parse_duration(text):
    part = r"([0-9]+)\s*([A-Za-z]+)\s*"
    if not re.fullmatch(r"\s*(%s)+" % part, text, re.ASCII):
        raise ValueError('"%s" is not a length of time: write it like 45s, 5m or 1h' % text)
    try:
        seconds = sum(int(count) * UNITS[unit] for count, unit in re.findall(part, text))
    except KeyError as unit:
        raise ValueError('%s is not a unit of time: use s, m or h' % unit) from None
    if not 1 <= seconds < 1 << 32:
        raise ValueError('"%s" is not between one second and 2^32 - 1 seconds' % text)
    return seconds


def parse_port(text):
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError('"%s" is not a port: 1 to 65535' % text)
    return int(text)


def utc(time_ms):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=time_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (time_ms % 1000)


# ---- The profile file -----------------------------------------------------------------------------------------------

def parse_toml(text):
    """As much TOML as a client half holds: top-level strings, integers, booleans, moments, lists of strings."""
    values, lines = {}, text.split("\n")
    number = 0
    while number < len(lines):
        line, first = lines[number], number + 1
        number += 1
        if not line.strip() or line.strip().startswith("#"):
            continue
        found = re.fullmatch(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*)", line.rstrip("\r"))
        if not found:
            raise ValueError("line %d: not of the form key = value" % first)
        key, rest = found.groups()
        if key in values:
            raise ValueError("line %d: %s is given twice" % (first, key))
        while rest.startswith("[") and not _list_ends(rest) and number < len(lines):
            rest += "\n" + lines[number].rstrip("\r")
            number += 1
        try:
            values[key], rest = _toml_value(rest)
        except ValueError:
            raise ValueError("line %d: the value of %s cannot be read" % (first, key)) from None
        if rest.strip() and not rest.strip().startswith("#"):
            raise ValueError("line %d: more after the value of %s" % (first, key))
    return values


def _list_ends(text):
    return "]" in re.sub(r"\"(\\.|[^\"\\])*\"|'[^']*'|#[^\n]*", "", text)


def _toml_value(text):
    if text.startswith("["):
        items, text = [], text[1:]
        while True:
            text = re.sub(r"^(\s|#[^\n]*(\n|$))+", "", text)
            if text.startswith("]"):
                return items, text[1:]
            item, text = _toml_value(text)
            items.append(item)
            text = re.sub(r"^(\s|#[^\n]*(\n|$))+", "", text)
            if text.startswith(","):
                text = text[1:]
            elif not text.startswith("]"):
                raise ValueError
    found = re.match(r'"((?:\\.|[^"\\\n])*)"', text)
    if found:
        escapes = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

        def unescape(match):
            if match.group(1)[0] in "uU":
                return chr(int(match.group(1)[1:], 16))
            return escapes[match.group(1)]

        try:
            value = re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", unescape, found.group(1))
        except KeyError:
            raise ValueError from None
        return value, text[found.end():]
    for pattern, convert in (
        (r"'([^'\n]*)'", str),
        (r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))", _toml_moment),
        (r"(0|[1-9](?:_?[0-9])*)(?![0-9_.:-])", lambda digits: int(digits.replace("_", ""))),
        (r"(true|false)\b", lambda word: word == "true"),
    ):
        found = re.match(pattern, text)
        if found:
            return convert(found.group(1)), text[found.end():]
    raise ValueError


def _toml_moment(text):
    text = text.upper().replace(" ", "T")
    text = text[:-1] + "+00:00" if text.endswith("Z") else text
    text = re.sub(r"\.([0-9]+)", lambda match: "." + match.group(1)[:6].ljust(6, "0"), text)
    return datetime.datetime.fromisoformat(text)


class Profile:
    """The client half, read and checked."""

    FIELDS = {
        "format": int, "name": str, "server": str, "port": int, "site_id": str, "site_key": str, "key_id": int,
        "key": str, "suite": str, "open": list, "window": str, "freshness": str, "created": datetime.datetime,
    }
    OPTIONAL = ("window", "freshness")

    def __init__(self, values):
        for key, value in values.items():
            if key not in self.FIELDS:
                raise ValueError("unknown field %s" % key)
            if not isinstance(value, self.FIELDS[key]) or isinstance(value, bool):
                raise ValueError("the value of %s has the wrong type" % key)
        for key in self.FIELDS:
            if key not in values and key not in self.OPTIONAL:
                raise ValueError("the field %s is missing" % key)
        if values["format"] != 1:
            raise ValueError("format is not 1; this client is older than the file")
        if values["suite"] not in SUITES:
            raise ValueError("no such suite: use %s" % " or ".join(sorted(SUITES)))
        if not 1 <= values["key_id"] < 1 << 32:
            raise ValueError("key_id is not between 1 and 2^32 - 1")
        self.server = values["server"]
        self.port = parse_port(str(values["port"]))
        self.keys = Keys(
            _base64(values, "site_id", 16), _base64(values, "site_key", 32), values["key_id"],
            _base64(values, "key", 32), values["suite"],
        )
        self.suite = values["suite"]
        if not values["open"] or not all(isinstance(service, str) for service in values["open"]):
            raise ValueError("open is not a list of services like tcp/22")
        self.services = parse_services(",".join(values["open"]))
        self.window = parse_duration(values.get("window", "30s"))
        if values.get("freshness", "clock") not in ("clock", "monotonic"):
            raise ValueError("freshness is neither clock nor monotonic")
        self.monotonic = values.get("freshness") == "monotonic"
        if values["created"].tzinfo is None:
            raise ValueError("created is not in UTC: let it end with Z")
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        self.created = (values["created"] - epoch) // datetime.timedelta(milliseconds=1)


def _base64(values, key, size):
    try:
        value = base64.b64decode(values[key], validate=True)
    except ValueError:
        value = b""
    if len(value) != size:  # never show the text: it may be a secret
        raise ValueError("%s is not the base64 of %d bytes" % (key, size))
    return value


def find_profile(name):
    if os.sep in name or name.endswith(".toml") or os.path.exists(name):
        return name
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "spa", "profiles", name + ".spa.toml")


def load_profile(path):
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise Fail(PROFILE, "%s can be read by others; run: chmod 600 %s" % (path, path))
            text = file.read().decode("utf-8")
        return Profile(tomllib.loads(text) if tomllib else parse_toml(text))
    except OSError as error:
        raise Fail(PROFILE, "%s: %s" % (path, error.strerror)) from None
    except ValueError as error:
        # An error of the TOML reader may quote the line; a message of ours never shows a value.
        text = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        if tomllib and isinstance(error, tomllib.TOMLDecodeError):
            at = re.search(r"at (line [0-9]+|end of document)", text)
            text = "not valid TOML" + (" (%s)" % at.group(1) if at else "")
        raise Fail(PROFILE, "%s: %s" % (path, text)) from None


def command_time(profile, path, seals):
    """Section 10.4: the clock; for a monotonic profile never a time that was sealed before, and kept on disk first."""
    now = time.time_ns() // 1000000
    if not (profile.monotonic and seals):
        return now
    last = os.path.splitext(path)[0] + ".last"
    try:
        with open(path, "rb") as lock:  # the profile itself: the file beside it is replaced
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
            now = max(now, last_time(last) + 1, profile.created + 1)
            if now >= 1 << 48:
                raise Fail(PROFILE, "%s: beyond 2^48; the key must be rotated" % last)
            replace(last, "%d\n" % now)
    except OSError as error:
        raise Fail(PROFILE, "%s: %s; a monotonic profile must store its last time" % (last, error.strerror)) from None
    return now


def last_time(path):
    """Section 14: the last time used; 0 if there is none yet."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return 0
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise Fail(PROFILE, "%s: not a time in milliseconds; remove it only if the clock is right" % path)
    return int(text)


def replace(path, text):
    """The whole file or the old one, whatever happens meanwhile."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, ".%s.%s.new" % (name, secrets.token_hex(8)))
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        made = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(made)
        finally:
            os.close(made)


# ---- Addresses and sending ------------------------------------------------------------------------------------------

NOT_GLOBAL = [ipaddress.ip_network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
)]


def is_global(address):
    """Section 9.3: an address that the world sees as it stands."""
    if address.version == 6:
        return address in ipaddress.ip_network("2000::/3")
    return not any(address in network for network in NOT_GLOBAL)


def resolve(host, port, family):
    result = []

    def work():
        try:
            result.append(socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM))
        except (OSError, UnicodeError) as error:
            result.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    if not result:
        raise Fail(TIMED_OUT, "looking up %s took more than 10 seconds; try an address" % host)
    if isinstance(result[0], Exception):
        raise Fail(NAME, "%s has no address that can be used: %s" % (host, getattr(result[0], "strerror", "bad name")))
    found = []
    for info in result[0]:
        if (info[0], info[4]) not in found:
            found.append((info[0], info[4]))
    return found


def connect(targets):
    """Connected sockets, and the first error. Connecting a UDP socket sends nothing."""
    links, refused = [], None
    for family, where in targets:
        try:
            link = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            refused = refused or error
            continue
        try:
            link.connect(where)
            links.append((link, family, where))
        except OSError as error:
            refused = refused or error
            link.close()
    return links, refused


def send(link, datagram):
    try:
        link.send(datagram)
    except ConnectionRefusedError:  # tells of an earlier datagram; this one has not left yet
        link.send(datagram)


def local_address(link):
    return ipaddress.ip_address(link.getsockname()[0].split("%")[0])


# ---- Command line ---------------------------------------------------------------------------------------------------

class Arguments(argparse.ArgumentParser):
    def error(self, message):
        raise Fail(USAGE, message + "; nothing was sent")


def parse_arguments(argv):
    parser = Arguments(prog="spa.py", allow_abbrev=False, description="Opens a service guarded by spad.")
    add = parser.add_argument
    add("--profile", metavar="FILE", help="the client half, or its name in ~/.config/spa/profiles")
    add("-A", "--access", metavar="SERVICES", help="what to open, like tcp/22,udp/51820; default: all of the profile")
    add("-D", "--destination", metavar="HOST", help="the server; default: that of the profile")
    add("-a", "--allow", metavar="ADDRESS", default="auto", help="for whom: an address, source, or auto (default)")
    add("-w", "--window", metavar="TIME", help="how long, like 45s")
    add("-p", "--port", metavar="PORT", help="the SPA port; default: that of the profile")
    add("-4", dest="family", action="store_const", const=socket.AF_INET, default=0, help="IPv4 only")
    add("-6", dest="family", action="store_const", const=socket.AF_INET6, help="IPv6 only")
    add("--close", action="store_true", help="close what this profile opened; with -A only these services")
    add("--dry-run", action="store_true", help="say what would be sent; send nothing")
    add("--save-packet", metavar="FILE", help="write one datagram to FILE")
    add("-v", "--verbose", action="store_true", help="say more, this machine's time (UTC) among it")
    add("-q", "--quiet", action="store_true", help="say nothing but errors")
    add("--self-test", action="store_true", help="check the ciphers against published vectors")
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        word = unknown[0].split("=")[0]
        if not word.startswith("-"):
            raise Fail(USAGE, 'unexpected "%s"; nothing was sent' % word)
        options = [option for action in parser._actions for option in action.option_strings]
        near = difflib.get_close_matches(word, options, 1, 0)[0]
        raise Fail(USAGE, "unknown option %s; the nearest is %s; nothing was sent" % (word, near))
    return given


def run(given):
    if not given.profile:
        raise Fail(USAGE, "--profile FILE is missing; nothing was sent")
    try:
        asked = parse_services(given.access) if given.access is not None else None
        window = parse_duration(given.window) if given.window is not None else None
        port = parse_port(given.port) if given.port is not None else None
        stated = None if given.allow in ("auto", "source") else ipaddress.ip_address(given.allow)
    except ValueError as error:
        raise Fail(USAGE, "%s; nothing was sent" % error) from None
    if given.close and window is not None:
        raise Fail(USAGE, "--close takes no --window; nothing was sent")
    path = find_profile(given.profile)
    profile = load_profile(path)
    verb = CLOSE if given.close else OPEN
    services = asked if asked is not None else ([] if given.close else profile.services)
    window = window or profile.window
    host, port = given.destination or profile.server, port or profile.port

    targets = resolve(host, port, given.family)
    if stated is not None:  # the server compares it with the source: one of the other family can hardly be right
        same = {4: socket.AF_INET, 6: socket.AF_INET6}[stated.version]
        targets = [target for target in targets if target[0] == same] or targets
    links, refused = connect(targets)
    if not links:
        raise Fail(NO_ROUTE, "no route to %s: %s" % (host, refused.strerror or refused))

    now = command_time(profile, path, not given.dry_run or given.save_packet)
    ids = {family: secrets.token_bytes(8) for _, family, _ in links}
    what = "%s %s" % ("close" if given.close else "open", ", ".join("%s/%d" % s for s in services) or "everything")
    plans = []
    for link, family, where in links:
        address, local = stated, local_address(link)
        if given.allow == "auto" and is_global(local):
            address = local
        limit = None if given.close else window
        plans.append((link, where, address, request_bytes(verb, now, ids[family], services, address, limit)))
    if given.verbose:
        print("time here: %s" % utc(time.time_ns() // 1000000))
    if given.save_packet:
        save(given.save_packet, seal(profile.keys, plans[0][3]))
    if not given.quiet:
        for _, where, address, request in plans:
            print("%s %s for %s%s, to %s port %d" % (
                "would send:" if given.dry_run else "sending:", what, address or "the packet's source",
                "" if given.close or not window else " for %ds" % window, where[0], where[1]))
            if given.dry_run or given.verbose:
                print("  time %s, key id %d, suite %s, request of %d bytes" % (
                    utc(now), profile.keys.key_id, profile.suite, len(request)))
    if not given.dry_run:
        transmit(profile.keys, plans, given)


def transmit(keys, plans, given):
    """Every address once, and once more after a short pause against loss; each copy is sealed anew."""
    sent, failed = 0, None
    for turn in range(2):
        if turn:
            time.sleep(0.1 + secrets.randbelow(200) / 1000)
        for link, where, _, request in plans:
            try:
                send(link, seal(keys, request))
                sent += 1
            except OSError as error:
                failed = failed or (where[0], error)
                if given.verbose:
                    print("spa.py: %s: %s" % (where[0], error.strerror), file=sys.stderr)
    if not sent:
        raise Fail(NO_ROUTE, "no route to %s: %s" % (failed[0], failed[1].strerror))


def save(path, datagram):
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(datagram)
    except OSError as error:
        raise Fail(OTHER, "%s: %s" % (path, error.strerror)) from None


# ---- Self-test: published vectors -----------------------------------------------------------------------------------

def self_test():
    hexed, count = bytes.fromhex, [0]

    def check(name, got, want):
        count[0] += 1
        if got != want:
            raise Fail(OTHER, "self-test: %s is wrong" % name)

    upto = bytes(range(256))
    check("AES-256 (FIPS 197, C.3)", aes256_block(aes256_round_keys(upto[:32]), hexed("00112233445566778899aabbccddeeff")),
          hexed("8ea2b7ca516745bfeafc49904b496089"))

    key = hexed("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = hexed("cafebabefacedbaddecaf888")
    plain = hexed("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255")
    cipher = hexed("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad")
    aad = hexed("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    zero = bytes(32)
    for name, k, n, a, p, sealed in (
        ("13", zero, bytes(12), b"", b"", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("14", zero, bytes(12), b"", bytes(16), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
        ("15", key, nonce, b"", plain, cipher.hex() + "b094dac5d93471bdec1a502270e3cc6c"),
        ("16", key, nonce, aad, plain[:60], cipher[:60].hex() + "76fc6ece0f4e1768cddf8853bb2d551b"),
    ):
        check("AES-256-GCM (GCM specification, case %s)" % name, Aes256Gcm(k).seal(n, a, p), hexed(sealed))
        check("AES-256-GCM opening, case %s" % name, Aes256Gcm(k).open(n, a, hexed(sealed)), p)
        broken = bytearray(hexed(sealed))
        broken[-1] ^= 1
        check("AES-256-GCM refusing, case %s" % name, Aes256Gcm(k).open(n, a, bytes(broken)), None)

    check("ChaCha20 (RFC 8439, 2.3.2)", chacha20_block(upto[:32], 1, hexed("000000090000004a00000000")),
          hexed("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
                "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"))
    check("Poly1305 (RFC 8439, 2.5.2)",
          poly1305(hexed("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"),
                   b"Cryptographic Forum Research Group"), hexed("a8061dc1305136c6c22b8baf0c0127a9"))
    sunscreen = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                 b"sunscreen would be it.")
    aad = hexed("50515253c0c1c2c3c4c5c6c7")
    sealed = hexed("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
                   "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                   "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691")
    inner = ChaCha20Poly1305(upto[0x80:0xA0])
    check("ChaCha20-Poly1305 (RFC 8439, 2.8.2)", inner.seal(hexed("070000004041424344454647"), aad, sunscreen), sealed)
    check("HChaCha20 (draft-irtf-cfrg-xchacha, 2.2.1)",
          hchacha20(upto[:32], hexed("000000090000004a0000000031415927")),
          hexed("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"))
    sealed = hexed("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
                   "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
                   "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49")
    outer = XChaCha20Poly1305(upto[0x80:0xA0])
    check("XChaCha20-Poly1305 (draft, A.3.1)", outer.seal(upto[0x40:0x58], aad, sunscreen), sealed)
    check("XChaCha20-Poly1305 opening", outer.open(upto[0x40:0x58], aad, sealed), sunscreen)
    check("XChaCha20-Poly1305 refusing", outer.open(upto[0x40:0x58], aad[1:], sealed), None)

    for length, digest in ((0, "310e0edd47db6f72"), (1, "fd67dc93c539f874"), (8, "6224939a79f5f593"),
                           (15, "e545be4961ca29a1"), (16, "db9bc2577fcc2a3f")):
        check("SipHash-2-4 of %d bytes" % length, siphash24(upto[:16], upto[:length]), hexed(digest))
    check("HKDF (RFC 5869, A.1)", hkdf_sha256(b"\x0b" * 22, upto[:13], upto[0xF0:0xFA], 42),
          hexed("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
    for value, encoded in ((23, "17"), (24, "1818"), (1000, "1903e8"), (1000000, "1a000f4240"),
                           (1000000000000, "1b000000e8d4a51000"), (b"\1\2\3\4", "4401020304"), ("IETF", "6449455446"),
                           ([1, [2, 3]], "8201820203"), ({1: 2, 3: 4}, "a201020304"), (True, "f5")):
        check("CBOR (RFC 8949, A) %r" % (value,), cbor(value), hexed(encoded))

    for suite in SUITES:
        keys = Keys(upto[:16], upto[32:64], 0x1A2B3C4D, upto[64:96], suite)
        request = request_bytes(OPEN, 1795168860000, upto[:8], [("tcp", 22)], None, 30)
        datagram = seal(keys, request)
        plaintext = open_datagram(keys, datagram)
        check("%s, sealed and opened" % suite, plaintext, request + bytes(len(datagram) - OVERHEAD - len(request)))
        receipt = cbor({1: 1795168860000, 2: 0, 4: upto[:4]})
        sealed = seal_receipt(keys, datagram, receipt, upto[:24], RECEIPT_SHORTEST)
        padded = receipt + bytes(RECEIPT_SHORTEST - OVERHEAD - len(receipt))
        check("%s, a receipt sealed and opened" % suite, open_receipt(keys, datagram, sealed), padded)
        check("%s, a receipt for another" % suite, open_receipt(keys, upto + datagram[256:], sealed), None)
    toml = '# c\nformat = 1\nname = "a\\"b" # d\nopen = ["tcp/22", # e\n  \'udp/53\',]\ncreated = 2026-11-20T10:00:00Z\n'
    moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.timezone.utc)
    check("TOML", parse_toml(toml), {"format": 1, "name": 'a"b', "open": ["tcp/22", "udp/53"], "created": moment})
    if tomllib:
        check("TOML by the standard library", tomllib.loads(toml), parse_toml(toml))
    print("self-test: %d checks passed" % count[0])


def main(argv):
    try:
        given = parse_arguments(argv)
        self_test() if given.self_test else run(given)
        return 0
    except Fail as error:
        print("spa.py: %s" % error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return OTHER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
