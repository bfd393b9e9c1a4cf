/*
 * One child cgroup a machine in every mounted hierarchy. The container manager
 * then gives the machine that child as its cgroup root: without it two kubelets
 * would share /kubepods.
 *
 * v1: below the caller's own cgroup, which may be limited. v2: at the top,
 * because a cgroup with processes cannot hand controllers to its children.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define CGROUPS	      "/sys/fs/cgroup"
#define CGROUP2_MAGIC 0x63677270

static bool is_v2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

json_t *local_cgroup_paths(const char *name)
{
	json_t *paths = json_array();
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (is_v2(CGROUPS)) {
		json_array_append_new(paths, json_sprintf("%s/%s", CGROUPS, name));
		return paths;
	}
	if (kc_file_read("/proc/self/cgroup", 1 << 20, &text, NULL, NULL) < 0)
		return paths;
	/* "4:memory:/user.slice", "1:name=systemd:/", "0::/" (the v2 tree of a hybrid set-up) */
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *ctl = strchr(line, ':'), *own = ctl ? strchr(ctl + 1, ':') : NULL;
		_cleanup_free_ char *parent = NULL;

		if (!own)
			continue;
		*own++ = '\0';
		ctl++;
		if (kc_startswith(ctl, "name="))
			ctl += 5;
		parent = xasprintf("%s/%s%s", CGROUPS, *ctl ? ctl : "unified",
				   streq(own, "/") ? "" : own);
		if (kc_exists(parent))
			json_array_append_new(paths, json_sprintf("%s/%s", parent, name));
	}
	return paths;
}

json_t *local_cgroup_found(const struct local *l)
{
	_cleanup_free_ char *ours = xasprintf("%s-", l->prefix);
	json_auto_t *any = local_cgroup_paths("-");
	json_t *found = json_array(), *v;
	size_t i;

	json_array_foreach(any, i, v) {
		const char *path = json_string_value(v);
		_cleanup_free_ char *parent = xstrndup(path, strlen(path) - strlen("/-"));
		DIR *d = opendir(parent);
		struct dirent *e;

		while (d && (e = readdir(d)))
			if (kc_startswith(e->d_name, ours))
				json_array_append_new(found,
						      json_sprintf("%s/%s", parent, e->d_name));
		if (d)
			closedir(d);
	}
	return found;
}

/* Cgroup files take one write of the whole value; they cannot be renamed into place. */
static int set(const char *dir, const char *file, const char *value)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, file);
	FILE *f = fopen(path, "we");

	if (!f)
		return KC_EFAIL;
	fputs(value, f);
	return fclose(f) == 0 ? 0 : KC_EFAIL;
}

static int inherit(const char *parent, const char *dir, const char *file, struct kc_err *err)
{
	_cleanup_free_ char *from = xasprintf("%s/%s", parent, file), *value = NULL;
	int r;

	r = local_read(from, &value, err);
	if (r == 0 && set(dir, file, value) < 0)
		r = kc_fail(err, KC_EFAIL, "cannot set %s/%s", dir, file);
	return r;
}

static int make_one(const char *dir, struct kc_err *err)
{
	_cleanup_free_ char *parent = xstrndup(dir, (size_t)(strrchr(dir, '/') - dir));
	_cleanup_free_ char *cpus = xasprintf("%s/cpuset.mems", parent);
	static const char *const controllers[] = { "+cpu", "+cpuset", "+io", "+memory", "+pids" };
	int r = 0;

	if (is_v2(CGROUPS))
		for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
			set(parent, "cgroup.subtree_control", controllers[i]);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return kc_fail_errno(err, errno, "cgroup %s", dir);
	if (is_v2(dir))
		return 0;
	set(dir, "memory.use_hierarchy", "1");
	if (kc_exists(cpus)) {
		r = inherit(parent, dir, "cpuset.cpus", err);
		if (r == 0)
			r = inherit(parent, dir, "cpuset.mems", err);
		/* else no pod's cgroup has cpus, and runc fails */
		set(dir, "cgroup.clone_children", "1");
	}
	return r;
}

int local_cgroup_make(const json_t *paths, struct kc_err *err)
{
	const json_t *v;
	size_t i;
	int r = 0;

	json_array_foreach(paths, i, v) {
		r = make_one(json_string_value(v), err);
		if (r < 0)
			break;
	}
	return r;
}

/* Depth first: visit each cgroup below and including dir. */
static int walk(const char *dir, int (*visit)(const char *dir))
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int r = 0, q;

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		_cleanup_free_ char *sub = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = xasprintf("%s/%s", dir, e->d_name);
		q = walk(sub, visit);
		r = r < 0 ? r : q;
	}
	closedir(d);
	q = visit(dir);
	return r < 0 ? r : q;
}

static int kill_members(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/cgroup.procs", dir), *text = NULL;
	char *save = NULL;
	long pid;

	if (local_read(path, &text, NULL) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (kc_parse_long(line, 2, 1L << 22, &pid) && pid != getpid())
			kill((pid_t)pid, SIGKILL);
	return 0;
}

static int remove_one(const char *dir)
{
	return rmdir(dir) < 0 && errno != ENOENT ? KC_EAGAIN : 0;
}

void local_cgroup_kill(const json_t *paths)
{
	const json_t *v;
	size_t i;

	json_array_foreach(paths, i, v)
		walk(json_string_value(v), kill_members);
}

int local_cgroup_remove(const json_t *paths, struct kc_err *err)
{
	const json_t *v;
	size_t i;

	json_array_foreach(paths, i, v)
		if (walk(json_string_value(v), remove_one) < 0)
			return kc_fail(err, KC_EAGAIN, "cgroup %s is still in use",
				       json_string_value(v));
	return 0;
}
