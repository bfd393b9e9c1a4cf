#include "lib/net/registry.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution.manifest."

enum { MANIFEST_MAX = 4 << 20, LAYERS_MAX = 256 };
#define LAYER_MAX (4ULL << 30)

static const char *const indexes[] = { OCI "index.v1+json", DOCKER "list.v2+json" };
static const char *const manifests[] = { OCI "manifest.v1+json", DOCKER "v2+json" };

struct pull {
	struct kc_fetch *f;
	const char *ref, *arch, *dir;
	char *api;    /* https://host/v2/repository */
	char *space;  /* what a token is for */
	char *tag;    /* or NULL */
	char *digest; /* of the name, "sha256:…"; or NULL */
};

static void pull_done(struct pull *p)
{
	free(p->api);
	free(p->space);
	free(p->tag);
	free(p->digest);
}

static bool only(const char *s, const char *marks)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(marks, *s))
			return false;
	return true;
}

static bool repository_ok(const char *s)
{
	return *s && *s != '/' && !kc_endswith(s, "/") && strlen(s) < 256 && only(s, "._-/") &&
	       !strstr(s, "//") && !strstr(s, "..");
}

static bool digest_ok(const char *s)
{
	return kc_startswith(s, "sha256:") && kc_is_sha256(s + 7);
}

/* The API's URL of a repository: a mirror's path comes between /v2 and it. Owned. */
static char *api_url(const struct kc_fetch *f, const char *host, const char *repository)
{
	_cleanup_free_ char *base = kc_fetch_base(f, host);
	size_t origin = (size_t)(strstr(base, "://") - base) + 3;

	origin += strcspn(base + origin, "/");
	return xasprintf("%.*s/v2%s/%s", (int)origin, base, base + origin, repository);
}

static int parse_ref(struct pull *p, struct kc_err *err)
{
	const char *slash = strchr(p->ref, '/'), *at = strchr(p->ref, '@');
	size_t len = at ? (size_t)(at - p->ref) : strlen(p->ref), name;
	_cleanup_free_ char *host = NULL, *rest = NULL;
	const char *colon;

	if (!slash || slash == p->ref || (at && at < slash))
		return kc_fail(err, KC_EINVAL, "\"%s\" is not REGISTRY/NAME:TAG", p->ref);
	host = xstrndup(p->ref, (size_t)(slash - p->ref));
	rest = xstrndup(slash + 1, len - (size_t)(slash + 1 - p->ref));
	colon = strrchr(rest, ':');
	name = colon ? (size_t)(colon - rest) : strlen(rest);
	if (colon)
		p->tag = xstrdup(colon + 1);
	rest[name] = '\0';
	if (at)
		p->digest = xstrdup(at + 1);
	if (!only(host, ".-:") || !repository_ok(rest) || (!p->tag && !p->digest) ||
	    (p->tag && (!*p->tag || strlen(p->tag) > 128 || !only(p->tag, "._-"))) ||
	    (p->digest && !digest_ok(p->digest)))
		return kc_fail(err, KC_EINVAL,
			       "\"%s\" is not REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST",
			       p->ref);
	p->api = api_url(p->f, host, rest);
	p->space = xstrdup(rest);
	return 0;
}

static bool one_of(const char *s, const char *const *list)
{
	return streq(s, list[0]) || streq(s, list[1]);
}

/*
 * What kind of document it is. Two kinds in one, or a kind that the server calls another, is how a
 * digest is made to mean different images to different readers: refused.
 */
static int kind_of(const json_t *doc, const char *type, const char *what, const char **ret,
		   struct kc_err *err)
{
	const char *own = kc_json_get_str(doc, "mediaType", NULL);

	if (json_object_get(doc, "manifests") && json_object_get(doc, "layers"))
		return kc_fail(err, KC_EINVAL, "%s is both a list and an image", what);
	if (kc_json_get_int(doc, "schemaVersion", 0) != 2)
		return kc_fail(err, KC_EINVAL, "%s is not of schema version 2", what);
	if (!own && one_of(type, indexes))
		own = indexes[0];
	if (!own && one_of(type, manifests))
		own = manifests[0];
	if (!own || (!one_of(own, indexes) && !one_of(own, manifests)))
		return kc_fail(err, KC_EINVAL, "%s is of a kind that is not known: %.100s", what,
			       own ? own : type);
	if ((one_of(type, indexes) || one_of(type, manifests)) &&
	    one_of(type, indexes) != one_of(own, indexes))
		return kc_fail(err, KC_EINVAL, "%s is sent as %s, but says it is %s", what, type,
			       own);
	*ret = own;
	return 0;
}

