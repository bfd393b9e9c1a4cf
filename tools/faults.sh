#!/bin/sh
# Every fault of a cluster's life: docs/faults.json and the table of docs/faults.md, hours. Limited: build/faults.json.
# usage: [KC_FAULTS=LIVES] [KC_FAULTS_MINUTES=N] [KC_SEED=1] tools/faults.sh
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
export KUBECDN="${KUBECDN:-$top/build/release/bin/kubecdn}" KC_BUILD="${KC_BUILD:-$top/build/release}"
if [ -z "${KC_BUNDLE:-}" ] || [ -z "${KC_BUNDLE_BIN:-}" ]; then
	dirs=$("$top/tools/bundle.sh" "$KUBECDN")
	KC_BUNDLE=$(echo "$dirs" | sed -n 1p)
	KC_BUNDLE_BIN=$(echo "$dirs" | sed -n 2p)
	export KC_BUNDLE KC_BUNDLE_BIN
fi
export PYTHONPATH="$top/tests" PYTHONDONTWRITEBYTECODE=1
exec "${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn/venv/bin/python" -m e2e.faults
