#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/check-install.sh BUILD-DIR
#
# Install into an empty folder (with a blank in its name) and use what is there: the
# installed programs must find each other and the library without the build folder.
set -eu
cd "$(dirname "$0")/.."
build=$1
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
dest="$top/a root"
prefix=$(meson introspect --buildoptions "$build" |
	sed -n 's/.*"name": "prefix", "value": "\([^"]*\)".*/\1/p')

fail() { echo "check-install: $*"; exit 1; }

DESTDIR="$dest" meson install -C "$build" --no-rebuild --quiet
(cd "$dest" && find . -type f) | sort

for f in bin/smc_run bin/smcss bin/smcd bin/smc_chk bin/smc_rnics bin/smc_pnet bin/ismd \
	lib/openism/libsmc-preload.so include/openism/openism.h share/man/man8/smc_run.8; do
	[ -e "$dest$prefix/$f" ] || [ -e "$dest$prefix/$f.gz" ] || fail "$f is not installed"
done

ISM_RUNTIME_DIR=$top/run
export ISM_RUNTIME_DIR
mkdir -m 700 "$ISM_RUNTIME_DIR"
cd /
# The daemon that smc_run starts is the installed one, and it leaves by itself.
"$dest$prefix/bin/smc_run" sh -c 'grep -q libsmc-preload /proc/self/maps' ||
	fail 'smc_run: the library is not in the command'
"$dest$prefix/bin/smc_run" "$dest$prefix/bin/smcd" info || fail 'smcd info'
"$dest$prefix/bin/smc_rnics" | grep -q ISM || fail 'smc_rnics shows no ISM function'
