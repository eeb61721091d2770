#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# calls.sh CALLS.LIST: the table of calls equals what the library exports.
set -u
. "$(cd "$(dirname "$0")" && pwd)/lib.sh"

list=$1
lib=$BINDIR/libsmc-preload.so
need_cmd nm
[ -e "$list" ] || skip "no $list yet"
[ -e "$lib" ] || skip "no $lib"
T=$(mktemp -d "${TMPDIR:-/tmp}/oism-test.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT

sed 's/#.*//' "$list" | awk 'NF { print $1 }' | sort >"$T/listed"
nm -D --defined-only "$lib" | awk '$2 ~ /^[TWVDBi]$/ { sub(/@.*/, "", $3); print $3 }' |
	grep -v '^openism_' | sort -u >"$T/exported"

uniq -d "$T/listed" >"$T/twice"
[ ! -s "$T/twice" ] || fail "listed twice: $(tr '\n' ' ' <"$T/twice")"
sort -u -o "$T/listed" "$T/listed"
comm -13 "$T/listed" "$T/exported" >"$T/extra"
[ ! -s "$T/extra" ] || fail "exported, not in calls.list: $(tr '\n' ' ' <"$T/extra")"
comm -23 "$T/listed" "$T/exported" >"$T/missing"
[ ! -s "$T/missing" ] || fail "in calls.list, not exported: $(tr '\n' ' ' <"$T/missing")"
sed 's/#.*//' "$list" | awk 'NF && NF < 3 { print $1 }' >"$T/short"
[ ! -s "$T/short" ] || fail "no group or treatment: $(tr '\n' ' ' <"$T/short")"

# Every name of libc that moves bytes of sockets or asks for readiness, and that is
# easily forgotten (spec/peers-and-pitfalls.md, 4.1).
for name in socket listen accept accept4 connect send sendto sendmsg sendmmsg recv recvfrom \
	recvmsg recvmmsg read write readv writev preadv2 pwritev2 __read_chk __recv_chk \
	__recvfrom_chk __poll_chk __ppoll_chk poll ppoll select pselect epoll_create epoll_create1 \
	epoll_ctl epoll_wait epoll_pwait epoll_pwait2 shutdown close close_range closefrom dup dup2 \
	dup3 fcntl fcntl64 ioctl getsockopt setsockopt sendfile sendfile64 splice \
	execve syscall fdopen __close __read __write __send __connect __poll __select __dup2; do
	grep -qx -- "$name" "$T/exported" || fail "not exported: $name"
done
[ "$FAILED" -eq 0 ] || exit 1
ok "calls.list: $(wc -l <"$T/listed") names"
