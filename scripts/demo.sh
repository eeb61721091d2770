#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The walk-through with real programs, first on one host and without root, then, where
# network namespaces may be made, between two LPARs.
# shellcheck disable=SC2154 # from demo-lib.sh
set -u
. "$(dirname "$0")/demo-lib.sh"
mkdir -m 700 "$ISM_RUNTIME_DIR"

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

cleanup
cd "$root" || exit 1
exec "$root/scripts/demo-lpars.sh"
