#!/bin/sh
# clang-tidy over every source of ours; files that passed and did not change since, with all
# they include, are not looked at again.
# usage: tests/lint/tidy.sh BUILD-DIR [FILE...]
set -eu
cd "$(dirname "$0")/../.."
build=$1
shift
stamps=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn/tidy
mkdir -p "$stamps"
find "$stamps" -type f -mtime +14 -delete
# shellcheck disable=SC2046 # names without spaces
[ $# -gt 0 ] || set -- $(git ls-files -co --exclude-standard '*.c' ':!tests' ':!bootstrap/bundle/pause.c')

one() {
	file=$1
	grep -q "\"file\": \".*/$file\"" "$2/compile_commands.json" || return 0
	sum=$({ cat .clang-tidy; clang -std=gnu17 -D_GNU_SOURCE -DKC_VERSION='""' -I. -I"$2/gen" \
		-E -P "$file" 2>/dev/null; } | sha256sum | cut -d' ' -f1)
	[ ! -e "$3/$sum" ] || return 0
	out=$(clang-tidy --quiet --extra-arg=-Wno-unknown-warning-option -p "$2" "$file" 2>/dev/null) || true
	if echo "$out" | grep -qE '(warning|error):'; then
		echo "$out"
		return 1
	fi
	: >"$3/$sum"
}
if [ "${KC_TIDY_ONE:-}" ]; then
	one "$1" "$build" "$stamps"
	exit
fi
export KC_TIDY_ONE=1
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} "$0" "$build" {}
