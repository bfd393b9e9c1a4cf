#!/bin/sh
# The picture in README.md, from a real run: a preview, a cluster, its nodes, and nothing of it left.
# usage: tools/cast.sh
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
kubecdn=$top/build/release/bin/kubecdn
dirs=$("$top/tools/bundle.sh" "$kubecdn")
state=$(mktemp -d)
KUBECDN_BUNDLE=$(echo "$dirs" | sed -n 1p)
PATH=$top/build/release/bin:$(echo "$dirs" | sed -n 2p):$PATH
export KUBECDN_BUNDLE PATH KUBECDN_STATE="$state"
trap 'kubecdn cluster delete first --yes >/dev/null 2>&1; rm -rf "$state"' EXIT
cd "$state"
"$top/tools/cast.py" --to "$top/docs/images/first-cluster.svg" --columns 112 --cut 11 \
	"kubecdn cluster create first --cloud local --workers 1 --yes" \
	"kubecdn cluster validate first" \
	"kubecdn cluster export kubeconfig first --to kubeconfig" \
	"kubectl --kubeconfig kubeconfig get nodes" \
	"kubecdn cluster delete first --yes"
