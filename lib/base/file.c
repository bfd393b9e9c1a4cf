#include "lib/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

static int read_all(int fd, const char *path, size_t max, char **ret_text, size_t *ret_len,
		    struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf buf = { .max = max };
	char chunk[65536];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kc_fail_errno(err, errno, "%s", path);
		if (n == 0)
			break;
		if (kc_buf_add(&buf, chunk, (size_t)n, err) < 0)
			return kc_wrap(err, "%s", path);
	}
	if (ret_len)
		*ret_len = buf.len;
	*ret_text = kc_buf_steal(&buf);
	return 0;
}

int kc_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct kc_err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	return read_all(fd, path, max, ret_text, ret_len, err);
}

int kc_file_read_private(const char *path, size_t max, char **ret_text, size_t *ret_len,
			 struct kc_err *err)
{
	/* O_NONBLOCK: to open a FIFO would wait for its writer. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return kc_fail(err, KC_ENOTFOUND, "%s: there is no such key file", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return kc_fail(err, KC_EINVAL, "%s: a key file must be a file", path);
	if (st.st_mode & 077)
		return kc_fail(err, KC_EAUTH,
			       "%s: others may read or write this key file (mode %04o); close it "
			       "with: chmod 600 %s",
			       path, (unsigned)(st.st_mode & 07777), path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return kc_fail(err, KC_EAUTH,
			       "%s: this key file belongs to another user (uid %u); make it yours",
			       path, (unsigned)st.st_uid);
	return read_all(fd, path, max, ret_text, ret_len, err);
}

int kc_write_all(int fd, const void *data, size_t len, struct kc_err *err)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kc_fail_errno(err, errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_dir_of(const char *path, struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	const char *dir = dirname(copy);
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	return 0;
}

int kc_file_write(const char *path, const void *data, size_t len, mode_t mode, struct kc_err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_free_ char *tmp = xasprintf("%.*s.%s.XXXXXX", (int)(name - path), path, name);
	_cleanup_close_ int fd = mkostemp(tmp, O_CLOEXEC);
	int r;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	r = fchmod(fd, mode) < 0 ? kc_fail_errno(err, errno, "%s", tmp)
				 : kc_write_all(fd, data, len, err);
	if (r < 0)
		kc_wrap(err, "%s", path);
	if (r == 0 && fsync(fd) < 0)
		r = kc_fail_errno(err, errno, "fsync %s", tmp);
	if (r == 0 && rename(tmp, path) < 0)
		r = kc_fail_errno(err, errno, "%s", path);
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	return sync_dir_of(path, err);
}

int kc_file_publish(const char *tmp, const char *path, struct kc_err *err)
{
	_cleanup_close_ int fd = open(tmp, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0 || rename(tmp, path) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	return sync_dir_of(path, err);
}

int kc_mkdir_p(const char *path, mode_t mode, struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(path);

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return kc_fail_errno(err, errno, "mkdir %s", copy);
		if (!c)
			return 0;
		*p = c;
	}
}

static int rm_at(int parent, const char *name, dev_t dev, struct kc_err *err)
{
	struct stat st;
	struct dirent *e;
	DIR *d;
	int fd, r = 0;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : kc_fail_errno(err, errno, "%s", name);
	if (!S_ISDIR(st.st_mode)) {
		if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
			return kc_fail_errno(err, errno, "rm %s", name);
		return 0;
	}
	if (st.st_dev != dev)
		return kc_fail(err, KC_EFAIL, "%s is a mount point", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : kc_fail_errno(err, errno, "%s", name);
	d = fdopendir(fd);
	while (r == 0 && (e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			r = rm_at(dirfd(d), e->d_name, dev, err);
	closedir(d);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = kc_fail_errno(err, errno, "rmdir %s", name);
	return r;
}

int kc_rm_rf(const char *path, struct kc_err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", path);
	if (rm_at(AT_FDCWD, path, st.st_dev, err) < 0)
		return kc_wrap(err, "removing %s", path);
	return 0;
}

bool kc_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

char *kc_expand_home(const char *path)
{
	const char *home = getenv("HOME");

	if (kc_startswith(path, "~/") && home)
		return xasprintf("%s%s", home, path + 1);
	return xstrdup(path);
}

char *kc_cache_dir(void)
{
	const char *cache = getenv("XDG_CACHE_HOME");

	/* The specification says: one that is not absolute is to be ignored. */
	if (cache && *cache == '/')
		return xasprintf("%s/kubecdn", cache);
	return kc_expand_home("~/.cache/kubecdn");
}
