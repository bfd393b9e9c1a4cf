#!/bin/sh
# The manual and completion say what help says, and are well-formed. usage: tests/lint/manual.sh path/to/kubecdn
set -eu

kubecdn=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bad=false

say() {
	echo "$*"
	bad=true
}

"$kubecdn" __man --to "$out"
# Pages have no date: it would be that of the build.
found=$(for page in "$out"/*.1; do
	groff -ww -z -man -Tutf8 "$page" 2>&1
	mandoc -T lint -W warning "$page" | grep -v 'missing date' || true
done)
[ -z "$found" ] || say "$found"

flags() { grep -oE -- '--[a-z][a-z0-9-]*' | sort -u; }

"$kubecdn" --help | sed -n 's/^  \([a-z][a-z ]*[a-z]\)   *[A-Z].*/\1/p' >"$out/verbs"
while read -r verb; do
	page=$out/kubecdn-$(echo "$verb" | tr ' ' -).1
	[ -e "$page" ] || say "kubecdn $verb has no manual page"
	# shellcheck disable=SC2086 # its words
	"$kubecdn" $verb --help | grep -E '^  (-.|  ), ?--|^      --' | cut -c1-40 | flags >"$out/help"
	# shellcheck disable=SC2086
	"$kubecdn" __complete -- $verb -- | cut -f1 | flags >"$out/tab"
	sed 's/\\-/-/g' "$page" | grep -A1 '^.TP' | flags >"$out/manual"
	for other in tab manual; do
		diff "$out/help" "$out/$other" >"$out/diff" ||
			say "kubecdn $verb: flags in help and in $other: $(grep '^[<>]' "$out/diff" | tr '\n' ' ')"
	done
	[ -s "$out/help" ] || say "kubecdn $verb: no flags in its help"
done <"$out/verbs"
[ -s "$out/verbs" ] || say "kubecdn --help: no commands"
pages=$(find "$out" -name '*.1' | wc -l)
nouns=$(cut -s -d" " -f1 "$out/verbs" | sort -u | wc -l)
expected=$((1 + nouns + $(wc -l <"$out/verbs")))
[ "$pages" = "$expected" ] || say "$pages manual pages, where $expected were expected"

for shell in bash zsh fish; do
	"$shell" -n "$top/cli/completion/kubecdn.$shell" || bad=true
done
shellcheck -s bash "$top/cli/completion/kubecdn.bash" || bad=true
! $bad
