#!/bin/sh
# Run the fuzz harnesses, all or those that are named, each for FUZZ_SECONDS (60). What they learn
# is kept in build/fuzz/corpus; an input that breaks something stays in build/fuzz/found and belongs
# into tests/fuzz/corpus/NAME once it is mended.
# usage: tools/fuzz.sh [NAME...]
set -eu
cd "$(dirname "$0")/.."

# Only needed here: libFuzzer itself.
dpkg -s libclang-rt-dev >/dev/null 2>&1 || dpkg -s libclang-rt-14-dev >/dev/null 2>&1 ||
	apt-get install -y -q --no-install-recommends libclang-rt-dev
seconds=${FUZZ_SECONDS:-60}
cmake --preset fuzz >/dev/null
cmake --build build/fuzz -j "$(nproc)" --target fuzzers

# shellcheck disable=SC2046 # names without spaces
[ $# -gt 0 ] || set -- $(cd tests/fuzz/corpus && echo *)
broken=""
for name in "$@"; do
	corpus=build/fuzz/corpus/$name
	log=build/fuzz/$name.log
	mkdir -p "$corpus" build/fuzz/found
	if nice -n 19 "build/fuzz/tests/fuzz-$name-run" -max_total_time="$seconds" -timeout=10 \
		-rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="build/fuzz/found/$name-" \
		"$corpus" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
		sed -n "s/^stat::number_of_executed_units: */$name: $seconds s, executions: /p" "$log"
	else
		broken="$broken $name"
		echo "$name: broken, see $log" >&2
	fi
done
[ -z "$broken" ] || exit 1
