#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The walk-through: real programs, every command shown before its real output. Each
# step states what must be seen, and the demo fails where it is not. It lives in a
# runtime directory of its own, so it disturbs no ismd of the user's.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
PATH=$build/bin:/usr/bin:/bin:/usr/sbin:/sbin
work=$(mktemp -d)
export PATH ISM_RUNTIME_DIR=$work/run
mkdir -m 700 "$ISM_RUNTIME_DIR"
cd "$work" || exit 1
unset LD_PRELOAD
pids=()
output=

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
	bold='' dim='' plain=''
fi

# The pid of the ismd of this demo, through its socket; nothing if there is none.
daemon_pid() {
	ss -Hxlp 2>/dev/null | sed -n "s,.* $ISM_RUNTIME_DIR/ismd.sock .*pid=\([0-9]*\).*,\1,p" |
		head -n 1
}

cleanup() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	# ismd leaves when its last client has left; we see to it that it has.
	local daemon
	for _ in {1..50}; do
		daemon=$(daemon_pid)
		[ -n "$daemon" ] || break
		sleep 0.1
	done
	[ -z "$daemon" ] || kill "$daemon"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title() { printf '\n%s== %s ==%s\n\n' "$bold" "$*" "$plain"; }
say() { printf '%s# %s%s\n' "$dim" "$*" "$plain"; }
prompt() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
fail() {
	printf '\ndemo: %s\n' "$*" >&2
	[ -z "$output" ] || printf '%s\n' "$output" >&2
	exit 1
}

# run COMMAND...: show it, run it, show what it said; its status must be 0.
run() {
	prompt "$*"
	output=$("$@" 2>&1) || fail "'$*' failed"
	[ -z "$output" ] || printf '%s\n' "$output"
}

# expect REGEX...: each is in the last output.
expect() {
	for pattern; do
		grep -Eq -- "$pattern" <<<"$output" || fail "expected to see: $pattern"
	done
}

# run_until REGEX COMMAND...: as run, but give the world up to three seconds to get
# there (ismd decides beside the connection, so a look can come too early).
run_until() {
	local pattern=$1
	shift
	for _ in {1..60}; do
		output=$("$@" 2>&1) && grep -Eq -- "$pattern" <<<"$output" && break
		sleep 0.05
	done
	prompt "$*"
	printf '%s\n' "$output"
	expect "$pattern"
}

# start COMMAND...: show it and leave it running; its pid is in $started.
start() {
	prompt "$* &"
	"$@" <&3 >"$work/out" 2>&1 &
	started=$!
	pids+=("$started")
}

# stop PID: end what start has started.
stop() {
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

free_port() {
	local port
	while port=$((20000 + RANDOM % 10000)); do
		[ -n "$(ss -Htln "sport = :$port")" ] || break
	done
	echo "$port"
}

# converse PORT COMMAND...: run a client in the background with a line of ours on
# its way through it, and wait for the echo.
converse() {
	local line="hello over $1"
	shift
	rm -f keys
	mkfifo keys
	exec 4<>keys
	prompt "$* &"
	: >answer
	"$@" <keys >answer 2>&1 &
	client=$!
	pids+=("$client")
	say "we type: $line"
	echo "$line" >&4
	for _ in {1..100}; do
		grep -qx "$line" answer && break
		sleep 0.05
	done
	output=$(cat answer)
	grep -qx "$line" answer || fail 'the echo did not come back'
	say "it says: $output"
}

hang_up() {
	stop "$client"
	exec 4>&-
}

exec 3</dev/null
port=$(free_port)


title 'The box and its device'
run smc_rnics -a
expect 'ISM .*OPENISM'
run smc_rnics -d 1
run smc_rnics -a
expect '^ *1 +0'

title 'The function is off: the pair falls back to TCP, and both ends say why'
start smc_run socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
server=$started
for _ in {1..100}; do
	[ -z "$(ss -Htln "sport = :$port")" ] || break
	sleep 0.05
done
converse TCP smc_run socat - "TCP:127.0.0.1:$port"
run_until 'TCP +0x05000000/0x03030000' smcss
expect '127.0.0.1:'"$port"' .*TCP +0x03030000$' '127.0.0.1:'"$port"' .*TCP +0x05000000/0x03030000$'
hang_up

title 'The function is on: the same programs use shared memory'
run smc_rnics -e 1
run smc_rnics
expect '^ *1 +1 .* ISM '
converse 'shared memory' smc_run socat - "TCP:127.0.0.1:$port"
run_until 'SMCD' smcss
[ "$(grep -c SMCD <<<"$output")" -ge 2 ] || fail 'expected SMCD on both ends'
run smcd linkgroup
expect 'OPENISM'
hang_up

title 'A plain client at the same server: TCP, and nothing in its way'
converse 'plain TCP' socat - "TCP:127.0.0.1:$port"
run_until 'TCP +0x03010000$' smcss
hang_up
stop "$server"

title 'The check: is the path there?'
port=$(free_port)
start smc_chk -S -p "$port"
for _ in {1..100}; do
	[ -z "$(ss -Htln "sport = :$port")" ] || break
	sleep 0.05
done
cat out
server=$started
run smc_chk -C 127.0.0.1 -p "$port"
expect 'Success, using SMC-D'
stop "$server"

title 'The fabric'
run smcd info
expect 'SMC-D Features:' 'ISM:'
run smcd device
expect 'ISM'

title 'What it brings'
# measure LOAD SIZE PATTERN: one run over TCP, one under smc_run; their numbers.
measure() {
	local load=(ismbench "--$1" --size "$2" --seconds 0.7)
	run "${load[@]}"
	expect "$3"
	tcp=$(sed -nE "s,.*$3.*,\\1,p" <<<"$output")
	run smc_run "${load[@]}"
	expect "$3" 'SMCD, [1-9][0-9]* bytes by shared memory'
	smc=$(sed -nE "s,.*$3.*,\\1,p" <<<"$output")
}
# compare WHAT UNIT BETTER-IF-LESS: the two numbers in one line.
compare() {
	awk -v what="$1" -v unit="$2" -v less="$3" -v tcp="$tcp" -v smc="$smc" 'BEGIN {
		printf "%-24s TCP %s %s, shared memory %s %s: %.1f times as fast\n",
			what, tcp, unit, smc, unit, less ? tcp / smc : smc / tcp }'
}
measure pingpong 64 'median ([0-9.]+) us'
pingpong=$(compare '64-byte round trip:' us 1)
measure stream 65536 ' ([0-9]+) MB/s'
stream=$(compare 'stream of 64 KiB writes:' MB/s 0)
echo
printf '%s%s%s\n' "$bold" "$pingpong" "$plain" "$bold" "$stream" "$plain"

title 'Done'
say 'No root, no service, no change to a program. smc_run COMMAND is all there is to it.'
