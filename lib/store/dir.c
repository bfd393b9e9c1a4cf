/*
 * The store in a directory: an object is a file.
 *
 * <root>/.lock is flocked over every check-and-rename (among threads, too: each
 * call opens it anew), <root>/.tmp holds what is being written. A writer holds
 * an flock on its temporary file, so whatever can be locked there was left by
 * a crash. The etag is the content's SHA-256.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/store/type.h"

enum { PAUSE_MAX_MS = 10 };
long kc_store_dir_patience_ms = 10000;

struct dir {
	struct kc_store base;
	char *root;
};

static const char *root_of(const struct kc_store *s)
{
	return ((const struct dir *)s)->root;
}

static char *path_of(const struct kc_store *s, const char *key)
{
	return xasprintf("%s/%s", root_of(s), key);
}

static void dir_close(struct kc_store *s)
{
	free(((struct dir *)s)->root);
	free(s->url);
	free(s);
}

/* Whatever a crashed writer left: nobody holds its flock any more. */
static void sweep(const char *root)
{
	_cleanup_free_ char *tmp = xasprintf("%s/.tmp", root);
	DIR *d = opendir(tmp);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_close_ int fd = -1;

		if (e->d_name[0] == '.')
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

/*
 * It is held for a write, which is milliseconds. Who is stopped in the middle of one holds it for
 * as long as it pleases, so nobody waits for ever.
 */
static int take_lock(const struct kc_store *s, long patience_ms, int *ret_fd, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, ".lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int64_t deadline = kc_now_ms() + patience_ms;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	for (long pause = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; pause += pause < PAUSE_MAX_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return kc_fail_errno(err, errno, "flock %s", path);
		if (kc_now_ms() >= deadline)
			return kc_fail(err, KC_ETIMEOUT,
				       "%s: another process has been writing there for %ld s, so "
				       "it "
				       "was stopped or hangs; `fuser %s` finds it, let it go on or "
				       "end it",
				       path, patience_ms / 1000, path);
		kc_sleep_ms(pause);
	}
	*ret_fd = fd;
	fd = -1; /* the caller's */
	return 0;
}

static int remove_if_empty(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)where;
	if (type == FTW_DP)
		rmdir(path);
	return 0;
}

/* Directories that a removal was killed before it came to; put makes its own under the same lock.
   Only below the one that the program's keys begin with: the root can be anybody's. */
static int sweep_empty(const struct kc_store *s, struct kc_err *err)
{
	_cleanup_free_ char *top = path_of(s, "clusters"), *used = path_of(s, ".lock");
	_cleanup_close_ int lock = -1;
	int r;

	if (!kc_exists(used)) /* nothing was ever removed; to open changes nothing */
		return 0;
	r = take_lock(s, 0, &lock, err);
	if (r == 0)
		nftw(top, remove_if_empty, 16, FTW_DEPTH | FTW_PHYS);
	return r == KC_ETIMEOUT ? 0 : r; /* somebody writes: the next one sweeps */
}

static int dir_open(const char *url, struct kc_store **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = kc_expand_home(url), *tmp = xasprintf("%s/.tmp", path);
	struct dir *d;
	int r;

	if (kc_mkdir_p(path, 0700, err) < 0 || kc_mkdir_p(tmp, 0700, err) < 0)
		return kc_wrap(err, "state directory %s", path);
	if (access(path, R_OK | W_OK | X_OK) < 0 || access(tmp, R_OK | W_OK | X_OK) < 0)
		return kc_fail_errno(err, errno, "state directory %s", path);
	sweep(path);
	d = xcalloc(1, sizeof(*d));
	d->base.type = &kc_store_dir;
	d->base.url = xasprintf("dir://%s", path);
	d->root = realpath(path, NULL);
	if (!d->root) {
		dir_close(&d->base);
		return kc_fail_errno(err, errno, "state directory %s", path);
	}
	r = sweep_empty(&d->base, err);
	if (r < 0) {
		dir_close(&d->base);
		return r;
	}
	*ret = &d->base;
	return 0;
}

static int sync_dir(const char *dir, struct kc_err *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	return 0;
}

/* The directories above path, each durable in its parent; then path's own parent in *ret_dir. */
static int make_parents(const struct kc_store *s, const char *path, char **ret_dir,
			struct kc_err *err)
{
	_cleanup_free_ char *p = xstrdup(path);
	size_t root = strlen(root_of(s));
	char *slash = p + root;
	int r;

	for (;;) {
		char *next = strchr(slash + 1, '/');

		if (!next)
			break;
		*next = '\0';
		if (mkdir(p, 0700) == 0) {
			*slash = '\0';
			r = sync_dir(p, err);
			if (r < 0)
				return r;
			*slash = '/';
		} else if (errno != EEXIST) {
			return kc_fail_errno(err, errno, "mkdir %s", p);
		}
		*next = '/';
		slash = next;
	}
	*slash = '\0';
	*ret_dir = TAKE(p);
	return 0;
}

static int dir_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		   char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, key);
	struct stat st;
	size_t len;
	char *data;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return kc_fail(err, KC_ENOTFOUND, "not found");
	r = kc_file_read(path, KC_STORE_MAX, &data, &len, err);
	if (r < 0)
		return r;
	kc_sha256(data, len, ret_etag);
	*ret_data = data;
	*ret_len = len;
	return 0;
}

