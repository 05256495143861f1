# SPDX-License-Identifier: GPL-2.0
# The front door. Each target is one line of `make help`.

# Variables of `make help`, for the scripts
export TOPOLOGY KERNEL KERNEL_SRC FORCE BENCH STRESS_SECONDS STRESS_SEED
export DEBUG TORTURE_ARGS TORTURE_BOOTS
export APP SUITE TEST JOBS ACCEL QEMU_ARGS CONFIG DESTDIR PREFIX
export SIGNOFF TRAILERS COVER_NOTE VERSION
ifdef KCONFIG
$(error error 2: KCONFIG has another name: KERNEL=normal, debug or base)
endif
override KERNEL_SRC := $(abspath $(KERNEL_SRC))

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
.NOTPARALLEL:

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables, as in make test SUITE=dma@iommu TEST="*.munmap*":'
	@sed -n 's/^#= /  /p' Makefile
	@echo "Exit codes ('error NN: ...'): scripts/common.sh"
#= TOPOLOGY=name   the machine to boot, a file in lab/topologies
#= APP=name        make demo: programs that nobody here wrote, on device memory:
#=                 perftest, openmpi and others; see docs/programs.md
#= KERNEL=name     normal, debug, base (unpatched), no-p2pdma, or the path of a bzImage
#= SUITE="name..." make test: these suites, NAME[@TOPOLOGY[+KERNEL]] of lab/suites
#= TEST=glob       make test: of SUITE, the tests that it names
#= JOBS=n          make test: so many guests at a time
#= ACCEL=name      auto (default: kvm where it boots Linux, else tcg), kvm, tcg
#= QEMU_ARGS=args  more arguments for QEMU; -s -S waits for gdb on port 1234
#= KERNEL_SRC=path a kernel tree or tarball in place of the Debian package
#= CONFIG=file     make deb: the configuration (default: the distribution's)
#= M="NN..."       make mutants: these, of mutants/NN-*.patch
#= STRESS_SECONDS=n STRESS_SEED=n  make stress: how long, and what
#= SECONDS=n SEED=n DEBUG=1  make torture: how long, what, on the debug kernel;
#=                 TORTURE_ARGS=args: more arguments, see torture --help;
#=                 TORTURE_BOOTS=n: boots that may make a deadly program smaller
#= SIGNOFF='Name <address>'  make series: who signs; VERSION= TRAILERS= COVER_NOTE=
#= DESTDIR=dir PREFIX=dir  make install: where to
#= FORCE=1         let make tree or make refresh overwrite

demo: deps-demo ## Show RDMA reading and writing a GPU's memory, in a guest
	@lab/demo.sh
check: deps-check ## Check scripts, patches and documents; builds no kernel
	@scripts/check.sh
test: deps-test ## Test everything once; ends with N passed, N failed, N skipped
	@lab/test.sh
test-all: deps-test-all ## make test, then models, Debian's programs, debug kernel, bare machine
	@lab/test.sh all
test-long: deps-test-long ## make test-all, then every suite everywhere; hours
	@lab/test.sh long
bench: deps-bench ## Measure on the base kernel and on ours (BENCH=migrate, alias or transfer; all)
	@bench/run.sh
mutants: deps-mutants ## Put each known bug in, see its test fail; 3 hours (M="NN NN")
	@mutants/run.sh $(M)
stress: deps-stress ## Race everything with everything on the debug kernel, 10 minutes
	@lab/stress.sh
torture: deps-torture ## Fuzz what devices share, 10 minutes; what once broke first
	@TORTURE_SECONDS=$(SECONDS) TORTURE_SEED=$(SEED) lab/torture.sh
shell: deps-shell ## An interactive shell in the guest
	@lab/shell.sh
kernel: deps-kernel ## Build the kernel in build/kernel-KERNEL
	@kernel/build.sh
tree: deps-tree ## Lay base, kernel/files and kernel/patches in build/linux
	@kernel/tree.sh
refresh: deps-refresh ## Write build/linux back to kernel/files and kernel/patches
	@kernel/refresh.sh
series: deps-series ## Write the mails, several series, to build/series
	@kernel/series.sh
check-matrix: deps-check-matrix ## Build the touched files in many configurations
	@kernel/check-matrix.sh
	@kernel/compare-callers.sh
deb: deps-deb ## Build Debian packages of the kernel in build/
	@kernel/deb.sh
install: deps-install ## Install peerfault and its manual page below DESTDIR and PREFIX
	@$(MAKE) -C tools/peerfault install
clean: ## Remove all that was built, but keep build/linux
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +
distclean: ## Remove build/ with build/linux; refuses while it has unsaved work
	@kernel/distclean.sh

# Stops at once when this machine lacks anything that the verb will need.
deps-%:
	@scripts/preflight.sh $*
.PHONY: $(MAKECMDGOALS)
