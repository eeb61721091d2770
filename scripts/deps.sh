#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Install the Debian packages that a make target needs, and only those that are
# missing. Says nothing and starts no apt when nothing is missing.
#
#   scripts/deps.sh GROUP...    groups: build test san bench style
set -eu

build='gcc libc6-dev make meson ninja-build pkg-config libjson-c-dev libconfig-dev libcap-ng-dev
	libseccomp-dev libsystemd-dev libbpf-dev clang bpftool'
# What the end-to-end tests and the demo run, and what they look with.
test='libcmocka-dev python3 curl socat netcat-openbsd nginx-light redis-server redis-tools wrk
	apache2-utils iperf3 sockperf strace iproute2 procps psmisc lsof util-linux
	nftables bubblewrap runc'
san='clang libclang-rt-14-dev'
bench='python3 sockperf iperf3 gnuplot-nox'
style='clang-format clang-tidy shellcheck'

say() { echo "deps: $*" >&2; }

wanted=
for group; do
	case $group in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	san) wanted="$wanted $san" ;;
	bench) wanted="$wanted $bench" ;;
	style) wanted="$wanted $style" ;;
	*) say "unknown group $group"; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	say "not a Debian system; see to it that these are there:" $wanted
	exit 0
fi

# "ii " is installed and configured; dpkg-query leaves out what it never heard of.
have=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null |
	sed -n 's/^ii *//p' | tr '\n' ' ')"
missing=
for p in $wanted; do
	case $have in *" $p "*) ;; *) missing="$missing $p" ;; esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	root=
elif command -v sudo >/dev/null; then
	root=sudo
else
	say "missing:$missing"
	say "run this as root, or install sudo:  apt-get install$missing"
	exit 1
fi

# A test machine wants the programs, not their services: while we install, Debian's
# own switch says no to starting any, unless the machine has an opinion already.
guard=/usr/sbin/policy-rc.d
made_guard=
unguard() { [ -z "$made_guard" ] || $root rm -f $guard; }
trap unguard EXIT
trap 'exit 130' INT TERM
if [ ! -e $guard ]; then
	printf '#!/bin/sh\nexit 101\n' | $root tee $guard >/dev/null
	made_guard=1
	$root chmod 755 $guard
fi

log=$(mktemp)
install() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 $missing >"$log" 2>&1 </dev/null
}
update() {
	$root apt-get update -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
		>>"$log" 2>&1 </dev/null
}

say "installing$missing"
for try in 1 2 3; do
	# The package lists may be absent or old; only then is an update worth its time.
	if install; then
		rm -f "$log"
		exit 0
	fi
	say "try $try failed, refreshing the package lists"
	update || sleep 5
done
cat "$log" >&2
rm -f "$log"
exit 1
