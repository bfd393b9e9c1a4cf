#!/bin/sh
# Every lint; findings are printed as file:line: what. usage: tests/lint/run.sh [BUILD-DIR]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build/debug}
ruff=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn/venv/bin/ruff
failed=""
# The checkout may belong to another user; without its list of files nothing would be looked at.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git ls-files --error-unmatch cli/main.c >/dev/null || exit 1

lint() {
	name=$1
	shift
	if "$@"; then
		echo "lint $name: ok"
	else
		echo "lint $name: findings above"
		failed="$failed $name"
	fi
}

tracked() { git ls-files -co --exclude-standard -z -- "$@"; }
format() { tracked '*.c' '*.h' | xargs -0 clang-format --dry-run -Werror; }
spelling() {
	tracked ':!*/go.sum' ':!*/go.mod' ':!LICENSE' ':!tests/unit' ':!tests/e2e' ':!tests/fuzz' | xargs -0 codespell -q 3 -L "$words"
}
shell() { tracked '*.sh' .ci/run | xargs -0 shellcheck; }
python() {
	tracked '*.py' | xargs -0 -r "$ruff" check --quiet --no-cache --output-format concise --line-length 110 --select E,F,W,B
}

# Not mistakes. (Tests misspell on purpose: they are left out.)
words="ot,fo,te,ans,hel,ue,nd,iif,clen,upto,localed,want's"

lint layers tests/lint/layers.sh
lint lengths python3 tests/lint/lengths.py
lint links python3 tests/lint/links.py
lint words tests/lint/words.sh
lint clang-format format
lint codespell spelling
lint shellcheck shell
lint ruff python
lint agent tests/lint/agent.sh "$build"
lint reference tools/reference.sh "$build/bin/kubecdn" check
lint commands python3 tests/lint/commands.py "$build/bin/kubecdn"
lint manual tests/lint/manual.sh "$build/bin/kubecdn"
lint clang-tidy tests/lint/tidy.sh "$build"

if [ -n "$failed" ]; then
	echo "lint: findings in$failed"
	exit 1
fi
