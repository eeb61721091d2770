#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# redis-server with redis-cli and redis-benchmark.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"
need_smc
need_cmd redis-server redis-cli redis-benchmark
world_begin
"$SMC" sleep 100 &
track $!
head -c 5000000 /dev/urandom | base64 -w 0 >"$T/value"

redis() { # COMBO
	combo "$1"
	what="$1 redis"
	port=$(free_port)
	before=$(ring_bytes)
	(cd "$T" && exec $S redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no \
		--daemonize no) >"$T/redis.log" 2>&1 &
	server=$!
	track $server
	cli="timeout 30 $C redis-cli -h 127.0.0.1 -p $port"
	wait_for 5000 port_open "$port" || fail "$what: no server"
	[ "$($cli ping)" = PONG ] || fail "$what: ping"
	[ "$($cli -x set big <"$T/value")" = OK ] || fail "$what: set"
	$cli get big >"$T/out" || fail "$what: get"
	head -c "$(stat -c %s "$T/value")" "$T/out" >"$T/out2"
	same "$T/value" "$T/out2" "$what: 5 MB value"
	for i in $(seq 200); do echo "set key$i value$i"; done | $cli >"$T/out"
	[ "$(grep -c OK "$T/out")" = 200 ] || fail "$what: 200 commands in one session"
	[ "$($cli get key77)" = value77 ] || fail "$what: get key77"
	for o in "-n 20000 -c 50" "-n 40000 -c 50 -P 16" "-n 2000 -c 5 -d 100000"; do
		timeout 60 $C redis-benchmark -h 127.0.0.1 -p "$port" -q -t set,get $o >"$T/out" 2>&1 ||
			fail "$what: redis-benchmark $o: $(tail -n 2 "$T/out")"
		[ "$(tr '\r' '\n' <"$T/out" | grep -c 'requests per second')" -ge 2 ] ||
			fail "$what: redis-benchmark $o says nothing"
	done
	# blocking pop: woken by another client
	timeout 20 $C redis-cli -p "$port" blpop queue 10 >"$T/blpop" &
	b=$!
	sleep 0.3
	$cli rpush queue item >/dev/null
	wait $b || fail "$what: blpop"
	grep -q item "$T/blpop" || fail "$what: blpop got nothing"
	timeout 20 $C redis-cli -p "$port" save >/dev/null # forks nothing, writes a file
	$cli bgsave >/dev/null # a child of the server inherits all connections
	sleep 0.2
	[ "$($cli get key78)" = value78 ] || fail "$what: after bgsave"
	expect_ring "$before" "$(ring_min 10000000)" "$what"
	stop $server
}

for c in $COMBOS; do
	redis "$c"
done
finish
