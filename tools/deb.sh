#!/bin/sh
# The Debian package, from the files of this checkout: build/deb/kubecdn_VERSION_ARCH.deb. The same
# files, compiler and libraries make the same package, byte for byte, wherever the checkout lies.
# usage: tools/deb.sh [DIR]
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$top/build/deb}
cd "$top"
# The checkout may belong to another user.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
umask 022

version=$(dpkg-parsechangelog -S Version)
rm -rf "$out"
mkdir -p "$out/source"
git ls-files -co --exclude-standard -z -- ':!tests' |
	tar -c --null --no-recursion -T - | tar -x -C "$out/source"
# Lists of tests, which the build reads and does not build.
git ls-files -co --exclude-standard -z -- 'tests/CMakeLists.txt' 'tests/*.cmake' 'tests/*.c' 'tests/*.h' |
	tar -c --null --no-recursion -T - | tar -x -C "$out/source"
if ! (cd "$out/source" && DEB_BUILD_OPTIONS="noautodbgsym nocheck parallel=$(nproc)" \
	dpkg-buildpackage -us -uc -b) >"$out/build.log" 2>&1; then
	tail -n 20 "$out/build.log" >&2
	echo "deb: dpkg-buildpackage failed; all of its output is in $out/build.log" >&2
	exit 1
fi
rm -rf "$out/source"
deb=$out/kubecdn_${version}_$(dpkg --print-architecture).deb
lintian --allow-root --display-info --fail-on error,warning,info "$deb"
sha256sum "$deb"
