/*
 * What the programs of a node leave behind, and how it goes away: apply only
 * notes what stood there before, remove puts the host back to that.
 */
#include <string.h>

#include "bootstrap/node/kinds.h"
#include "bootstrap/node/sweep.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const char *const default_mounts[] = { "/var/lib/kubelet", "/run/containerd",
					      "/var/lib/containerd", "/run/netns/cni-" };
static const char *const default_cgroups[] = { "kubepods", "kubepods.slice", "k8s.io" };
static const char *const default_paths[] = {
	"/var/lib/etcd",	  "/run/netns",		 "/var/lib/kubelet", "/run/containerd",
	"/var/lib/containerd",	  "/var/lib/cni",	 "/run/flannel",     "/var/log/pods",
	"/var/log/containers",	  "/var/log/kubernetes", "/opt/containerd",  "/run/nri",
	"/usr/libexec/kubernetes"
};
/* Set by the kubelet (protectKernelDefaults off), kube-proxy, CNI plugins and flanneld. */
static const char *const default_sysctls[] = {
	"vm.overcommit_memory",
	"vm.panic_on_oom",
	"kernel.panic",
	"kernel.panic_on_oops",
	"kernel.keys.root_maxkeys",
	"kernel.keys.root_maxbytes",
	"net.netfilter.nf_conntrack_max",
	"net.netfilter.nf_conntrack_tcp_timeout_established",
	"net.netfilter.nf_conntrack_tcp_timeout_close_wait",
	"net.netfilter.nf_conntrack_tcp_be_liberal",
	"net.ipv4.ip_forward",
	/* The kernel turns these on when forwarding goes off: after it in this list. */
	"net.ipv4.conf.all.accept_redirects",
	"net.ipv4.conf.default.accept_redirects",
	"net.ipv6.conf.all.forwarding",
	"net.ipv6.conf.default.forwarding",
	"net.ipv4.conf.all.route_localnet",
	"net.ipv4.vs.conntrack",
};

/* want's list, with what is always meant. */
static json_t *list_of(const json_t *want, const char *key, const char *const *more, size_t n)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(json_object_get(want, key), i, v)
		if (json_is_string(v) && !kc_json_has_str(list, json_string_value(v)))
			json_array_append(list, v);
	for (i = 0; i < n; i++)
		if (!kc_json_has_str(list, more[i]))
			json_array_append_new(list, json_string(more[i]));
	return list;
}

static json_t *full(const json_t *want)
{
	return kc_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "links", list_of(want, "links", NULL, 0),
		       "nft", list_of(want, "nft", NULL, 0), "paths",
		       list_of(want, "paths", default_paths, ARRAY_SIZE(default_paths)),
		       "mounts_below",
		       list_of(want, "mounts_below", default_mounts, ARRAY_SIZE(default_mounts)),
		       "cgroups",
		       list_of(want, "cgroups", default_cgroups, ARRAY_SIZE(default_cgroups)),
		       "sysctls",
		       list_of(want, "sysctls", default_sysctls, ARRAY_SIZE(default_sysctls)));
}

static int teardown_find(void *ctx, const struct kc_task *t, json_t **ret_actual,
			 struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("teardown:%s", t->id);
	json_auto_t *noted = kc_host_before(ctx, key);

	if (noted)
		*ret_actual = json_deep_copy(json_object_get(noted, "want"));
	return 0;
}

/* Note each item of a list unless it is noted already: was(item) is what stands there now. */
static void note_all(const json_t *list, json_t *notes, json_t *(*was)(const char *item))
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		const char *item = json_string_value(v);

		if (!json_object_get(notes, item))
			json_object_set_new(notes, item, was(item));
	}
}

static int teardown_apply(void *ctx, const struct kc_task *t, const json_t *actual,
			  const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	static const struct {
		const char *key;
		json_t *(*was)(const char *item);
	} lists[] = { { "links", kc_sweep_link_was },
		      { "nft", kc_sweep_table_was },
		      { "paths", kc_sweep_path_was },
		      { "cgroups", kc_sweep_cgroup_was },
		      { "sysctls", kc_sweep_sysctl_was } };
	_cleanup_free_ char *key = xasprintf("teardown:%s", t->id);
	json_auto_t *noted = kc_host_before(ctx, key), *all = full(t->want);
	int r;

	if (!noted)
		noted = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (!json_object_get(noted, lists[i].key))
			json_object_set_new(noted, lists[i].key, json_object());
		note_all(json_object_get(all, lists[i].key), json_object_get(noted, lists[i].key),
			 lists[i].was);
	}
	if (!json_object_get(noted, "mounts"))
		json_object_set_new(noted, "mounts",
				    kc_sweep_mounts_were(json_object_get(all, "mounts_below")));
	json_object_set(noted, "want", (json_t *)t->want);
	json_object_set(noted, "mounts_below", json_object_get(all, "mounts_below"));
	r = kc_host_renote(ctx, key, noted, err);
	if (r < 0)
		return r;
	*ret_actual = json_deep_copy(t->want);
	return 0;
}

/* Undo one list; the first error is kept, the rest is done all the same. */
static int undo(const json_t *notes,
		int (*fn)(const char *item, const json_t *was, struct kc_err *), int sofar,
		struct kc_err *err)
{
	struct kc_err mine;
	const char *item;
	json_t *was;

	json_object_foreach((json_t *)notes, item, was) {
		int r = fn(item, was, &mine);

		if (r < 0 && sofar == 0) {
			sofar = r;
			if (err)
				*err = mine;
		}
	}
	return sofar;
}

static int teardown_remove(void *ctx, const struct kc_task *t, const json_t *actual,
			   struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("teardown:%s", t->id);
	json_auto_t *noted = kc_host_before(ctx, key);
	int r;

	if (!noted)
		return 0;
	r = kc_sweep_processes(json_object_get(noted, "cgroups"), err);
	if (r == 0)
		r = kc_sweep_mounts(json_object_get(noted, "mounts_below"),
				    json_object_get(noted, "mounts"), err);
	if (r < 0)
		return r;
	r = undo(json_object_get(noted, "links"), kc_sweep_link, r, err);
	r = undo(json_object_get(noted, "nft"), kc_sweep_table, r, err);
	r = undo(json_object_get(noted, "paths"), kc_sweep_path, r, err);
	r = undo(json_object_get(noted, "cgroups"), kc_sweep_cgroup, r, err);
	r = undo(json_object_get(noted, "sysctls"), kc_sweep_sysctl, r, err);
	return r < 0 ? r : kc_host_unnote(ctx, key, err);
}

const struct kc_kind kc_node_teardown = {
	.name = "teardown",
	.sets = (const char *const[]){ "links", "nft", "paths", "mounts_below", "cgroups",
				       "sysctls", NULL },
	.find = teardown_find,
	.apply = teardown_apply,
	.remove = teardown_remove,
};
