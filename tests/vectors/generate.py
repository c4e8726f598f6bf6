#!/usr/bin/env python3
"""Writes tests/vectors/native/*.txt, tests/vectors/receipt/*.txt and the vectors printed in docs/SPEC.md, byte for byte the same each time.

    python3 generate.py            write the files
    python3 generate.py --check    compare the files and SPEC.md; exit status 1 if anything differs
    python3 generate.py --spec     print the section "Test vectors" for docs/SPEC.md

Standard library only. The cryptography is that of ../interop/spa.py; nothing here is taken from the Rust code.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "interop")]
from generator.admitted import admits  # noqa: E402
from generator.judged import judged  # noqa: E402
from generator.malformed import malformed  # noqa: E402
from generator.printed import counted, printed, printed_receipt  # noqa: E402
from generator.receipts import RECEIPTS, receipts  # noqa: E402
from generator.scenario import Writer  # noqa: E402
from generator.strangers import strangers  # noqa: E402

SPEC = os.path.join(HERE, "..", "..", "docs", "SPEC.md")


def compare_or_write(folder, files, check):
    """The names of files that differ, or that nothing writes."""
    wrong = []
    for name, text in sorted(files.items()):
        path = os.path.join(HERE, folder, name + ".txt")
        if check:
            try:
                with open(path, encoding="utf-8", newline="") as file:
                    wrong += [name] if file.read() != text else []
            except OSError:
                wrong.append(name)
        else:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
    return wrong + sorted(set(os.listdir(os.path.join(HERE, folder))) - {name + ".txt" for name in files})


def main(arguments):
    for part in (admits, strangers, malformed, judged):
        part()
    receipts()
    spec = [counted(), printed(), printed_receipt()]
    if arguments == ["--spec"]:
        print("\n".join(spec))
        return 0
    check = arguments == ["--check"]
    wrong = compare_or_write("native", Writer.files, check) + compare_or_write("receipt", RECEIPTS, check)
    if check:
        with open(SPEC, encoding="utf-8") as file:
            text = file.read()
            wrong += ["docs/SPEC.md"] if any(part not in text for part in spec) else []
    for name in wrong:
        print("differs: %s" % name, file=sys.stderr)
    print("%d vectors" % (len(Writer.files) + len(RECEIPTS)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
