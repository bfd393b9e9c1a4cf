#include "bootstrap/node/facts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bootstrap/node/facts_net.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define CAP_SYS_RESOURCE_BIT 24 /* capabilities(7) */

/* A small file's text without its last newline, or NULL. Owned. */
static char *slurp(const char *path)
{
	char *text = NULL;

	if (kc_file_read(path, 4u << 20, &text, NULL, NULL) < 0 || !text)
		return NULL;
	for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]);)
		text[--n] = '\0';
	return text;
}

/* What follows key at the start of a line, up to the line's end, without quotes. Owned. */
static char *field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char *v;
		size_t len;

		if (strncmp(p, key, n) != 0)
			continue;
		p += n;
		while (*p == ' ' || *p == '\t' || *p == '"')
			p++;
		len = strcspn(p, "\n");
		v = xstrndup(p, len);
		if (len && v[len - 1] == '"')
			v[len - 1] = '\0';
		return v;
	}
	return NULL;
}

static void set_text(json_t *facts, const char *key, char *owned)
{
	json_object_set_new(facts, key, json_string(owned ? owned : ""));
	free(owned);
}

static void add_system(json_t *f)
{
	_cleanup_free_ char *os = slurp("/etc/os-release");
	json_t *o = json_object();
	struct utsname u;

	uname(&u);
	json_object_set_new(f, "hostname", json_string(u.nodename));
	json_object_set_new(f, "kernel", json_string(u.release));
	json_object_set_new(f, "arch",
			    json_string(streq(u.machine, "x86_64")    ? "amd64"
					: streq(u.machine, "aarch64") ? "arm64"
								      : u.machine));
	set_text(f, "machineId", slurp("/etc/machine-id"));
	set_text(o, "id", os ? field(os, "ID=") : NULL);
	set_text(o, "version", os ? field(os, "VERSION_ID=") : NULL);
	set_text(o, "name", os ? field(os, "PRETTY_NAME=") : NULL);
	json_object_set_new(f, "os", o);
	json_object_set_new(f, "uid", json_integer(geteuid()));
	json_object_set_new(f, "timeMs", json_integer(kc_realtime_ms()));
}

static long mib_of(const char *meminfo, const char *key)
{
	_cleanup_free_ char *v = meminfo ? field(meminfo, key) : NULL;

	return v ? strtol(v, NULL, 10) / 1024 : 0;
}

static void add_size(json_t *f)
{
	static const char *const places[] = { "/", "/var", "/var/lib", "/run" };
	_cleanup_free_ char *mem = slurp("/proc/meminfo");
	json_t *disks = json_array();

	json_object_set_new(f, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(f, "memoryMiB", json_integer(mib_of(mem, "MemTotal:")));
	json_object_set_new(f, "swapMiB", json_integer(mib_of(mem, "SwapTotal:")));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct statvfs v;

		if (statvfs(places[i], &v) == 0)
			json_array_append_new(disks,
					      kc_pack("{s:s, s:I, s:I}", "path", places[i],
						      "freeMiB",
						      (json_int_t)(v.f_bavail * v.f_frsize >> 20),
						      "totalMiB",
						      (json_int_t)(v.f_blocks * v.f_frsize >> 20)));
	}
	json_object_set_new(f, "disks", disks);
}

/* Only a container may lack it; containerd must then not lower oom_score_adj. */
static bool has_cap(int bit)
{
	_cleanup_free_ char *status = slurp("/proc/self/status"),
			    *cap = status ? field(status, "CapEff:") : NULL;

	return cap && (strtoull(cap, NULL, 16) >> bit & 1);
}

/*
 * Being root in a user namespace or under a hypervisor's filter, the bit may say yes and the kernel
 * no: so try, on ourselves, and put it back.
 */
