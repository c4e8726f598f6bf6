#!/usr/bin/env bash
# The whole story in three network namespaces of this machine, with the real programs and their real output:
# scan, knock, scan, connect, wait, scan; how long a knock takes; an ssh session that knocks by itself.
#
#   tests/demo.sh FOLDER      FOLDER holds spad, spa-client, spa-keygen and lab-helper (target/release)
#   BACKEND=iptables tests/demo.sh FOLDER      nftables (default), auto, iptables, iptables-nft or iptables-legacy
#
# All of it lives in namespaces that the kernel removes with the first process in them, also after Ctrl-C or
# kill -9: no process, network, firewall rule or file is left.
# Started as `sh demo.sh`, too.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -eu
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

fail() {
    echo "demo: $*" >&2
    exit 1
}

# ---- outside: make the namespaces, once -----------------------------------------------------------------------------
if [ "${SPAD_DEMO_INSIDE:-}" != yes ]; then
    programs=$(cd "${1:?which folder holds the programs, for instance target/release?}" && pwd)
    for name in spad spa-client spa-keygen lab-helper; do
        [ -x "$programs/$name" ] || fail "$programs/$name is missing; build the workspace first"
    done
    export BACKEND=${BACKEND:-nftables}
    needed="ip nft nmap unshare"
    [ "${BACKEND#iptables}" = "$BACKEND" ] || needed="$needed $BACKEND-restore ipset"
    for name in $needed; do
        command -v "$name" >/dev/null || fail "'$name' is missing (Debian: iproute2 nftables nmap util-linux iptables ipset)"
    done
    export SPAD_DEMO_USER=$(id -u) SPAD_DEMO_GROUP=$(id -g)
    user=()
    [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
    unshare "${user[@]}" --pid --mount --net --fork --kill-child true 2>/dev/null ||
        fail "this kernel gives no namespaces to $(id -un); try it as root"
    export SPAD_DEMO_INSIDE=yes
    # --kill-child: whatever ends this process ends everything inside.
    exec unshare "${user[@]}" --pid --mount --net --fork --kill-child --mount-proc "$BASH" "$0" "$programs"
fi

# ---- inside: a server and two clients on one switch -----------------------------------------------------------------
# The first process of a process namespace ignores what it does not handle.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
export PATH="$1:$PATH"
mount --make-rprivate /
mount -t tmpfs -o mode=755 demo /run
mkdir -p /run/demo/profiles-of-a && chmod 700 /run/demo/profiles-of-a
cd /run/demo
# What the client remembers of doors goes with the rest.
export XDG_STATE_HOME=/run/demo/memory-of-a

ip link add switch type bridge mcast_snooping 0
ip link set switch up
number=1
for host in server a b; do
    ip netns add "$host"
    ip link add "p-$host" type veth peer name eth0 netns "$host"
    ip link set "p-$host" master switch up
    ip -n "$host" link set lo up
    ip -n "$host" link set eth0 up
    ip -n "$host" addr add "10.99.0.$number/24" dev eth0
    number=$((number + 1))
done

step() {
    echo
    echo "$((count += 1)). $*"
}
count=0

# on HOST COMMAND…: shows the command as one would type it on that host, and runs it there.
on() {
    local host=$1
    shift
    echo "   $host\$ $*"
    ip netns exec "$host" "$@" 2>&1 | sed 's/^/     /'
}

# scan HOST: what a port scanner sees from there.
scan() {
    local command="nmap -Pn -n -p 22,80 10.99.0.1"
    echo "   $1\$ $command"
    ip netns exec "$1" $command --max-retries 1 --initial-rtt-timeout 100ms --max-rtt-timeout 100ms |
        grep -E '^(PORT|[0-9]+/)' | sed 's/^/     /'
}

echo "A server at 10.99.0.1 with a service at port 22, and two clients: A (10.99.0.2) and B (10.99.0.3)."
ip netns exec server lab-helper serve tcp/22 >service.log &
service=$!
mkdir etc
cat >etc/spad.toml <<END
format = 1
[capture]
interfaces = ["eth0"]
[firewall]
backend = "$BACKEND"
protect = ["tcp/22"]
[freshness]
clock = "trusted"
END

step "The server gets its keys, A gets a profile."
on server spa-keygen laptop --server 10.99.0.1 --open tcp/22 --window 3s --freshness clock \
    --config-dir etc --state-dir state --out profiles-of-a/laptop.spa.toml

step "spad starts, and guards port 22."
echo "   server\$ spad --config etc/spad.toml --state-dir state &"
ip netns exec server spad --config etc/spad.toml --state-dir state 2>spad.log &
spad=$!
for _ in $(seq 500); do
    grep -q serving spad.log && break
    kill -0 "$spad" 2>/dev/null || break
    sleep 0.01
done
sed 's/^/     /' spad.log
grep -q serving spad.log || fail "spad does not serve"

step "A port scanner sees nothing there. (Port 80 has no service and nobody guards it: closed.)"
scan a

step "A knocks: one encrypted datagram, no answer."
knock=(spa-client -A tcp/22 -D 10.99.0.1 --profile profiles-of-a/laptop.spa.toml)
on a "${knock[@]}"
knocked=$(date +%s%N)

step "Now the port is open for A,"
scan a
echo "   and for nobody else:"
scan b
if [ "${BACKEND#iptables}" != "$BACKEND" ]; then
    echo "   The open door is an element of a set of ipset, with a timeout that the kernel keeps:"
    on server ipset save spad_grants4
fi

step "A's connections work. This one stays:"
echo "   a\$ lab-helper hold 10.99.0.1:22"
coproc session { exec ip netns exec a lab-helper hold 10.99.0.1:22; }
read -r word <&"${session[0]}"
echo "     $word"
ask() {
    echo ask >&"${session[1]}"
    read -r word <&"${session[0]}"
    echo "     a byte was sent, and came back: $word"
}
ask

step "After three seconds the port vanishes again,"
while [ $(($(date +%s%N) - knocked)) -lt 4000000000 ]; do sleep 0.05; done
scan a
echo "   but the session that began in time lives on:"
ask

step "The server's log:"
sed 's/^/     /' spad.log

step "How long does it take from the knock to the first connection? (median of 20)"
read -r start exit < <(ip netns exec a lab-helper latency 20 10.99.0.1:22 -- "${knock[@]}" --close -- "${knock[@]}")
echo "     $start ms after spa-client was started; $exit ms after it ended (0.0: before it ended)"

step "Nobody knocks by hand: ssh does, with two lines in its configuration. (From here on port 22 is a real sshd's.)"
user=$(getent passwd "$SPAD_DEMO_USER" | cut -d: -f1)
without() {
    echo "     left out: $*"
}
log_in() {
    command -v ssh >/dev/null && command -v ssh-keygen >/dev/null && [ -x /usr/sbin/sshd ] ||
        { without "ssh or sshd is not installed (Debian: openssh-client openssh-server)"; return; }
    [ -n "$user" ] || { without "sshd lets in named users only, and $SPAD_DEMO_USER has no name"; return; }
    kill "$service"
    mkdir -p /run/sshd ssh && chmod 700 ssh
    ssh-keygen -q -t ed25519 -N '' -f ssh/host && ssh-keygen -q -t ed25519 -N '' -f ssh/key
    echo "10.99.0.1 $(cut -d' ' -f1,2 ssh/host.pub)" >ssh/known
    cat >ssh/sshd_config <<END
HostKey $PWD/ssh/host
AuthorizedKeysFile $PWD/ssh/key.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
END
    cat >ssh/config <<END
Host server
    HostName 10.99.0.1
    User $user
    IdentityFile $PWD/ssh/key
    UserKnownHostsFile $PWD/ssh/known
    BatchMode yes
    ConnectTimeout 10
    ProxyCommand spa-client connect %h %p --profile $PWD/profiles-of-a/laptop.spa.toml
END
    local own=()
    if [ "$SPAD_DEMO_USER" != 0 ]; then
        # sshd as root becomes other users, whom a user namespace lacks; under its user's own number it lets in that one.
        own=(unshare --user "--map-user=$SPAD_DEMO_USER" "--map-group=$SPAD_DEMO_GROUP")
        ip netns exec server sh -c 'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
    fi
    ip netns exec server "${own[@]}" /usr/sbin/sshd -D -e -f ssh/sshd_config 2>ssh/log &
    for _ in $(seq 500); do
        grep -q '^Server listening on 0.0.0.0' ssh/log && break
        sleep 0.01
    done
    grep -q '^Server listening' ssh/log || { without "sshd does not start here: $(tail -n 1 ssh/log)"; return; }
    echo "   a\$ cat ssh/config"
    sed -n 's/^/     /; /^ *\(Host\|HostName\|ProxyCommand\) / { /Host server/p; /ProxyCommand/p; }' ssh/config
    echo "   a\$ ssh -F ssh/config server 'echo \"logged in from \$SSH_CONNECTION\"'"
    ip netns exec a ssh -F ssh/config server 'echo "logged in from $SSH_CONNECTION"' 2>&1 | sed 's/^/     /'
    echo "   B, without a key for spad, hears nothing:"
    echo "   b\$ ssh -T -F ssh/config -o ProxyCommand=none -o ConnectTimeout=2 server"
    ip netns exec b ssh -T -F ssh/config -o ProxyCommand=none -o ConnectTimeout=2 server 2>&1 | sed 's/^/     /'
}
# The latency runs leave the door shut or open: begin with a shut one.
ip netns exec a "${knock[@]}" --close >/dev/null
log_in

echo
echo "All of this is gone now: it ran in namespaces that end with this process."
