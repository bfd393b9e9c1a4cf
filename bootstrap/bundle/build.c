#include "bootstrap/bundle/internal.h"
#include "bootstrap/bundle/upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static void parts_done(struct kc_parts *p)
{
	free(p->cache);
	free(p->go);
	free(p->go_version);
}

/* One build at a time uses the caches; the lock goes with the process. */
static int lock_cache(const char *cache, int *ret_fd, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/bundle.lock", cache);
	_cleanup_close_ int fd = -1;
	int r = kc_mkdir_p(cache, 0755, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return kc_fail(err, KC_ECONFLICT,
			       "another `kubecdn bundle build` is running (it holds %s): wait for "
			       "it",
			       path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* Compile and pack one component; its entry of bundle.json is added to components. */
static int add_component(struct kc_parts *p, const json_t *part, const char *blobs,
			 json_t *components, struct kc_err *err)
{
	json_auto_t *entry = kc_pack("{s:O, s:O, s:[]}", "name", json_object_get(part, "name"),
				     "version", json_object_get(part, "version"), "blobs");
	json_auto_t *links = json_object();
	_cleanup_free_ char *dir = NULL;
	const json_t *program, *l;
	size_t i, k;
	int r;

	r = kc_part_build(p, part, &dir, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(part, "programs"), i, program) {
		const char *path = kc_json_get_str(program, "path", "");
		json_auto_t *blob = kc_pack("{s:s, s:s}", "path", path, "mode", "0755");
		_cleanup_free_ char *file = xasprintf("%s/%s", dir, path);

		r = kc_part_pack(p, file, blobs, blob, err);
		if (r < 0)
			return r;
		json_array_append(json_object_get(entry, "blobs"), blob);
		json_array_foreach(json_object_get(program, "links"), k, l)
			json_object_set_new(links, json_string_value(l), json_string(path));
	}
	if (json_object_size(links))
		json_object_set(entry, "links", links);
	json_array_append(components, entry);
	return 0;
}

static int add_image(struct kc_parts *p, const json_t *image, const char *tmp, const char *blobs,
		     json_t *images, struct kc_err *err)
{
	const char *name = kc_json_get_str(image, "name", "");
	_cleanup_free_ char *dir = NULL, *tar = xasprintf("%s/%s.tar", tmp, name);
	json_auto_t *entry = json_object();
	int r = 0;

	if (json_object_get(image, "module"))
		r = kc_part_build(p, image, &dir, err);
	else if (json_object_get(image, "compile"))
		r = kc_part_pause(p, &dir, err);
	if (r == 0)
		r = kc_image_write(p, image, dir ? dir : "", tar, entry, err);
	if (r == 0)
		r = kc_part_pack(p, tar, blobs, entry, err);
	unlink(tar);
	if (r < 0)
		return r;
	json_object_set_new(entry, "layer", json_string(kc_json_get_str(image, "layer", "core")));
	json_object_set(images, name, entry);
	return 0;
}

static int write_json(const json_t *bundle, const char *dir, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/bundle.json", dir);
	_cleanup_free_ char *text = json_dumps(bundle, JSON_INDENT(2));

	return kc_file_write(path, text, strlen(text), 0644, err);
}

/* The parts of the pins into the bundle, compiled, or fetched if there is an upstream. */
static int fill_parts(struct kc_parts *p, const struct kc_bundle_build *o, struct kc_upstream *u,
		      const char *tmp, const char *blobs, json_t *bundle, struct kc_err *err)
{
	json_t *components = json_object_get(bundle, "components");
	json_t *images = json_object_get(bundle, "images");
	const json_t *part;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(p->pins, "components"), i, part)
		if (r == 0)
			r = u ? kc_upstream_component(u, part, tmp, blobs, components, err)
			      : add_component(p, part, blobs, components, err);
	json_array_foreach(json_object_get(p->pins, "images"), i, part) {
		if (!o->with_test_images && streq(kc_json_get_str(part, "layer", "core"), "test"))
			continue;
		if (r == 0)
			r = u ? kc_upstream_image(u, part, tmp, blobs, images, err)
			      : add_image(p, part, tmp, blobs, images, err);
	}
	return r;
}

/* Everything of the pins into the directory tmp. */
static int fill(struct kc_parts *p, const struct kc_bundle_build *o, bool upstream, const char *tmp,
		struct kc_err *err)
{
	json_auto_t *bundle = kc_pack("{s:i, s:O, s:s, s:[], s:{}}", "format", 1, "kubernetes",
				      json_object_get(p->pins, "kubernetes"), "arch", p->arch,
				      "components", "images");
	_cleanup_free_ char *blobs = xasprintf("%s/blobs/sha256", tmp);
	_cleanup_upstream_ struct kc_upstream *u = NULL;
	int r = upstream ? kc_upstream_open(p, o, &u, err) : 0;

	if (r == 0)
		r = kc_mkdir_p(blobs, 0755, err);
	if (r == 0)
		r = fill_parts(p, o, u, tmp, blobs, bundle, err);
	if (r == 0 && u)
		json_object_set_new(bundle, "sources", json_deep_copy(kc_upstream_sources(u)));
	return r < 0 ? r : write_json(bundle, tmp, err);
}

struct copy {
	const struct kc_bundle *b;
	const char *blobs;
};

static int copy_blob(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	const char *hash = kc_json_get_str(blob, "blob", "");
	_cleanup_place_ struct kc_blob_place from = { 0 };
	_cleanup_free_ char *to = NULL;
	struct copy *c = cookie;
	int r = kc_bundle_locate(c->b, hash, &from, err);

	if (r < 0)
		return r;
	to = xasprintf("%s/%s", c->blobs, hash);
	return c->b->index ? kc_bundle_copy(&from, to, err) : kc_bundle_link(from.path, to, err);
}

/* --from DIR: an existing bundle, checked and copied. */
static int fill_from(const char *dir, const char *kubernetes, const char *arch, const char *tmp,
		     const struct kc_bundle_build *o, struct kc_err *err)
{
	_cleanup_free_ char *blobs = xasprintf("%s/blobs/sha256", tmp), *json = NULL;
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	struct copy c = { .blobs = blobs };
	int r;

	r = kc_bundle_verify(dir, o->authfile, o->progress, o->cookie, o->cancel, err);
	if (r == 0)
		r = kc_bundle_open(dir, o->authfile, &b, err);
	if (!b)
		return r;
	if (!streq(kc_bundle_version(b), kubernetes) || !streq(kc_bundle_arch(b), arch))
		return kc_fail(err, KC_EINVAL,
			       "the bundle in %s is Kubernetes %s for %s, not %s for %s", dir,
			       kc_bundle_version(b), kc_bundle_arch(b), kubernetes, arch);
	c.b = b;
	r = kc_mkdir_p(blobs, 0755, err);
	if (r == 0)
		r = kc_bundle_each(b, copy_blob, &c, err);
	json = xasprintf("%s/bundle.json", tmp);
	return r < 0 ? r : kc_file_write(json, b->text, b->len, 0644, err);
}

/* out may be absent or a bundle; anything else is not ours to replace. */
static int check_out(const char *out, struct kc_err *err)
{
	_cleanup_free_ char *json = xasprintf("%s/bundle.json", out);
	_cleanup_bundle_ struct kc_bundle *old = NULL;

	if (kc_endswith(out, ".tar") && kc_exists(out) &&
	    kc_bundle_open(out, NULL, &old, NULL) == 0 && old->index)
		return 0;
	if (!kc_exists(out) || kc_exists(json) || rmdir(out) == 0)
		return 0;
	return kc_fail(err, KC_ECONFLICT, "%s exists and is not a bundle: choose another directory",
		       out);
}

static int swap_in(const char *tmp, const char *out, struct kc_err *err)
{
	if (!kc_exists(out))
		return rename(tmp, out) < 0 ? kc_fail_errno(err, errno, "%s", out) : 0;
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, out, RENAME_EXCHANGE) < 0)
		return kc_fail_errno(err, errno, "replacing %s", out);
	return kc_rm_rf(tmp, err); /* the old one now */
}

