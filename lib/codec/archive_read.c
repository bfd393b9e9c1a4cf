#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"

enum { ENTRIES_MAX = 100000, BLOCK = 1 << 18 };

KC_DEFINE_CLEANUP(struct archive *, archive_read_free)

static int bad(struct archive *a, const char *archive, struct kc_err *err)
{
	const char *why = archive_error_string(a);

	return kc_fail(err, KC_EINVAL, "%s: not a whole archive: %s", archive, why ? why : "?");
}

static int open_archive(const char *path, struct archive **ret, struct kc_err *err)
{
	_cleanup_(archive_read_freep) struct archive *a = archive_read_new();

	if (!a)
		abort();
	if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_open_filename(a, path, BLOCK) != ARCHIVE_OK)
		return bad(a, path, err);
	*ret = TAKE(a);
	return 0;
}

/* The entry of this name; links and directories of the name do not count as it. */
static int find(struct archive *a, const char *archive, const char *name, struct kc_err *err)
{
	for (int i = 0; i < ENTRIES_MAX; i++) {
		struct archive_entry *e;
		int r = archive_read_next_header(a, &e);
		const char *is;

		if (r == ARCHIVE_EOF)
			return kc_fail(err, KC_ENOTFOUND, "%s: no %s in it", archive, name);
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return bad(a, archive, err);
		is = archive_entry_pathname(e);
		if (!is || !streq(kc_startswith(is, "./") ? is + 2 : is, name))
			continue;
		if (archive_entry_filetype(e) != S_IFREG || archive_entry_hardlink(e))
			return kc_fail(err, KC_EINVAL, "%s: %s is not a regular file", archive,
				       name);
		return 0;
	}
	return kc_fail(err, KC_EINVAL, "%s: more than %d entries", archive, ENTRIES_MAX);
}

static int copy_out(struct archive *a, const char *archive, int fd, uint64_t max,
		    struct kc_err *err)
{
	_cleanup_free_ char *buf = xmalloc(BLOCK);
	uint64_t size = 0;

	for (;;) {
		la_ssize_t n = archive_read_data(a, buf, BLOCK);
		int r;

		if (n == 0)
			return 0;
		if (n < 0)
			return bad(a, archive, err);
		size += (uint64_t)n;
		if (size > max)
			return kc_fail(err, KC_EINVAL,
				       "%s: unpacks to more than the %" PRIu64 " bytes allowed",
				       archive, max);
		r = kc_write_all(fd, buf, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

int kc_archive_take(const char *archive, const char *name, const char *path, uint64_t max,
		    struct kc_err *err)
{
	_cleanup_(archive_read_freep) struct archive *a = NULL;
	_cleanup_close_ int fd = -1;
	int r = open_archive(archive, &a, err);

	if (r == 0)
		r = find(a, archive, name, err);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	r = copy_out(a, archive, fd, max, err);
	if (r < 0)
		unlink(path);
	return r;
}
