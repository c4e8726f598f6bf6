"""The section "Test vectors" of SPEC.md."""

from spa import Keys, seal, siphash24

from generator.receipts import RECEIPTS, Receipt, receipt
from generator.scenario import *


REJECTS = ("length", "header", "unknown-key", "mac", "aead", "malformed", "address", "unsettled", "old", "skewed",
           "replayed", "forbidden", "admit")


def counted():
    """The table of SPEC.md: how many vectors there are of each kind."""
    kinds = [next(kind for kind in REJECTS if name.startswith(kind)) for name in Writer.files]
    rows = ["| `%s` | %d |" % (kind, kinds.count(kind)) for kind in REJECTS]
    return "\n".join(["| expected | vectors |", "|---|---|"] + rows) + "\n"


def wrap(name, value):
    lines = [value.hex()[i:i + 64] for i in range(0, 2 * len(value), 64)]
    return "\n".join("%-16s%s" % (name if not i else "", line) for i, line in enumerate(lines))


def printed_receipt():
    """The receipt of SPEC.md: every intermediate value."""
    file = "opens-granted-aes256gcm"
    w, plain = Receipt(file), receipt()
    sealed, keys = w.answer(plain), w.keys()
    assert "receipt: %s\n" % sealed.hex() in RECEIPTS[file]
    out = ["### 6. A receipt: open until then, `aes256gcm`\n\n`tests/vectors/receipt/%s.txt`\n\n```text" % file]
    out.append("%-16s%s" % ("receipt", "{1: 1795169400000, 2: 0, 3: 1795169430000, 4: h'c000020a', 5: 60000}"))
    for name, value in (
        ("receipt", plain), ("encryption key", keys.receipt_encryption_key), ("MAC key", keys.receipt_mac_key),
        ("request nonce", w.asked[:16]), ("request MAC", w.asked[-32:]), ("AAD", w.asked[:16] + w.asked[-32:]),
        ("nonce", sealed[:24]), ("AEAD nonce", sealed[:keys.nonce_size]), ("body", sealed[24:-32]),
        ("MAC", sealed[-32:]), ("datagram", sealed),
    ):
        out.append(wrap(name, value))
    return "\n".join(out + ["```\n"])


def printed():
    """The section of SPEC.md: every intermediate value."""
    out = []
    for title, file, diagnostic, plain, suite in (
        ("1. Open tcp/22 for the packet's source, `aes256gcm`", "admit-open-aes256gcm",
         "{1: 1795169400000, 2: h'a1a2a3a4a5a6a7a8', 3: 0, 4: [[6, 22]]}", request(), AES),
        ("2. The address stated, IPv4, `aes256gcm`", "admit-stated-v4",
         "{1: 1795169400000, 2: h'a1a2a3a4a5a6a7a8', 3: 0, 4: [[6, 22]], 5: [h'c000020a']}", request(k5=[V4]), AES),
        ("3. The address stated, IPv6, `xchacha20poly1305`", "admit-stated-v6",
         "{1: 1795169400000, 2: h'a1a2a3a4a5a6a7a8', 3: 0, 4: [[6, 22]],\n"
         "                 5: [h'20010db8000000000000000000000010']}", request(k5=[V6]), XCHACHA),
        ("4. Close everything, `aes256gcm`", "admit-close-all",
         "{1: 1795169400000, 2: h'a1a2a3a4a5a6a7a8', 3: 1}", request(verb=1, services=()), AES),
        ("5. An extension that may be ignored, `aes256gcm`", "admit-extension",
         "{1: 1795169400000, 2: h'a1a2a3a4a5a6a7a8', 3: 0, 4: [[6, 22]],\n                 128: h'010203'}",
         request(k128=b"\1\2\3"), AES),
    ):
        w = Writer(file, suite=suite)
        nonce, keys = w.nonce(), w.keys()
        datagram = seal(keys, plain, nonce, 256)
        assert "datagram: %s\n" % datagram.hex() in Writer.files[file]
        out.append("### %s\n\n`tests/vectors/native/%s.txt`\n\n```text" % (title, file))
        out.append("%-16s%s" % ("request", diagnostic))
        for name, value in (
            ("request", plain), ("encryption key", keys.encryption_key), ("MAC key", keys.mac_key),
            ("nonce", nonce), ("SipHash(nonce)", siphash24(keys.header_key, nonce)),
            ("header", datagram[16:24]), ("AEAD nonce", datagram[:keys.nonce_size]), ("AAD", datagram[:24]),
            ("body", datagram[24:-32]), ("MAC", datagram[-32:]), ("datagram", datagram),
        ):
            out.append(wrap(name, value))
        out.append("```\n")
    common = [("site id", SITE_ID), ("site key", SITE_KEY), ("profile key", PROFILE_KEY),
              ("header key", Keys(SITE_ID, SITE_KEY, KEY_ID, PROFILE_KEY, AES).header_key)]
    first = ["```text"] + [wrap(*row) for row in common]
    first += ["%-16s%08x (decimal %d)" % ("key id", KEY_ID, KEY_ID), "```\n"]
    return "\n".join(first + out)
