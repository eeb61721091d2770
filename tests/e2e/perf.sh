#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# iperf3 in all directions and sockperf's ping-pong.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"
need_smc
need_cmd iperf3 sockperf
world_begin
"$SMC" sleep 200 &
track $!

iperf() { # COMBO
	combo "$1"
	port=$(free_port)
	$S iperf3 -s -B 127.0.0.1 -p "$port" >/dev/null 2>"$T/err" &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 iperf3: no server"
	for o in "" "-R" "-P 4" "--bidir" "-Z" "-l 200" "-n 50M"; do
		before=$(ring_bytes)
		t="-t 1"
		case $o in -n*) t= ;; esac
		timeout 20 $C iperf3 -c 127.0.0.1 -p "$port" $t $o -J >"$T/json" 2>&1 || {
			fail "$1 iperf3 $o: $(grep '"error"' "$T/json")"
			continue
		}
		moved=$(/usr/bin/python3 -c '
import json, sys
e = json.load(open(sys.argv[1]))["end"]
print(int(e["sum_received"]["bytes"]))' "$T/json")
		[ "$moved" -gt 10000000 ] || fail "$1 iperf3 $o: only $moved bytes"
		expect_ring "$before" "$(ring_min $((moved / 2)))" "$1 iperf3 $o"
		wait_for 2000 port_open "$port"
	done
	stop $server
}

ping_pong() { # COMBO
	combo "$1"
	port=$(free_port)
	before=$(ring_bytes)
	$S sockperf server --tcp -i 127.0.0.1 -p "$port" >"$T/sp.server" 2>&1 &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 sockperf: no server"
	timeout 30 $C sockperf ping-pong --tcp -i 127.0.0.1 -p "$port" -t 1 -m 64 --full-rtt \
		>"$T/sp" 2>&1 || fail "$1 sockperf: $(tail -n 1 "$T/sp")"
	grep -q "# dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0" "$T/sp" ||
		fail "$1 sockperf: $(grep -i dropped "$T/sp")"
	expect_ring "$before" "$(ring_min 100000)" "$1 sockperf"
	stop $server
}

for c in $COMBOS; do
	iperf "$c"
	ping_pong "$c"
done
finish
