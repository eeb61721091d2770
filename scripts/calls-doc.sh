#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Write docs/calls.md from src/sock/calls.list; with --check only compare.
set -eu
cd "$(dirname "$0")/.."
gen() {
	cat <<'T'
# Calls that the library knows

Made from `src/sock/calls.list` by `scripts/calls-doc.sh`; do not edit.

*ring*: carried by shared memory once the connection is married, by TCP before.
*watch*: the kernel's work; the library keeps its books by it. *return*: the
connection goes back to TCP without losing a byte, and smcss shows why.

| call | group | treatment | remark |
| --- | --- | --- | --- |
T
	awk '!/^#/ && NF >= 3 {
		r = ""; for (i = 4; i <= NF; i++) r = r (i > 4 ? " " : "") $i
		printf "| `%s` | %s | %s | %s |\n", $1, $2, $3, r }' src/sock/calls.list
}
if [ "${1-}" = --check ]; then
	gen | cmp -s - docs/calls.md || { echo "docs/calls.md is not made from src/sock/calls.list: run scripts/calls-doc.sh" >&2; exit 1; }
else
	gen > docs/calls.md
fi
