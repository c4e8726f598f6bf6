"""Steps 7, 8 and 11: address, freshness, policy."""

from generator.scenario import *


def judged():
    address = lambda name, why, plain, **more: refuse("address-" + name, why, plain, **more)
    address("not-the-source", "The stated address is not the packet's source.", request(k5=[ELSEWHERE]))
    address("one-of-two", "One of two stated addresses is not the packet's source.", request(k5=[V4, ELSEWHERE]))
    address("other-family", "An IPv6 address in a packet from IPv4.", request(k5=[V6]))
    address("none-stated", "The profile demands a stated address.", request(), require_stated="true")
    address("prefix-elsewhere", "A prefix that does not hold the source.", request(k5=[[ELSEWHERE[:3] + b"\0", 24]]))
    address("prefix-of-everything", "0.0.0.0/0 begins with an address that may not be granted anything.",
            request(k5=[[bytes(4), 0]]))
    address("close-not-the-source", "A close is bound to its packet as well.",
            request(verb=1, services=(), k5=[ELSEWHERE]))
    narrow = dict(prefixes="ipv4/24,ipv6/64")
    address("prefix-of-loopback", "A prefix of nobody else.", request(k5=[[bytes([127, 0, 0, 0]), 24]]),
            any_address="true", **narrow)
    address("prefix-around-loopback", "A prefix that holds addresses that may not be granted anything.",
            request(k5=[[bytes([126, 0, 0, 0]), 7]]), any_address="true", **narrow)
    address("prefix-of-links", "fe80::/64 is on every link.", request(k5=[[bytes.fromhex("fe80") + bytes(14), 64]]),
            source="fe80::10", interface=1, **narrow)
    address("prefix-around-ipv4", "::/32 holds loopback and the IPv4-mapped addresses.",
            request(k5=[[bytes(16), 32]]), any_address="true", **narrow)
    address("link-local-own", "The host's own address on that link.", request(), source="fe80::1", interface=1)
    address("link-local-stated-elsewhere", "any_address: a stated link-local address has no link of its own.",
            request(k5=[bytes.fromhex("fe800000000000000000000000000011")]), source="fe80::10", interface=1,
            any_address="true")
    pad = bytes(12)
    for name, why, packed, text in (
        ("unspecified", "Unspecified.", bytes(4), "0.0.0.0"),
        ("this-network", "0.0.0.0/8.", bytes([0, 1, 2, 3]), "0.1.2.3"),
        ("loopback", "Loopback.", bytes([127, 0, 0, 1]), "127.0.0.1"),
        ("loopback-last", "Loopback, all of 127.0.0.0/8.", bytes([127, 255, 255, 254]), "127.255.255.254"),
        ("multicast", "Multicast.", bytes([224, 0, 0, 1]), "224.0.0.1"),
        ("multicast-last", "The last multicast address.", bytes([239, 255, 255, 255]), "239.255.255.255"),
        ("reserved", "240.0.0.0/4.", bytes([240, 0, 0, 1]), "240.0.0.1"),
        ("broadcast", "Broadcast.", bytes([255] * 4), "255.255.255.255"),
        ("own", "The host's own address.", bytes([203, 0, 113, 1]), "203.0.113.1"),
        ("unspecified-v6", "Unspecified, IPv6.", bytes(16), "::"),
        ("loopback-v6", "Loopback, IPv6.", pad + bytes([0, 0, 0, 1]), "::1"),
        ("compatible-v6", "IPv4-compatible IPv6.", pad + V4, "::192.0.2.10"),
        ("mapped-v6", "IPv4-mapped IPv6: not another spelling of the IPv4 address.", bytes(10) + b"\xff\xff" + V4,
         "::ffff:192.0.2.10"),
        ("link-local-v6", "Link-local IPv6 names another host on every link.",
         bytes.fromhex("fe80000000000000000000000000000a"), "fe80::a"),
        ("link-local-v6-last", "The end of fe80::/10.", bytes.fromhex("febf" + "ff" * 14),
         "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("multicast-v6", "Multicast, IPv6.", bytes.fromhex("ff020000000000000000000000000001"), "ff02::1"),
        ("own-v6", "The host's own address, IPv6.", bytes.fromhex("20010db8000100000000000000000001"),
         "2001:db8:1::1"),
    ):
        address("stated-" + name, why + " Stated, by a profile with any_address.", request(k5=[packed]),
                any_address="true")
        if name != "mapped-v6":  # no packet comes from there
            address("source-" + name, why + " As the packet's source.", request(), source=text)
    address("stated-mapped-v6-same", "The IPv4-mapped form of the packet's own source is refused as well.",
            request(k5=[bytes(10) + b"\xff\xff" + V4]))
    address("mixed-any", "One of two addresses may not be granted anything.",
            request(k5=[V4, bytes([127, 0, 0, 1])]), any_address="true")

    refuse("unsettled-journal", "The journal was lost and the clock is not known to be right.", request(),
           journal="unsettled")
    refuse("unsettled-not-old", "Unsettled is judged first: this time is also below the floor.", request(CREATED),
           journal="unsettled")
    refuse("unsettled-monotonic-lost", "monotonic: the memory was lost; no clock stands in for it.", request(),
           journal="lost", freshness="monotonic")

    refuse("old-created", "Exactly the time of creation is not above the floor.", request(CREATED), now=CREATED)
    refuse("old-before-created", "Before the profile was made.", request(CREATED - 1), now=CREATED)
    everything = request(verb=1, services=())
    refuse("old-open-withheld", "An open from before the close was withheld on the path: it does not undo the close.",
           request(NOW - 2000, ID2), before=[(everything,)])
    refuse("old-floor-not-skewed", "The memory's floor is judged before the skew: no line about clocks for an old capture.",
           request(NOW - 5 * SKEW, ID2), before=[(everything,)])
    refuse("old-open-same-millisecond", "At the floor is not above it.", request(id=ID2), before=[(everything,)])
    refuse("replayed-close-again", "The repeat of a close.", everything, before=[(everything,)])
    mono = {"freshness": "monotonic"}
    refuse("old-monotonic", "monotonic: exactly the skew behind the newest time.", request(NOW - SKEW, ID2),
           before=[(request(),)], **mono)
    refuse("old-monotonic-withheld", "monotonic: an open that was withheld for a day.",
           request(NOW - 86400000, ID2), before=[(request(),)], **mono)
    refuse("old-monotonic-after-close", "monotonic: a close is the newest time as well.",
           request(NOW - 1, ID2), before=[(everything,)], **mono)
    refuse("old-monotonic-created", "monotonic: not above the creation.", request(CREATED), **mono)

    refuse("skewed-client-ahead", "One millisecond more than the skew.", request(NOW + SKEW + 1))
    refuse("skewed-client-behind", "One millisecond more than the skew.", request(NOW - SKEW - 1))
    refuse("skewed-server-1970", "The server's clock was never set.", request(), created=1000, now=20000)
    refuse("skewed-largest-time", "2^48 - 1 is a time, if a late one.", request(2**48 - 1))
    refuse("skewed-before-created", "The skew is judged before the creation: a client whose clock is behind is told so "
           "right after its profile was made.", request(CREATED - SKEW), now=CREATED + 5000)
    refuse("skewed-withheld", "Withheld on the path for an hour.", request(), now=NOW + 3600000)

    w = Writer("replayed-bytes")
    datagram = w.seal(request())
    w.judged_first(datagram).write("The same bytes again.", datagram, "replayed", plain=request())
    w = Writer("replayed-bytes-elsewhere")
    datagram = w.seal(request())
    w.judged_first(datagram).write("The same bytes from another address.", datagram, "replayed", "198.51.100.66",
                                   plain=request())
    refuse("replayed-sealed-anew", "The repeat of a command: sealed anew, but with the same time and id.", request(),
           before=[(request(),)])
    refuse("replayed-other-content", "The memory holds time and id, whatever else the request says.",
           request(services=(WIREGUARD,)), before=[(request(),)])
    refuse("replayed-after-an-hour", "The memory is judged before the skew: a replay causes no line about clocks.",
           request(), before=[(request(), NOW)], now=NOW + 3600000)
    refuse("replayed-clock-stepped-back", "The server's clock was set back between the two.", request(),
           before=[(request(), NOW)], now=NOW - 30000)
    refuse("replayed-after-forbidden", "What policy refused is remembered all the same.",
           request(services=([6, 443],)), before=[(request(services=([6, 443],)),)])
    refuse("replayed-monotonic", "monotonic: a replay, with the server's clock a year further.", request(),
           before=[(request(), NOW)], now=NOW + 31536000000, **mono)
    refuse("replayed-monotonic-far-behind", "monotonic: a replay from beyond the skew is known all the same.",
           request(), before=[(request(),), (request(NOW + SKEW, ID2),)], **mono)

    forbid = lambda name, why, plain, **more: refuse("forbidden-" + name, why, plain, **more)
    forbid("service", "A service that the profile does not open.", request(services=([6, 443],)))
    forbid("transport", "The right port of the wrong transport.", request(services=([17, 22],)))
    forbid("one-of-two", "One of two services: the whole request is refused.", request(services=(SSH, [6, 443])))
    forbid("invoke", "Actions are not offered.", request(verb=2, services=(), k10="reboot", k11=["now", ""]))
    offered = dict(actions="backup,wake=nas1|nas2", invoke="wake")

    def invoke(name, why, action, *arguments):
        more = dict(k11=list(arguments)) if arguments else {}
        forbid("invoke-" + name, why, request(verb=2, services=(), k10=action, **more), **offered)

    invoke("of-others", "The server has the action, and the profile does not.", "backup")
    invoke("unknown", "Neither has it.", "reboot")
    invoke("letter", "A name is told by every letter.", "Wake")
    invoke("argument", "An argument that is not in the action's list.", "wake", "nas3")
    invoke("argument-empty", "An empty argument is not in the list either.", "wake", "")
    invoke("arguments", "Two arguments, each in the list.", "wake", "nas1", "nas2")
    forbid("invoke-gone", "The profile has it, and the server does not any more.",
           request(verb=2, services=(), k10="wake"), actions="backup", invoke="wake")
    forbid("invoke-largest", "The longest action and argument that are well-formed.",
           request(verb=2, services=(), k10="é" * 32, k11=["a" * 128]), total=640)
    forbid("ping", "Ping is not offered.", request(verb=3, services=(), k12=True))
    forbid("forward", "A forward, and the profile has no target.", request(k7=[bytes([10, 0, 0, 5]), 22]))
    forbid("forward-v6", "A forward to IPv6, and the profile has no target.", request(k7=[V6, 65535]))
    web = dict(forward="10.0.0.5:443,[fd00::5]:443")
    forbid("forward-other-port", "Another port of a target.", request(k7=[bytes([10, 0, 0, 5]), 22]), **web)
    forbid("forward-other-family", "From IPv4 to IPv6.", request(k7=[bytes([0xfd] + [0] * 14 + [5]), 443]), **web)
    forbid("forward-two-services", "Two services to one target.",
           request(services=(SSH, WIREGUARD), k7=[bytes([10, 0, 0, 5]), 443]), **web)
    forbid("forward-once", "A forward for one connection only is not offered.",
           request(k7=[bytes([10, 0, 0, 5]), 443], k9=True), **web)
    forbid("ports", "A narrowing that cannot be kept is not ignored: too many source ports.", request(k8=[0, 65535]))
    forbid("ports-257", "One source port more than a request may bind.", request(k8=[1000, 1256]))
    forbid("ports-of-two-services", "One more, counted for each service.",
           request(services=(SSH, WIREGUARD), k8=[1000, 1128]))
    forbid("ports-of-a-prefix", "Source ports go with addresses only.",
           request(k5=[[V4[:3] + b"\0", 24]], k8=[1000, 1000]), **narrow)
    forbid("ports-of-a-link", "Source ports go with addresses that mean the same on every link only.",
           request(k8=[1000, 1000]), source="fe80::10", interface=1)
    forbid("prefix-wider", "A length that is not in the profile: wider.", request(k5=[[V4[:2] + bytes(2), 16]]), **narrow)
    forbid("prefix-narrower", "A length that is not in the profile: narrower.",
           request(k5=[[V4[:3] + b"\x08", 29]]), **narrow)
    forbid("prefix-close", "A close with a prefix is judged like an open.",
           request(verb=1, k5=[[V4[:3] + b"\0", 24]]))
    forbid("once", "A narrowing that cannot be kept is not ignored: once, of UDP, which has no handshake.",
           request(services=(WIREGUARD,), k9=True))
    forbid("once-one-of-two", "once, where one of two services is of UDP.",
           request(services=(SSH, WIREGUARD), k9=True))
    forbid("prefix-v4", "A prefix that holds the source.", request(k5=[[V4[:3] + b"\0", 24]]))
    forbid("prefix-v6", "A prefix that holds the source, IPv6.", request(k5=[[V6[:8] + bytes(8), 64]]),
           source="2001:db8::10")
    forbid("prefix-any-address", "A prefix, by a profile with any_address.",
           request(k5=[[ELSEWHERE[:3] + b"\0", 24]]), any_address="true")
    forbid("expired", "The profile has expired, this millisecond.", request(), expires=NOW)
    forbid("close-expired", "An expired profile closes nothing either.", everything, expires=NOW - 1)
