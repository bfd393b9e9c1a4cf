#!/bin/sh
# The one-way rule between rooms (docs/architecture.md), third-party headers only from
# their folder, Linux-only headers only where Linux is meant, and no test of a provider's name.
# usage: tests/lint/layers.sh [FILE...]
set -eu
cd "$(dirname "$0")/../.."

# shellcheck disable=SC2046 # names without spaces
[ $# -gt 0 ] || set -- $(git ls-files -co --exclude-standard 'lib/*.[ch]' 'clouds/*.[ch]' 'dns/*.[ch]' \
	'addons/*.[ch]' 'bootstrap/*.[ch]' 'federation/*.[ch]' 'cli/*.[ch]')

awk '
BEGIN {
	split("lib/base=0 lib/codec=1 lib/crypto=1.5 lib/geo=1.5 lib/net=2 lib/spec=2 lib/store=2 " \
	      "lib/plan=3 lib/objects=4 clouds=5 dns=6 addons=7 bootstrap=8 federation=9 cli=10", list, " ")
	for (i in list) {
		split(list[i], kv, "=")
		rank[kv[1]] = kv[2]
	}
	# header prefix -> the files that may include it
	n = split("curl/=^lib/net/ libssh2=^lib/net/ ldns/=^lib/net/ microhttpd.h=^lib/net/ " \
		  "openssl/ssl.h=^lib/(net/get|crypto/) openssl/=^lib/(crypto/|net/get) yaml.h=^lib/codec/ " \
		  "expat.h=^lib/codec/ archive=^lib/codec/ zstd=^lib/codec/", own, " ")
	linux = "^(linux/|sys/(mount|epoll|prctl|signalfd|timerfd|inotify|eventfd|statfs|vfs|sysinfo|" \
		"syscall|capability|sysmacros|xattr|fsuid)\\.h|sched\\.h|mntent\\.h)"
}
function room(path,    p) {
	split(path, p, "/")
	return p[1] == "lib" ? p[1] "/" p[2] : p[1]
}
function bad(what) {
	printf "%s:%d: %s\n", FILENAME, FNR, what
	failed = 1
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\"")
	from = room(FILENAME)
	to = room(q[2])
	if (!(to in rank))
		bad("\"" q[2] "\" is not below a room: includes are root-relative")
	else if (from != to && rank[to] >= rank[from])
		bad(from " must not include from " to " (see docs/architecture.md)")
	else if (from == "clouds" && to == "clouds") {
		split(FILENAME, f, "/")
		split(q[2], t, "/")
		if (t[3] != "" && f[2] != t[2])
			bad("clouds/" f[2] " must not include from its sibling clouds/" t[2])
	}
}
/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, q, /[<>]/)
	for (i = 1; i <= n; i++) {
		eq = index(own[i], "=")
		if (index(q[2], substr(own[i], 1, eq - 1)) == 1) {
			if (FILENAME !~ substr(own[i], eq + 1))
				bad("<" q[2] "> is only included from " substr(own[i], eq + 2))
			break
		}
	}
	if (q[2] ~ linux && !guarded && FILENAME !~ /^(bootstrap\/node|clouds\/local)\//)
		bad("<" q[2] "> is Linux-only: only bootstrap/node and clouds/local may use it, others behind #ifdef __linux__")
}
FNR == 1 || /^#[ \t]*(else|elif|endif)/ { guarded = 0 }
/^#[ \t]*ifdef __linux__/ { guarded = 1 }
/(streq|strsame|strn?cmp|strcasecmp|kc_startswith)\(.*"(aws|gcp|azure|onprem|local|ec2|route53|clouddns)"/ {
	if (FILENAME !~ /^(clouds|dns)\//)
		bad("a provider is tested by name: put the difference into its vtable or its data")
}
END { exit failed }
' "$@"
