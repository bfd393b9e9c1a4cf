/*
 * The end of a delete: what a killed run made and nobody recorded, found by the
 * cluster's folder and by the names that its uid gives to links, namespaces and
 * cgroups. After a delete that had nothing left out there is nothing to find.
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

#define NETNS "/run/netns"

/* Names in dir that start with prefix; those with a dot in front are halves of something. */
static json_t *names_in(const char *dir, const char *prefix)
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

/* The bridge kc<uid8> and its veths kc<uid8>v<octet>. */
static json_t *links_of(const struct local *l)
{
	struct if_nameindex *all = if_nameindex();
	json_t *names = json_array();

	for (struct if_nameindex *i = all; i && i->if_name; i++)
		if (kc_startswith(i->if_name, l->prefix))
			json_array_append_new(names, json_string(i->if_name));
	if (all)
		if_freenameindex(all);
	return names;
}

static int sweep_folder(const struct local *l, struct kc_err *err)
{
	_cleanup_free_ char *machines = xasprintf("%s/machines", l->dir);
	json_auto_t *names = names_in(machines, "");
	_cleanup_close_ int lock = -1;
	const json_t *v;
	bool exists;
	size_t i;
	int r = local_dir_check(l, &exists, err);

	if (r < 0 || !exists)
		return r;
	json_array_foreach(names, i, v) {
		r = local_machine_remove(l, json_string_value(v), err);
		if (r < 0)
			return r;
	}
	r = local_network_remove(l, err);
	if (r == 0)
		r = local_umount(l->dir, err);
	if (r == 0)
		r = local_lock(&lock, err);
	return r < 0 ? r : kc_rm_rf(l->dir, err);
}

static int sweep_cgroups(const struct local *l, struct kc_err *err)
{
	json_auto_t *found = local_cgroup_found(l);
	int64_t deadline = kc_now_ms() + 2000;
	int r = 0;

	while (json_array_size(found)) {
		local_cgroup_kill(found);
		r = local_cgroup_remove(found, err);
		if (r != KC_EAGAIN || kc_now_ms() > deadline)
			break;
		kc_sleep_ms(10);
	}
	return r;
}

/* Of somebody who took the folder away by hand. */
static int sweep_names(const struct local *l, struct kc_err *err)
{
	_cleanup_free_ char *prefix = xasprintf("%s-", l->prefix);
	json_auto_t *namespaces = names_in(NETNS, prefix), *links = NULL;
	const json_t *v;
	size_t i;
	int r;

	r = sweep_cgroups(l, err);
	json_array_foreach(namespaces, i, v)
		if (r == 0)
			r = kc_runl(NULL, err, "ip", "netns", "del", json_string_value(v), NULL);
	links = links_of(l);
	json_array_foreach(links, i, v)
		if (r == 0 && if_nametoindex(json_string_value(v)))
			r = kc_runl(NULL, err, "ip", "link", "del", json_string_value(v), NULL);
	return r;
}

int local_sweep(struct kc_provider *p, struct kc_err *err)
{
	struct local *l = p->ctx;
	int r = sweep_folder(l, err);

	if (r == 0)
		r = sweep_names(l, err);
	if (r < 0)
		return kc_wrap(err, "cluster %s", l->cluster);
	local_dir_drop(l); /* halves of the folder itself, and the base */
	return 0;
}
