#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# idle.sh PROGRAM: nothing runs when nothing moves. With idle SMC connections, no
# thread of the two processes, nor of ismd, is on a processor for even one moment
# of a second (its switches and its run time stand still). strace would show the
# same silence, but its own coming interrupts what it looks at.
set -u
. "$(cd "$(dirname "$0")" && pwd)/lib.sh"
need_smc
world_begin
mkfifo "$T/in"
OPENISM_TWIN=smc "$SMC" "$1" --run idle <"$T/in" >"$T/out" &
prog=$!
track $prog
exec 9>"$T/in"
if wait_for 10000 grep -q quiet "$T/out"; then
	sleep 0.5
	# shellcheck disable=SC2046 # pids are words
	set -- $(sed -n 's/^quiet //p' "$T/out") $(world_ismd)
	[ $# -eq 3 ] || fail "not all processes are there: $*"
else
	cat "$T/out"
	fail "the pair does not get ready"
	set --
fi
activity() { # PID: thread, switches, nanoseconds on a processor
	for t_ in /proc/"$1"/task/*; do
		echo "${t_##*/} $(awk '/ctxt_switches/ { printf "%s ", $2 }' "$t_/status")" \
			"$(cut -d ' ' -f 1 "$t_/schedstat")"
	done
}
for pid in "$@"; do activity "$pid" >"$T/before.$pid"; done
sleep 1.2
for pid in "$@"; do
	activity "$pid" >"$T/after.$pid"
	cmp -s "$T/before.$pid" "$T/after.$pid" || {
		fail "$(cat "/proc/$pid/comm") ($pid) is not quiet"
		diff "$T/before.$pid" "$T/after.$pid"
	}
done
exec 9>&-
wait_for 5000 gone $prog || fail "the pair does not end"
wait $prog || fail "the pair has failed: $(cat "$T/out")"
finish
