# Front door; CMake does the building. `make demo` and `make check` work on a bare Debian 12 as root.
.PHONY: help deps build install demo demo-down deb check quick lint format bench faults conformance fuzz nightly

help:
	@echo "make demo      build, get Kubernetes, make a local cluster and use it (root)"
	@echo "make demo-down delete that cluster"
	@echo "make build     the release build: build/release/bin/kubecdn"
	@echo "make install   that, its manual and completion, below PREFIX (/usr/local)"
	@echo "make deb       a Debian package: build/deb/kubecdn_VERSION_amd64.deb"
	@echo "make check     every test (root)"
	@echo "make quick     builds, lints and unit tests only"
	@echo "make nightly   every test, the slow ones and bigger samples included (root)"
	@echo "make bench     our bootstrap beside kubeadm's, in one table (root)"
	@echo "make faults    every fault of a cluster's life: hours (root)"
	@echo "make conformance  Kubernetes' own conformance specs on a cluster of ours (root)"
	@echo "make fuzz      every parser's fuzz harness for a minute (FUZZ_SECONDS each)"
	@echo "make lint      the lints;  make format  clang-format in place"

deps:
	@tools/deps.sh

build: deps
	@cmake --preset release >/dev/null
	@cmake --build build/release -j $$(nproc)

PREFIX ?= /usr/local
install: build
	@cmake --install build/release --prefix $(PREFIX)

deb: deps
	@tools/deb.sh

demo: build
	@tools/demo.sh

demo-down:
	@tools/demo.sh down

check:
	@tools/check.sh

quick:
	@tools/check.sh fast

lint: deps
	@cmake --preset debug >/dev/null
	@tests/lint/run.sh build/debug

format: deps
	@git ls-files '*.c' '*.h' | xargs clang-format -i

bench: build
	@tools/bench.sh

faults: build
	@tools/faults.sh

conformance: build
	@tools/conformance.sh

nightly:
	@KC_NIGHTLY=1 KC_KILLS=20 KC_FAULTS=10 tools/check.sh

fuzz: deps
	@tools/fuzz.sh
