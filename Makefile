# SPDX-License-Identifier: GPL-2.0
# The front door. Each target is one line of `make help`.

# TOPOLOGY=name   which machine to boot (lab/topologies)
# KERNEL=name    which kernel: normal, debug, base
# KERNEL_SRC=path a kernel tree or tarball in place of the Debian package
# STRESS_SECONDS=n, STRESS_SEED=n  make stress: how long, and what
# FORCE=1         let make tree or make refresh overwrite
export TOPOLOGY KERNEL KERNEL_SRC FORCE BENCH STRESS_SECONDS STRESS_SEED

ifeq ($(KERNEL_SRC),)
unexport KERNEL_SRC
else
override KERNEL_SRC := $(abspath $(KERNEL_SRC))
endif

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
.NOTPARALLEL:

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Variables: TOPOLOGY=name KERNEL=normal|debug|base KERNEL_SRC=path FORCE=1"
	@echo "Exit codes ('error NN: ...'): scripts/common.sh"

demo: deps ## Boot the kernel and run the main job, off against on
	@lab/demo.sh

test: deps-check ## Run everything; ends with N passed, N failed, N skipped
	@lab/test.sh

bench: deps ## Measure on the base kernel and on ours (BENCH=migrate)
	@bench/run.sh

stress: deps ## Race everything with everything on the debug kernel, 10 minutes
	@lab/stress.sh

shell: deps ## An interactive shell in the guest
	@lab/shell.sh

kernel: deps ## Build the kernel in build/kernel-normal (KERNEL=debug, base: others)
	@kernel/build.sh

tree: deps ## Lay base, kernel/files and kernel/patches in build/linux
	@kernel/tree.sh

refresh: deps ## Write build/linux back to kernel/files and kernel/patches
	@kernel/refresh.sh

series: deps ## Write the mails, several series, to build/series
	@kernel/series.sh

check: deps-check ## Check scripts, patches and files; each prefix of the series builds
	@kernel/check.sh

check-matrix: deps-check deps-builds ## Build the touched files in many configurations
	@kernel/check-matrix.sh
	@kernel/compare-callers.sh

deb: deps-deb ## Build Debian packages of the kernel in build/
	@kernel/build.sh deb

clean: ## Remove what was built, but keep build/linux
	rm -rf build/kernel-* build/linux-base build/check build/builds build/series build/log build/bench build/stress build/lab build/headers build/tools* build/selftests build/results build/callers

distclean: ## Remove build/ with build/linux; refuses while it has unsaved work
	@kernel/distclean.sh

deps:
	@scripts/deps.sh run

deps-check:
	@scripts/deps.sh run check

deps-builds:
	@scripts/deps.sh builds

deps-deb:
	@scripts/deps.sh run deb

.PHONY: help demo test bench stress shell kernel tree refresh series check \
	check-matrix deb clean distclean deps deps-check deps-builds deps-deb
