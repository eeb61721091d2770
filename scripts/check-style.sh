#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The checks that need no build. Prints "ok NAME" or "FAIL NAME" for each, what was
# found before it, and exits 1 if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 2
status=0

files() { # names of our files that match, also those not yet added to git
	if [ -e .git ]; then
		git ls-files -co --exclude-standard -- "$@" | while IFS= read -r f; do
			[ ! -f "$f" ] || printf '%s\n' "$f"
		done
	else
		for pattern; do
			find . -path './build*' -prune -o -type f -path "./$pattern" -print
		done | sed 's,^\./,,'
	fi
}

verdict() { # NAME STATUS
	if [ "$2" = 0 ]; then
		echo "ok $1"
	else
		echo "FAIL $1"
		status=1
	fi
}

format() {
	files '*.c' '*.h' | xargs -r clang-format --dry-run --Werror --ferror-limit=3
}

# A header stands alone: it compiles as the only thing in a translation unit.
headers() {
	bad=0
	for h in $(files 'src/*.h' 'include/*.h' 'bench/*.h'); do
		printf '#include "%s"\n' "$PWD/$h" |
			gcc -std=gnu11 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Wno-unused-parameter -Werror \
				-Isrc -Iinclude -Ibench -Itests -x c - || bad=1
	done
	return $bad
}

# A layer knows those below it and never one above (ARCHITECTURE.md).
layers() {
	files 'src/*.c' 'src/*.h' | xargs grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' |
		awk -F: '
		BEGIN {
			below["base"] = " base "
			below["fabric"] = " fabric base "
			below["ism"] = " ism fabric base "
			below["smc"] = " smc ism fabric base "
			below["sock"] = " sock smc ism fabric base "
			below["conf"] = " conf "
			below["proof"] = " proof "
			below["ismd"] = " ismd conf proof fabric base "
			below["tools"] = " tools fabric base "
		}
		{
			split($1, path, "/")
			split($3, quoted, "\"")
			if (index(quoted[2], "/") == 0)
				next
			split(quoted[2], inc, "/")
			if (inc[1] == "openism" || inc[1] !~ /^(base|fabric|ism|smc|sock|conf|proof|ismd|tools)$/)
				next
			if (index(below[path[2]], " " inc[1] " ") == 0) {
				print $1 ":" $2 ": " path[2] " must not include " quoted[2]
				bad = 1
			}
		}
		END { exit bad }'
}

licence() {
	bad=0
	for f in $(files '*.c' '*.h' '*.sh' '*.py' '*.build' Makefile .ci/run); do
		head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || {
			echo "$f: no SPDX line"
			bad=1
		}
	done
	return $bad
}

scripts() {
	files '*.sh' .ci/run | xargs -r shellcheck --severity=warning
}

calls_doc() {
	scripts/calls-doc.sh --check
}

for check in format headers layers licence scripts calls_doc; do
	$check
	verdict "$check" $?
done
exit $status
