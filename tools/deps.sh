#!/bin/sh
# Install what building, running the demo and testing need: Debian packages, and
# Python tools in a virtual environment of our own. Quick when all of it is there.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubecdn
top=$(cd "$(dirname "$0")/.." && pwd)

# libraries and compilers; the bundle; the Debian package; lab machines; tests
packages="
	build-essential cmake ninja-build pkg-config git ca-certificates
	libcurl4-openssl-dev libssl-dev libssh2-1-dev libyaml-dev libjansson-dev libarchive-dev
	libzstd-dev libexpat1-dev libldns-dev libmicrohttpd-dev libcmocka-dev
	libseccomp-dev zstd busybox-static
	debhelper lintian
	systemd-container debootstrap iproute2 nftables kmod openssh-client openssh-server
	conntrack ethtool procps
	clang clang-format clang-tidy codespell shellcheck groff-base mandoc zsh fish python3 python3-venv python3-yaml
	curl jq socat rsync faketime
"

# shellcheck disable=SC2086 # a list of names
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null || true)
missing=""
for p in $packages; do
	echo "$installed" | grep -qx "installed $p" || missing="$missing $p"
done
# Any Go will do: an old one fetches the toolchain that components.yaml pins.
command -v go >/dev/null 2>&1 || [ -x /usr/local/go/bin/go ] || missing="$missing golang-go"

if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "deps: as root, run: apt-get install -y$missing" >&2
		exit 1
	fi
	echo "deps: installing$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	mkdir -p "$cache"
	# shellcheck disable=SC2086 # a list of names
	if ! apt-get -o DPkg::Lock::Timeout=300 update </dev/null >"$cache/apt.log" 2>&1 ||
		! apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing \
			</dev/null >>"$cache/apt.log" 2>&1; then
		tail -n 5 "$cache/apt.log" >&2
		echo "deps: apt-get failed; all of its output is in $cache/apt.log" >&2
		exit 1
	fi
fi

venv=$cache/venv
want=$(sha256sum "$top/tests/requirements.txt" | cut -d' ' -f1)
if [ "$(cat "$venv/.requirements" 2>/dev/null)" != "$want" ]; then
	echo "deps: making the Python environment $venv" >&2
	python=/usr/bin/python3
	[ -x "$python" ] || python=python3
	rm -rf "$venv"
	mkdir -p "$cache"
	"$python" -m venv "$venv"
	if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input \
		-r "$top/tests/requirements.txt" </dev/null >"$cache/pip.log" 2>&1; then
		tail -n 5 "$cache/pip.log" >&2
		echo "deps: pip failed; all of its output is in $cache/pip.log" >&2
		exit 1
	fi
	echo "$want" >"$venv/.requirements"
fi
