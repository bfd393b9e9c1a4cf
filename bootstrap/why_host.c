/* The host itself: whose it is, disk, kernel, clock, networks. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/why_priv.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { SKEW_MS = 5000, DISK_PERCENT = 3, INODES_PERCENT = 2 };

bool why_foreign(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "foreign", f);
}

bool why_empty(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *marker = json_object_get(l->doctor, "marker");
	_cleanup_free_ char *fix = NULL;

	if (!l->doctor || !json_is_null(marker) || !kc_json_get_bool(l->host, "recorded", false))
		return false;
	fix = xasprintf("kubecdn cluster update %s --yes sets it up again", why_cluster(l));
	return why_found(f, fix, "nothing of the cluster is on this host any more");
}

static const json_t *disk(const struct kc_why_look *l, bool (*bad)(const json_t *disk))
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "disks"), i, d)
		if (bad(d))
			return d;
	return NULL;
}

static bool is_full(const json_t *d)
{
	return kc_json_get_int(d, "freePercent", 100) < DISK_PERCENT &&
	       kc_json_get_int(d, "freeMiB", 1 << 20) < 2048;
}

static bool is_out_of_inodes(const json_t *d)
{
	return kc_json_get_int(d, "freeInodes", 100) < INODES_PERCENT;
}

static bool is_read_only(const json_t *d)
{
	return kc_json_get_bool(d, "readOnly", false);
}

bool why_disk_full(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d = disk(l, is_full);

	return d && why_found(f, "free some space there, or make it bigger",
			      "%s has %lld MiB free (%lld %%)", kc_json_get_str(d, "path", "?"),
			      (long long)kc_json_get_int(d, "freeMiB", 0),
			      (long long)kc_json_get_int(d, "freePercent", 0));
}

bool why_inodes(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d = disk(l, is_out_of_inodes);

	return d && why_found(f, "remove small files there, or make the file system anew with more",
			      "%s has %lld %% of its inodes free", kc_json_get_str(d, "path", "?"),
			      (long long)kc_json_get_int(d, "freeInodes", 0));
}

bool why_read_only(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d = disk(l, is_read_only);

	return d && why_found(f, "see dmesg for the disk's errors, then mount it rw again",
			      "%s is read-only", kc_json_get_str(d, "path", "?"));
}

static long long skew_of(const json_t *host)
{
	const json_t *facts = json_object_get(json_object_get(host, "doctor"), "facts");
	long long skew = kc_json_get_int(facts, "skewMs", 0);

	/* One whose amount is a number, too. */
	return skew < -INT64_MAX ? -INT64_MAX : skew;
}

/* There are others, and all that were asked are as far from this machine's clock: it is wrong, not
 * they. */
static bool all_agree(const struct kc_why_look *l)
{
	const json_t *hosts = json_object_get(l->evidence, "hosts"), *host;
	long long mine = skew_of(l->host);
	size_t i, n = 0;

	json_array_foreach(hosts, i, host) {
		long long other = skew_of(host);

		if (!json_object_get(host, "doctor"))
			continue;
		if ((mine < 0) != (other < 0) || llabs(mine - other) >= SKEW_MS)
			return false;
		n++;
	}
	return n > 1;
}

bool why_clock(const struct kc_why_look *l, struct kc_why_finding *f)
{
	long long skew = skew_of(l->host);
	bool ours;

	if (llabs(skew) < SKEW_MS)
		return false;
	ours = all_agree(l);
	return why_found(f,
			 ours ? "set this machine's clock (chrony or systemd-timesyncd)"
			      : "synchronise it (chrony or systemd-timesyncd)",
			 "its clock is %lld.%03lld s %s this machine's%s", llabs(skew) / 1000,
			 llabs(skew) % 1000, skew > 0 ? "ahead of" : "behind",
			 ours ? ", as are those of all other hosts" : "");
}

bool why_swap(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "swap", f);
}

bool why_memory(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "memory", f);
}

bool why_cgroup(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *missing = json_object_get(l->doctor, "cgroups");
	_cleanup_free_ char *names = kc_json_join(missing, ", ");

	return json_array_size(missing) &&
	       why_found(f,
			 "mount or enable them (kernel command line: cgroup_enable=NAME; "
			 "systemd: Delegate=)",
			 "no cgroup controller %s", names);
}

bool why_kernel(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "kernel", f);
}

bool why_program(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "nft", f) || why_check(l, "mount", f) || why_check(l, "modprobe", f);
}

/* A drop-in may take from a unit what the host has. */
static bool unit_lacks(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const units[] = { "kubelet", "containerd", "kube-proxy" };
	static const char *const needed[] = { "cap_sys_admin", "cap_net_admin" };

	for (size_t i = 0; i < ARRAY_SIZE(units) * ARRAY_SIZE(needed); i++) {
		const char *unit = units[i / ARRAY_SIZE(needed)],
			   *cap = needed[i % ARRAY_SIZE(needed)],
			   *set = kc_json_get_str(why_unit(l, unit), "capabilities", "");
		_cleanup_free_ char *fix = NULL;

		if (!*set || strstr(set, cap))
			continue;
		fix = xasprintf(
			"take CapabilityBoundingSet= out of its drop-ins (systemctl cat %s)", unit);
		return why_found(f, fix, "%s runs without %s", unit, cap);
	}
	return false;
}

bool why_capability(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *missing = json_object_get(l->doctor, "capabilities");
	_cleanup_free_ char *names = kc_json_join(missing, ", ");

	if (json_array_size(missing))
		return why_found(f, "give them to the container or machine that this host is",
				 "root has no %s here", names);
	return unit_lacks(l, f);
}

bool why_selinux(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "selinux", f);
}

bool why_firewall(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "firewall", f);
}

bool why_resolver(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "resolver", f);
}

/* What the pod network makes itself is in the cluster's blocks, of course. */
static bool ours(const char *dev)
{
	static const char *const made[] = { "flannel", "veth", "cni", "lo" };

	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		if (kc_startswith(dev, made[i]))
			return true;
	return false;
}

/* The cluster's block that text ("10.244.7.0/24") lies in, or NULL. A wider route does no harm: the
 * cluster's own are longer. */
static const char *clash(const struct kc_why_look *l, const char *text)
{
	static const char *const lists[] = { "podCIDRs", "serviceCIDRs" };
	const json_t *cluster = json_object_get(l->evidence, "cluster"), *v;
	struct kc_cidr net, block;
	size_t i;

	if (!kc_cidr_parse(text, &net))
		return NULL;
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach(json_object_get(cluster, lists[k]), i, v)
			if (kc_cidr_parse(json_string_value(v), &block) &&
			    net.prefix >= block.prefix && kc_cidr_overlap(&net, &block))
				return json_string_value(v);
	return NULL;
}

bool why_cidr(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "routes"), i, r) {
		const char *dst = kc_json_get_str(r, "dst", ""),
			   *dev = kc_json_get_str(r, "dev", ""), *block;

		block = ours(dev) ? NULL : clash(l, dst);
		if (block)
			return why_found(f,
					 "take that network away, or make the cluster with other "
					 "spec.networking blocks",
					 "%s on %s lies in the cluster's %s", dst, dev, block);
	}
	return false;
}