/* What was built, as the one file. */
static int pack_into(const char *tmp, const char *out, struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	int r = kc_bundle_open(tmp, NULL, &b, err);

	if (r == 0)
		r = kc_bundle_tar_write(tmp, out, b->json, err);
	return r < 0 ? r : kc_rm_rf(tmp, err);
}

static int build_into(struct kc_parts *p, const struct kc_bundle_build *o, const char *out,
		      struct kc_err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.new", out), *parent = NULL;
	const char *from = o->from ? o->from : "gomod", *slash = strrchr(out, '/');
	const char *version = kc_json_get_str(p->pins, "kubernetes", "");
	int r;

	r = check_out(out, err);
	if (r == 0)
		r = kc_rm_rf(tmp, err);
	if (r == 0 && slash && slash > out) {
		parent = xstrndup(out, (size_t)(slash - out));
		r = kc_mkdir_p(parent, 0755, err);
	}
	if (r == 0)
		r = streq(from, "gomod") || streq(from, "upstream")
			    ? fill(p, o, streq(from, "upstream"), tmp, err)
			    : fill_from(from, version, p->arch, tmp, o, err);
	if (r == 0)
		r = kc_endswith(out, ".tar") ? pack_into(tmp, out, err) : swap_in(tmp, out, err);
	if (r < 0)
		kc_rm_rf(tmp, NULL);
	return r;
}

int kc_bundle_build(const struct kc_bundle_build *o, char **ret_dir, struct kc_err *err)
{
	_cleanup_(parts_done) struct kc_parts p = {
		.arch = o->arch ? o->arch : kc_bundle_host_arch(),
		.progress = o->progress,
		.cookie = o->cookie,
		.cancel = o->cancel,
	};
	_cleanup_free_ char *out = NULL;
	json_auto_t *pins = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	if (!streq(p.arch, "amd64") && !streq(p.arch, "arm64"))
		return kc_fail(err, KC_EINVAL, "no bundle for %s; supported: amd64, arm64", p.arch);
	/* runc needs the machine's libseccomp; flannel's image has the host's nft. */
	if ((!o->from || streq(o->from, "gomod")) && !streq(p.arch, kc_bundle_host_arch()))
		return kc_fail(err, KC_EINVAL,
			       "a bundle for %s cannot be compiled on this machine, which is %s: "
			       "take the projects' own with --from upstream, or compile it on one "
			       "of its kind and bring it with --from DIR",
			       p.arch, kc_bundle_host_arch());
	r = kc_bundle_pins(o->kubernetes, &pins, err);
	if (r < 0)
		return r;
	p.pins = pins;
	p.cache = kc_cache_dir();
	if (o->out)
		out = kc_expand_home(o->out);
	else
		r = kc_bundle_default_dir(o->kubernetes, p.arch, &out, err);
	if (r == 0)
		r = lock_cache(p.cache, &lock, err);
	if (r == 0)
		r = build_into(&p, o, out, err);
	if (r < 0)
		return kc_wrap(err, "building the bundle");
	if (ret_dir)
		*ret_dir = TAKE(out);
	return 0;
}