/* Is the condition met? Under the lock. */
static int check_match(struct kc_store *s, const char *key, const char *if_match,
		       struct kc_err *err)
{
	_cleanup_free_ char *data = NULL;
	char etag[KC_STORE_ETAG];
	size_t len;
	int r;

	if (!if_match)
		return 0;
	r = dir_get(s, key, &data, &len, etag, err);
	if (r == KC_ENOTFOUND)
		return *if_match ? kc_store_conflict(if_match, false, err) : 0;
	if (r < 0)
		return r;
	return streq(etag, if_match) ? 0 : kc_store_conflict(if_match, true, err);
}

static int write_temp(const struct kc_store *s, const void *data, size_t len, char **ret_path,
		      int *ret_fd, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, ".tmp/XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC); /* 0600 */
	int r = 0;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	flock(fd, LOCK_EX | LOCK_NB);
	r = kc_write_all(fd, data, len, err);
	if (r == 0 && fsync(fd) < 0)
		r = kc_fail_errno(err, errno, "fsync %s", path);
	if (r < 0) {
		unlink(path);
		close(fd);
		return r;
	}
	*ret_path = TAKE(path);
	*ret_fd = fd;
	return 0;
}

/* Rename into place under the lock. 1: a sweep took the temporary file; write it again. */
static int move_in(struct kc_store *s, const char *key, const char *tmp, const char *if_match,
		   struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, key), *parent = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	r = take_lock(s, kc_store_dir_patience_ms, &lock, err);
	if (r < 0)
		return r;
	r = check_match(s, key, if_match, err);
	if (r < 0)
		return r;
	r = make_parents(s, path, &parent, err);
	if (r < 0)
		return r;
	if (rename(tmp, path) < 0)
		return errno == ENOENT && !kc_exists(tmp) ? 1
							  : kc_fail_errno(err, errno, "%s", path);
	return sync_dir(parent, err);
}

static int dir_put(struct kc_store *s, const char *key, const void *data, size_t len,
		   const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	char etag[KC_STORE_ETAG];
	int r = 1;

	kc_sha256(data, len, etag);
	for (int i = 0; r == 1 && i < 5; i++) {
		_cleanup_free_ char *tmp = NULL;
		_cleanup_close_ int fd = -1;

		r = write_temp(s, data, len, &tmp, &fd, err);
		if (r < 0)
			return r;
		r = move_in(s, key, tmp, if_match, err);
		if (r < 0)
			unlink(tmp);
	}
	if (r == 1)
		return kc_fail(err, KC_EFAIL, "somebody removes files from %s/.tmp", root_of(s));
	if (r == 0)
		memcpy(ret_etag, etag, sizeof(etag));
	return r;
}

/* Append the keys below dir (relative; "" is the root) that start with prefix. */
static int walk(const struct kc_store *s, const char *dir, const char *prefix, json_t *keys,
		struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, dir);
	struct dirent *e;
	DIR *d = opendir(path);
	int r = 0;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", path);
	while (r == 0 && (errno = 0, e = readdir(d))) {
		_cleanup_free_ char *key = xasprintf("%s%s%s", dir, *dir ? "/" : "", e->d_name);
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, 0) < 0) {
			/* Removed meanwhile; anything else would make the list look whole. */
			r = errno == ENOENT ? 0
					    : kc_fail_errno(err, errno, "%s/%s", path, e->d_name);
			continue;
		}
		if (S_ISDIR(st.st_mode)) {
			size_t n = strlen(key), m = strlen(prefix);

			if (strncmp(key, prefix, n < m ? n : m) == 0)
				r = walk(s, key, prefix, keys, err);
		} else if (kc_startswith(key, prefix)) {
			json_array_append_new(keys, json_string(key));
		}
	}
	if (r == 0 && errno)
		r = kc_fail_errno(err, errno, "listing %s", path);
	closedir(d);
	return r;
}

static int dir_list(struct kc_store *s, const char *prefix, json_t **ret_keys, struct kc_err *err)
{
	json_auto_t *keys = json_array();
	_cleanup_free_ char *start = xstrdup(prefix);
	char *slash = strrchr(start, '/');
	int r;

	*(slash ? slash : start) = '\0';
	r = walk(s, start, prefix, keys, err);
	if (r < 0)
		return r;
	kc_json_sort(keys);
	*ret_keys = TAKE(keys);
	return 0;
}

/* Not synced: what came back after a power cut is removed again by whoever wanted it gone. */
static int dir_remove(struct kc_store *s, const char *key, const char *if_match, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, key);
	_cleanup_close_ int lock = -1;
	int r;

	r = take_lock(s, kc_store_dir_patience_ms, &lock, err);
	if (r < 0)
		return r;
	if (!kc_exists(path))
		return 0;
	r = check_match(s, key, if_match, err);
	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return kc_fail_errno(err, errno, "%s", path);
	for (char *p = strrchr(path, '/'); p && p > path + strlen(root_of(s));
	     p = strrchr(path, '/')) {
		*p = '\0';
		if (rmdir(path) < 0)
			break;
	}
	return 0;
}

/* The clock of the file system: on NFS that is the server's, equal for all operators. */
static int dir_now(struct kc_store *s, int64_t *ret_ms, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(s, ".lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || futimens(fd, NULL) < 0 || fstat(fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	*ret_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return 0;
}

const struct kc_store_type kc_store_dir = {
	.scheme = "dir",
	.open = dir_open,
	.close = dir_close,
	.get = dir_get,
	.put = dir_put,
	.list = dir_list,
	.remove = dir_remove,
	.now = dir_now,
};
