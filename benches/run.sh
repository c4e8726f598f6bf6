#!/bin/sh
# `make bench`: builds, installs the daemons that spad is compared with, measures, prints, writes target/bench.json.
#   sh benches/run.sh [--quick] [--only SUBJECT,…] [--json FILE]
#   FILL=1 sh benches/run.sh …      writes the tables into docs/PERFORMANCE.md, and the short form into README.md, as well
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
target=${CARGO_TARGET_DIR:-target}

sh tests/prepare.sh libpcap ip nft nmap unshare nsenter
# Debian starts a daemon when it is installed, but not in runlevel 1.
RUNLEVEL=1 sh tests/prepare.sh fwknopd fwknop knockd iptables || echo "going on without the other daemons" >&2

# Each with the features that it is shipped with.
cargo build --release --locked --bins -p spad -p spa-client
cargo build --release --locked --bins -p spad-benches
"$target/release/bench" "$@"
if [ -n "${FILL:-}" ]; then
    "$target/release/bench" fill "$target/bench.json" docs/PERFORMANCE.md
    case " $* " in
    # A run of some subjects does not have every row of the short form.
    *" --only "*) ;;
    *) "$target/release/bench" fill "$target/bench.json" README.md ;;
    esac
fi
