# SPDX-License-Identifier: Apache-2.0
# A thin front of Meson: see CONTRIBUTING.md for the targets.
BUILD ?= build

.PHONY: all
all: deps-build
	@test -f $(BUILD)/build.ninja || meson setup --layout=flat $(BUILD) $(MESON_ARGS)
	@ninja -C $(BUILD)
	@ln -sfn meson-out $(BUILD)/bin

.PHONY: deps-build
deps-build:
	@true
