#include "bootstrap/bundle/internal.h"

#include <fcntl.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/hash.h"

static int hash_piece(void *cookie, const void *data, size_t len, struct kc_err *err)
{
	kc_sha256_update(cookie, data, len);
	return 0;
}

static int open_place(const struct kc_blob_place *p, int *ret, struct kc_err *err)
{
	_cleanup_close_ int fd = open(p->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || lseek(fd, p->offset, SEEK_SET) < 0)
		return kc_fail_errno(err, errno, "%s", p->path);
	*ret = fd;
	fd = -1;
	return 0;
}

int kc_bundle_blob(const struct kc_bundle *b, const char *sha256, int *ret_fd, uint64_t *ret_size,
		   struct kc_err *err)
{
	_cleanup_place_ struct kc_blob_place p = { 0 };
	int r = kc_bundle_locate(b, sha256, &p, err);

	if (r == 0)
		r = open_place(&p, ret_fd, err);
	if (r == 0)
		*ret_size = p.size;
	return r;
}

/* The content's hash and size, as the node agent will find them. */
static int check_content(const struct kc_blob_place *p, const json_t *blob, struct kc_err *err)
{
	int64_t size = kc_json_get_int(blob, "size", 0);
	struct kc_sha256_stream *s;
	_cleanup_close_ int fd = -1;
	char hash[KC_SHA256_HEX];
	uint64_t total = 0;
	int r = open_place(p, &fd, err);

	if (r < 0)
		return r;
	s = kc_sha256_new();
	r = kc_zstd_decompress_part(fd, p->size, p->path, (uint64_t)size, hash_piece, s, &total,
				    err);
	kc_sha256_finish(s, hash);
	if (r < 0)
		return r;
	if (total != (uint64_t)size || !streq(hash, kc_json_get_str(blob, "sha256", "")))
		return kc_fail(err, KC_EINVAL, "unpacks to SHA-256 %s, bundle.json says %s", hash,
			       kc_json_get_str(blob, "sha256", ""));
	return 0;
}

static int hash_place(const struct kc_blob_place *p, char hash[KC_SHA256_HEX], struct kc_err *err)
{
	_cleanup_free_ char *buf = xmalloc(1 << 18);
	struct kc_sha256_stream *s;
	_cleanup_close_ int fd = -1;
	uint64_t left = p->size;
	int r = open_place(p, &fd, err);

	if (r < 0)
		return r;
	s = kc_sha256_new();
	while (r == 0 && left) {
		ssize_t n = read(fd, buf, left < 1 << 18 ? (size_t)left : 1 << 18);

		if (n <= 0)
			r = kc_fail_errno(err, n < 0 ? errno : EIO, "reading %s", p->path);
		else
			kc_sha256_update(s, buf, (size_t)n);
		left -= n > 0 ? (uint64_t)n : 0;
	}
	kc_sha256_finish(s, hash);
	return r;
}

/* Changes whenever a file's content may have changed. Owned. */
static char *stamp_of(const struct stat *st, off_t offset)
{
	return xasprintf("%ju %ju %jd %jd.%09ld %jd.%09ld %jd", (uintmax_t)st->st_dev,
			 (uintmax_t)st->st_ino, (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
			 st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec,
			 (intmax_t)offset);
}

static int check_packed(const struct kc_blob_place *p, const char *sha256, json_t *known,
			struct kc_err *err)
{
	_cleanup_free_ char *stamp = NULL;
	char hash[KC_SHA256_HEX];
	struct stat st;
	int r;

	/* Before the file is read: if it changes meanwhile, the stamp is an old one. */
	if (stat(p->path, &st) < 0)
		return kc_fail_errno(err, errno, "%s", p->path);
	stamp = stamp_of(&st, p->offset);
	if (streq(kc_json_get_str(known, sha256, ""), stamp))
		return 0;
	r = hash_place(p, hash, err);
	if (r < 0)
		return r;
	if (!streq(hash, sha256))
		return kc_fail(err, KC_EINVAL,
			       "blob %s: %s is damaged, its SHA-256 is %s: rebuild or copy the "
			       "bundle again",
			       sha256, p->path, hash);
	if (known)
		json_object_set_new(known, sha256, json_string(stamp));
	return 0;
}

int kc_bundle_check(const struct kc_bundle *b, const char *sha256, json_t *known,
		    struct kc_err *err)
{
	_cleanup_place_ struct kc_blob_place p = { 0 };
	int r = kc_bundle_locate(b, sha256, &p, err);

	return r < 0 ? r : check_packed(&p, sha256, known, err);
}

struct verify {
	const struct kc_bundle *b;
	kc_bundle_progress *progress;
	void *cookie;
	const atomic_bool *cancel;
};

static int check_one(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	const char *want = kc_json_get_str(blob, "blob", "");
	_cleanup_place_ struct kc_blob_place p = { 0 };
	struct verify *v = cookie;
	int r;

	if (v->cancel && atomic_load(v->cancel))
		return kc_fail(err, KC_ECANCELED, "stopped");
	if (v->progress)
		v->progress(v->cookie, who);
	r = kc_bundle_locate(v->b, want, &p, err);
	if (r < 0)
		return r;
	r = check_packed(&p, want, NULL, err);
	if (r < 0)
		return kc_wrap(err, "%s", who);
	r = check_content(&p, blob, err);
	if (r < 0)
		return kc_wrap(err, "blob %s (%s)", want, who);
	return 0;
}

int kc_bundle_verify(const char *where, const char *authfile, kc_bundle_progress *progress,
		     void *cookie, const atomic_bool *cancel, struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	struct verify v = { .progress = progress, .cookie = cookie, .cancel = cancel };
	int r;

	r = kc_bundle_open(where, authfile, &b, err);
	if (r < 0)
		return r;
	v.b = b;
	return kc_bundle_each(b, check_one, &v, err);
}
