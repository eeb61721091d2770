#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python3 on both ends: sockets with threads, select, asyncio, http.server + urllib.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
py=/usr/bin/python3
need_smc
need_cmd $py
world_begin
"$SMC" sleep 100 &
track $!

pair() { # COMBO KIND MIN
	combo "$1"
	port=$(free_port)
	before=$(ring_bytes)
	$S $py "$here/peer.py" server "$2" "$port" &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 $2: no server"
	timeout 60 $C $py "$here/peer.py" client "$2" "$port" || fail "$1 $2: client"
	wait_for 5000 gone $server || fail "$1 $2: the server does not end"
	wait $server || fail "$1 $2: server"
	expect_ring "$before" "$(ring_min "$3")" "$1 $2"
}

http() { # COMBO
	combo "$1"
	port=$(free_port)
	mkdir -p "$T/www"
	head -c 20000000 /dev/urandom >"$T/www/big"
	before=$(ring_bytes)
	(cd "$T/www" && exec $S $py -m http.server --bind 127.0.0.1 "$port" >/dev/null 2>&1) &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 http: no server"
	timeout 60 $C $py -c '
import sys, urllib.request, hashlib
want = hashlib.sha256(open(sys.argv[2], "rb").read()).digest()
for i in range(3):
    body = urllib.request.urlopen("http://127.0.0.1:%s/big" % sys.argv[1]).read()
    assert hashlib.sha256(body).digest() == want
for i in range(30):
    assert b"big" in urllib.request.urlopen("http://127.0.0.1:%s/" % sys.argv[1]).read()
' "$port" "$T/www/big" || fail "$1 http: client"
	stop $server
	expect_ring "$before" "$(ring_min 30000000)" "$1 http"
}

for c in $COMBOS; do
	pair "$c" socket 4000000
	pair "$c" select 4000000
	pair "$c" asyncio 4000000
	http "$c"
done
finish
