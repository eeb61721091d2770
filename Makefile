# SPDX-License-Identifier: Apache-2.0
# A thin front of Meson; `make help` lists the targets. Each target does all of its
# set-up on a bare Debian 12 (as root, or as a user with sudo); DEPS=no leaves the
# installed packages alone.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
MESON_ARGS ?=
FUZZ_SECONDS ?= 20
SOAK_MINUTES ?= 10
DEPS ?= yes

# Debian's own python runs Debian's own meson, whatever else is in PATH.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
deps = $(if $(filter yes,$(DEPS)),@scripts/deps.sh $(1))
export MESON_ARGS FUZZ_SECONDS SOAK_MINUTES

.PHONY: all
all: deps-build ## build everything; the programs are in build/bin (default)
	@scripts/build.sh "$(BUILD)"

.PHONY: install
install: all ## install under DESTDIR and PREFIX (default /usr/local)
	@meson configure "$(BUILD)" -Dprefix="$(PREFIX)"
	@DESTDIR="$(DESTDIR)" meson install -C "$(BUILD)" --quiet

.PHONY: test
test: deps-test ## all tests: style, unit, twin, e2e, kill, sanitizers, fuzzers
	@$(PYTHON) scripts/run-tests.py

.PHONY: check
check: deps-test ## the quick part of the tests: no sanitizers, no fuzzers
	@$(PYTHON) scripts/run-tests.py --only style,suites,install

.PHONY: asan
asan: deps-test ## the suites under the address and undefined sanitizers
	@$(PYTHON) scripts/run-tests.py --only asan

.PHONY: tsan
tsan: deps-test ## what threads, under the thread sanitizer
	@$(PYTHON) scripts/run-tests.py --only tsan

.PHONY: fuzz
fuzz: deps-test ## run each fuzzer for FUZZ_SECONDS (default 20)
	@$(PYTHON) scripts/run-tests.py --only fuzz

.PHONY: soak
soak: deps-test ## repeat the kill tests for SOAK_MINUTES (default 10)
	@$(PYTHON) scripts/run-tests.py --only soak

.PHONY: demo
demo: deps-test ## a walk-through with real programs, under a minute
	@$(MAKE) --no-print-directory all >/dev/null DEPS=no
	@BUILD="$(BUILD)" scripts/demo.sh

.PHONY: bench
bench: deps-bench all ## benchmarks against TCP and UNIX sockets; updates docs/performance.md
	@$(PYTHON) scripts/bench.py --build "$(BUILD)" --doc

.PHONY: bench-quick
bench-quick: deps-bench all ## the same in under two minutes, table only
	@$(PYTHON) scripts/bench.py --build "$(BUILD)" --quick

.PHONY: style
style: deps-style ## format, headers, layers, scripts
	@scripts/check-style.sh

.PHONY: format
format: deps-style ## let clang-format rewrite the sources
	@git ls-files -co --exclude-standard -- '*.c' '*.h' | tr '\n' '\0' | xargs -0 clang-format -i

.PHONY: tidy
tidy: deps-style all ## clang-tidy over src and bench
	@git ls-files -- 'src/*.c' 'bench/*.c' | tr '\n' '\0' | \
		xargs -0 -P "$$(nproc)" -n 4 clang-tidy --quiet -p "$(BUILD)"

.PHONY: clean
clean: ## remove the build folders
	@rm -rf build build-asan build-tsan build-fuzz "$(BUILD)"

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

.PHONY: deps-build deps-test deps-bench deps-style
deps-build:
	$(call deps,build)
deps-test:
	$(call deps,build test san style)
deps-bench:
	$(call deps,build bench)
deps-style:
	$(call deps,build style)
