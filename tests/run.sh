#!/bin/sh
# Every check and every test; the last line is "N passed, M failed".
set -u
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
failed=0

sh tests/prepare.sh libpcap cc ip nft nmap unshare python3 iptables ipset ssh sshd rsync || failed=1
# Shells that read the completions.
sh tests/prepare.sh bash zsh fish || true
# A client of proxies, and a STUN server.
sh tests/prepare.sh curl turnserver || true
# Whom spad stands beside. Without them a test is skipped, loudly.
sh tests/prepare.sh systemd-analyze || true
sh tests/prepare.sh ufw firewalld dbus-daemon fwknopd fwknop knockd || true

step() {
    echo "== $*"
    "$@" || { echo "FAILED: $*"; failed=1; }
}
step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --locked
# 0 is best, 10 worst; a test holds them.
if command -v systemd-analyze >/dev/null 2>&1; then
    for unit in packaging/*.service; do
        systemd-analyze security --offline=true "$unit" 2>/dev/null | grep "Overall exposure"
    done
fi
step cargo build --workspace --all-targets --locked

# Of the programs just built. Elsewhere than on Debian the test of the packages is skipped, loudly.
if command -v dpkg-deb >/dev/null 2>&1; then
    step sh packaging/build.sh deb debug
fi

# Most tests wait for a window to end, most of the time.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(nproc)))}"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo "== cargo test"
{ cargo test --workspace --locked --no-fail-fast 2>&1 || echo "cargo-test-failed"; } | tee "$out"
grep -q '^cargo-test-failed' "$out" && failed=1

sum() { sed -n "s/^test result: .* \([0-9][0-9]*\) $1.*/\1/p" "$out" | awk '{ n += $1 } END { print n + 0 }'; }
# What the two suites found that try everything: once more, where it is seen.
sed -n '/ nft guard  nft attach /,/^$/p; /^fault  .*  rounds  result/,/^longest of all rounds/p' "$out"
passed=$(sum passed)
broken=$(sum failed)
[ "$failed" = 0 ] || [ "$broken" != 0 ] || broken=1
[ "$passed" != 0 ] || broken=1
echo "$passed passed, $broken failed"
[ "$broken" = 0 ]
