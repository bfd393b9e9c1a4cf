#!/bin/sh
# Kubernetes' own conformance specs on a cluster of ours: docs/conformance.json and the table of docs/conformance.md.
# usage: [KC_CONFORMANCE=REGEX] tools/conformance.sh     REGEX: these instead; the result goes to build/conformance
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
export KUBECDN="${KUBECDN:-$top/build/release/bin/kubecdn}"
if [ -z "${KC_BUNDLE:-}" ] || [ -z "${KC_BUNDLE_BIN:-}" ]; then
	dirs=$("$top/tools/bundle.sh" "$KUBECDN")
	KC_BUNDLE=$(echo "$dirs" | sed -n 1p)
	KC_BUNDLE_BIN=$(echo "$dirs" | sed -n 2p)
	export KC_BUNDLE KC_BUNDLE_BIN
fi
export PYTHONPATH="$top/tests" PYTHONDONTWRITEBYTECODE=1
exec "${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn/venv/bin/python" -m k8s_conformance
