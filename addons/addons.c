#include "addons/addon.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/plan/resolve.h"

/* The manifest's text, embedded by addons/manifests.S. */
#define MANIFEST(sym) extern const char sym[], sym##_end[]
MANIFEST(kc_manifest_rbac);
MANIFEST(kc_manifest_coredns);
MANIFEST(kc_manifest_flannel);

static const struct addon {
	const char *name, *text, *end;
} addons[] = {
	{ "rbac", kc_manifest_rbac, kc_manifest_rbac_end },
	{ "coredns", kc_manifest_coredns, kc_manifest_coredns_end },
	{ "flannel", kc_manifest_flannel, kc_manifest_flannel_end },
};

static const struct addon *addon_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(addons); i++)
		if (streq(addons[i].name, name))
			return &addons[i];
	return NULL;
}

static int fact(void *cookie, const char *name, const json_t *arg, json_t **ret, struct kc_err *err)
{
	const struct kc_addon_env *env = cookie;
	const char *key = json_string_value(arg);
	json_t *v = streq(name, "$fact") && key ? json_object_get(env->facts, key) : NULL;

	if (!v)
		return kc_fail(err, KC_EINVAL, "no %s \"%s\"", name, key ? key : "");
	*ret = json_incref(v);
	return 0;
}

static int image_ref(const json_t *images, const char *name, json_t **ret, struct kc_err *err)
{
	const json_t *image = json_object_get(images, name);
	const char *ref, *digest;

	if (!image)
		return kc_fail(err, KC_ENOTFOUND, "the bundle has no image \"%s\"; build it anew",
			       name);
	if (kc_json_str(image, name, "ref", &ref, err) < 0 ||
	    kc_json_str(image, name, "digest", &digest, err) < 0)
		return KC_EINVAL;
	*ret = json_sprintf("%s@%s", ref, digest);
	return 0;
}

/* Replace every "image": "bundle:NAME" below v by the bundle's reference. */
static int put_images(json_t *v, const json_t *images, struct kc_err *err)
{
	const char *key, *s;
	json_t *child, *ref;
	size_t i;
	int r = 0;

	if (json_is_array(v)) {
		json_array_foreach(v, i, child) {
			r = put_images(child, images, err);
			if (r < 0)
				return r;
		}
		return 0;
	}
	json_object_foreach(v, key, child) {
		s = json_string_value(child);
		if (!s || !streq(key, "image") || !kc_startswith(s, "bundle:")) {
			r = put_images(child, images, err);
		} else {
			r = image_ref(images, s + strlen("bundle:"), &ref, err);
			if (r == 0)
				json_object_set_new(v, key, ref);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_object(const struct kc_addon_env *env, const json_t *manifest, json_t *tasks,
		      struct kc_err *err)
{
	json_auto_t *object = NULL, *task = NULL;
	const char *kind, *name, *ns;
	int unknown = 0, r;

	r = kc_resolve(manifest, fact, (void *)env, &object, &unknown, err);
	if (r == 0)
		r = put_images(object, env->images, err);
	if (r < 0)
		return r;
	if (kc_json_str(object, "manifest", "kind", &kind, err) < 0 ||
	    kc_json_str(json_object_get(object, "metadata"), "metadata", "name", &name, err) < 0)
		return KC_EINVAL;
	/* Its values would stand in plans, in the record and in the program. */
	if (streq(kind, "Secret"))
		return kc_fail(err, KC_EINVAL, "Secret %s: an addon's manifests hold no secrets",
			       name);
	ns = kc_json_get_str(json_object_get(object, "metadata"), "namespace", "");
	task = kc_pack("{s:o, s:s, s:{s:O}, s:s, s:O}", "id",
		       *ns ? json_sprintf("kube/%s/%s/%s", kind, ns, name)
			   : json_sprintf("kube/%s/%s", kind, name),
		       "kind", "kube/object", "want", "object", object, "within", env->within,
		       "after", env->after);
	json_array_append(tasks, task);
	return 0;
}

int kc_addon_tasks(const char *name, const struct kc_addon_env *env, json_t *tasks,
		   struct kc_err *err)
{
	const struct addon *a = addon_find(name);
	_cleanup_(kc_yaml_freep) struct kc_yaml *docs = NULL;
	int r;

	if (!a)
		return kc_fail(err, KC_ENOTFOUND, "no addon \"%s\"", name);
	r = kc_yaml_parse(name, a->text, (size_t)(a->end - a->text), &docs, err);
	for (size_t i = 0; r == 0 && i < kc_yaml_count(docs); i++)
		r = add_object(env, kc_yaml_value(docs, i), tasks, err);
	return r < 0 ? kc_wrap(err, "addon %s", name) : 0;
}
