#include "bootstrap/node/sweep.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootstrap/node/protocol.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define LISTING_MAX 20000

json_t *kc_sweep_link_was(const char *name)
{
	return json_boolean(if_nametoindex(name) != 0);
}

/* RTM_DELLINK, rtnetlink(7): no program needed. */
int kc_sweep_link(const char *name, const json_t *was, struct kc_err *err)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} req = { .h = { .nlmsg_len = sizeof(req),
			 .nlmsg_type = RTM_DELLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK } };
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[256];
	} reply = { 0 };
	_cleanup_close_ int fd = -1;

	req.i.ifi_index = (int)if_nametoindex(name);
	if (json_is_true(was) || !req.i.ifi_index)
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &req, sizeof(req), 0) < 0 || recv(fd, &reply, sizeof(reply), 0) < 0)
		return kc_fail_errno(err, errno, "deleting link %s", name);
	if (reply.h.nlmsg_type == NLMSG_ERROR && reply.e.error && reply.e.error != -ENODEV)
		return kc_fail_errno(err, -reply.e.error, "deleting link %s", name);
	return 0;
}

/*
 * A pod's links, and with them their other ends on the host. The namespace
 * itself may stay: a socket whose farewell nobody acknowledges, because the API
 * server is gone already, holds it for minutes.
 */
void kc_sweep_netns(const char *path)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct if_nameindex *all;

	/* Of this thread alone. What is no namespace is refused. */
	if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return;
	all = if_nameindex();
	for (struct if_nameindex *i = all; i && i->if_name; i++)
		if (!streq(i->if_name, "lo"))
			kc_sweep_link(i->if_name, NULL, NULL);
	if (all)
		if_freenameindex(all);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* nothing may go on in there */
}

static bool table_exists(const char *table)
{
	_cleanup_free_ char *out = NULL, *line = xasprintf("table %s\n", table);

	return kc_runl(&out, NULL, "nft", "list", "tables", NULL) == 0 && out && strstr(out, line);
}

json_t *kc_sweep_table_was(const char *table)
{
	return json_boolean(table_exists(table));
}

int kc_sweep_table(const char *table, const json_t *was, struct kc_err *err)
{
	_cleanup_free_ char *command = xasprintf("delete table %s", table);

	if (json_is_true(was) || !table_exists(table))
		return 0;
	return kc_runl(NULL, err, "nft", command, NULL);
}

static void list_below(int dirfd, const char *prefix, json_t *names)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;

	while (d && (e = readdir(d)) && json_array_size(names) < LISTING_MAX) {
		_cleanup_free_ char *name = xasprintf("%s%s", prefix, e->d_name);
		_cleanup_free_ char *below = xasprintf("%s/", name);
		int fd;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		json_array_append_new(names, json_string(name));
		fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			list_below(fd, below, names);
	}
	if (d)
		closedir(d);
	else
		close(dirfd);
}

json_t *kc_sweep_path_was(const char *path)
{
	struct stat st;
	json_t *names;
	int fd;

	if (lstat(path, &st) < 0)
		return json_false();
	names = json_array();
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		list_below(fd, "", names);
	return kc_pack("{s:i, s:o}", "mode", (int)(st.st_mode & 07777), "names", names);
}

static bool is_mount_point(const char *path)
{
	_cleanup_free_ char *text = NULL, *needle = xasprintf(" %s ", path);

	if (kc_file_read("/proc/self/mountinfo", 64u << 20, &text, NULL, NULL) < 0 || !text)
		return false;
	return strstr(text, needle) != NULL;
}

/* Remove what lies below path and is not in the listing; directories that hold such stay. */
static int empty(const char *path, const char *relative, const json_t *keep, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s%s%s", path, *relative ? "/" : "", relative);
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", dir);
	while (r == 0 && (e = readdir(d))) {
		_cleanup_free_ char *name =
			xasprintf("%s%s%s", relative, *relative ? "/" : "", e->d_name);
		_cleanup_free_ char *full = xasprintf("%s/%s", path, name);

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (!kc_json_has_str(keep, name))
			r = kc_rm_rf(full, err);
		else if (e->d_type == DT_DIR)
			r = empty(path, name, keep, err);
	}
	closedir(d);
	return r;
}

