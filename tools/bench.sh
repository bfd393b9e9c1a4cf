#!/bin/sh
# The engine; DNS failover; many hosts; our bootstrap and kubeadm's side by side on lab hosts. Prints tables and writes build/bench.
# usage: [BENCH_RUNS=3] [BENCH_QUIET=60] [BENCH_TUNED=1] tools/bench.sh
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
export KUBECDN="${KUBECDN:-$top/build/release/bin/kubecdn}"
if [ -z "${KC_BUNDLE:-}" ]; then
	dirs=$("$top/tools/bundle.sh" "$KUBECDN")
	KC_BUNDLE=$(echo "$dirs" | sed -n 1p)
	export KC_BUNDLE
fi
export PYTHONPATH="$top/tests" PYTHONDONTWRITEBYTECODE=1
python="${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn/venv/bin/python"
failed=0
mkdir -p "$top/build/bench"
for part in engine regions; do
	"$top/build/release/tests/bench-$part" >"$top/build/bench/$part.json" || failed=1
	cat "$top/build/bench/$part.json"
done
"$python" -m bench.failover || failed=1
"$python" -m bench.hosts || failed=1
"$python" -m bench || failed=1
exit $failed
