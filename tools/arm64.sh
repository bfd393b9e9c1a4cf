#!/bin/sh
# What the agent for arm64 is built with on another machine: Debian's cross compiler, the static
# libraries for arm64, and qemu to try it. Unpacked into one folder, which is printed; nothing is
# installed. Then: cmake -DKC_ARM64_ROOT=FOLDER, and build the target agent-arm64.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn
root=$cache/arm64
tools="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
libs="libssl-dev libzstd-dev libjansson-dev"
[ "$(cat "$root/complete" 2>/dev/null)" != "$tools $libs" ] || { echo "$root"; exit 0; }

work=$cache/arm64.new
rm -rf "$work"
mkdir -p "$work/root" "$work/debs/partial" "$work/lists/partial" "$work/libs"
: >"$work/status"
apt="apt-get -q -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300"
# The lists for arm64 are kept apart: this machine's apt goes on knowing one architecture.
arm="$apt -o APT::Architecture=arm64 -o APT::Architectures::=arm64
	-o Dir::State::status=$work/status -o Dir::State::lists=$work/lists
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
here="$apt -o Dir::Cache::archives=$work/debs install -y --download-only --reinstall
	--no-install-recommends $tools"
{
	# shellcheck disable=SC2086 # lists of words
	$here || { $apt update && $here; }
	# shellcheck disable=SC2086
	$arm update && (cd "$work/libs" && $arm download $libs)
} >"$cache/arm64.log" 2>&1 </dev/null || {
	tail -n 5 "$cache/arm64.log" >&2
	echo "arm64: apt-get failed; all of its output is in $cache/arm64.log" >&2
	exit 1
}
for deb in "$work"/debs/*.deb "$work"/libs/*.deb; do
	dpkg-deb -x "$deb" "$work/root"
done
echo "$tools $libs" >"$work/root/complete"
rm -rf "$root"
mv "$work/root" "$root"
rm -rf "$work"
echo "$root"
