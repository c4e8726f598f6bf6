#!/bin/sh
# What is too slow for `make test`: licences and sources of all dependencies, the packages of the released programs, a static
# client, a bill of materials. After `make`. Everything that is made lies in target/packages.
set -u
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"
out=target/packages
failed=0
step() {
    echo "== $*"
    "$@" || { echo "FAILED: $*"; failed=1; }
}
tool() {
    [ -x "target/tools/bin/$1" ] || cargo install --quiet --locked --root target/tools "$1@$2"
}

tool cargo-deny 0.20.2
step target/tools/bin/cargo-deny check licenses bans sources
# Needs the net; without it that is said, and a release waits for a machine that has it.
target/tools/bin/cargo-deny check advisories || echo "NOT CHECKED: advisories"

step sh packaging/build.sh deb
step sh packaging/build.sh rpm
step sh packaging/build.sh static
# A static program asks for no interpreter.
step sh -c "! readelf -l $out/spa-client-static | grep INTERP"
step "$out/spa-client-static" --version
step cargo test --locked --package spad-tests --test packages

tool cargo-cyclonedx 0.5.9
for package in spad spa-client; do
    step target/tools/bin/cargo-cyclonedx --quiet --format json --manifest-path "$package/Cargo.toml" \
        --override-filename "$package.cdx"
    # It is written beside the manifest of each member that it meets.
    [ ! -e "$package/$package.cdx.json" ] || mv "$package/$package.cdx.json" "$out/"
    find . -path ./target -prune -o -name '*.cdx.json' -print | xargs -r rm -f
    step test -s "$out/$package.cdx.json"
done

(cd "$out" && sha256sum -- *.deb *.rpm spa-client-static *.cdx.json >SHA256SUMS)
cat "$out/SHA256SUMS"
[ "$failed" = 0 ] && echo "release-check: passed"
[ "$failed" = 0 ]
