# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the parts of the walk-through share: every command is shown before its real
# output, each step states what must be seen, and fails where it is not. A part lives
# in a runtime directory of its own, so it disturbs no ismd of the user's.

root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
PATH=$build/bin:/usr/bin:/bin:/usr/sbin:/sbin
work=$(mktemp -d)
export PATH ISM_RUNTIME_DIR=$work/run
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

# What a part has to take down beside its programs.
undo() { :; }

cleanup() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	undo
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
