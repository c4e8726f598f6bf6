#!/bin/sh
# Makes packages of programs that are built already, in target/packages.
#   sh packaging/build.sh deb            release: what `make` built
#   sh packaging/build.sh deb debug      of what `cargo build` built, for tests
#   sh packaging/build.sh rpm [debug]    likewise
#   sh packaging/build.sh static         a client that needs no library; builds it
set -eu
cd "$(dirname "$0")/.."
kind=$1
profile=${2:-release}
out=target/packages

# The tools come from crates.io, in the versions that are known to work, and stay below target/.
tool() {
    [ -x "target/tools/bin/$1" ] || cargo install --quiet --locked --root target/tools "$1@$2"
}

mkdir -p "$out"
case $kind in
    deb)
        sh tests/prepare.sh dpkg-shlibdeps
        tool cargo-deb 3.8.0
        rm -f "$out"/*.deb
        quick=
        [ "$profile" = release ] || quick="--profile dev --fast --no-strip"
        for package in spad spa-client; do
            # shellcheck disable=SC2086
            target/tools/bin/cargo-deb --no-build --quiet $quick --package "$package" --output "$out/"
        done
        ;;
    rpm)
        tool cargo-generate-rpm 0.21.1
        rm -f "$out"/*.rpm
        quick=
        [ "$profile" = release ] || quick="--payload-compress none"
        for package in spad spa-client; do
            # shellcheck disable=SC2086
            target/tools/bin/cargo-generate-rpm $quick --profile "$profile" --package "$package" --output "$out/"
        done
        ;;
    static)
        # Only with a target of its own do the programs that run while building stay as they are. The second flag is that
        # of .cargo/config.toml, which the variable overrides. The third has randomness asked of the kernel at once: what else is
        # looked for first is no part of a static program, and then /dev/urandom is opened, which a bare root has not.
        target=$(rustc -vV | sed -n 's/^host: //p')
        RUSTFLAGS='-C target-feature=+crt-static --cfg poly1305_backend="soft" --cfg getrandom_backend="linux_getrandom"' \
            cargo build --release --locked --package spa-client --bin spa-client --target "$target"
        install -m 755 "target/$target/release/spa-client" "$out/spa-client-static"
        ;;
    *)
        echo "deb, rpm or static" >&2
        exit 2
        ;;
esac
ls "$out"/*"$kind"
