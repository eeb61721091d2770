#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# scripts/stage-bin.sh STAMP BUILD-DIR FILE...
#
# Put what runs uninstalled side by side in BUILD-DIR/bin, then touch STAMP. The
# programs find each other by /proc/self/exe, which looks through a symbolic link
# but not through a hard link, so these are hard links (or copies, where a link is
# not possible). A new file is moved over the old name: what runs keeps its file.
set -eu

stamp=$1
bin=$2/bin
shift 2
mkdir -p "$bin"
for f; do
	name=${f##*/}
	# shellcheck disable=SC3013 # dash and bash both know -ef
	[ "$f" -ef "$bin/$name" ] && continue
	tmp=$bin/.$name.$$
	ln -f "$f" "$tmp" 2>/dev/null || cp -p "$f" "$tmp"
	mv -f "$tmp" "$bin/$name"
done
: >"$stamp"
