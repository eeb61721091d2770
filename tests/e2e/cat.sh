#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# socat and nc (OpenBSD): files each way, both ways at once, and what smcss says.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"
need_smc
need_cmd socat nc
world_begin
"$SMC" sleep 100 &
track $!
# Large against what TCP carries in the few milliseconds before ismd has looked.
head -c 48000000 /dev/urandom >"$T/a"
head -c 36000000 /dev/urandom >"$T/b"

nc_pair() { # COMBO: the client sends a file, the end of it ends both
	combo "$1"
	port=$(free_port)
	before=$(ring_bytes)
	$S nc -l 127.0.0.1 "$port" >"$T/out" </dev/null &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 nc: no server"
	timeout 30 $C nc -N 127.0.0.1 "$port" <"$T/a" >/dev/null || fail "$1 nc: client"
	wait_for 10000 gone $server || fail "$1 nc: the server does not end"
	same "$T/a" "$T/out" "$1 nc"
	expect_ring "$before" "$(ring_min 6000000)" "$1 nc"
}

socat_pair() { # COMBO: files both ways
	combo "$1"
	port=$(free_port)
	before=$(ring_bytes)
	$S socat "TCP-LISTEN:$port,bind=127.0.0.1" "OPEN:$T/b!!CREATE:$T/out.a" &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 socat: no server"
	timeout 30 $C socat "TCP:127.0.0.1:$port" "OPEN:$T/a!!CREATE:$T/out.b" ||
		fail "$1 socat: client"
	wait_for 10000 gone $server || fail "$1 socat: the server does not end"
	same "$T/a" "$T/out.a" "$1 socat, to the server"
	same "$T/b" "$T/out.b" "$1 socat, to the client"
	expect_ring "$before" "$(ring_min 10000000)" "$1 socat"
	rm -f "$T/out.a" "$T/out.b"
}

mixed() { # COMBO: socat serves /bin/cat (a child's standard input), nc over IPv6
	combo "$1"
	port=$(free_port)
	$S socat "TCP6-LISTEN:$port,bind=[::1],reuseaddr" EXEC:cat &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 socat EXEC: no server"
	timeout 30 $C nc -N ::1 "$port" <"$T/b" >"$T/out" || fail "$1 socat EXEC: client"
	wait_for 10000 gone $server || fail "$1 socat EXEC: the server does not end"
	same "$T/b" "$T/out" "$1 socat EXEC"
}

forked() { # COMBO: a forking server whose child has the connection as stdin and stdout
	combo "$1"
	port=$(free_port)
	$S socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" EXEC:cat,nofork &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 socat fork: no server"
	for i in 1 2 3; do
		timeout 30 $C nc -N 127.0.0.1 "$port" <"$T/b" >"$T/out" || fail "$1 socat fork: client"
		same "$T/b" "$T/out" "$1 socat fork, client $i"
	done
	stop $server
}

seen() { # COMBO: an idle connection as the tools show it
	combo "$1"
	port=$(free_port)
	$S nc -l 127.0.0.1 "$port" >/dev/null </dev/null &
	server=$!
	track $server
	wait_for 5000 port_open "$port"
	mkfifo "$T/in.$1"
	$C nc -N 127.0.0.1 "$port" <"$T/in.$1" &
	client=$!
	track $client
	exec 9>"$T/in.$1"
	if [ "$RING" = 1 ]; then
		wait_for 2000 is_conn "$port" server mode SMCD || fail "$1: server not SMCD in smcss"
		wait_for 2000 is_conn "$port" client mode SMCD || fail "$1: client not SMCD in smcss"
		"$BINDIR/smcss" | grep -q "127.0.0.1:$port .*SMCD" || fail "$1: smcss"
	elif [ "$1" = plain-smc ]; then
		wait_for 2000 is_conn "$port" server reason 0x03010000 || fail "$1: server's reason"
		"$BINDIR/smcss" | grep -q "127.0.0.1:$port .*TCP 0x03010000" || fail "$1: smcss"
	else
		wait_for 2000 is_conn "$port" client reason 0x03010000 || fail "$1: client's reason"
	fi
	exec 9>&-
	wait_for 5000 gone $client || fail "$1: nc does not end"
	wait_for 5000 gone $server || fail "$1: nc -l does not end"
}

for c in $COMBOS; do
	nc_pair "$c"
	socat_pair "$c"
	mixed "$c"
	forked "$c"
	seen "$c"
done
finish
