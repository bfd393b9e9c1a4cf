#include "bootstrap/bundle/internal.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

/* A path below the node's binary directory: it must not lead out of it. */
static bool path_ok(const char *path)
{
	if (!*path || *path == '/' || strlen(path) > 255)
		return false;
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || *p == '.')
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

static bool mode_ok(const char *mode)
{
	return strlen(mode) == 4 && mode[0] == '0' && strspn(mode, "01234567") == 4;
}

/* What files and images have in common: hashes and sizes. */
static int check_blob(const json_t *o, const char *who, struct kc_err *err)
{
	static const char *const sizes[] = { "size", "blobSize" };
	static const char *const hashes[] = { "sha256", "blob" };
	const char *hash;
	int64_t size;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		r = kc_json_str(o, who, hashes[i], &hash, err);
		if (r < 0)
			return r;
		if (!kc_is_sha256(hash))
			return kc_fail(err, KC_EINVAL, "%s: %s is not a SHA-256: \"%.80s\"", who,
				       hashes[i], hash);
		r = kc_json_int(o, who, sizes[i], &size, err);
		if (r < 0)
			return r;
		if (size < 0 || (uint64_t)size > KC_BUNDLE_FILE_MAX)
			return kc_fail(err, KC_EINVAL, "%s: %s is out of range: %" PRId64, who,
				       sizes[i], size);
	}
	return 0;
}

static int check_file(const json_t *blob, const char *component, struct kc_err *err)
{
	const char *path, *mode;
	int r;

	r = kc_json_str(blob, component, "path", &path, err);
	if (r == 0)
		r = kc_json_str(blob, path, "mode", &mode, err);
	if (r == 0)
		r = check_blob(blob, path, err);
	if (r < 0)
		return r;
	if (!path_ok(path))
		return kc_fail(err, KC_EINVAL, "%s: not a safe path: \"%.80s\"", component, path);
	if (!mode_ok(mode))
		return kc_fail(err, KC_EINVAL, "%s: not a mode: \"%.80s\"", path, mode);
	return 0;
}

static int check_component(const json_t *c, struct kc_err *err)
{
	const json_t *blobs, *blob, *target;
	const char *name, *version, *link;
	size_t i;
	int r;

	r = kc_json_str(c, "components", "name", &name, err);
	if (r == 0)
		r = kc_json_str(c, name, "version", &version, err);
	if (r == 0)
		r = kc_json_arr(c, name, "blobs", &blobs, err);
	if (r < 0)
		return r;
	json_array_foreach(blobs, i, blob) {
		r = check_file(blob, name, err);
		if (r < 0)
			return r;
	}
	json_object_foreach(json_object_get(c, "links"), link, target)
		if (!path_ok(link) || !json_is_string(target) ||
		    !path_ok(json_string_value(target)))
			return kc_fail(err, KC_EINVAL, "%s: not a safe link: \"%.80s\"", name,
				       link);
	return 0;
}

static int check_images(const json_t *b, struct kc_err *err)
{
	const json_t *images, *image;
	const char *name, *ref, *digest;
	int r;

	r = kc_json_obj(b, "bundle.json", "images", &images, err);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)images, name, image) {
		r = kc_json_str(image, name, "ref", &ref, err);
		if (r == 0)
			r = kc_json_str(image, name, "digest", &digest, err);
		if (r == 0)
			r = check_blob(image, name, err);
		if (r < 0)
			return r;
		if (!kc_startswith(digest, "sha256:") || !kc_is_sha256(digest + 7))
			return kc_fail(err, KC_EINVAL, "%s: not a digest: \"%.80s\"", name, digest);
	}
	return 0;
}

static int check(const json_t *b, struct kc_err *err)
{
	const json_t *components, *c;
	const char *version, *arch;
	int64_t format;
	size_t i;
	int r;

	r = kc_json_int(b, "bundle.json", "format", &format, err);
	if (r < 0)
		return r;
	if (format != 1)
		return kc_fail(err, KC_EINVAL,
			       "bundle.json has format %" PRId64 ", this kubecdn reads format 1: "
			       "rebuild the bundle with this version",
			       format);
	r = kc_json_str(b, "bundle.json", "kubernetes", &version, err);
	if (r == 0)
		r = kc_json_str(b, "bundle.json", "arch", &arch, err);
	if (r == 0)
		r = kc_json_arr(b, "bundle.json", "components", &components, err);
	if (r < 0)
		return r;
	json_array_foreach(components, i, c) {
		r = check_component(c, err);
		if (r < 0)
			return r;
	}
	return check_images(b, err);
}

int kc_bundle_parse(const char *text, size_t len, const char *path, json_t **ret,
		    struct kc_err *err)
{
	json_auto_t *b = NULL;
	int r = kc_json_parse(text, len, path, &b, err);

	if (r == 0)
		r = check(b, err);
	if (r == 0)
		*ret = TAKE(b);
	return r;
}

const json_t *kc_bundle_json(const struct kc_bundle *b)
{
	return b->json;
}

const char *kc_bundle_version(const struct kc_bundle *b)
{
	return kc_json_get_str(b->json, "kubernetes", "");
}

const char *kc_bundle_arch(const struct kc_bundle *b)
{
	return kc_json_get_str(b->json, "arch", "");
}

const json_t *kc_bundle_image(const struct kc_bundle *b, const char *name)
{
	return json_object_get(json_object_get(b->json, "images"), name);
}

int kc_bundle_each(const struct kc_bundle *b, kc_blob_fn *fn, void *cookie, struct kc_err *err)
{
	const json_t *c, *blob;
	const char *name;
	size_t i, k;
	int r = 0;

	json_array_foreach(json_object_get(b->json, "components"), i, c)
		json_array_foreach(json_object_get(c, "blobs"), k, blob) {
			_cleanup_free_ char *who =
				xasprintf("%s/%s", kc_json_get_str(c, "name", ""),
					  kc_json_get_str(blob, "path", ""));

			r = fn(cookie, who, blob, err);
			if (r < 0)
				return r;
		}
	json_object_foreach(json_object_get(b->json, "images"), name, blob) {
		_cleanup_free_ char *who = xasprintf("image %s", name);

		r = fn(cookie, who, blob, err);
		if (r < 0)
			return r;
	}
	return 0;
}