/* What was not there before, so neither was a mount on it (/run/netns is bound on itself). */
static int remove_all(const char *path, struct kc_err *err)
{
	while (is_mount_point(path))
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return kc_fail_errno(err, errno, "umount %s", path);
	return kc_rm_rf(path, err);
}

/* Others keep network namespaces there, too: ours are gone already, theirs stay. */
static bool is_shared(const char *path)
{
	json_auto_t *names = json_array();
	int below;

	if (!streq(path, "/run/netns"))
		return false;
	below = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (below < 0)
		return false;
	list_below(below, "", names);
	return json_array_size(names) > 0;
}

int kc_sweep_path(const char *path, const json_t *was, struct kc_err *err)
{
	const json_t *names = json_object_get(was, "names");
	int r;

	if (is_shared(path))
		return 0;
	if (!names)
		return remove_all(path, err);
	/* A listing that was cut off does not say what may go. */
	if (json_array_size(names) >= LISTING_MAX)
		return kc_fail(err, KC_ECONFLICT, "%s was full before kubecdn came: left as it is",
			       path);
	r = empty(path, "", names, err);
	if (r == 0)
		chmod(path, (mode_t)kc_json_get_int(was, "mode", 0755));
	return r;
}

/* Call fn with DIR/name for every cgroup hierarchy that is mounted. */
static void each_cgroup(const char *name, void (*fn)(const char *path, void *cookie), void *cookie)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (kc_file_read("/proc/self/mountinfo", 64u << 20, &text, NULL, NULL) < 0 || !text)
		return;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		const char *type = strstr(l, " - ");
		char mount[PATH_MAX];
		_cleanup_free_ char *path = NULL;

		if (!type || !kc_startswith(type + 3, "cgroup") ||
		    sscanf(l, "%*s %*s %*s %*s %4095s", mount) != 1)
			continue;
		path = xasprintf("%s/%s", mount, name);
		if (access(path, F_OK) == 0)
			fn(path, cookie);
	}
}

static void seen(const char *path, void *cookie)
{
	*(bool *)cookie = true;
}

json_t *kc_sweep_cgroup_was(const char *name)
{
	bool there = false;

	each_cgroup(name, seen, &there);
	return json_boolean(there);
}

/* A cgroup goes by rmdir alone, leaves first; one with processes in it stays. */
static void rmdir_tree(const char *path, void *cookie)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *below = xasprintf("%s/%s", path, e->d_name);

		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			rmdir_tree(below, cookie);
	}
	if (d)
		closedir(d);
	if (rmdir(path) < 0 && errno != ENOENT)
		*(bool *)cookie = true;
}

int kc_sweep_cgroup(const char *name, const json_t *was, struct kc_err *err)
{
	bool left = false;

	if (json_is_true(was))
		return 0;
	each_cgroup(name, rmdir_tree, &left);
	return left ? kc_fail(err, KC_EAGAIN, "cgroup %s is still in use", name) : 0;
}

static char *sysctl_path(const char *key)
{
	char *path = xasprintf("/proc/sys/%s", key);

	for (char *p = path + 10; *p; p++)
		if (*p == '.')
			*p = '/';
	return path;
}

json_t *kc_sweep_sysctl_was(const char *key)
{
	_cleanup_free_ char *path = sysctl_path(key), *text = NULL;

	if (kc_file_read(path, 4096, &text, NULL, NULL) < 0 || !text)
		return json_false();
	text[strcspn(text, "\n")] = '\0';
	return json_string(text);
}

int kc_sweep_sysctl(const char *key, const json_t *was, struct kc_err *err)
{
	_cleanup_free_ char *path = sysctl_path(key);
	json_auto_t *now = kc_sweep_sysctl_was(key);
	_cleanup_close_ int fd = -1;

	if (!json_is_string(was) || !json_is_string(now) || json_equal(was, now))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, json_string_value(was), json_string_length(was)) < 0)
		return kc_fail_errno(err, errno, "restoring sysctl %s", key);
	return 0;
}
