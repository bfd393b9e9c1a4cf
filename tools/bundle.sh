#!/bin/sh
# Make sure there is a bundle (with the tests' images), unpack its programs once, and
# print two lines: the bundle's directory and the directory of its programs.
# usage: tools/bundle.sh path/to/kubecdn
set -eu

kubecdn=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn

# Every complete bundle, the newest version first.
find_bundle() {
	"$kubecdn" bundle list -o json | jq -r --arg arch "$(dpkg --print-architecture)" '
		.bundles[] | select(.error == null and .arch == $arch) | .dir' |
		while read -r dir; do
			if jq -e '.images.busybox' "$dir/bundle.json" >/dev/null; then
				echo "$dir"
				break
			fi
		done
}

dir=$(find_bundle)
if [ -z "$dir" ]; then
	echo "bundle: compiling Kubernetes and its parts; this is done once and takes a while" >&2
	"$kubecdn" bundle build --from gomod --test-images >&2
	dir=$(find_bundle)
fi
[ -n "$dir" ] || { echo "bundle: there is no bundle with test images after the build" >&2; exit 1; }

hash=$(sha256sum "$dir/bundle.json" | cut -c1-16)
bin=$cache/bin/$hash
if [ ! -e "$bin/.complete" ]; then
	rm -rf "$bin.$$"
	mkdir -p "$bin.$$"
	jq -r '.components[].blobs[] | "\(.blob) \(.mode) \(.path)"' "$dir/bundle.json" |
		while read -r blob mode path; do
			to=$bin.$$/${path##*/}
			zstd -dqf "$dir/blobs/sha256/$blob" -o "$to"
			chmod "$mode" "$to"
		done
	# kubectl, kube-apiserver, ... are links to one binary.
	jq -r '.components[] | (.links // {}) | to_entries[] | "\(.value) \(.key)"' \
		"$dir/bundle.json" |
		while read -r target link; do
			ln -sf "$target" "$bin.$$/$link"
		done
	[ -L "$bin.$$/kubectl" ] || { echo "bundle: $dir has no kubectl" >&2; exit 1; }
	: >"$bin.$$/.complete"
	rm -rf "$bin"
	mv "$bin.$$" "$bin"
fi
echo "$dir"
echo "$bin"
