#!/bin/sh
# Write docs/reference from the program's own tables: every verb's help, every field's
# explanation. With "check": only compare (a lint).
# usage: tools/reference.sh path/to/kubecdn [check]
# shellcheck disable=SC2016 # backticks of Markdown
set -eu

kubecdn=$1
top=$(cd "$(dirname "$0")/.." && pwd)
to=$top/docs/reference
out=$to
if [ "${2:-}" = check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
for variable in $(env | sed -n "s/^\\(KUBECDN_[A-Z_]*\\)=.*/\\1/p"); do
	unset "$variable"
done
export KUBECDN_CONFIG=/dev/null

block() { printf '\n```\n%s\n```\n' "$1"; }

commands() {
	printf '# Commands\n\nMade by tools/reference.sh from `kubecdn --help`; do not edit.\n'
	help=$("$kubecdn" --help)
	block "$help"
	echo "$help" | sed -n 's/^  \([a-z][a-z ]*[a-z]\)   *[A-Z].*/\1/p' | while read -r verb; do
		printf '\n## kubecdn %s\n' "$verb"
		# shellcheck disable=SC2086 # two words
		block "$("$kubecdn" $verb --help | sed '/^Flags of every command:/,$d')"
	done
}

# fields PATH: its explanation, then those of the objects below it.
fields() {
	text=$("$kubecdn" explain "$1")
	printf '\n## %s\n' "$1"
	block "$text"
	for field in $(echo "$text" | sed -n 's/^  \([A-Za-z]*\) <\(\[\]\)\{0,1\}object>.*/\1/p'); do
		fields "$1.$field"
	done
}

# page KIND: its title, and the fields of the kind.
page() {
	title="The $1 manifest"
	[ "$1" != Config ] || title="Settings: ~/.config/kubecdn/config.yaml"
	printf '# %s\n\nMade by tools/reference.sh from `kubecdn explain`; do not edit.\n' "$title"
	fields "$(echo "$1" | tr '[:upper:]' '[:lower:]')"
}

# One row a cause, as `cluster why --causes` lists them.
causes() {
	cat <<-'END'
	# Causes

	Made by tools/reference.sh from `kubecdn cluster why --causes`; do not edit.

	`kubecdn cluster why NAME` names one of these, in the order of this table: what is to be mended first stands first. The
	last ones are symptoms, and are named only on a host where no cause is seen.

	| cause | what it is |
	|---|---|
	END
	"$kubecdn" cluster why --causes | sed -n '2,$s/^\([A-Z_]*\)  *\(.*[^ ]\) *$/| `\1` | \2 |/p'
}

pages="commands.md causes.md"
commands >"$out/commands.md"
causes >"$out/causes.md"
for kind in $("$kubecdn" explain | sed -n 's/^\([A-Z][A-Za-z]*\)  .*/\1/p'); do
	file=$(echo "$kind" | sed 's/\([a-z]\)\([A-Z]\)/\1-\2/' | tr '[:upper:]' '[:lower:]').md
	pages="$pages $file"
	page "$kind" >"$out/$file"
done
[ "$out" = "$to" ] && exit 0
same=true
for page in $pages; do
	diff -u "$to/$page" "$out/$page" || same=false
done
$same && exit 0
echo "docs/reference is out of step with the program: run tools/reference.sh $kubecdn"
exit 1
