/* Where a bundle is: a directory, one file, or a URL; and where the bytes of its blobs are then. */
#include "bootstrap/bundle/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

void kc_bundle_close(struct kc_bundle *b)
{
	if (!b)
		return;
	kc_bundle_remote_close(b->remote);
	json_decref(b->index);
	json_decref(b->json);
	free(b->text);
	free(b->dir);
	free(b->where);
	free(b);
}

void kc_blob_place_done(struct kc_blob_place *p)
{
	free(p->path);
	free(p->who);
}

static int open_dir(struct kc_bundle *b, char **ret_text, size_t *ret_len, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/bundle.json", b->where);

	if (!kc_exists(path))
		return kc_fail(err, KC_ENOTFOUND,
			       "no bundle in %s: make one with `kubecdn bundle build`", b->where);
	b->dir = xasprintf("%s/blobs/sha256", b->where);
	return kc_file_read(path, KC_BUNDLE_JSON_MAX, ret_text, ret_len, err);
}

static int open_where(struct kc_bundle *b, const char *authfile, char **ret_text, size_t *ret_len,
		      struct kc_err *err)
{
	struct stat st;
	int r;

	if (kc_startswith(b->where, "https://") || kc_startswith(b->where, "http://")) {
		r = kc_bundle_remote_open(b->where, authfile, &b->remote, ret_text, ret_len, err);
		if (r == 0)
			b->dir = xstrdup(kc_bundle_remote_dir(b->remote));
		return r;
	}
	if (stat(b->where, &st) == 0 && S_ISREG(st.st_mode))
		return kc_bundle_tar_open(b->where, &b->index, ret_text, ret_len, err);
	return open_dir(b, ret_text, ret_len, err);
}

int kc_bundle_open(const char *where, const char *authfile, struct kc_bundle **ret,
		   struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *b = xcalloc(1, sizeof(*b));
	int r;

	b->where = kc_expand_home(where);
	r = open_where(b, authfile, &b->text, &b->len, err);
	if (r < 0)
		return r;
	kc_sha256(b->text, b->len, b->sha256);
	r = kc_bundle_parse(b->text, b->len, "bundle.json", &b->json, err);
	if (r < 0)
		return kc_wrap(err, "the bundle in %s is not usable", where);
	*ret = TAKE(b);
	return 0;
}

struct search {
	const char *sha256;
	const json_t *found;
	char *who;
};

static int match(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	struct search *s = cookie;

	if (!s->found && streq(kc_json_get_str(blob, "blob", ""), s->sha256)) {
		s->found = blob;
		s->who = xstrdup(who);
	}
	return 0;
}

static int wrong_size(const struct kc_blob_place *p, const char *sha256, intmax_t is,
		      struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL,
		       "blob %s (%s): %s has %jd bytes instead of %" PRIu64
		       ": rebuild or copy the bundle again",
		       sha256, p->who, p->path, is, p->size);
}

static int in_file(const struct kc_bundle *b, const char *sha256, struct kc_blob_place *p,
		   struct kc_err *err)
{
	const json_t *at = json_object_get(b->index, sha256);
	json_int_t size = json_integer_value(json_array_get(at, 1));

	p->path = xstrdup(b->where);
	if (!at)
		return kc_fail(err, KC_ENOTFOUND,
			       "blob %s (%s): not in %s: rebuild or copy the bundle again", sha256,
			       p->who, p->path);
	p->offset = (off_t)json_integer_value(json_array_get(at, 0));
	return (uint64_t)size == p->size ? 0 : wrong_size(p, sha256, (intmax_t)size, err);
}

static int in_dir(const struct kc_bundle *b, const char *sha256, struct kc_blob_place *p,
		  struct kc_err *err)
{
	struct stat st;
	int r = b->remote ? kc_bundle_remote_get(b->remote, sha256, p->size, err) : 0;

	if (r < 0)
		return kc_wrap(err, "blob %s (%s)", sha256, p->who);
	p->path = xasprintf("%s/%s", b->dir, sha256);
	if (stat(p->path, &st) < 0)
		return kc_fail(err, errno == ENOENT ? KC_ENOTFOUND : KC_EFAIL,
			       "blob %s (%s): %s: %s: rebuild or copy the bundle again", sha256,
			       p->who, p->path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != p->size)
		return wrong_size(p, sha256, (intmax_t)st.st_size, err);
	return 0;
}

int kc_bundle_locate(const struct kc_bundle *b, const char *sha256, struct kc_blob_place *ret,
		     struct kc_err *err)
{
	_cleanup_place_ struct kc_blob_place p = { 0 };
	struct search s = { .sha256 = sha256 };
	int r;

	kc_bundle_each(b, match, &s, NULL);
	p.who = s.who;
	if (!s.found)
		return kc_fail(err, KC_ENOTFOUND, "the bundle in %s lists no blob %s", b->where,
			       sha256);
	p.size = (uint64_t)kc_json_get_int(s.found, "blobSize", 0);
	r = b->index ? in_file(b, sha256, &p, err) : in_dir(b, sha256, &p, err);
	if (r < 0)
		return r;
	*ret = p;
	p = (struct kc_blob_place){ 0 };
	return 0;
}
