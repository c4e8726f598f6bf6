# Thin on purpose: each line is a command that one could type.
PREFIX ?= /usr/local
DESTDIR ?=
UNITS ?= /etc/systemd/system
SYSUSERS ?= /usr/lib/sysusers.d
TMPFILES ?= /usr/lib/tmpfiles.d
# Where the shells look for completions.
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
BACKEND ?= nftables

N ?= 1000
SEED ?=
ROUND ?=

.PHONY: build docs demo test faults bench bench-instructions deb rpm static release-check install uninstall

build:
	sh tests/prepare.sh libpcap
	cargo build --release --locked --bins -p spad -p spa-client

# Writes anew what is made from the programs' own definitions and committed: manual pages (from docs/man/source),
# completions, and the snapshots of what help and errors say. `git diff` shows what changed for users.
docs:
	UPDATE=1 cargo test --locked -p spad-tests --test generated --test mistakes
	cargo test --locked -p spad-tests --test generated --test mistakes

# A scan, a knock, a scan, a wait, a scan, in network namespaces that vanish afterwards.
# BACKEND=iptables tells the same story with another firewall; also iptables-nft, iptables-legacy, auto.
demo:
	sh tests/prepare.sh libpcap ip nft nmap $(if $(findstring iptables,$(BACKEND)),iptables ipset)
	-@sh tests/prepare.sh ssh sshd
	cargo build --release --locked --bins
	BACKEND=$(BACKEND) sh tests/demo.sh target/release

# Everything: format, lints, documentation, unit tests, and real packets against the real programs and kernel.
test:
	sh tests/run.sh

# A knock, a fault at one of its steps, and what must be true afterwards: more rounds than `make test` plays, or one again:
# `make faults N=5000`, `make faults SEED=7 ROUND=17`.
faults:
	sh tests/prepare.sh libpcap cc ip nft nmap unshare iptables ipset
	FAULT_ROUNDS=$(N) $(if $(SEED),FAULT_SEED=$(SEED)) $(if $(ROUND),FAULT_ROUND=$(ROUND)) \
		cargo test --locked -p spad-tests --test faults

# How fast, beside fwknopd and knockd (installed from Debian if that is allowed): a table and target/bench.json. As root.
# `make bench OPTIONS=--quick` takes a first look; docs/PERFORMANCE.md explains the rows.
bench:
	sh benches/run.sh $(OPTIONS)

# Instructions of the gate for one datagram, counted by callgrind: the same on a busy machine.
bench-instructions:
	sh benches/instructions.sh

# target/packages/*.deb, for the Debian or Ubuntu that this is run on; `make rpm` likewise, on a machine with rpm.
deb: build
	sh packaging/build.sh deb
rpm: build
	sh packaging/build.sh rpm

# target/packages/spa-client-static: needs nothing but a kernel.
static:
	sh packaging/build.sh static

# What is slow, before a release: licences and sources, packages, bill of materials.
release-check: build
	sh packaging/release-check.sh

# After `make`, as root: it builds nothing, because root seldom has a Rust toolchain. Starts, enables and guards nothing.
install:
	test -x target/release/spad || { echo "first, as yourself: make"; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	install -m 755 target/release/spad $(DESTDIR)$(PREFIX)/sbin/spad
	install -m 755 target/release/spa-keygen $(DESTDIR)$(PREFIX)/sbin/spa-keygen
	install -m 755 target/release/spa-client $(DESTDIR)$(PREFIX)/bin/spa-client
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -d $(DESTDIR)$(BASH_COMPLETIONS) $(DESTDIR)$(ZSH_COMPLETIONS) $(DESTDIR)$(FISH_COMPLETIONS)
	for name in spad spa-client spa-keygen; do \
		install -m 644 packaging/completions/$$name.bash $(DESTDIR)$(BASH_COMPLETIONS)/$$name && \
		install -m 644 packaging/completions/_$$name $(DESTDIR)$(ZSH_COMPLETIONS)/_$$name && \
		install -m 644 packaging/completions/$$name.fish $(DESTDIR)$(FISH_COMPLETIONS)/$$name.fish || exit 1; \
	done
	install -d $(DESTDIR)$(UNITS) $(DESTDIR)$(SYSUSERS) $(DESTDIR)$(TMPFILES) $(DESTDIR)$(PREFIX)/share/doc/spad/drop-ins
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad.service > $(DESTDIR)$(UNITS)/spad.service
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad-guard.service > $(DESTDIR)$(UNITS)/spad-guard.service
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad-clock.service > $(DESTDIR)$(UNITS)/spad-clock.service
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad-audit.service > $(DESTDIR)$(UNITS)/spad-audit.service
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad-metrics.service > $(DESTDIR)$(UNITS)/spad-metrics.service
	sed 's|/usr/sbin/spad|$(PREFIX)/sbin/spad|' packaging/spad-runner.service > $(DESTDIR)$(UNITS)/spad-runner.service
	install -m 644 packaging/prometheus/spad.rules.yml packaging/grafana/spad.json $(DESTDIR)$(PREFIX)/share/doc/spad
	install -m 644 packaging/drop-ins/*.conf $(DESTDIR)$(PREFIX)/share/doc/spad/drop-ins
	install -m 644 packaging/sysusers.d/spad.conf $(DESTDIR)$(SYSUSERS)/spad.conf
	install -m 644 packaging/tmpfiles.d/spad.conf $(DESTDIR)$(TMPFILES)/spad.conf

# Stops spad and takes the guard away, or removes nothing: a guard without spad would shut everybody out for good.
# Below a DESTDIR it only removes files. Keys, configuration and journal stay.
uninstall:
	test -n "$(DESTDIR)" || ! test -d /run/systemd/system || ! systemctl cat spad.service >/dev/null 2>&1 || \
		systemctl disable --now spad.service spad-guard.service \
		spad-audit.service spad-metrics.service spad-runner.service
	test -n "$(DESTDIR)" || ! test -x $(PREFIX)/sbin/spad || $(PREFIX)/sbin/spad teardown
	rm -f $(DESTDIR)$(PREFIX)/sbin/spad $(DESTDIR)$(PREFIX)/sbin/spa-keygen $(DESTDIR)$(PREFIX)/bin/spa-client
	rm -f $(DESTDIR)$(UNITS)/spad.service $(DESTDIR)$(UNITS)/spad-guard.service $(DESTDIR)$(UNITS)/spad-clock.service
	rm -f $(DESTDIR)$(SYSUSERS)/spad.conf $(DESTDIR)$(TMPFILES)/spad.conf
	rm -f $(DESTDIR)$(UNITS)/spad-audit.service $(DESTDIR)$(UNITS)/spad-metrics.service $(DESTDIR)$(UNITS)/spad-runner.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/spad
	for name in spad spa-client spa-keygen; do \
		rm -f $(DESTDIR)$(BASH_COMPLETIONS)/$$name $(DESTDIR)$(ZSH_COMPLETIONS)/_$$name $(DESTDIR)$(FISH_COMPLETIONS)/$$name.fish; \
	done
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/spa-client.1 $(DESTDIR)$(PREFIX)/share/man/man1/spa-keygen.1
	rm -f $(DESTDIR)$(PREFIX)/share/man/man5/spad.toml.5 $(DESTDIR)$(PREFIX)/share/man/man8/spad.8
