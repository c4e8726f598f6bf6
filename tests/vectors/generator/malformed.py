"""Step 7: every spelling that is refused (SPEC.md, 6.3)."""

import struct

from spa import cbor

from generator.scenario import *


def malformed():
    def raw(*pairs, count=None):
        """A map of encoded pairs, in the order given."""
        body = b"".join(key + value for key, value in pairs)
        return cbor({i: 0 for i in range(count if count is not None else len(pairs))})[:1] + body

    c = cbor
    time, id_, verb, services = (c(1), c(NOW)), (c(2), c(ID)), (c(3), c(0)), (c(4), c([SSH]))
    head = (time, id_, verb)
    invoke = (c(3), c(2))
    h = bytes.fromhex

    def one(name, why, plain, **more):
        refuse("malformed-" + name, why, plain, **more)

    def field(name, why, key, value, verb=0, services=(SSH,)):
        one(name, why, request(verb=verb, services=services, **{"k%d" % key: value}))

    def open_with(*pairs):
        return raw(*(head + (services,) + pairs))

    # The map as a whole
    one("nothing", "Nothing but padding: 0 is an integer, not a map.", b"\0")
    one("empty-map", "A map without fields.", h("a0"))
    one("array", "An array instead of a map.", c([1, NOW]))
    one("tagged", "The map in a tag (self-described CBOR).", h("d9d9f7") + request())
    one("indefinite-map", "A map of indefinite length.", b"\xbf" + request()[1:] + b"\xff")
    one("map-count-wide", "The number of pairs in two bytes.", h("b804") + request()[1:])
    one("map-count-reserved", "An unassigned length of a map.", b"\xbc" + request()[1:])
    one("map-count-short", "A pair more than the map says.", raw(*(head + (services,)), count=3))
    one("map-count-long", "A pair less than the map says.", raw(*(head + (services,)), count=5))
    one("map-count-huge", "2^64 - 1 pairs.", h("bbffffffffffffffff") + request()[1:])
    cut = request(k128=bytes(200))[:-200]
    one("truncated", "The plaintext ends in the middle of a value.", cut[:-1] + bytes([185 - len(cut)]) +
        bytes(184 - len(cut)))
    one("string-too-long", "A byte string longer than what is left.", open_with((c(128), h("59ffff"))))
    one("padding-one", "One byte of the padding is not zero.", request() + bytes(20) + b"\1")
    one("padding-last", "The last byte of the padding is not zero.", request() + bytes(183 - len(request())) + b"\x80")
    one("two-maps", "A second map behind the first.", request() + request(id=ID2))
    # Keys
    one("keys-descending", "Keys out of order.", raw(id_, time, verb, services))
    one("key-twice", "A key twice, with one value.", raw(time, id_, verb, services, services))
    one("key-twice-other", "A key twice, with two values.", open_with((c(6), c(30)), (c(6), c(40))))
    one("key-wide", "Key 3 in two bytes.", raw(time, id_, (h("1803"), c(0)), services))
    one("key-zero", "Key 0.", raw((c(0), c(0)), *head, services))
    one("key-negative", "Key -1.", open_with((h("20"), c(b""))))
    one("key-text", "A key that is text.", open_with((c("to"), c(b""))))
    field("key-13", "The first unassigned key.", 13, b"")
    field("key-127", "The last key before the extensions.", 127, b"")
    field("key-192", "The first key behind the extensions.", 192, b"")
    one("extension-integer", "An extension that is not a byte string.", open_with((c(128), c(1))))
    one("extension-order", "Extensions out of order.", open_with((c(129), c(b"")), (c(128), c(b""))))
    one("extension-indefinite", "An extension in chunks.", open_with((c(128), h("5f4101ff"))))
    one("extension-wide", "The length of an extension in two bytes.", open_with((c(128), h("580101"))))
    # Time
    one("time-missing", "No time.", raw(id_, verb, services))
    one("time-2-48", "2^48: one beyond the largest time.", request(2**48))
    one("time-largest", "2^64 - 1.", request(2**64 - 1))
    one("time-wide", "Time 1 in nine bytes.", raw((c(1), h("1b0000000000000001")), id_, verb, services))
    one("time-wide-four", "Time 65535 in five bytes.", raw((c(1), h("1a0000ffff")), id_, verb, services))
    one("time-negative", "A negative time.", raw((c(1), h("3903e7")), id_, verb, services))
    one("time-float", "A time that is a float.", raw((c(1), b"\xfb" + struct.pack(">d", NOW)), id_, verb, services))
    one("time-tagged", "A time in a tag.", raw((c(1), h("c1") + c(NOW)), id_, verb, services))
    one("time-bignum", "A time as a big number.", raw((c(1), h("c246") + NOW.to_bytes(6, "big")), id_, verb, services))
    one("time-reserved", "An unassigned length of an integer.", raw((c(1), h("1c")), id_, verb, services))
    one("time-indefinite", "An integer of indefinite length.", raw((c(1), h("1f")), id_, verb, services))
    # Id
    one("id-missing", "No id.", raw(time, verb, services))
    one("id-7", "An id of 7 bytes.", request(id=ID[:7]))
    one("id-9", "An id of 9 bytes.", request(id=ID + b"\0"))
    one("id-text", "An id that is text.", raw(time, (c(2), c("a1a2a3a4")), verb, services))
    one("id-wide", "The length of the id in two bytes.", raw(time, (c(2), h("5808") + ID), verb, services))
    one("id-indefinite", "An id in chunks.", raw(time, (c(2), b"\x5f" + c(ID) + b"\xff"), verb, services))
    # Verb
    one("verb-missing", "No verb.", raw(time, id_, services))
    one("verb-4", "The first unassigned verb.", request(verb=4))
    one("verb-wide", "Verb 0 in two bytes.", raw(time, id_, (c(3), h("1800")), services))
    one("verb-text", "A verb that is text.", raw(time, id_, (c(3), c("open")), services))
    one("verb-false", "A verb that is false.", raw(time, id_, (c(3), h("f4")), services))
    # Services
    one("services-missing", "An open without services.", request(services=()))
    for name, why, value in (
        ("empty", "An empty list of services.", []),
        ("17", "One service too many.", [[6, 2000 + i] for i in range(17)]),
        ("twice", "A service twice.", [SSH, WIREGUARD, SSH]),
        ("one-element", "A service without port.", [[6]]),
        ("three-elements", "A service with a third element.", [[6, 22, 23]]),
        ("not-a-pair", "A service that is an integer.", [22]),
        ("icmp", "A transport that is neither TCP nor UDP.", [[1, 22]]),
        ("sctp", "Transport 132.", [[132, 22]]),
        ("port-0", "Port 0.", [[6, 0]]),
        ("port-65536", "Port 65536.", [[6, 65536]]),
        ("text", "A service that is text.", ["tcp/22"]),
        ("map", "A map of services.", {6: 22}),
    ):
        one("services-" + name, why, request(services=value) if value else raw(*head, (c(4), c([]))))
    one("services-port-wide", "Port 22 in three bytes.", raw(*head, (c(4), h("818206190016"))))
    one("services-count-wide", "The number of services in two bytes.", raw(*head, (c(4), h("98018206") + c(22))))
    one("services-indefinite", "A list of services of indefinite length.",
        raw(*head, (c(4), b"\x9f" + c(SSH) + b"\xff")))
    # Addresses
    for name, why, value in (
        ("empty", "An empty list of addresses.", []),
        ("5", "One address too many.", [bytes([192, 0, 2, i]) for i in range(5)]),
        ("twice", "An address twice.", [V4, V4]),
        ("not-a-list", "An address that is not in a list.", V4),
        ("3-bytes", "An address of 3 bytes.", [V4[:3]]),
        ("5-bytes", "An address of 5 bytes.", [V4 + b"\0"]),
        ("8-bytes", "An address of 8 bytes.", [V6[:8]]),
        ("0-bytes", "An address of no byte.", [b""]),
        ("text", "An address that is text.", ["192.0.2.10"]),
        ("integer", "An address that is an integer.", [int.from_bytes(V4, "big")]),
        ("prefix-full-v4", "A prefix of full length is a second spelling of its address.", [[V4, 32]]),
        ("prefix-full-v6", "A prefix of full length is a second spelling of its address.", [[V6, 128]]),
        ("prefix-33", "A prefix longer than the address.", [[V4, 33]]),
        ("prefix-256", "A prefix length of more than one byte.", [[V4, 256]]),
        ("prefix-host-bits-v4", "A prefix with a host bit.", [[V4, 24]]),
        ("prefix-host-bits-v6", "A prefix with a host bit.", [[V6, 64]]),
        ("prefix-host-bits-0", "A prefix of no bit with a host bit.", [[V4, 0]]),
        ("prefix-twice", "A prefix twice.", [[V4[:3] + b"\0", 24], [V4[:3] + b"\0", 24]]),
        ("prefix-one-element", "An address in a list of its own.", [[V4]]),
        ("prefix-three-elements", "A prefix with a third element.", [[V4[:3] + b"\0", 24, 0]]),
    ):
        field("addresses-" + name, why, 5, value)
    # What narrows an open
    field("window-0", "A window of no time.", 6, 0)
    field("window-2-32", "A window of 2^32 seconds.", 6, 2**32)
    one("window-text", "A window that is text.", open_with((c(6), c("30s"))))
    one("window-wide", "Window 30 in three bytes.", open_with((c(6), h("19001e"))))
    field("window-in-close", "A close with a window.", 6, 30, verb=1)
    field("forward-port-0", "An inner port 0.", 7, [V4, 0])
    field("forward-3-bytes", "An inner address of 3 bytes.", 7, [V4[:3], 22])
    field("forward-one-element", "An inner address without port.", 7, [V4])
    field("forward-in-close", "A close with a forward.", 7, [V4, 22], verb=1)
    field("ports-descending", "The range ends before it begins.", 8, [2000, 1000])
    field("ports-65536", "A source port beyond 16 bits.", 8, [1000, 65536])
    field("ports-three-elements", "A range of three.", 8, [1000, 2000, 3000])
    field("ports-in-close", "A close with source ports.", 8, [1000, 2000], verb=1)
    one("once-false", "once is never written as false.", open_with((c(9), h("f4"))))
    one("once-null", "once as null.", open_with((c(9), h("f6"))))
    one("once-integer", "once as 1.", open_with((c(9), c(1))))
    one("once-wide", "true in two bytes.", open_with((c(9), h("f815"))))
    field("once-in-close", "A close with once.", 9, True, verb=1)
    one("receipt-false", "receipt is never written as false.", open_with((c(12), h("f4"))))
    one("receipt-integer", "receipt as 1.", open_with((c(12), c(1))))
    # Invoke and ping
    one("action-missing", "An invoke without action.", request(verb=2, services=()))
    field("action-empty", "An action without a name.", 10, "", 2, ())
    field("action-65", "An action of 65 bytes.", 10, "a" * 65, 2, ())
    field("action-bytes", "An action that is a byte string.", 10, b"reboot", 2, ())
    one("action-not-utf-8", "An action that is not UTF-8.", raw(time, id_, invoke, (c(10), h("62c328"))))
    one("action-surrogate", "An action with an encoded surrogate.", raw(time, id_, invoke, (c(10), h("63eda080"))))
    one("action-indefinite", "An action in chunks.", raw(time, id_, invoke, (c(10), h("7f6161ff"))))
    field("action-in-open", "An open with an action.", 10, "reboot")
    field("action-in-ping", "A ping with an action.", 10, "reboot", 3, ())
    for name, why, value in (
        ("empty", "An empty list of arguments.", []),
        ("17", "One argument too many.", ["a"] * 17),
        ("129-bytes", "An argument of 129 bytes.", ["a" * 129]),
        ("bytes", "An argument that is a byte string.", [b"a"]),
        ("not-a-list", "An argument that is not in a list.", "a"),
    ):
        one("arguments-" + name, why, request(verb=2, services=(), k10="a", k11=value))
    field("arguments-in-open", "An open with arguments.", 11, ["now"])
    one("arguments-without-action", "Arguments without an action.", request(verb=2, services=(), k11=["a"]))
    one("services-in-invoke", "An invoke with services.", request(verb=2, k10="reboot"))
    one("services-in-ping", "A ping with services.", request(verb=3))
    field("window-in-ping", "A ping with a window.", 6, 30, 3, ())
    field("window-in-invoke", "An invoke with a window.", 6, 30, 2, ())
