#include "lib/codec/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/str.h"

KC_DEFINE_CLEANUP(struct archive_entry *, archive_entry_free)

struct kc_tar {
	struct archive *a;
	char *path;
	char **dirs; /* folders that have an entry */
	size_t n_dirs;
};

static int tar_fail(struct kc_tar *t, const char *name, struct kc_err *err)
{
	const char *why = archive_error_string(t->a);

	return kc_fail(err, KC_EFAIL, "%s: writing %s: %s", t->path, name, why ? why : "failed");
}

static struct kc_tar *tar_new(const char *path)
{
	struct kc_tar *t = xcalloc(1, sizeof(*t));

	t->path = xstrdup(path);
	t->a = archive_write_new();
	if (!t->a)
		abort();
	return t;
}

int kc_tar_open(const char *path, struct kc_tar **ret, struct kc_err *err)
{
	_cleanup_tar_ struct kc_tar *t = tar_new(path);

	/* ustar headers, with a pax header only where one is needed. */
	if (archive_write_set_format_pax_restricted(t->a) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(t->a, 512) != ARCHIVE_OK ||
	    archive_write_open_filename(t->a, path) != ARCHIVE_OK)
		return tar_fail(t, "its start", err);
	*ret = TAKE(t);
	return 0;
}

void kc_tar_free(struct kc_tar *t)
{
	if (!t)
		return;
	if (t->a)
		archive_write_free(t->a);
	for (size_t i = 0; i < t->n_dirs; i++)
		free(t->dirs[i]);
	free(t->dirs);
	free(t->path);
	free(t);
}

int kc_tar_close(struct kc_tar *t, struct kc_err *err)
{
	int r = archive_write_close(t->a) == ARCHIVE_OK ? 0 : tar_fail(t, "its end", err);

	kc_tar_free(t);
	return r;
}

/* Relative, no empty, "." or ".." step. */
static bool name_ok(const char *name)
{
	if (!*name || *name == '/' || strlen(name) > 4000)
		return false;
	for (const char *p = name;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

static struct archive_entry *entry_new(const char *name, mode_t mode, size_t size)
{
	struct archive_entry *e = archive_entry_new();

	if (!e)
		abort();
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, mode);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	return e;
}

int kc_tar_add_dir(struct kc_tar *t, const char *name, mode_t mode, struct kc_err *err)
{
	_cleanup_(archive_entry_freep) struct archive_entry *e = NULL;
	const char *slash = strrchr(name, '/');
	int r;

	if (!name_ok(name))
		return kc_fail(err, KC_EINVAL, "%s: not a name for an archive: %s", t->path, name);
	for (size_t i = 0; i < t->n_dirs; i++)
		if (streq(t->dirs[i], name))
			return 0;
	if (slash) {
		_cleanup_free_ char *parent = xstrndup(name, (size_t)(slash - name));

		r = kc_tar_add_dir(t, parent, 0755, err);
		if (r < 0)
			return r;
	}
	t->dirs = xrealloc(t->dirs, (t->n_dirs + 1) * sizeof(*t->dirs));
	t->dirs[t->n_dirs++] = xstrdup(name);
	e = entry_new(name, S_IFDIR | (mode & 07777), 0);
	return archive_write_header(t->a, e) == ARCHIVE_OK ? 0 : tar_fail(t, name, err);
}

/* The header of name, its folders first. */
static int tar_header(struct kc_tar *t, const char *name, mode_t mode, size_t size,
		      const char *target, struct kc_err *err)
{
	_cleanup_(archive_entry_freep) struct archive_entry *e = NULL;
	const char *slash = strrchr(name, '/');
	int r;

	if (!name_ok(name))
		return kc_fail(err, KC_EINVAL, "%s: not a name for an archive: %s", t->path, name);
	if (slash) {
		_cleanup_free_ char *parent = xstrndup(name, (size_t)(slash - name));

		r = kc_tar_add_dir(t, parent, 0755, err);
		if (r < 0)
			return r;
	}
	e = entry_new(name, mode, size);
	if (target)
		archive_entry_set_symlink(e, target);
	return archive_write_header(t->a, e) == ARCHIVE_OK ? 0 : tar_fail(t, name, err);
}

static int tar_data(struct kc_tar *t, const char *name, const void *data, size_t len,
		    struct kc_err *err)
{
	return archive_write_data(t->a, data, len) == (la_ssize_t)len ? 0 : tar_fail(t, name, err);
}

int kc_tar_add_data(struct kc_tar *t, const char *name, const void *data, size_t len, mode_t mode,
		    struct kc_err *err)
{
	int r = tar_header(t, name, S_IFREG | (mode & 07777), len, NULL, err);

	return r < 0 || !len ? r : tar_data(t, name, data, len, err);
}

int kc_tar_add_link(struct kc_tar *t, const char *name, const char *target, struct kc_err *err)
{
	return tar_header(t, name, S_IFLNK | 0777, 0, target, err);
}

static int open_file(const char *src, int *ret_fd, size_t *ret_size, struct kc_err *err)
{
	_cleanup_close_ int fd = open(src, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", src);
	if (!S_ISREG(st.st_mode))
		return kc_fail(err, KC_EINVAL, "%s: not a regular file", src);
	*ret_size = (size_t)st.st_size;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* left bytes of the file src, open as fd, as the data of the entry name. */
static int copy_file(struct kc_tar *t, const char *name, const char *src, int fd, size_t left,
		     struct kc_err *err)
{
	_cleanup_free_ char *buf = xmalloc(1 << 18);
	int r = 0;

	while (r == 0 && left) {
		ssize_t n = read(fd, buf, left < 1 << 18 ? left : 1 << 18);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return kc_fail(err, KC_EFAIL, "%s: shrank while it was read", src);
		r = tar_data(t, name, buf, (size_t)n, err);
		left -= (size_t)n;
	}
	return r;
}

int kc_tar_add_file(struct kc_tar *t, const char *name, const char *src, mode_t mode,
		    struct kc_err *err)
{
	_cleanup_close_ int fd = -1;
	size_t size;
	int r = open_file(src, &fd, &size, err);

	if (r == 0)
		r = tar_header(t, name, S_IFREG | (mode & 07777), size, NULL, err);
	return r < 0 ? r : copy_file(t, name, src, fd, size, err);
}

int kc_gzip_file(const char *src, const char *dst, struct kc_err *err)
{
	_cleanup_(archive_entry_freep) struct archive_entry *e = NULL;
	_cleanup_tar_ struct kc_tar *t = NULL;
	_cleanup_close_ int fd = -1;
	size_t size;
	int r = open_file(src, &fd, &size, err);

	if (r < 0)
		return r;
	t = tar_new(dst);
	e = entry_new("data", S_IFREG | 0644, size);
	if (archive_write_set_format_raw(t->a) != ARCHIVE_OK ||
	    archive_write_add_filter_gzip(t->a) != ARCHIVE_OK ||
	    archive_write_set_options(t->a, "gzip:!timestamp") != ARCHIVE_OK ||
	    archive_write_open_filename(t->a, dst) != ARCHIVE_OK ||
	    archive_write_header(t->a, e) != ARCHIVE_OK)
		return tar_fail(t, "its start", err);
	r = copy_file(t, src, src, fd, size, err);
	return r < 0 ? r : kc_tar_close(TAKE(t), err);
}