static int save(const struct pull *p, const char *sha256, const char *text, size_t len,
		struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", p->dir, sha256);

	return kc_file_write(path, text, len, 0644, err);
}

/* A manifest or an index by tag or digest. ret_text is owned; desc gets mediaType, digest, size. */
static int get_manifest(struct pull *p, const char *tag_or_digest, json_t **ret_doc,
			json_t **ret_desc, struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	_cleanup_free_ char *url = xasprintf("%s/manifests/%s", p->api, tag_or_digest);
	const char *want = digest_ok(tag_or_digest) ? tag_or_digest + 7 : NULL, *type = "";
	json_auto_t *doc = NULL;
	struct kc_fetch_req q = {
		.url = url,
		.headers = { "Accept: " OCI "index.v1+json, " OCI "manifest.v1+json, " DOCKER
			     "list.v2+json, " DOCKER "v2+json" },
		.space = p->space,
		.max = MANIFEST_MAX,
		.sha256 = want,
	};
	int r = kc_fetch_do(p->f, &q, &reply, err);

	if (r == 0)
		r = kc_json_parse(reply.text, reply.len, url, &doc, err);
	if (r == 0)
		r = kind_of(doc, reply.type, url, &type, err);
	if (r == 0)
		r = save(p, reply.sha256, reply.text, reply.len, err);
	if (r < 0)
		return r;
	*ret_desc = kc_pack("{s:s, s:o, s:I}", "mediaType", type, "digest",
			    json_sprintf("sha256:%s", reply.sha256), "size", (json_int_t)reply.len);
	*ret_doc = TAKE(doc);
	return 0;
}

static bool fits(const json_t *platform, const char *arch)
{
	const char *variant = kc_json_get_str(platform, "variant", "");

	return streq(kc_json_get_str(platform, "os", ""), "linux") &&
	       streq(kc_json_get_str(platform, "architecture", ""), arch) &&
	       (!*variant || streq(variant, "v8"));
}

/* The digest of the list's image for this architecture. Borrowed. */
static int choose(const struct pull *p, const json_t *index, const char **ret, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf there = { 0 };
	const json_t *list, *m;
	size_t i;
	int r = kc_json_arr(index, p->ref, "manifests", &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, m) {
		const json_t *platform = json_object_get(m, "platform");

		if (fits(platform, p->arch)) {
			r = kc_json_str(m, p->ref, "digest", ret, err);
			if (r == 0 && !digest_ok(*ret))
				r = kc_fail(err, KC_EINVAL, "%s: its list has no good digest",
					    p->ref);
			return r;
		}
		if (i < 20)
			kc_buf_printf(&there, "%s%.20s/%.20s", i ? ", " : "",
				      kc_json_get_str(platform, "os", "?"),
				      kc_json_get_str(platform, "architecture", "?"));
	}
	return kc_fail(err, KC_ENOTFOUND, "%s is not there for linux/%s; there is %s", p->ref,
		       p->arch, there.len ? kc_buf_get(&there) : "nothing");
}

static int check_descriptor(const json_t *d, const char *what, uint64_t max, struct kc_err *err)
{
	const char *digest, *type;
	int64_t size;
	int r = kc_json_str(d, what, "digest", &digest, err);

	if (r == 0)
		r = kc_json_str(d, what, "mediaType", &type, err);
	if (r == 0)
		r = kc_json_int(d, what, "size", &size, err);
	if (r < 0)
		return r;
	if (!digest_ok(digest))
		return kc_fail(err, KC_EINVAL, "%s: not a digest: %.80s", what, digest);
	if (size < 0 || (uint64_t)size > max)
		return kc_fail(err, KC_EINVAL, "%s: its size is out of range: %" PRId64, what,
			       size);
	return 0;
}

