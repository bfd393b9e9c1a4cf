#!/bin/sh
# What must not stand in the tree: paths of one machine, and host names of registries and
# mirrors outside components.yaml (air-gapped means one place to look).
# usage: tests/lint/words.sh [FILE...]
set -eu
cd "$(dirname "$0")/../.."
failed=0

files() {
	if [ $# -gt 0 ]; then
		printf '%s\n' "$@"
	else
		git ls-files -co --exclude-standard -- . ':!tests/lint/words.sh' ':!*/go.sum' ':!*/go.mod'
	fi
}

hosts='(registry(-1)?|index|auth)\.(k8s|docker)\.io|quay\.io|[a-z0-9.-]*gcr\.io|ghcr\.io'
hosts="$hosts|dl\\.k8s\\.io|(proxy|sum)\\.golang\\.org|(deb|security|snapshot|ftp)[a-z.]*\\.debian\\.org"
hosts="$hosts|pypi\\.org|pythonhosted\\.org|registry\\.npmjs\\.org|storage\\.googleapis\\.com"
if files "$@" | grep -v '^bootstrap/bundle/components.yaml$' | tr '\n' '\0' |
	xargs -0 grep -nHIE "$hosts" 2>/dev/null; then
	echo "^ host names of registries and mirrors belong into bootstrap/bundle/components.yaml"
	failed=1
fi
if files "$@" | tr '\n' '\0' |
	xargs -0 grep -nHIE '(^|[^a-zA-Z0-9_.$}/-])(/home/([a-np-z]|o[a-oq-z])|/work/|/tmp/w/|/Users/)' 2>/dev/null; then
	echo "^ a path of one machine"
	failed=1
fi
exit $failed