static bool can_lower_oom_score(void)
{
	static const char path[] = "/proc/self/oom_score_adj";
	_cleanup_free_ char *now = slurp(path);
	bool ok = false;
	FILE *f;

	if (!now || !has_cap(CAP_SYS_RESOURCE_BIT))
		return false;
	f = fopen(path, "we");
	if (!f)
		return false;
	ok = fputs("-999", f) >= 0 && fflush(f) == 0;
	fclose(f);
	f = fopen(path, "we");
	if (f) {
		fputs(now, f);
		fclose(f);
	}
	return ok;
}

static void add_cgroup(json_t *f)
{
	bool v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;

	json_object_set_new(f, "cgroup", json_integer(v2 ? 2 : 1));
	json_object_set_new(f, "cgroupDriver", json_string(v2 ? "systemd" : "cgroupfs"));
	json_object_set_new(f, "systemdCgroup", json_boolean(v2));
	/* With v1 the kubelet (1.35 and later) runs only if it is told not to fail. */
	json_object_set_new(f, "failCgroupV1", json_boolean(v2));
	json_object_set_new(f, "restrictOomScoreAdj", json_boolean(!can_lower_oom_score()));
}

static void add_conntrack(json_t *f)
{
	static const char path[] = "/proc/sys/net/netfilter/nf_conntrack_max";
	/* root passes access() even on a read-only mount's files, but not on a read-only file
	 * system. */
	bool ro = access(path, W_OK) < 0;

	if (!ro) { /* a network namespace of its own may refuse the write itself */
		_cleanup_free_ char *now = slurp(path);
		FILE *file = now ? fopen(path, "we") : NULL;

		ro = !file || fputs(now, file) < 0 || fflush(file) != 0;
		if (file)
			fclose(file);
	}
	json_object_set_new(f, "conntrackReadOnly", json_boolean(ro));
	json_object_set_new(f, "conntrack",
			    ro ? kc_pack("{s:i, s:i, s:s, s:s}", "maxPerCore", 0, "min", 0,
					 "tcpEstablishedTimeout", "0s", "tcpCloseWaitTimeout", "0s")
			       : json_object());
}

/* systemd-resolved's stub loops when pods use it; its own upstream list is the right file. */
static void add_resolver(json_t *f)
{
	static const char resolved[] = "/run/systemd/resolve/resolv.conf";
	_cleanup_free_ char *etc = slurp("/etc/resolv.conf"), *text = NULL;
	bool stub = etc && strstr(etc, "127.0.0.53");
	const char *path = stub && kc_exists(resolved) ? resolved : "/etc/resolv.conf";
	json_t *servers = json_array();
	char *save = NULL;

	text = slurp(path);
	for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		if (kc_startswith(l, "nameserver "))
			json_array_append_new(servers, json_string(l + strlen("nameserver ")));
	json_object_set_new(f, "resolvConf", json_string(path));
	json_object_set_new(f, "nameservers", servers);
}

/* The word after prefix in a program's first line: "nftables v1.0.6 (...)" -> "1.0.6". */
static void add_version(json_t *f, const char *key, const char *program, const char *prefix)
{
	_cleanup_free_ char *out = NULL;
	const char *p;

	kc_runl(&out, NULL, program, "--version", NULL);
	p = out && kc_startswith(out, prefix) ? out + strlen(prefix) : "";
	json_object_set_new(f, key, json_stringn(p, strcspn(p, " \n")));
}

static void add_init(json_t *f)
{
	_cleanup_free_ char *container = slurp("/run/systemd/container");

	if (access("/run/systemd/system", F_OK) == 0)
		add_version(f, "init", "systemctl", "systemd ");
	else
		json_object_set_new(f, "init", json_string(""));
	json_object_set_new(f, "container", json_string(container ? container : ""));
	add_version(f, "nft", "nft", "nftables v");
}

json_t *kc_node_facts(void)
{
	char sha[KC_SHA256_HEX];
	json_t *f = json_object();

	add_system(f);
	add_size(f);
	add_cgroup(f);
	add_conntrack(f);
	add_resolver(f);
	add_init(f);
	kc_node_facts_net(f);
	if (kc_sha256_file("/proc/self/exe", sha, NULL, NULL) == 0)
		json_object_set_new(f, "agent", json_string(sha));
	return f;
}
