/* The processes and mounts that a container runtime leaves behind. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "bootstrap/node/protocol.h"
#include "bootstrap/node/sweep.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define KILL_MS 10000

struct process {
	pid_t pid, parent;
	bool ours;
};

struct table {
	struct process *p;
	size_t n;
};

/* The path in a line "4:memory:/path" of /proc/PID/cgroup, cgroups(7); NULL: no such line. */
static const char *cgroup_path(const char *line)
{
	const char *p = strchr(line, ':');

	p = p ? strchr(p + 1, ':') : NULL;
	return p ? p + 1 : NULL;
}

/* The same hierarchy's path of PID 1, without systemd's own leaf: what pods' cgroups hang from. */
static char *root_of(const char *init, const char *line)
{
	size_t n = (size_t)(cgroup_path(line) - line);

	for (const char *p = init; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char *root;
		size_t len;

		if (strncmp(p, line, n) != 0)
			continue;
		root = xstrndup(p + n, strcspn(p + n, "\n"));
		if (kc_endswith(root, "/init.scope"))
			root[strlen(root) - strlen("/init.scope")] = '\0';
		len = strlen(root);
		if (len && root[len - 1] == '/')
			root[len - 1] = '\0';
		return root;
	}
	return NULL;
}

/*
 * Is this process in a cgroup of one of names directly below this host's root? Deeper down the same
 * name is another host's, in a container here.
 */
static bool in_cgroup(pid_t pid, const char *init, const json_t *names)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", pid), *text = NULL;
	char *save = NULL;

	if (kc_file_read(path, 1u << 20, &text, NULL, NULL) < 0 || !text)
		return false;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		_cleanup_free_ char *root = cgroup_path(l) ? root_of(init, l) : NULL;
		const char *at, *name;
		json_t *was;

		if (!root || !kc_startswith(cgroup_path(l), root))
			continue;
		at = cgroup_path(l) + strlen(root);
		json_object_foreach((json_t *)names, name, was) {
			size_t n = strlen(name);

			if (!json_is_true(was) && *at == '/' && kc_startswith(at + 1, name) &&
			    (at[1 + n] == '/' || !at[1 + n]))
				return true;
		}
	}
	return false;
}

static bool same_mounts(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/mnt", pid);
	char theirs[64] = "", ours[64] = "";

	return readlink(path, theirs, sizeof(theirs) - 1) > 0 &&
	       readlink("/proc/self/ns/mnt", ours, sizeof(ours) - 1) > 0 && streq(theirs, ours);
}

/*
 * A program that lies in our own folder (this host's, not a container's of that name) and is not
 * this agent. The shims live on when containerd stops; their link reads "... (deleted)" once the
 * file is gone.
 */
static bool runs_ours(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/exe", pid);
	char exe[PATH_MAX];
	ssize_t n = readlink(path, exe, sizeof(exe) - 1);

	if (n < 0)
		return false;
	exe[n] = '\0';
	return kc_startswith(exe, KC_NODE_BIN "/") && !kc_startswith(exe, KC_NODE_AGENT) &&
	       same_mounts(pid);
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", pid), *text = NULL;
	const char *end;
	int parent = 0;

	if (kc_file_read(path, 1u << 16, &text, NULL, NULL) < 0 || !text)
		return 0;
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static void scan(const json_t *cgroups, struct table *ret)
{
	_cleanup_free_ char *init = NULL;
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool more = true;

	kc_file_read("/proc/1/cgroup", 1u << 20, &init, NULL, NULL);
	while (d && (e = readdir(d))) {
		long pid;

		if (!kc_parse_long(e->d_name, 2, INT_MAX, &pid) || pid == getpid())
			continue;
		ret->p = xrealloc(ret->p, (ret->n + 1) * sizeof(*ret->p));
		ret->p[ret->n++] = (struct process){
			.pid = (pid_t)pid,
			.parent = parent_of((pid_t)pid),
			.ours = runs_ours((pid_t)pid) || in_cgroup((pid_t)pid, init, cgroups),
		};
	}
	if (d)
		closedir(d);
	while (more) { /* what they started is theirs */
		more = false;
		for (size_t i = 0; i < ret->n; i++)
			for (size_t j = 0; j < ret->n && !ret->p[i].ours; j++)
				if (ret->p[j].ours && ret->p[j].pid == ret->p[i].parent)
					more = ret->p[i].ours = true;
	}
}

int kc_sweep_processes(const json_t *cgroups, struct kc_err *err)
{
	int64_t until = kc_now_ms() + KILL_MS;

	for (;;) {
		struct table t = { 0 };
		size_t left = 0;
		pid_t last = 0;

		scan(cgroups, &t);
		for (size_t i = 0; i < t.n; i++) {
			if (!t.p[i].ours)
				continue;
			kill(t.p[i].pid, SIGKILL);
			last = t.p[i].pid;
			left++;
		}
		free(t.p);
		if (!left)
			return 0;
		if (kc_now_ms() > until)
			return kc_fail(err, KC_EFAIL,
				       "%zu processes of pods do not die (one is pid %d): a hung "
				       "mount or device? Reboot this host",
				       left, (int)last);
		kc_sleep_ms(20);
	}
}

/* /proc writes blanks and backslashes in mount points as octal, proc(5). */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static bool below(const char *mount, const json_t *prefixes)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)prefixes, i, v) {
		const char *p = json_string_value(v);
		size_t n = p ? strlen(p) : 0;

		/* "/run/netns/cni-" is a beginning of names; others are folders. */
		if (n && kc_startswith(mount, p) && (mount[n] == '/' || (p[n - 1] == '-')))
			return true;
	}
	return false;
}

/* Mount points below prefixes, in the order they were mounted. */
static int mounts_below(const json_t *prefixes, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	json_t *found;
	char *save = NULL;
	int r = kc_file_read("/proc/self/mountinfo", 64u << 20, &text, NULL, err);

	if (r < 0)
		return r;
	found = json_array();
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char mount[PATH_MAX];

		if (sscanf(l, "%*s %*s %*s %*s %4095s", mount) != 1)
			continue;
		unescape(mount);
		if (below(mount, prefixes))
			json_array_append_new(found, json_string(mount));
	}
	*ret = found;
	return 0;
}

json_t *kc_sweep_mounts_were(const json_t *prefixes)
{
	json_t *found = NULL;

	return mounts_below(prefixes, &found, NULL) < 0 ? json_array() : found;
}

int kc_sweep_mounts(const json_t *prefixes, const json_t *were, struct kc_err *err)
{
	json_auto_t *found = NULL;
	int r = mounts_below(prefixes, &found, err);

	for (size_t i = json_array_size(found); i-- > 0;) { /* the last one mounted first */
		const char *mount = json_string_value(json_array_get(found, i));

		if (kc_json_has_str(were, mount))
			continue;
		if (kc_startswith(mount, "/run/netns/"))
			kc_sweep_netns(mount);
		if (umount2(mount, UMOUNT_NOFOLLOW) < 0 && errno == EBUSY &&
		    umount2(mount, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return kc_fail_errno(err, errno, "umount %s", mount);
		if (kc_startswith(mount, "/run/netns/"))
			unlink(mount);
	}
	return r;
}
