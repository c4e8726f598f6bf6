#!/bin/sh
# `make bench-instructions`: instructions of the gate for one datagram, by callgrind, in Markdown.
# Two runs make the same 600 datagrams and judge 100 and 600 of them; a 500th of the difference is one judgement.
#   FILL=1 sh benches/instructions.sh      writes them into docs/PERFORMANCE.md as well
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
sh tests/prepare.sh libpcap valgrind
cargo build --release --locked --bin one-operation -p spad-benches

counted() { # suite operation profiles times
    # No cache or branch is simulated; what counts is the last number of the summary.
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/release/one-operation" "$@" 2>&1 |
        sed -n 's/.*Collected : //p'
}

table=$(mktemp)
trap 'rm -f "$table"' EXIT
{
    echo "| instructions | aes256gcm, 1 profile | aes256gcm, 1 000 | xchacha20poly1305, 1 profile | xchacha20poly1305, 1 000 |"
    echo "|---|---|---|---|---|"
    for operation in stranger wrong-mac replay stale-replay admission; do
        line="| $operation |"
        for suite in aes256gcm xchacha20poly1305; do
            for profiles in 1 1000; do
                few=$(counted $suite $operation $profiles 100)
                many=$(counted $suite $operation $profiles 600)
                line="$line $(((many - few) / 500)) |"
            done
        done
        echo "$line"
    done
} >"$table"
cat "$table"
if [ -n "${FILL:-}" ]; then
    awk -v table="$table" '
        /^<!-- instructions -->/ { print; while ((getline line < table) > 0) print line; inside = 1; next }
        /^<!-- end -->/ { inside = 0 }
        !inside' docs/PERFORMANCE.md >"$table.page"
    cat "$table.page" >docs/PERFORMANCE.md
    rm -f "$table.page"
fi
