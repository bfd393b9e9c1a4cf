#include "bootstrap/bundle/internal.h"

#include <fcntl.h>
#include <errno.h>

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
	char hash[KC_SHA256_HEX];
	int r;

	if (v->cancel && atomic_load(v->cancel))
		return kc_fail(err, KC_ECANCELED, "stopped");
	if (v->progress)
		v->progress(v->cookie, who);
	r = kc_bundle_blob(v->b, want, &path, err);
	if (r == 0)
		r = kc_sha256_file(path, hash, NULL, err);
	if (r < 0)
		return r;
	if (!streq(hash, want))
		return kc_fail(err, KC_EINVAL,
			       "blob %s (%s): %s is damaged, its SHA-256 is %s: rebuild or copy "
			       "the "
			       "bundle again",
			       want, who, path, hash);
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
