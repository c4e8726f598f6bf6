"""The keys and moments that all vectors share, and how one is written."""

import hashlib

from spa import Keys, cbor, seal

SITE_ID = bytes(range(0x00, 0x10))
SITE_KEY = bytes(range(0x20, 0x40))
OTHER_SITE_KEY = bytes(range(0xA0, 0xC0))
PROFILE_KEY = bytes(range(0x40, 0x60))
OTHER_PROFILE_KEY = bytes(range(0xC0, 0xE0))
KEY_ID = 0x1A2B3C4D
CREATED = 1795168800000  # 2026-11-20T10:00:00Z
NOW = CREATED + 60000 * 10
SKEW = 60000
V4, V6 = bytes([192, 0, 2, 10]), bytes.fromhex("20010db8000000000000000000000010")
ELSEWHERE = bytes([198, 51, 100, 7])
ID = bytes.fromhex("a1a2a3a4a5a6a7a8")
ID2 = bytes.fromhex("b1b2b3b4b5b6b7b8")
AES, XCHACHA = "aes256gcm", "xchacha20poly1305"
SSH, WIREGUARD = [6, 22], [17, 51820]


def request(time=NOW, id=ID, verb=0, services=(SSH,), **more):
    """A well-formed request; `more` by key: k5=[...] and so on."""
    fields = {1: time, 2: id, 3: verb}
    if services:
        fields[4] = services
    fields.update({int(key[1:]): value for key, value in more.items()})
    return cbor(fields)


class Writer:
    """Makes one vector; nonces come from the name, so that no two datagrams share one."""

    files = {}

    def __init__(self, name, suite=AES, key_id=KEY_ID, **fields):
        self.name, self.suite, self.key_id, self.count = name, suite, key_id, 0
        self.fields, self.before = fields, []

    def keys(self, site_key=SITE_KEY, profile_key=PROFILE_KEY, key_id=None, suite=None, site_id=SITE_ID):
        key_id = self.key_id if key_id is None else key_id
        return Keys(site_id, site_key, key_id, profile_key, suite or self.suite)

    def nonce(self):
        self.count += 1
        return hashlib.sha256(("spad vector %s %d" % (self.name, self.count)).encode()).digest()[:16]

    def seal(self, plaintext, total=256, **keys):
        return seal(self.keys(**keys), plaintext, self.nonce(), total)

    def judged_first(self, datagram, at=None, source=None, times=1):
        line = datagram.hex()
        if at is not None:
            line += " @%d" % at + (" " + source if source else "")
        self.before.append(line + (" *%d" % times if times > 1 else ""))
        return self

    def write(self, why, datagram, expect, source="192.0.2.10", now=NOW, plain=None, **outcome):
        f = dict(self.fields)
        rows = [
            ("site-id", SITE_ID.hex()), ("site-key", SITE_KEY.hex()),
            ("previous-site-key", f.pop("previous_site_key", None)),
            ("key-id", "%08x" % self.key_id), ("profile-key", PROFILE_KEY.hex()), ("suite", self.suite),
            ("open", f.pop("open", "tcp/22,udp/51820")), ("forward", f.pop("forward", None)),
            ("actions", f.pop("actions", None)), ("invoke", f.pop("invoke", None)), ("created", f.pop("created", CREATED)),
            ("expires", f.pop("expires", None)), ("freshness", f.pop("freshness", "clock")),
            ("any-address", f.pop("any_address", None)), ("require-stated", f.pop("require_stated", None)),
            ("prefixes", f.pop("prefixes", None)), ("journal", f.pop("journal", None)), ("skew-ms", SKEW),
            ("source", source), ("interface", f.pop("interface", None)), ("server-time", now),
        ]
        assert not f, f
        rows += [("before", line) for line in self.before]
        rows += [("datagram", datagram.hex()), ("expect", expect), ("request", plain.hex() if plain else None)]
        told = ("verb", "services", "address", "window", "ports", "leads-to", "once", "action", "argument")
        rows += [(key, outcome.pop(key, None)) for key in told]
        assert not outcome and self.name.startswith(expect) and self.name not in self.files, self.name
        text = "# %s\n" % why + "".join(("%s: %s" % row).rstrip() + "\n" for row in rows if row[1] is not None)
        self.files[self.name] = text


def admit(name, why, plain, total=256, source="192.0.2.10", services="tcp/22", address=None, window=30, verb="open",
          ports=None, once=None, now=NOW, before=(), keys=None, leads_to=None, action=None, argument=None, **writer):
    w = Writer("admit-" + name, **writer)
    for step in before:
        w.judged_first(w.seal(step[0]), *step[1:])
    w.write(why, w.seal(plain, total, **(keys or {})), "admit", source, now, plain, verb=verb,
            services=services if verb != "invoke" else None, address=address or source,
            window=window if verb == "open" else None, ports=ports, once=once, action=action, argument=argument,
            **{"leads-to": leads_to})


def refuse(name, why, plain, source="192.0.2.10", now=NOW, before=(), total=256, **writer):
    """A datagram that opens, and is refused later; the reject is the first word of the name."""
    w = Writer(name, **writer)
    for step in before:
        w.judged_first(w.seal(step[0]), *step[1:])
    expect = name.split("-")[0]
    w.write(why, w.seal(plain, total), expect, source, now, plain)
