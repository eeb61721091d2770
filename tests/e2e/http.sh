#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# nginx (a master and two workers) with curl, wrk and ab; sendfile on and off.
set -u
. "$(cd "$(dirname "$0")/.." && pwd)/lib.sh"
need_smc
need_cmd nginx curl wrk ab
world_begin
"$SMC" sleep 200 &
track $!
chmod 755 "$T"
mkdir -p "$T/www" "$T/tmp"
chmod 777 "$T/tmp"
head -c 52428800 /dev/urandom >"$T/www/50m"
head -c 300000 /dev/urandom >"$T/www/300k"
printf 'hello\n' >"$T/www/index.html"

config() { # PORT SENDFILE
	user_=
	[ "$(id -u)" = 0 ] && user_="user $(id -un);"
	cat >"$T/nginx.conf" <<END
$user_
worker_processes 2;
daemon off;
pid $T/nginx.pid;
error_log $T/error.log;
events { worker_connections 512; }
http {
	access_log off;
	sendfile $2;
	tcp_nopush on;
	keepalive_requests 1000000;
	client_body_temp_path $T/tmp/b; proxy_temp_path $T/tmp/p; fastcgi_temp_path $T/tmp/f;
	uwsgi_temp_path $T/tmp/u; scgi_temp_path $T/tmp/s;
	server {
		listen 127.0.0.1:$1;
		root $T/www;
		location /up { dav_methods PUT; client_max_body_size 100m; }
	}
}
END
}

nginx_combo() { # COMBO SENDFILE
	combo "$1"
	what="$1 nginx sendfile $2"
	port=$(free_port)
	url=http://127.0.0.1:$port
	config "$port" "$2"
	before=$(ring_bytes)
	$S nginx -p "$T" -c "$T/nginx.conf" -e "$T/error.log" &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || {
		fail "$what: no server"
		cat "$T/error.log"
		return
	}
	timeout 60 $C curl -sS -o "$T/out" "$url/50m" || fail "$what: curl"
	same "$T/www/50m" "$T/out" "$what: 50 MB"
	for _ in 1 2 3; do
		timeout 30 $C curl -sS --limit-rate 3M -o "$T/out" "$url/300k" || fail "$what: curl"
		same "$T/www/300k" "$T/out" "$what: 300 KB"
	done
	# many at once over one connection, and in parallel over several
	timeout 60 $C curl -sS --parallel --parallel-max 4 -o "$T/o1" "$url/300k" \
		-o "$T/o2" "$url/50m" -o "$T/o3" "$url/300k" -o "$T/o4" "$url/index.html" 2>/dev/null ||
		fail "$what: curl --parallel"
	same "$T/www/300k" "$T/o1" "$what: parallel"
	same "$T/www/50m" "$T/o2" "$what: parallel"
	same "$T/www/300k" "$T/o3" "$what: parallel"
	same "$T/www/index.html" "$T/o4" "$what: parallel"
	expect_ring "$before" "$(ring_min 30000000)" "$what"
	timeout 30 $C wrk -t 2 -c 20 -d 1s "$url/" >"$T/wrk" 2>&1 || fail "$what: wrk"
	grep -q "Socket errors\|Non-2xx" "$T/wrk" && fail "$what: $(grep "errors\|Non-2xx" "$T/wrk")"
	awk '/Requests\/sec/ { exit !($2 > 100) }' "$T/wrk" || fail "$what: wrk did nothing"
	timeout 30 $C wrk -t 1 -c 4 -d 1s "$url/300k" >"$T/wrk" 2>&1 || fail "$what: wrk 300k"
	grep -q "Socket errors\|Non-2xx" "$T/wrk" && fail "$what: $(grep "errors\|Non-2xx" "$T/wrk")"
	timeout 60 $C ab -q -k -n 5000 -c 10 "$url/" >"$T/ab" 2>&1 || fail "$what: ab -k"
	grep -q "Failed requests: *0$" "$T/ab" || fail "$what: ab -k: $(grep Failed "$T/ab")"
	grep -q "Complete requests: *5000$" "$T/ab" || fail "$what: ab -k is incomplete"
	timeout 60 $C ab -q -n 2000 -c 10 "$url/" >"$T/ab" 2>&1 || fail "$what: ab close"
	grep -q "Failed requests: *0$" "$T/ab" || fail "$what: ab close: $(grep Failed "$T/ab")"
	if [ "$1" = smc-smc ]; then # nothing stands still at a reload
		kill -HUP $server
		sleep 0.3
		timeout 60 $C curl -sS -o "$T/out" "$url/50m" || fail "$what: curl after reload"
		same "$T/www/50m" "$T/out" "$what: after reload"
	fi
	stop $server
	grep -q "\[alert\]\|\[emerg\]\|\[crit\]" "$T/error.log" &&
		fail "$what: $(grep "\[alert\]\|\[emerg\]\|\[crit\]" "$T/error.log" | head -n 3)"
	return 0
}

curl_python() { # COMBO
	combo "$1"
	port=$(free_port)
	before=$(ring_bytes)
	(cd "$T/www" && exec $S /usr/bin/python3 -m http.server --bind 127.0.0.1 "$port") >/dev/null 2>&1 &
	server=$!
	track $server
	wait_for 5000 port_open "$port" || fail "$1 curl-python: no server"
	timeout 60 $C curl -sS -o "$T/out" "http://127.0.0.1:$port/50m" || fail "$1 curl-python"
	same "$T/www/50m" "$T/out" "$1 curl-python"
	stop $server
	expect_ring "$before" "$(ring_min 30000000)" "$1 curl-python"
}

for c in $COMBOS; do
	nginx_combo "$c" on
	nginx_combo "$c" off
	curl_python "$c"
done
finish
