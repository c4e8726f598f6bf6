#!/bin/sh
# What is too slow for `make test`: licences and sources of all dependencies, the packages of the released programs, a static
# client, a bill of materials. After `make`, as root, who may install packages into a copy of this machine's root. Everything
# that is made lies in target/packages.
set -u
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
out=target/packages
rm -f "$out"/*.cdx.json "$out/SHA256SUMS" "$out/spa-client-static"
failed=0
step() {
    echo "== $*"
    "$@" || { echo "FAILED: $*"; failed=1; }
}
tool() {
    [ -x "target/tools/bin/$1" ] || cargo install --quiet --locked --root target/tools "$1@$2"
}

sh tests/prepare.sh libpcap ip nft rpm readelf || failed=1

tool cargo-deny 0.20.2
step target/tools/bin/cargo-deny check --hide-inclusion-graph licenses bans sources
# Needs the net; without it that is said, and a release waits for a machine that has it.
target/tools/bin/cargo-deny check advisories || echo "NOT CHECKED: advisories"

step sh packaging/build.sh deb
step sh packaging/build.sh rpm
step sh packaging/build.sh static
# A static program asks for no interpreter.
step sh -c "! readelf -l $out/spa-client-static | grep INTERP"
step "$out/spa-client-static" --version
# What would be skipped elsewhere fails here.
step env CI=true cargo test --locked --package spad-tests --test packages --test systemd -- --include-ignored

# Alerts, dashboard and metrics: our own parser, and Prometheus' where Debian brings it (unpacked, so that nothing is started).
if ! command -v promtool >/dev/null && [ ! -x target/tools/bin/promtool ] && command -v apt-get >/dev/null; then
    mkdir -p target/tools/bin target/tools/prometheus
    (cd target/tools/prometheus && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg-deb -x prometheus_*.deb . && cp usr/bin/promtool ../bin)
fi
if PATH="$PATH:$PWD/target/tools/bin" command -v promtool >/dev/null; then
    step env PATH="$PATH:$PWD/target/tools/bin" promtool check rules packaging/prometheus/spad.rules.yml
else
    echo "NOT CHECKED: alert rules by promtool (Debian: prometheus)"
fi
step cargo test --locked --package spad-tests --test metrics

# Every crate that a program is made of stands in its bill of materials, and no folder of this machine does.
is_whole() {
    cargo tree --locked --edges normal --prefix none --package "$1" --format '{p}' | sort -u | {
        missing=0 read=0
        while read -r name version _; do
            read=$((read + 1))
            grep -q "\"pkg:cargo/$name@${version#v}[\"?]" "$2" || { echo "not in $2: $name $version"; missing=1; }
        done
        [ "$missing" = 0 ] && [ "$read" -gt 9 ]
    } && ! grep -q "$PWD" "$2"
}
tool cargo-cyclonedx 0.5.9
for package in spad spa-client; do
    step target/tools/bin/cargo-cyclonedx cyclonedx --quiet --format json --spec-version 1.5 \
        --manifest-path "$package/Cargo.toml" --override-filename "$package.cdx"
    # It is written beside the manifest of each member that it meets.
    [ ! -e "$package/$package.cdx.json" ] || sed "s|file://$PWD/|file:///|g" "$package/$package.cdx.json" >"$out/$package.cdx.json"
    find . -path ./target -prune -o -name '*.cdx.json' -print | xargs -r rm -f
    step is_whole "$package" "$out/$package.cdx.json"
done

(cd "$out" && sha256sum -- *.deb *.rpm spa-client-static *.cdx.json >SHA256SUMS) || failed=1
cat "$out/SHA256SUMS"
[ "$failed" = 0 ] || { echo "release-check: failed"; exit 1; }
echo "release-check: passed"
