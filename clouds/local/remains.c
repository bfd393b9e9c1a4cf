/*
 * local/remains: what has the cluster's names or lies in its folder, and is
 * accounted for by no machine and no network there: halves of a killed run, or the
 * names of a folder that somebody took away by hand. No graph has such a task;
 * a delete finds it by list (names carry the uid, there are no tags here).
 *
 *	local/remains/folder      the folder, when nothing that is known is in it
 *	local/remains/<name>      a namespace, link or cgroup
 */
#include <dirent.h>
#include <net/if.h>
#include <string.h>

#include "clouds/local/priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define NETNS  "/run/netns"
#define PREFIX "local/remains/"
#define FOLDER "folder" /* no name of ours: those begin with "kc" */

json_t *local_names_in(const char *dir, const char *prefix)
{
	json_t *names = json_array();
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && kc_startswith(e->d_name, prefix))
			json_array_append_new(names, json_string(e->d_name));
	if (d)
		closedir(d);
	return names;
}

/* A set of the names of everything here that the uid names: the bridge kc<uid8>, its veths
 * kc<uid8>v<octet>, namespaces and cgroups kc<uid8>-<machine>. */
static json_t *all_names(const struct local *l)
{
	_cleanup_free_ char *dashed = xasprintf("%s-", l->prefix);
	json_auto_t *spaces = local_names_in(NETNS, dashed), *groups = local_cgroup_found(l);
	struct if_nameindex *links = if_nameindex();
	json_t *names = json_object(), *v;
	size_t i;

	json_array_foreach(spaces, i, v)
		json_object_set_new(names, json_string_value(v), json_true());
	json_array_foreach(groups, i, v)
		json_object_set_new(names, strrchr(json_string_value(v), '/') + 1, json_true());
	for (struct if_nameindex *n = links; n && n->if_name; n++)
		if (kc_startswith(n->if_name, l->prefix))
			json_object_set_new(names, n->if_name, json_true());
	if (links)
		if_freenameindex(links);
	return names;
}

/* Take away those that a machine's or the network's description accounts for. */
static int subtract_known(const struct local *l, json_t *names, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/machines", l->dir);
	json_auto_t *machines = local_names_in(dir, ""), *net = NULL;
	const json_t *v;
	size_t i;
	int r = local_network_read(l, &net, err);

	json_object_del(names, kc_json_get_str(net, "bridge", ""));
	json_array_foreach(machines, i, v) {
		_cleanup_free_ char *file =
			xasprintf("%s/%s/machine.json", dir, json_string_value(v));
		json_auto_t *m = NULL;

		if (r == 0)
			r = local_json_read(file, &m, err);
		json_object_del(names, kc_json_get_str(m, "netns", ""));
		json_object_del(names, kc_json_get_str(m, "veth", ""));
	}
	return r;
}

/* Is there nothing in the folder but its mark and halves? Or something that is none of ours? */
static bool is_abandoned(const struct local *l)
{
	static const char *const known[] = { "key", "machines", "network.json", "root" };
	_cleanup_free_ char *machines = xasprintf("%s/machines", l->dir);
	json_auto_t *there = local_names_in(l->dir, ""), *inside = local_names_in(machines, "");
	size_t i, k, n = 0;
	const json_t *v;

	json_array_foreach(there, i, v) {
		const char *name = json_string_value(v);

		for (k = 0; k < ARRAY_SIZE(known) && !streq(name, known[k]);)
			k++;
		if (k == ARRAY_SIZE(known) && !streq(name, "owner"))
			return true;
		n += k < ARRAY_SIZE(known) && (!streq(name, "machines") || json_array_size(inside));
	}
	return n == 0;
}

static int folder_remains(const struct local *l, bool *ret, struct kc_err *err)
{
	_cleanup_free_ char *half = local_dir_half(l);
	bool exists;
	int r = local_dir_check(l, &exists, err);

	if (r == 0)
		*ret = exists ? is_abandoned(l) : kc_exists(half);
	return r;
}

static int remains_list(void *ctx, const char *owner, json_t **ret, struct kc_err *err)
{
	const struct local *l = ctx;
	json_auto_t *names = all_names(l), *out = json_object();
	const char *name;
	bool folder = false;
	json_t *v;
	int r = folder_remains(l, &folder, err);

	if (r == 0)
		r = subtract_known(l, names, err);
	if (r < 0)
		return r;
	if (folder)
		json_object_set_new(names, FOLDER, json_true());
	json_object_foreach(names, name, v) {
		_cleanup_free_ char *id = xasprintf(PREFIX "%s", name);

		json_object_set_new(out, id, kc_pack("{s:s}", "name", name));
	}
	*ret = TAKE(out);
	return 0;
}

static int remains_find(void *ctx, const struct kc_task *task, json_t **ret_actual,
			struct kc_err *err)
{
	json_auto_t *all = NULL;
	int r = remains_list(ctx, task->owner, &all, err);

	if (r == 0)
		*ret_actual = json_incref(json_object_get(all, task->id));
	return r;
}

static int remains_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			 const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "remains are found, not made");
}

static int remove_folder(const struct local *l, struct kc_err *err)
{
	_cleanup_close_ int lock = -1;
	bool exists;
	int r = local_dir_check(l, &exists, err);

	if (r == 0 && exists)
		r = local_umount(l->dir, err);
	if (r == 0 && exists)
		r = local_lock(&lock, err);
	if (r == 0 && exists)
		r = kc_rm_rf(l->dir, err);
	return r;
}

static int remove_cgroups(const struct local *l, const char *name, struct kc_err *err)
{
	json_auto_t *paths = local_cgroup_paths(name);
	int64_t deadline = kc_now_ms() + 2000;
	int r;

	for (;;) {
		local_cgroup_kill(paths);
		r = local_cgroup_remove(paths, err);
		if (r != KC_EAGAIN || kc_now_ms() > deadline)
			return r;
		kc_sleep_ms(10);
	}
}

static int remains_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			  struct kc_err *err)
{
	const struct local *l = ctx;
	const char *name = task->id + strlen(PREFIX);
	_cleanup_free_ char *space = xasprintf(NETNS "/%s", name);
	int r;

	if (streq(name, FOLDER)) {
		r = remove_folder(l, err);
		local_dir_drop(l); /* halves of the folder itself, and the base */
		return r;
	}
	r = remove_cgroups(l, name, err);
	if (r == 0 && kc_exists(space))
		r = kc_runl(NULL, err, "ip", "netns", "del", name, NULL);
	if (r == 0 && if_nametoindex(name))
		r = kc_runl(NULL, err, "ip", "link", "del", name, NULL);
	return r < 0 ? kc_wrap(err, "cluster %s", l->cluster) : 0;
}

const struct kc_kind local_remains_kind = {
	.name = "local/remains",
	.list = remains_list,
	.find = remains_find,
	.apply = remains_apply,
	.remove = remains_remove,
};
