#!/bin/sh
# Installs what is missing of the named things, if this user may; else says what to install.
#   sh tests/prepare.sh libpcap ip nft nmap
set -eu

here() {
    case $1 in
        libpcap) [ -e /usr/include/pcap/pcap.h ] || [ -e /usr/local/include/pcap/pcap.h ] ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# The Debian package that brings it; other distributions name them much alike.
package() {
    case $1 in
        libpcap) echo libpcap-dev ;;
        ip) echo iproute2 ;;
        nft) echo nftables ;;
        cc) echo gcc ;;
        unshare | nsenter) echo util-linux ;;
        ping) echo iputils-ping ;;
        ssh) echo openssh-client ;;
        sshd) echo openssh-server ;;
        fwknopd) echo fwknop-server ;;
        fwknop) echo fwknop-client ;;
        knock) echo knockd ;;
        turnserver) echo coturn ;;
        systemd-analyze) echo systemd ;;
        dpkg-shlibdeps) echo dpkg-dev ;;
        readelf) echo binutils ;;
        *) echo "$1" ;;
    esac
}

missing=
for thing in "$@"; do
    here "$thing" && continue
    # Both are started as soon as they are installed: the one drops what it does not know, the other lets people in.
    if [ -d /run/systemd/system ] && { [ "$thing" = firewalld ] || [ "$thing" = sshd ]; }; then
        echo "not installed, because it would be started on this machine: $(package "$thing")" >&2
        continue
    fi
    if [ "$thing" = turnserver ] && [ -d /run/systemd/system ]; then
        # Its package starts a service that listens on every address.
        echo "not installed, because it would begin to serve this machine's network: coturn" >&2
        continue
    fi
    missing="$missing $(package "$thing")"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
else
    echo "please install:$missing" >&2
    exit 1
fi
