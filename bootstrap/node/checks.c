#include "bootstrap/node/checks.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "bootstrap/node/marker.h"
#include "bootstrap/node/ports.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct check {
	const json_t *args, *facts, *recorded;
	const char *uid;
	bool ours; /* the marker of this very cluster stands here */
	char why[512], fix[512];
};

/* Say why not, and what to do; returns false so that `return no(...)` reads well. */
#define no(c, do_this, ...)                                                                        \
	(snprintf((c)->why, sizeof((c)->why), __VA_ARGS__),                                        \
	 snprintf((c)->fix, sizeof((c)->fix), "%s", do_this), false)

static bool check_swap(struct check *c)
{
	long mib = kc_json_get_int(c->facts, "swapMiB", 0);

	return mib == 0 || no(c, "swapoff -a, and remove swap from /etc/fstab",
			      "swap is on (%ld MiB); the kubelet refuses to run with it", mib);
}

static bool check_root(struct check *c)
{
	return geteuid() == 0 || no(c, "log in as root, or as a user who may run sudo -n",
				    "the agent runs as uid %d, not as root", (int)geteuid());
}

static bool check_memory(struct check *c)
{
	long want = kc_json_get_int(c->args, "mib", 0),
	     have = kc_json_get_int(c->facts, "memoryMiB", 0);

	return have >= want || no(c, "use a bigger machine, or lower what runs on it",
				  "%ld MiB of memory, at least %ld are needed", have, want);
}

static bool check_disk(struct check *c)
{
	const char *path = kc_json_get_str(c->args, "path", "/var/lib");
	long want = kc_json_get_int(c->args, "mib", 0);
	struct statvfs v;
	long mib;

	if (statvfs(path, &v) < 0)
		return no(c, "create it", "%s: %s", path, strerror(errno));
	mib = (long)(v.f_bavail * v.f_frsize >> 20);
	/* What we already put there counts as room. */
	return c->ours || mib >= want ||
	       no(c, "free some space", "%s has %ld MiB free, at least %ld are needed", path, mib,
		  want);
}

static bool in_kernel(const char *feature)
{
	json_auto_t *want = kc_pack("{s:s}", "name", feature), *actual = NULL;
	struct kc_task t = { .id = "check", .want = want };
	struct kc_node_host none = { 0 };
	_cleanup_free_ char *out = NULL;

	if (kc_node_module.find(&none, &t, &actual, NULL) == 0 && actual)
		return true;
	/* Not loaded, but it can be: --dry-run finds the file and loads nothing. */
	return kc_runl(&out, NULL, "modprobe", "--dry-run", "--quiet", feature, NULL) == 0;
}

