#include "bootstrap/bundle/internal.h"

#include <fcntl.h>
#include <errno.h>
#include <sys/stat.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/hash.h"

static int hash_piece(void *cookie, const void *data, size_t len, struct kc_err *err)
{
	kc_sha256_update(cookie, data, len);
	return 0;
}

/* The content's hash and size, as the node agent will find them. */
static int check_content(const char *path, const json_t *blob, struct kc_err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t size = kc_json_get_int(blob, "size", 0);
	struct kc_sha256_stream *s;
	char hash[KC_SHA256_HEX];
	uint64_t total = 0;
	int r;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	s = kc_sha256_new();
	r = kc_zstd_decompress(fd, path, (uint64_t)size, hash_piece, s, &total, err);
	kc_sha256_finish(s, hash);
	if (r < 0)
		return r;
	if (total != (uint64_t)size || !streq(hash, kc_json_get_str(blob, "sha256", "")))
		return kc_fail(err, KC_EINVAL, "unpacks to SHA-256 %s, bundle.json says %s", hash,
			       kc_json_get_str(blob, "sha256", ""));
	return 0;
}

/* Changes whenever a file's content may have changed. Owned. */
static char *stamp_of(const struct stat *st)
{
	return xasprintf("%ju %ju %jd %jd.%09ld %jd.%09ld", (uintmax_t)st->st_dev,
			 (uintmax_t)st->st_ino, (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
			 st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static int check_packed(const char *path, const char *sha256, json_t *known, struct kc_err *err)
{
	_cleanup_free_ char *stamp = NULL;
	char hash[KC_SHA256_HEX];
	struct stat st;
	int r;

	/* Before the file is read: if it changes meanwhile, the stamp is an old one. */
	if (stat(path, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	stamp = stamp_of(&st);
	if (streq(kc_json_get_str(known, sha256, ""), stamp))
		return 0;
	r = kc_sha256_file(path, hash, NULL, err);
	if (r < 0)
		return r;
	if (!streq(hash, sha256))
		return kc_fail(err, KC_EINVAL,
			       "blob %s: %s is damaged, its SHA-256 is %s: rebuild or copy the "
			       "bundle again",
			       sha256, path, hash);
	if (known)
		json_object_set_new(known, sha256, json_string(stamp));
	return 0;
}

int kc_bundle_check(const struct kc_bundle *b, const char *sha256, json_t *known,
		    struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	int r = kc_bundle_blob(b, sha256, &path, err);

	return r < 0 ? r : check_packed(path, sha256, known, err);
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
	_cleanup_free_ char *path = NULL;
	struct verify *v = cookie;
	int r;

	if (v->cancel && atomic_load(v->cancel))
		return kc_fail(err, KC_ECANCELED, "stopped");
	if (v->progress)
		v->progress(v->cookie, who);
	r = kc_bundle_blob(v->b, want, &path, err);
	if (r < 0)
		return r;
	r = check_packed(path, want, NULL, err);
	if (r < 0)
		return kc_wrap(err, "%s", who);
	r = check_content(path, blob, err);
	if (r < 0)
		return kc_wrap(err, "blob %s (%s)", want, who);
	return 0;
}

int kc_bundle_verify(const char *dir, kc_bundle_progress *progress, void *cookie,
		     const atomic_bool *cancel, struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	struct verify v = { .progress = progress, .cookie = cookie, .cancel = cancel };
	int r;

	r = kc_bundle_open(dir, &b, err);
	if (r < 0)
		return r;
	v.b = b;
	return kc_bundle_each(b, check_one, &v, err);
}
