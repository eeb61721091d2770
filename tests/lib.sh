# SPDX-License-Identifier: Apache-2.0
# Common part of the test scripts (POSIX shell, sourced).
#
# A "world" is a runtime directory of its own with an ismd of its own, so that
# tests do not meet each other. world_end checks that the ismd goes when its last
# client is gone and that nothing is left behind.
# shellcheck shell=sh disable=SC2034

if [ -z "${BINDIR:-}" ]; then
	BINDIR=$(cd "$(dirname "$0")" && git rev-parse --show-toplevel 2>/dev/null)/build/bin
fi
PATH=$PATH:/usr/sbin
export PATH
T=
FAILED=0
PIDS=

note() { echo "# $*"; }

fail() {
	echo "not ok - $*"
	FAILED=$((FAILED + 1))
}

ok() { echo "ok - $*"; }

skip() {
	echo "SKIP: $*"
	exit 77
}

need_smc() {
	[ -x "$BINDIR/smc_run" ] || skip "no smc_run in '$BINDIR'"
	[ -e "$BINDIR/libsmc-preload.so" ] || skip "no libsmc-preload.so in '$BINDIR'"
}

need_cmd() {
	for c_ in "$@"; do
		command -v "$c_" >/dev/null 2>&1 || skip "no $c_ here"
	done
}

now_ms() { date +%s%3N; }

# wait_for MS COMMAND...: until it succeeds
wait_for() {
	end_=$(($(now_ms) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now_ms)" -lt "$end_" ] || return 1
		sleep 0.02
	done
}

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! kill -0 "$1" 2>/dev/null; }

world_begin() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/oism-test.XXXXXX") || exit 1
	ISM_RUNTIME_DIR=$T/run
	export ISM_RUNTIME_DIR
	trap 'world_kill; rm -rf "$T"' EXIT
	trap 'exit 130' INT TERM
}

# Pids of the ismd that serve our runtime directory.
world_ismd() {
	for p_ in /proc/[0-9]*; do
		pid_=${p_#/proc/}
		case "$(cat "$p_/comm" 2>/dev/null)" in ismd*) ;; *) continue ;; esac
		if { tr "\0" "\n" <"$p_/environ"; } 2>/dev/null |
			grep -qx "ISM_RUNTIME_DIR=$ISM_RUNTIME_DIR"; then
			echo "$pid_"
		fi
	done
}

no_ismd() { [ -z "$(world_ismd)" ]; }

# Keeps a background process in mind, to be killed at the end.
track() { PIDS="$PIDS $1"; }

stop() {
	for p_ in "$@"; do
		kill "$p_" 2>/dev/null
	done
	for p_ in "$@"; do
		wait_for 5000 gone "$p_" || kill -9 "$p_" 2>/dev/null
		wait "$p_" 2>/dev/null
	done
	return 0
}

world_kill() {
	for p_ in $PIDS; do
		kill -CONT "$p_" 2>/dev/null
		kill -9 "$p_" 2>/dev/null
	done
	PIDS=
	[ -n "$T" ] || return 0
	for p_ in $(world_ismd); do
		kill -CONT "$p_" 2>/dev/null
		kill -9 "$p_" 2>/dev/null
	done
}

# 0 if the ismd of this world has gone by itself and left nothing.
world_end() {
	r_=0
	for p_ in $PIDS; do
		kill "$p_" 2>/dev/null
	done
	if ! wait_for 15000 no_ismd; then
		fail "ismd $(world_ismd | tr '\n' ' ')is still there after its grace"
		r_=1
	fi
	if [ -d "$ISM_RUNTIME_DIR" ]; then
		left_=$(find "$ISM_RUNTIME_DIR" -type s)
		[ -z "$left_" ] || {
			fail "sockets left behind: $left_"
			r_=1
		}
	fi
	return $r_
}

free_port() {
	/usr/bin/python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# port_open PORT [ADDRESS]: somebody listens (asked of the kernel, not by connecting)
port_open() {
	hex_=$(printf '%04X' "$1")
	grep -qi ":$hex_ [0-9A-F]*:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

SMC=$BINDIR/smc_run # not a function: $! has to be the program itself

# Bytes that went through rings in this world so far, closed connections included.
ring_bytes() {
	"$BINDIR/smcd" stats json | /usr/bin/python3 -c '
import json, sys
print(json.load(sys.stdin)["OPENISM"]["tx_smc_bytes"])'
}

# expect_ring BEFORE MIN WHAT: at least MIN bytes since; MIN 0: none at all
expect_ring() {
	got_=$(($(ring_bytes) - $1))
	if [ "$2" -eq 0 ]; then
		[ "$got_" -eq 0 ] || fail "$3: $got_ bytes by shared memory, expected none"
	else
		[ "$got_" -ge "$2" ] || fail "$3: $got_ bytes by shared memory, expected $2"
	fi
}

# conn PORT FIELD [LOCAL]: field of the live connections that have PORT at either end
# (LOCAL: at the local one), one line each
conn() {
	"$BINDIR/smcss" --json | /usr/bin/python3 -c '
import json, sys
port, field, local = int(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
for c in json.load(sys.stdin):
    if c["lport"] == port or not local and c["rport"] == port:
        v = c[field]
        print("0x%08x" % v if "reason" in field else v)' "$@"
}

# is_conn PORT side FIELD VALUE: the connection has it; side is server or client
is_conn() {
	"$BINDIR/smcss" --json | /usr/bin/python3 -c '
import json, sys
port, side, field, value = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
hits = 0
for c in json.load(sys.stdin):
    if c["lport" if side == "server" else "rport"] != port:
        continue
    v = c[field]
    v = "0x%08x" % v if "reason" in field else str(v)
    hits += v == value
sys.exit(0 if hits else 1)' "$@"
}

same() { cmp -s "$1" "$2" || fail "$3: contents differ"; }

# Programs of a combination (smc-smc, plain-smc: a plain client, smc-plain): sets C
# and S to what has to stand before the client's and the server's command.
combo() {
	C=$SMC S=$SMC
	case $1 in plain-*) C="env" ;; esac
	case $1 in *-plain) S="env" ;; esac
	[ "$1" = smc-smc ] && RING=1 || RING=0
}
COMBOS="smc-smc plain-smc smc-plain"

# ring_min MIN: what expect_ring has to ask for in this combination
ring_min() { [ "$RING" = 1 ] && echo "$1" || echo 0; }

finish() {
	world_end
	if [ "$FAILED" -eq 0 ]; then
		echo "all ok"
		exit 0
	fi
	echo "$FAILED failed"
	exit 1
}