static bool in_path(const char *name)
{
	static const char *const dirs[] = { "/usr/sbin", "/usr/bin",	    "/sbin",
					    "/bin",	 "/usr/local/sbin", "/usr/local/bin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dirs[i], name);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool check_kernel(struct check *c)
{
	static const char *const features[] = { "overlay", "vxlan", "nf_tables" };

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		/* It is nft that asks the kernel; another check says that it is not there. */
		if (streq(features[i], "nf_tables") && !in_path("nft"))
			continue;
		if (!in_kernel(features[i]))
			return no(c, "install the kernel's module package, or another kernel",
				  "kernel %s has no %s and no module for it",
				  kc_json_get_str(c->facts, "kernel", "?"), features[i]);
	}
	return true;
}

/* Is version a at least b, number by number? */
static bool at_least(const char *a, const char *b)
{
	while (*b) {
		char *ea, *eb;
		long x = strtol(a, &ea, 10), y = strtol(b, &eb, 10);

		if (x != y)
			return x > y;
		a = *ea ? ea + 1 : ea;
		b = *eb ? eb + 1 : eb;
	}
	return true;
}

static bool check_program(struct check *c)
{
	const char *name = kc_json_get_str(c->args, "name", ""),
		   *package = kc_json_get_str(c->args, "package", name),
		   *min = kc_json_get_str(c->args, "min", streq(name, "nft") ? "1.0.1" : ""),
		   *have = kc_json_get_str(c->facts, name, "");
	_cleanup_free_ char *fix = xasprintf("install the package %s", package);

	if (!in_path(name))
		return no(c, fix, "the program %s is not installed", name);
	if (*min && *have && !at_least(have, min))
		return no(c, fix, "%s is %s, at least %s is needed", name, have, min);
	return true;
}

static bool check_systemd(struct check *c)
{
	const char *have = kc_json_get_str(c->facts, "init", ""),
		   *min = kc_json_get_str(c->args, "min", "247");

	if (!*have)
		return no(c, "use a distribution that runs systemd", "systemd does not run here");
	return at_least(have, min) || no(c, "upgrade the operating system",
					 "systemd is %s, at least %s is needed", have, min);
}

static bool check_arch(struct check *c)
{
	const char *have = kc_json_get_str(c->facts, "arch", "?"),
		   *want = kc_json_get_str(c->args, "arch", have);

	return streq(have, want) || no(c, "use a bundle of this architecture",
				       "this host is %s, the bundle is for %s", have, want);
}

static bool unit_active(const char *name)
{
	_cleanup_free_ char *out = NULL;

	return kc_runl(&out, NULL, "systemctl", "is-active", "--quiet", name, NULL) == 0;
}

static bool check_firewall(struct check *c)
{
	_cleanup_free_ char *ufw = NULL;

	if (unit_active("firewalld.service"))
		return no(c, "systemctl disable --now firewalld",
			  "firewalld is active and drops the cluster's traffic");
	/* ufw's unit is active even while the firewall is off. */
	kc_file_read("/etc/ufw/ufw.conf", 65536, &ufw, NULL, NULL);
	if (ufw && strstr(ufw, "\nENABLED=yes"))
		return no(c, "ufw disable", "ufw is active and drops the cluster's traffic");
	return true;
}

static bool check_selinux(struct check *c)
{
	_cleanup_free_ char *text = NULL;

	if (kc_file_read("/sys/fs/selinux/enforce", 16, &text, NULL, NULL) < 0 || !text)
		return true;
	return text[0] != '1' || no(c,
				    "setenforce 0, and SELINUX=permissive in "
				    "/etc/selinux/config",
				    "SELinux is enforcing and has no policy for these programs");
}

static bool check_usr(struct check *c)
{
	static const char *const places[] = { "/opt", "/etc", "/var/lib" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const char *p = places[i];

		if (access(p, F_OK) < 0)
			p = "/"; /* we would make it there */
		if (access(p, W_OK) < 0)
			return no(c, "use a host whose /opt, /etc and /var/lib can be written",
				  "%s cannot be written: %s", p, strerror(errno));
	}
	return true;
}

/* Somebody's own containerd, etcd, ...: ours would take its name, its data or its socket. */
static bool check_units(struct check *c)
{
	static const char *const names[] = { "containerd",     "docker",
					     "crio",	       "kubelet",
					     "kube-proxy",     "kubecdn-balance",
					     "etcd",	       "kube-apiserver",
					     "kube-scheduler", "kube-controller-manager" };
	static const char *const dirs[] = { "/etc/systemd/system", "/run/systemd/system",
					    "/usr/local/lib/systemd/system",
					    "/usr/lib/systemd/system", "/lib/systemd/system" };

	for (size_t i = 0; i < ARRAY_SIZE(names) * ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s.service", dirs[i % ARRAY_SIZE(dirs)],
						      names[i / ARRAY_SIZE(dirs)]);

		if (access(path, F_OK) == 0 && !kc_node_unit_is_ours(path))
			return no(c, "remove the package it belongs to, or take another host",
				  "%s is there: kubecdn brings its own %s and leaves other "
				  "people's alone",
				  path, names[i / ARRAY_SIZE(dirs)]);
	}
	return true;
}

