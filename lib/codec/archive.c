#include "lib/codec/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

KC_DEFINE_CLEANUP(struct archive_entry *, archive_entry_free)
KC_DEFINE_CLEANUP(struct archive *, archive_read_free)

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

int kc_tar_open(const char *path, struct kc_tar **ret, struct kc_err *err)
{
	_cleanup_tar_ struct kc_tar *t = xcalloc(1, sizeof(*t));

	t->path = xstrdup(path);
	t->a = archive_write_new();
	if (!t->a)
		abort();
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

int kc_tar_add_file(struct kc_tar *t, const char *name, const char *src, mode_t mode,
		    struct kc_err *err)
{
	_cleanup_close_ int fd = open(src, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	size_t left;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", src);
	if (!S_ISREG(st.st_mode))
		return kc_fail(err, KC_EINVAL, "%s: not a regular file", src);
	left = (size_t)st.st_size;
	r = tar_header(t, name, S_IFREG | (mode & 07777), left, NULL, err);
	buf = xmalloc(1 << 18);
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

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_found(struct kc_tar *t, const char *name, const char *path, struct kc_err *err)
{
	char target[4096];
	struct stat st;
	ssize_t n;
	int r;

	if (lstat(path, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	if (S_ISREG(st.st_mode))
		return kc_tar_add_file(t, name, path, st.st_mode & 0111 ? 0755 : 0644, err);
	if (S_ISDIR(st.st_mode)) {
		r = kc_tar_add_dir(t, name, 0755, err);
		return r < 0 ? r : kc_tar_add_tree(t, name, path, err);
	}
	if (!S_ISLNK(st.st_mode))
		return kc_fail(err, KC_EINVAL, "%s: neither file, folder nor link", path);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return kc_fail_errno(err, errno, "%s", path);
	target[n] = '\0';
	return kc_tar_add_link(t, name, target, err);
}

int kc_tar_add_tree(struct kc_tar *t, const char *prefix, const char *dir, struct kc_err *err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, by_bytes), r = 0;

	if (n < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		const char *base = list[i]->d_name;

		if (r == 0 && !streq(base, ".") && !streq(base, "..")) {
			_cleanup_free_ char *path = xasprintf("%s/%s", dir, base);
			_cleanup_free_ char *name =
				*prefix ? xasprintf("%s/%s", prefix, base) : xstrdup(base);

			r = add_found(t, name, path, err);
		}
		free(list[i]);
	}
	free(list);
	return r;
}

/* Reading: what is left of the ceilings. */
struct walk {
	struct archive *a;
	const char *path;
	uint64_t bytes, entries;
};

static int walk_fail(const struct walk *w, struct kc_err *err)
{
	const char *why = archive_error_string(w->a);

	return kc_fail(err, KC_EINVAL, "%s: not a good archive: %s", w->path,
		       why ? why : "unreadable");
}

static int walk_open(struct walk *w, const char *path, const struct kc_archive_limits *limits,
		     struct kc_err *err)
{
	w->path = path;
	w->bytes = limits && limits->bytes ? limits->bytes : 1ULL << 30;
	w->entries = limits && limits->entries ? limits->entries : 100000;
	w->a = archive_read_new();
	if (!w->a)
		abort();
	if (access(path, R_OK) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	archive_read_support_format_tar(w->a);
	archive_read_support_format_zip(w->a);
	archive_read_support_filter_gzip(w->a);
	archive_read_support_filter_zstd(w->a);
	if (archive_read_open_filename(w->a, path, 1 << 16) != ARCHIVE_OK)
		return walk_fail(w, err);
	return 0;
}

/* The next entry, its name cleaned of "./" and a last "/": 1, 0 at the end, or an error. */
static int walk_next(struct walk *w, struct archive_entry **ret_e, char **ret_name,
		     struct kc_err *err)
{
	int r = archive_read_next_header(w->a, ret_e);
	const char *raw;
	char *name;
	size_t n;

	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return walk_fail(w, err);
	if (w->entries-- == 0)
		return kc_fail(err, KC_EINVAL, "%s: has more entries than allowed", w->path);
	raw = archive_entry_pathname(*ret_e);
	if (!raw)
		return kc_fail(err, KC_EINVAL, "%s: an entry without a name", w->path);
	while (raw[0] == '.' && raw[1] == '/')
		raw += 2;
	n = strlen(raw);
	if (n > 1 && raw[n - 1] == '/')
		n--;
	name = xstrndup(raw, n);
	if (n && !streq(name, ".") && !name_ok(name)) {
		r = kc_fail(err, KC_EINVAL, "%s: refusing the entry \"%.200s\": not a safe path",
			    w->path, name);
		free(name);
		return r;
	}
	*ret_name = name;
	return 1;
}

/* A piece of the entry's data: 1, 0 at its end, or an error. */
static int walk_data(struct walk *w, void *buf, size_t cap, size_t *ret, struct kc_err *err)
{
	la_ssize_t n = archive_read_data(w->a, buf, cap);

	if (n < 0)
		return walk_fail(w, err);
	if ((uint64_t)n > w->bytes)
		return kc_fail(err, KC_EINVAL, "%s: unpacks to more than allowed", w->path);
	w->bytes -= (uint64_t)n;
	*ret = (size_t)n;
	return n > 0;
}

/* Open name's folder below root without following any link; folders are made. */
static int open_parent(int root, const char *name, const char **ret_base, struct kc_err *err)
{
	int fd = dup(root);

	for (const char *p = name;;) {
		size_t n = strcspn(p, "/");
		_cleanup_free_ char *step = xstrndup(p, n);
		int sub;

		if (!p[n]) {
			*ret_base = p;
			return fd;
		}
		if (mkdirat(fd, step, 0755) < 0 && errno != EEXIST) {
			close(fd);
			return kc_fail_errno(err, errno, "%s", name);
		}
		sub = openat(fd, step, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		if (sub < 0)
			return kc_fail(err, KC_EINVAL,
				       "refusing \"%.200s\": its path leads through a link", name);
		fd = sub;
		p += n + 1;
	}
}

static int extract_file(struct walk *w, int dir, const char *base, mode_t perm, struct kc_err *err)
{
	_cleanup_close_ int fd =
		openat(dir, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       (perm & 0111) ? 0755 : 0644);
	_cleanup_free_ char *buf = xmalloc(1 << 18);
	size_t n = 0;
	int r;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", base);
	while ((r = walk_data(w, buf, 1 << 18, &n, err)) > 0) {
		r = kc_write_all(fd, buf, n, err);
		if (r < 0)
			break;
	}
	return r;
}

static int extract_entry(struct walk *w, int root, struct archive_entry *e, const char *name,
			 struct kc_err *err)
{
	_cleanup_close_ int dir = -1;
	const char *base = NULL, *target = archive_entry_symlink(e);
	mode_t type = archive_entry_filetype(e);

	dir = open_parent(root, name, &base, err);
	if (dir < 0)
		return dir;
	if (archive_entry_hardlink(e))
		return kc_fail(err, KC_EINVAL, "refusing \"%.200s\": a hard link", name);
	if (type == S_IFREG)
		return extract_file(w, dir, base, archive_entry_perm(e), err);
	if (type == S_IFDIR) {
		if (mkdirat(dir, base, 0755) < 0 && errno != EEXIST)
			return kc_fail_errno(err, errno, "%s", name);
		return 0;
	}
	if (type != S_IFLNK || !target)
		return kc_fail(err, KC_EINVAL, "refusing \"%.200s\": neither file, folder nor link",
			       name);
	if (symlinkat(target, dir, base) < 0)
		return kc_fail_errno(err, errno, "%s", name);
	return 0;
}

int kc_archive_extract(const char *path, const char *dir, const struct kc_archive_limits *limits,
		       struct kc_err *err)
{
	_cleanup_close_ int root = open(dir, O_DIRECTORY | O_CLOEXEC);
	_cleanup_(archive_read_freep) struct archive *a = NULL;
	struct archive_entry *e = NULL;
	struct walk w = { 0 };
	int r;

	if (root < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	r = walk_open(&w, path, limits, err);
	a = w.a;
	while (r >= 0) {
		_cleanup_free_ char *name = NULL;

		r = walk_next(&w, &e, &name, err);
		if (r <= 0)
			break;
		if (!*name || streq(name, "."))
			continue;
		r = extract_entry(&w, root, e, name, err);
		if (r < 0)
			return kc_wrap(err, "%s", path);
	}
	return r;
}

static int visit_entry(struct walk *w, struct archive_entry *e, const char *name, size_t max_data,
		       kc_archive_visit *visit, void *cookie, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf data = { .max = max_data + 1 };
	_cleanup_free_ char *chunk = xmalloc(1 << 16);
	bool keep =
		archive_entry_filetype(e) == S_IFREG && (uint64_t)archive_entry_size(e) <= max_data;
	size_t n = 0;
	int r;

	while ((r = walk_data(w, chunk, 1 << 16, &n, err)) > 0) {
		r = keep ? kc_buf_add(&data, chunk, n, err) : 0;
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	return visit(cookie, name, archive_entry_mode(e), keep ? kc_buf_get(&data) : NULL, data.len,
		     archive_entry_symlink(e), err);
}

int kc_archive_walk(const char *path, const struct kc_archive_limits *limits, size_t max_data,
		    kc_archive_visit *visit, void *cookie, struct kc_err *err)
{
	_cleanup_(archive_read_freep) struct archive *a = NULL;
	struct archive_entry *e = NULL;
	struct walk w = { 0 };
	int r;

	r = walk_open(&w, path, limits, err);
	a = w.a;
	while (r >= 0) {
		_cleanup_free_ char *name = NULL;

		r = walk_next(&w, &e, &name, err);
		if (r <= 0)
			break;
		r = visit_entry(&w, e, name, max_data, visit, cookie, err);
	}
	return r;
}