/* A blob into its file, unless it is there. */
static int get_blob(struct pull *p, const json_t *d, struct kc_err *err)
{
	const char *sha256 = kc_json_get_str(d, "digest", "") + 7;
	_cleanup_free_ char *url = xasprintf("%s/blobs/sha256:%s", p->api, sha256);
	_cleanup_free_ char *path = xasprintf("%s/%s", p->dir, sha256);
	_cleanup_free_ char *tmp = xasprintf("%s/.new-%s", p->dir, sha256);
	uint64_t size = (uint64_t)kc_json_get_int(d, "size", 0);
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	struct kc_fetch_req q = {
		.url = url, .space = p->space, .max = size ? size : 1, .path = tmp, .sha256 = sha256
	};
	char have[KC_SHA256_HEX];
	int r;

	if (kc_exists(path) && kc_sha256_file(path, have, NULL, NULL) == 0 && streq(have, sha256))
		return 0;
	r = kc_fetch_do(p->f, &q, &reply, err);
	if (r < 0)
		return r;
	if (reply.len != size || rename(tmp, path) < 0) {
		unlink(tmp);
		return kc_fail(err, KC_EINVAL, "%s: has %" PRIu64 " bytes instead of %" PRIu64, url,
			       reply.len, size);
	}
	return 0;
}

/* The config says what machine the image is for; a list may have said it already, or lied. */
static int check_config(const struct pull *p, const json_t *config, struct kc_err *err)
{
	_cleanup_free_ char *path =
		xasprintf("%s/%s", p->dir, kc_json_get_str(config, "digest", "") + 7);
	_cleanup_free_ char *text = NULL;
	json_auto_t *doc = NULL;
	size_t len;
	int r = kc_file_read(path, MANIFEST_MAX, &text, &len, err);

	if (r == 0)
		r = kc_json_parse(text, len, p->ref, &doc, err);
	if (r < 0)
		return r;
	if (fits(doc, p->arch))
		return 0;
	return kc_fail(err, KC_ENOTFOUND, "%s is for %.20s/%.20s, not for linux/%s", p->ref,
		       kc_json_get_str(doc, "os", "?"), kc_json_get_str(doc, "architecture", "?"),
		       p->arch);
}

static int get_image(struct pull *p, const json_t *doc, struct kc_err *err)
{
	const json_t *config, *layers, *layer;
	size_t i;
	int r = kc_json_obj(doc, p->ref, "config", &config, err);

	if (r == 0)
		r = kc_json_arr(doc, p->ref, "layers", &layers, err);
	if (r == 0)
		r = check_descriptor(config, p->ref, MANIFEST_MAX, err);
	if (r == 0 && json_array_size(layers) > LAYERS_MAX)
		r = kc_fail(err, KC_EINVAL, "%s has more than %d layers", p->ref, LAYERS_MAX);
	if (r < 0)
		return r;
	json_array_foreach(layers, i, layer) {
		r = check_descriptor(layer, p->ref, LAYER_MAX, err);
		if (r < 0)
			return r;
	}
	r = get_blob(p, config, err);
	if (r == 0)
		r = check_config(p, config, err);
	json_array_foreach(layers, i, layer)
		if (r == 0)
			r = get_blob(p, layer, err);
	return r;
}

static int pull(struct pull *p, json_t **ret, struct kc_err *err)
{
	json_auto_t *doc = NULL, *desc = NULL, *index = NULL, *index_desc = NULL;
	const char *digest;
	int r = get_manifest(p, p->digest ? p->digest : p->tag, &doc, &desc, err);

	if (r < 0)
		return r;
	if (one_of(kc_json_get_str(desc, "mediaType", ""), indexes)) {
		index = TAKE(doc);
		index_desc = TAKE(desc);
		r = choose(p, index, &digest, err);
		if (r == 0)
			r = get_manifest(p, digest, &doc, &desc, err);
		if (r < 0)
			return r;
		if (one_of(kc_json_get_str(desc, "mediaType", ""), indexes))
			return kc_fail(err, KC_EINVAL, "%s: a list in a list", p->ref);
	}
	r = get_image(p, doc, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:s, s:O, s:O, s:O, s:O}", "ref", p->ref, "digest",
		       json_object_get(index_desc ? index_desc : desc, "digest"), "manifest", desc,
		       "config", json_object_get(doc, "config"), "layers",
		       json_object_get(doc, "layers"));
	return 0;
}

int kc_registry_pull(struct kc_fetch *f, const char *ref, const char *arch, const char *dir,
		     json_t **ret, struct kc_err *err)
{
	_cleanup_(pull_done) struct pull p = { .f = f, .ref = ref, .arch = arch, .dir = dir };
	int r = parse_ref(&p, err);

	if (r == 0)
		r = pull(&p, ret, err);
	return r < 0 ? kc_wrap(err, "image %s", ref) : 0;
}
