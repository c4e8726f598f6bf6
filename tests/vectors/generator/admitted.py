"""What is admitted: one vector a feature and an edge."""

from generator.scenario import *


def admits():
    admit("open-aes256gcm", "The plainest request: open tcp/22 for the packet's source.", request())
    admit("open-xchacha20poly1305", "The same by the other suite.", request(), suite=XCHACHA)
    admit("source-v6", "The packet's source is an IPv6 address.", request(), source="2001:db8::10")
    admit("source-private", "A private address may be granted.", request(), source="10.1.0.2")
    admit("stated-v4", "The stated address is the packet's source.", request(k5=[V4]))
    admit("stated-v6", "The stated address is the packet's source, IPv6.", request(k5=[V6]), source="2001:db8::10",
          suite=XCHACHA)
    admit("require-stated", "The profile demands a stated address, and here is one.", request(k5=[V4]),
          require_stated="true")
    admit("any-address", "any_address: the stated address need not be the source.", request(k5=[ELSEWHERE]),
          any_address="true", address="198.51.100.7")
    admit("any-address-four", "Four addresses of both families; each gets the grant.",
          request(k5=[V4, V6, ELSEWHERE, bytes([203, 0, 113, 9])]), any_address="true",
          address="192.0.2.10,2001:db8::10,198.51.100.7,203.0.113.9")
    admit("services-two", "Two services, two transports.", request(services=(SSH, WIREGUARD)),
          services="tcp/22,udp/51820")
    sixteen = [[6, 2000 + i] for i in range(16)]
    names = ",".join("tcp/%d" % port for _, port in sixteen)
    admit("services-sixteen", "As many services as a request holds.", request(services=sixteen), services=names,
          open=names)
    admit("service-port-65535", "The largest port.", request(services=([6, 65535],)), services="tcp/65535",
          open="tcp/65535")
    targets = "10.0.0.5:443,10.0.0.6:22,[fd00::5]:443"
    admit("forward", "The profile has the target.", request(k7=[bytes([10, 0, 0, 6]), 22]), forward=targets,
          leads_to="10.0.0.6:22")
    admit("forward-v6", "The profile has the target, IPv6.", request(k7=[bytes([0xfd] + [0] * 14 + [5]), 443]),
          forward=targets, leads_to="[fd00::5]:443", source="2001:db8::10")
    admit("forward-not-asked", "The profile has targets, and the request is for the server's own service.", request(),
          forward=targets)
    admit("window", "A wished window.", request(k6=45), window=45)
    admit("window-one-second", "The shortest window.", request(k6=1), window=1)
    admit("window-clamped", "A wish beyond the profile's longest window is cut to it, not refused.",
          request(k6=86400), window=300)
    admit("window-largest", "The largest window that can be written.", request(k6=2**32 - 1), window=300)
    admit("ports", "Source ports need no permission: they only narrow.", request(k8=[40000, 40010]), ports="40000-40010")
    admit("ports-one", "A range of one port.", request(k8=[1000, 1000]), ports="1000-1000")
    admit("ports-most", "As many source ports as a request may bind, for two services.",
          request(services=(SSH, WIREGUARD), k8=[0, 127]), services="tcp/22,udp/51820", ports="0-127")
    prefix4, prefix6 = [V4[:3] + b"\0", 24], [V6[:8] + bytes(8), 64]
    admit("prefix-v4", "A prefix of a length that the profile has, and that holds the source.", request(k5=[prefix4]),
          prefixes="ipv4/24", address="192.0.2.0/24")
    admit("prefix-v6", "The same by IPv6.", request(k5=[prefix6]), prefixes="ipv4/24,ipv6/64", source="2001:db8::10",
          address="2001:db8::/64")
    admit("prefix-any-address", "any_address: the prefix need not hold the source.",
          request(k5=[[ELSEWHERE[:3] + b"\0", 24]]), any_address="true", prefixes="ipv4/24",
          address="198.51.100.0/24")
    admit("prefix-holds-own", "A prefix may hold an address of the server.", request(k5=[[bytes([203, 0, 113, 0]), 24]]),
          source="203.0.113.9", prefixes="ipv4/24", address="203.0.113.0/24")
    admit("source-link-local", "A link-local source, with the interface that it came in by.", request(),
          source="fe80::10", interface=1, address="fe80::10%1")
    admit("stated-link-local", "A link-local source that is stated.",
          request(k5=[bytes.fromhex("fe800000000000000000000000000010")]), source="fe80::10", interface=2,
          address="fe80::10%2")
    admit("once", "For one connection: any profile may wish so.", request(k9=True), once="true")
    admit("receipt", "A receipt may be asked for by any profile; whether one is sent is not part of the judgement.", request(k12=True))
    admit("extension", "Key 128: an extension that may be ignored.", request(k128=b"\1\2\3"))
    admit("extensions-first-and-last", "Keys 128 and 191, the second one empty.", request(k128=b"\1\2\3", k191=b""))
    admit("close-all", "Close everything that this profile opened.", request(verb=1, services=()), verb="close",
          services="all")
    admit("close-service", "Close one service.", request(verb=1), verb="close")
    admit("close-stated", "A close may state its address.", request(verb=1, services=(), k5=[V4]), verb="close",
          services="all")
    offered = dict(actions="backup,wake=nas1|nas2", invoke="wake,backup")
    admit("invoke", "An action that the profile has, without an argument.", request(verb=2, services=(), k10="backup"),
          verb="invoke", action="backup", **offered)
    admit("invoke-argument", "With an argument of the action's list.",
          request(verb=2, services=(), k10="wake", k11=["nas2"]), verb="invoke", action="wake", argument="nas2", **offered)
    admit("invoke-argument-left-away", "An argument is never demanded.", request(verb=2, services=(), k10="wake"),
          verb="invoke", action="wake", **offered)
    admit("invoke-stated", "An invoke may state its address.", request(verb=2, services=(), k5=[V4], k10="backup"),
          verb="invoke", action="backup", **offered)
    admit("previous-site-key", "Rotation: the header is masked by the previous site key.", request(),
          previous_site_key=OTHER_SITE_KEY.hex(), keys={"site_key": OTHER_SITE_KEY})
    admit("current-site-key", "Rotation: the header is masked by the current site key.", request(),
          previous_site_key=OTHER_SITE_KEY.hex())
    admit("key-id-smallest", "Key id 1.", request(), key_id=1)
    admit("key-id-largest", "Key id ffffffff.", request(), key_id=0xFFFFFFFF)

    def filled(size):
        """A request of exactly this size, by an ignorable extension."""
        return request(k128=bytes(size - len(request(k128=bytes(256))) + 256))

    exact = request(k128=bytes(184 - len(request(k128=bytes(100))) + 100))
    assert len(exact) == 184
    admit("length-256-full", "The shortest datagram and the longest request that fits it: no padding at all.", exact)
    admit("length-257", "One byte of padding.", exact, total=257)
    admit("length-640-short", "The longest datagram of a short request.", request(), total=640)
    longer = request(k128=bytes(185 - len(request(k128=bytes(100))) + 100))
    assert len(longer) == 185
    admit("length-640-long", "The shortest datagram of a long request, here of 185 bytes.", longer, total=640)
    assert len(filled(568)) == 568
    admit("length-640-full", "The longest request, without padding.", filled(568), total=640)
    admit("length-1232", "The longest datagram.", filled(568), total=1232, suite=XCHACHA)

    admit("skew-client-behind", "Exactly the skew is accepted: the client is behind.", request(NOW - SKEW))
    admit("skew-client-ahead", "Exactly the skew is accepted: the client is ahead.", request(NOW + SKEW))
    admit("created-next-millisecond", "The floor of a profile without memory is its creation; this is just above.",
          request(CREATED + 1), now=CREATED + 1)
    admit("second-id", "Two commands of one millisecond differ by their id.", request(id=ID2), before=[(request(),)])
    admit("out-of-order", "An earlier time after a later one, both within the skew.", request(NOW - 5000, ID2),
          before=[(request(),)])
    admit("after-close", "A close raises the floor to its own time; this is one millisecond later.",
          request(NOW + 1, ID2), before=[(request(verb=1, services=()),)])
    admit("late-close", "A close with an earlier time than an open is admitted, and ends nothing newer than itself.",
          request(NOW - 1000, ID2, verb=1, services=()), verb="close", services="all", before=[(request(),)])
    admit("after-skewed", "What was refused is not remembered: refused while the server's clock was wrong, admitted "
          "once it is right.", request(), before=[(request(), NOW - 3600000)])
    admit("monotonic-1970", "monotonic: the server's clock plays no part.", request(), freshness="monotonic",
          created=10000, now=20000)
    admit("monotonic-far-ahead", "monotonic: a time far in the future is admitted, and moves the profile's newest "
          "time there.", request(NOW + 10**10), freshness="monotonic")
    admit("monotonic-within-skew", "monotonic: less than the skew behind the newest time.",
          request(NOW - SKEW + 1, ID2), freshness="monotonic", before=[(request(),)])

    w = Writer("admit-after-forwarded-copy")
    datagram = w.seal(request(k5=[V4]))
    w.judged_first(datagram, NOW - 50, "198.51.100.66").write(
        "The same bytes were forwarded first from elsewhere: refused by address, not remembered; the owner's copy "
        "works.", datagram, "admit", plain=request(k5=[V4]), verb="open", services="tcp/22", address="192.0.2.10",
        window=30)
    w = Writer("admit-after-unopened")
    datagram = w.seal(request())
    w.judged_first(datagram[:-1] + bytes([datagram[-1] ^ 1])).write(
        "A broken copy came first: what is not authentic is not remembered.", datagram, "admit", plain=request(),
        verb="open", services="tcp/22", address="192.0.2.10", window=30)
    w = Writer("admit-after-flood")
    w.judged_first(w.seal(request()), times=1500)
    w.write("1500 copies of one captured datagram came first, more than a burst: replays take no tokens.",
            w.seal(request(NOW + 1, ID2)), "admit", plain=request(NOW + 1, ID2), verb="open", services="tcp/22",
            address="192.0.2.10", window=30)
