#!/bin/sh
# Every test. The last line counts them; everything before it is the details.
# usage: tools/check.sh [fast]     fast: no bundle, no e2e
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn
jobs=$(nproc)
export CI=true LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
cd "$top"
results=build/check
mkdir -p "$results"
rm -f "$results"/*

full=true
[ "${1:-}" != fast ] || full=false
failed=""
passed=0
broken=0
skipped=0
stages=""
began=$(date +%s)

# section NAME COMMAND...: run it, time it, remember a failure, go on.
section() {
	name=$1
	shift
	start=$(date +%s)
	printf '\n== %s\n' "$name"
	if "$@"; then
		verdict=ok
	else
		verdict=FAILED
		failed="$failed $name"
	fi
	took=$(($(date +%s) - start))
	printf '== %s: %s, %d s\n' "$name" "$verdict" "$took"
	stages="$stages$(printf '%6d s  %-14s %s' "$took" "$name" "$verdict")
"
}

# build PRESET [target...]
build() {
	preset=$1
	shift
	cmake --preset "$preset" >"$results/cmake-$preset.log" 2>&1 || {
		tail -n 20 "$results/cmake-$preset.log"
		return 1
	}
	cmake --build "build/$preset" -j "$jobs" ${1:+--target "$@"} >"$results/build-$preset.log" 2>&1 || {
		grep -E -A5 'error:|FAILED' "$results/build-$preset.log" | head -n 60
		return 1
	}
}

# unit PRESET [ctest arguments]: the number of tests comes from ctest's own report.
unit() {
	preset=$1
	shift
	r=0
	ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure --no-tests=error --timeout 600 \
		--output-junit "$top/$results/ctest-$preset.xml" "$@" || r=1
	count "$results/ctest-$preset.xml"
	all_ran || r=1
	return $r
}

# In a full run everything that tests need was made before: one that is skipped is one nobody ran.
all_ran() {
	$full && [ "$skipped" -gt 0 ] || return 0
	echo "$skipped skipped that have all they need"
	return 1
}

# count JUNIT-FILE: add its tests to the sums; say why some were skipped.
count() {
	sums=$("$cache/venv/bin/python" - "$1" <<'END'
import re
import sys
import xml.etree.ElementTree as tree

passed = failed = skips = 0
try:
    cases = list(tree.parse(sys.argv[1]).getroot().iter("testcase"))
except (OSError, tree.ParseError):
    cases = []
for case in cases:
    skipped = case.find("skipped")
    if skipped is not None or case.get("status") in ("disabled", "notrun"):
        why = "not run" if skipped is None else skipped.get("message") or "it does not say why"
        print(f"skipped: {case.get('name')}: {why}", file=sys.stderr)
        skips += 1
    elif case.find("failure") is None and case.find("error") is None:
        passed += 1
    else:
        failed += 1
    # cmocka's own: a program of which some cases were skipped has passed for ctest.
    for name in {*re.findall(r"\[  SKIPPED \] (test_\w+)$", case.findtext("system-out") or "", re.M)}:
        print(f"skipped: {case.get('name')}: {name}", file=sys.stderr)
        skips += 1
print(passed, failed, skips)
END
	) || return 1
	# shellcheck disable=SC2086 # three numbers
	set -- $sums
	passed=$((passed + $1))
	broken=$((broken + $2))
	skipped=$3
}

bundle() {
	dirs=$(tools/bundle.sh "$top/build/release/bin/kubecdn") || return 1
	KUBECDN_BUNDLE=$(echo "$dirs" | sed -n 1p)
	KC_BUNDLE_BIN=$(echo "$dirs" | sed -n 2p)
	KC_BUNDLE=$KUBECDN_BUNDLE
	export KUBECDN_BUNDLE KC_BUNDLE KC_BUNDLE_BIN
	echo "bundle $KUBECDN_BUNDLE, programs $KC_BUNDLE_BIN"
}

# e2e PRESET [pytest arguments]. Three files at a time: a cluster that comes up leaves two processors idle
# for a third of it.
e2e() {
	preset=$1
	shift
	r=0
	KUBECDN="$top/build/$preset/bin/kubecdn" KC_BUILD="$top/build/$preset" \
		"$cache/venv/bin/python" -m pytest -q -ra -p no:cacheprovider --timeout=600 --durations=15 \
		-n 3 --dist loadfile --no-loadscope-reorder \
		--junit-xml="$results/e2e-$preset.xml" "$@" tests/e2e </dev/null || r=1
	count "$results/e2e-$preset.xml"
	all_ran || r=1
	return $r
}

# Kubernetes' own conformance specs; those that are left out have their reasons in docs/conformance.md.
conformance() {
	r=0
	rm -f build/conformance/junit.xml
	KUBECDN="$top/build/release/bin/kubecdn" tools/conformance.sh || r=1
	count build/conformance/junit.xml
	return $r
}

exec </dev/null
section deps tools/deps.sh
section build-debug build debug
section build-release build release
# What has threads: the engine, the store, progress.
section build-tsan build tsan test-ui test-plan test-crash test-store
section lint tests/lint/run.sh build/debug
# Tests that need programs of the bundle find them by KC_BUNDLE_BIN.
! $full || section bundle bundle
section unit-debug unit debug
section unit-tsan unit tsan -R '^(ui|plan|crash|store)$'
# Sanitized builds sample the second crash; this one takes every point twice.
section unit-release unit release -R '^crash$'
[ -z "${KC_NIGHTLY:-}" ] || section schedules tools/schedules.sh
! $full || section e2e e2e release
# The program and the agents under ASan and UBSan. Faults are put in by a library that is preloaded.
[ -z "${KC_NIGHTLY:-}" ] || section e2e-debug e2e debug --ignore=tests/e2e/faults
[ -z "${KC_NIGHTLY:-}" ] || section conformance conformance

printf '\n%s' "$stages"
printf '%6d s  in all\n' "$(($(date +%s) - began))"
[ -z "$failed" ] || echo "FAILED:$failed"
echo "$passed passed, $broken failed"
[ -z "$failed" ]
