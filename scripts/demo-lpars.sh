#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The walk-through between two LPARs: network namespaces with a veth pair between
# them, each with its own address and its own ISM function, and one ismd for the box.
# shellcheck disable=SC2154 # from demo-lib.sh
set -u
. "$(dirname "$0")/demo-lib.sh"
a=openism-a-$$
b=openism-b-$$
ip_a=192.168.0.10
ip_b=192.168.0.12

if [ "$(id -u)" != 0 ]; then
	say 'The second half, between two LPARs, makes network namespaces: run it as root.'
	exit 0
fi
if ! ip netns add "$a" 2>/dev/null; then
	say 'The second half, between two LPARs, is left out: no network namespaces here.'
	exit 0
fi

undo() {
	ip netns del "$a" 2>/dev/null
	ip netns del "$b" 2>/dev/null
}

make_lpars() {
	ip netns add "$b" &&
		ip link add veth-a netns "$a" type veth peer name veth-b netns "$b" &&
		ip -n "$a" addr add "$ip_a/24" dev veth-a && ip -n "$b" addr add "$ip_b/24" dev veth-b &&
		ip -n "$a" link set veth-a up && ip -n "$b" link set veth-b up &&
		ip -n "$a" link set lo up && ip -n "$b" link set lo up
}
make_lpars || fail 'cannot make two network namespaces with a veth pair'

# in_a, in_b COMMAND...: in that LPAR; "run" and the like show it as there.
# Programs and not functions, so that a pid of theirs is that of the command.
for l in a b; do
	printf '#!/bin/sh\nexec ip netns exec openism-%s-%s "$@"\n' $l $$ >"in_$l"
	chmod +x "in_$l"
done
PATH=$work:$PATH
prompt() {
	case $* in
	in_a*) printf '%s[LPAR a]$ %s%s\n' "$bold" "${*#in_a }" "$plain" ;;
	in_b*) printf '%s[LPAR b]$ %s%s\n' "$bold" "${*#in_b }" "$plain" ;;
	*) printf '%s[host]$ %s%s\n' "$bold" "$*" "$plain" ;;
	esac
}

listening() { [ -n "$(in_a ss -Htln "sport = :$port")" ]; }
await_server() {
	for _ in {1..100}; do
		listening && return
		sleep 0.05
	done
	fail 'the server does not listen'
}

title 'One ismd for the box'
cat >ism.conf <<END
lpars = (
	{ name = "a"; netns = "/run/netns/$a"; functions = ( { fid = 1; power = "off"; } ); },
	{ name = "b"; netns = "/run/netns/$b"; functions = ( { fid = 1; } ); }
);
state_dir = "$work";
END
cat ism.conf
run ismd -n -c ism.conf
prompt 'ismd --system -c ism.conf &'
ismd --system -c ism.conf <&3 >ismd.log 2>&1 &
pids+=("$!")
for _ in {1..100}; do
	[ -S "$ISM_RUNTIME_DIR/ismd.sock" ] && break
	sleep 0.05
done
run smcd lpar
expect '^a +' '^b +'
run smcd info
expect 'Proof: +namespace'
if ! grep -q 'syn-option' <<<"$output"; then
	say 'No BPF here, so nothing can be proven between namespaces: TCP it stays.'
	exit 0
fi

title "LPAR a: the ISM device is there, but its slot has no power"
run in_a smc_rnics -a
expect '^ *1 +0'

title 'An echo server in a, a client in b: TCP, and both ends say why'
port=5201
start in_a smc_run socat "TCP-LISTEN:$port,bind=$ip_a,reuseaddr,fork" PIPE
server=$started
await_server
converse 'TCP' in_b smc_run socat - "TCP:$ip_a:$port"
run_until 'TCP +0x05000000/0x03030000' in_b smcss
run in_a smcss
expect 'TCP +0x03030000$'
hang_up

title 'Power on'
run in_a smc_rnics -e 1
run in_a smc_rnics
expect '^ *1 +1 .* ISM '
converse 'shared memory' in_b smc_run socat - "TCP:$ip_a:$port"
run_until 'SMCD' in_b smcss
run in_a smcss
expect SMCD
run smcss -L
expect SMCD
hang_up
stop "$server"

title 'The check between LPARs'
port=37373
start in_a smc_chk -S -p "$port"
server=$started
await_server
cat out
run in_b smc_chk -C "$ip_a" -p "$port"
expect 'Success, using SMC-D'
stop "$server"

title 'TCP over the veth pair, and shared memory'
port=5202
# measure OPTION SIZE PATTERN [smc_run]: ismbench between the LPARs; its number.
measure() {
	local option=$1 size=$2 sought=$3
	shift 3
	start in_a "$@" ismbench "--$option" --size "$size" --seconds 1 --pin apart --server "$port" --host "$ip_a"
	server=$started
	await_server
	run in_b "$@" ismbench "--$option" --size "$size" --seconds 1 --pin apart --client "$port" --host "$ip_a"
	expect "$sought" ${1:+'SMCD, [1-9][0-9]* bytes by shared memory'}
	number=$(sed -nE "s,.*$sought.*,\\1,p" <<<"$output")
	stop "$server"
}
compare() {
	awk -v what="$1" -v unit="$2" -v less="$3" -v tcp="$tcp" -v smc="$smc" 'BEGIN {
		printf "%-24s TCP %s %s, shared memory %s %s: %.1f times as fast\n",
			what, tcp, unit, smc, unit, less ? tcp / smc : smc / tcp }'
}
measure pingpong 64 'median ([0-9.]+) us'
tcp=$number
measure pingpong 64 'median ([0-9.]+) us' smc_run
smc=$number
pingpong=$(compare '64-byte round trip:' us 1)
measure stream 65536 ' ([0-9]+) MB/s'
tcp=$number
measure stream 65536 ' ([0-9]+) MB/s' smc_run
smc=$number
stream=$(compare 'stream of 64 KiB writes:' MB/s 0)
printf '\n%s%s%s\n%s%s%s\n' "$bold" "$pingpong" "$plain" "$bold" "$stream" "$plain"

title 'Done'
say 'Two LPARs, two addresses, one box: what is between them is memory.'
