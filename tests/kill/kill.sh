#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill.sh PROGRAM [ROUNDS]: the kill test plain and under smc_run; then ismd has
# freed everything and has not grown.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"

prog=$1
rounds=${2:-${KILL_ROUNDS:-200}}
seed=${KILL_SEED:-}
[ -n "$seed" ] || seed=$(date +%s)

need_smc
# The sanitizer keeps freed memory back, which is not growth.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
OPENISM_TWIN=tcp "$prog" 30 "$seed" || fail "plain TCP: the test itself is wrong"
world_begin

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status" 2>/dev/null; }
fds() { find "/proc/$1/fd" 2>/dev/null | wc -l; }
no_connections() {
	n_=$("$BINDIR/smcss" -a --json | /usr/bin/python3 -c '
import json, sys
print(len(json.load(sys.stdin)))')
	[ "$n_" = 0 ]
}
no_groups() { [ "$("$BINDIR/smcd" linkgroup | awk 'NR > 1 && NF' | wc -l)" -eq 0 ]; }

# somebody is there all the time, so that it is one ismd
"$SMC" sleep 600 &
keeper=$!
track $keeper
"$SMC" "$prog" 30 "$seed" || fail "kill test under smc_run (seed $seed)"
wait_for 3000 no_connections || fail "connections of the dead are still listed"
ismd=$(world_ismd | head -n 1)
rss1=$(rss "$ismd")
fds1=$(fds "$ismd")
"$SMC" "$prog" "$rounds" "$((seed + 1000))" || fail "kill test under smc_run (seed $((seed + 1000)))"
wait_for 3000 no_connections || {
	fail "connections of the dead are still listed"
	"$BINDIR/smcss" -a
}
wait_for 3000 no_groups || {
	fail "link groups of the dead are still there"
	"$BINDIR/smcd" linkgroup
}
[ "$(world_ismd | head -n 1)" = "$ismd" ] || fail "ismd did not survive"
rss2=$(rss "$ismd")
fds2=$(fds "$ismd")
note "ismd: $rss1 -> $rss2 KiB, $fds1 -> $fds2 descriptors"
[ "${rss2:-0}" -le $((${rss1:-0} + 4096)) ] || fail "ismd has grown from $rss1 to $rss2 KiB"
[ "$fds2" -le $((fds1 + 3)) ] || fail "ismd's descriptors: $fds1 before, $fds2 after"
stop $keeper
finish
