#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/build.sh BUILD-DIR [MESON-SETUP-ARG...]
#
# Configure BUILD-DIR if need be, build it, and see to BUILD-DIR/bin.
set -eu

cd "$(dirname "$0")/.."
build=$1
shift
# A folder of a time when its layout was another one is of no use.
if [ -f "$build/build.ninja" ] && [ -d "$build/meson-out" ]; then
	rm -rf "$build"
fi
if [ ! -f "$build/build.ninja" ]; then
	# shellcheck disable=SC2086 # MESON_ARGS is a list
	meson setup "$build" "$@" ${MESON_ARGS:-} >"$build.setup.log" 2>&1 || {
		cat "$build.setup.log" >&2
		rm -f "$build.setup.log"
		exit 1
	}
	rm -f "$build.setup.log"
fi
ninja -C "$build" --quiet
