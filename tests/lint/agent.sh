#!/bin/sh
# The agent stays small: kubecdn-node links these libraries and no other.
# usage: tests/lint/agent.sh BUILD-DIR
set -eu
build=$1
allowed='libkc-(node|base|codec-json|codec-zstd|crypto|store|plan|net-get)[a-z0-9-]*\.a|lib(crypto|zstd|jansson|ssl)\.(a|so)'

target=$(ninja -C "$build" -t targets all | sed -n 's/^\([^:]*\/kubecdn-node\): .*/\1/p' | head -n 1)
if [ -z "$target" ]; then
	echo "agent: $build has no target kubecdn-node"
	exit 1
fi
inputs=$(ninja -C "$build" -t query "$target" | tr -d ' |' | grep -E '\.(a|so)$' | sort -u)
extra=$(echo "$inputs" | sed 's#.*/##' | grep -vxE "$allowed" || true)
if [ -n "$extra" ]; then
	echo "$extra" | sed 's/^/kubecdn-node must not link /'
	exit 1
fi
