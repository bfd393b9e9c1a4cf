/* The cluster's folder: made whole or not at all, owned by a mark, dropped when empty. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/*
 * A lock on the base folder itself leaves no file behind. The folder may be
 * dropped by another process while we wait, so check that it is still the one.
 */
int local_lock(int *ret_fd, struct kc_err *err)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		struct stat a, b;
		int r;

		r = kc_mkdir_p(LOCAL_BASE, 0755, err);
		if (r < 0)
			return r;
		fd = open(LOCAL_BASE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || (flock(fd, LOCK_EX) < 0 && errno != EINTR))
			return kc_fail_errno(err, errno, "locking %s", LOCAL_BASE);
		if (fstat(fd, &a) == 0 && stat(LOCAL_BASE, &b) == 0 && a.st_ino == b.st_ino) {
			*ret_fd = fd;
			fd = -1;
			return 0;
		}
	}
}

int local_write(const char *path, const char *text, mode_t mode, struct kc_err *err)
{
	return kc_file_write(path, text, strlen(text), mode, err);
}

int local_read(const char *path, char **ret, struct kc_err *err)
{
	char *text;
	size_t len;
	int r;

	r = kc_file_read(path, 1 << 20, &text, &len, err);
	if (r < 0)
		return r;
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	*ret = text;
	return 0;
}

int local_json_read(const char *path, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (!kc_exists(path))
		return 0;
	r = local_read(path, &text, err);
	if (r < 0)
		return r;
	return kc_json_parse(text, strlen(text), path, ret, err);
}

int local_json_write(const char *path, const json_t *v, struct kc_err *err)
{
	_cleanup_free_ char *text = kc_json_text(v);

	return local_write(path, text, 0600, err);
}

int local_dir_check(const struct local *l, bool *ret_exists, struct kc_err *err)
{
	_cleanup_free_ char *mark = xasprintf("%s/owner", l->dir), *uid = NULL;
	int r = local_read(mark, &uid, NULL);

	/* In this order: another task may drop the folder meanwhile. */
	if (r < 0 && !kc_exists(l->dir)) {
		*ret_exists = false;
		return 0;
	}
	if (r < 0 || !streq(uid, l->uid))
		return kc_fail(err, KC_ECONFLICT,
			       "%s was not made by this cluster (its file owner is not %s): move "
			       "it away",
			       l->dir, l->uid);
	*ret_exists = true;
	return 0;
}

char *local_dir_half(const struct local *l)
{
	return xasprintf("%s/.new-%s-%s", LOCAL_BASE, l->cluster, l->uid8);
}

int local_list_one(void *ctx, const char *owner, const struct kc_kind *kind, json_t **ret_by_id,
		   struct kc_err *err)
{
	const struct kc_task task = { .id = kind->name, .owner = owner };
	json_t *actual = NULL;
	int r = kind->find(ctx, &task, &actual, err);

	if (r == 0)
		*ret_by_id = kc_pack("{s:o*}", kind->name, actual);
	return r;
}

/* With the lock held. */
static int make_locked(const struct local *l, struct kc_err *err)
{
	_cleanup_free_ char *tmp = local_dir_half(l);
	_cleanup_free_ char *mark = xasprintf("%s/owner", tmp);
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || exists)
		return r;
	r = kc_rm_rf(tmp, err);
	if (r == 0)
		r = kc_mkdir_p(tmp, 0700, err);
	if (r == 0)
		r = local_write(mark, l->uid, 0600, err);
	if (r == 0 && rename(tmp, l->dir) < 0)
		r = kc_fail_errno(err, errno, "%s", l->dir);
	return r;
}

int local_dir_make(struct local *l, struct kc_err *err)
{
	_cleanup_close_ int lock = -1;
	int r;

	atomic_store(&l->touched, true);
	r = local_lock(&lock, err);
	return r < 0 ? r : make_locked(l, err);
}

/* True if dir has no entry but names starting with a dot (halves of a killed run) and skip. */
static bool only_leftovers(const char *dir, const char *skip)
{
	struct dirent *e;
	bool only = true;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT;
	while (only && (e = readdir(d)))
		only = e->d_name[0] == '.' || streq(e->d_name, skip);
	closedir(d);
	return only;
}

void local_dir_drop(const struct local *l)
{
	_cleanup_free_ char *machines = xasprintf("%s/machines", l->dir);
	_cleanup_free_ char *tmp = local_dir_half(l);
	_cleanup_close_ int lock = -1;
	bool exists = false;

	if (!kc_exists(LOCAL_BASE) || local_lock(&lock, NULL) < 0)
		return;
	kc_rm_rf(tmp, NULL);
	if (local_dir_check(l, &exists, NULL) == 0 && exists) {
		if (only_leftovers(machines, ""))
			kc_rm_rf(machines, NULL);
		/* At once: nobody may find a folder that has lost its owner. */
		if (only_leftovers(l->dir, "owner") && rename(l->dir, tmp) == 0)
			kc_rm_rf(tmp, NULL);
	}
	rmdir(LOCAL_BASE); /* fails, as it should, while another cluster's folder is in it */
}

/* Mount points at or below path, deepest last, from the kernel's own list. */
static json_t *mounts_below(const char *path)
{
	json_t *found = json_array();
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(path);
	char *save = NULL;

	if (kc_file_read("/proc/self/mountinfo", 16 << 20, &text, NULL, NULL) < 0)
		return found;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char point[4096];

		/* Our own paths hold no byte that the kernel escapes here. */
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 &&
		    strncmp(point, path, n) == 0 && (point[n] == '/' || point[n] == '\0'))
			json_array_append_new(found, json_string(point));
	}
	return found;
}

bool local_is_mounted(const char *path)
{
	json_auto_t *found = mounts_below(path);

	return kc_json_has_str(found, path);
}

int local_umount(const char *path, struct kc_err *err)
{
	json_auto_t *found = mounts_below(path);

	for (size_t i = json_array_size(found); i-- > 0;) {
		const char *point = json_string_value(json_array_get(found, i));

		if (umount2(point, UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
			continue;
		if (errno == EBUSY)
			return kc_fail(err, KC_EAGAIN, "%s is still in use", point);
		return kc_fail_errno(err, errno, "unmounting %s", point);
	}
	return 0;
}