static bool check_foreign(struct check *c)
{
	static const char *const traces[] = {
		"/etc/kubernetes/admin.conf",
		"/etc/kubernetes/manifests",
		"/var/lib/kubelet/config.yaml",
		"/etc/rancher",
		"/var/lib/rancher",
		"/var/lib/k0s",
		"/var/lib/etcd/member",
	};
	json_auto_t *marker = NULL;
	struct kc_err err;

	if (kc_marker_read(&marker, &err) < 0)
		return no(c, "remove " KC_NODE_MARKER " if no cluster uses this host", "%.400s",
			  err.msg);
	if (marker && !c->ours)
		return no(c, "delete that cluster, or take another host",
			  "this host belongs to cluster %s (uid %s)",
			  kc_json_get_str(marker, "cluster", "?"),
			  kc_json_get_str(marker, "uid", "?"));
	for (size_t i = 0; i < ARRAY_SIZE(traces) && !c->ours; i++)
		if (kc_exists(traces[i]))
			return no(c,
				  "reset that cluster (kubeadm reset, ...), or take another host",
				  "another Kubernetes is or was here: %s", traces[i]);
	return c->ours || check_units(c);
}

/* A name server that a pod can reach: CoreDNS forwards to them, and loops over a local one. */
static bool check_resolver(struct check *c)
{
	const json_t *servers = json_object_get(c->facts, "nameservers"), *v;
	size_t i;

	json_array_foreach(servers, i, v)
		if (!kc_startswith(json_string_value(v), "127.") &&
		    !streq(json_string_value(v), "::1"))
			return true;
	return no(c, "name one in /etc/resolv.conf; without any, the address of a host will do",
		  json_array_size(servers) ? "its only name server is %s, which pods cannot reach"
					   : "%s names no name server",
		  json_array_size(servers) ? json_string_value(json_array_get(servers, 0))
					   : kc_json_get_str(c->facts, "resolvConf", "?"));
}

static bool check_ports(struct check *c)
{
	char who[PATH_MAX];
	long port;

	if (c->ours ||
	    !kc_node_listener(json_object_get(c->args, "ports"), &port, who, sizeof(who)))
		return true;
	return no(c, "stop that program, or take another host", "port %ld is taken by %.300s", port,
		  who);
}

/*
 * An etcd that finds its directory empty would start as a new, empty cluster, and the API server
 * would serve that. While it was not recorded yet, there was nothing to lose.
 */
static bool check_kept(struct check *c)
{
	const char *task = kc_json_get_str(c->args, "task", ""),
		   *path = kc_json_get_str(c->args, "path", "");

	if (!json_object_get(json_object_get(c->recorded, task), "outputs") || kc_exists(path))
		return true;
	return no(c,
		  "put it back from a copy, or give up what it held: delete the cluster and "
		  "create it anew",
		  "%s was made with %s and is gone: starting over would lose what was in it", path,
		  task);
}

static const struct {
	const char *name;
	bool (*fn)(struct check *c);
} table[] = {
	{ "swap", check_swap },		{ "root", check_root },
	{ "min-memory", check_memory }, { "disk", check_disk },
	{ "kernel", check_kernel },	{ "program", check_program },
	{ "systemd", check_systemd },	{ "arch", check_arch },
	{ "firewall", check_firewall }, { "selinux", check_selinux },
	{ "usr-writable", check_usr },	{ "foreign", check_foreign },
	{ "ports-free", check_ports },	{ "resolver", check_resolver },
	{ "kept", check_kept },
};

static bool run(struct check *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (streq(table[i].name, name))
			return table[i].fn(c);
	return no(c, "use an agent of the same release", "this agent knows no check \"%s\"", name);
}

json_t *kc_node_checks(const json_t *checks, const json_t *facts, const char *uid,
		       const json_t *recorded)
{
	json_t *results = json_array(), *v;
	json_auto_t *marker = NULL;
	size_t i;

	kc_marker_read(&marker, NULL);
	json_array_foreach((json_t *)checks, i, v) {
		const char *name = kc_json_get_str(v, "check", "");
		struct check c = { .args = v, .facts = facts, .recorded = recorded, .uid = uid };
		bool ok;

		c.ours = marker && streq(kc_json_get_str(marker, "uid", ""), uid);
		ok = run(&c, name);
		json_array_append_new(results, kc_pack("{s:s, s:b, s:s, s:s}", "id",
						       kc_json_get_str(v, "id", name), "ok", ok,
						       "why", c.why, "fix", c.fix));
	}
	return results;
}
