/*
 * kube/applyset: the parent that says which objects belong together, so that
 * kubectl and others can list and prune them. KEP-3659, "ApplySet".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/objects/impl.h"

#define NAME	   "kubecdn-addons"
#define NAMESPACE  "kube-system"
#define PREFIX	   "applyset.kubernetes.io/"
#define KINDS	   PREFIX "contains-group-kinds"
#define NAMESPACES PREFIX "additional-namespaces"

/* applyset-<base64url(sha256("<name>.<namespace>.<kind>.<group>"))>-v1; ConfigMap's group is "". */
void kc_applyset_id(char out[64])
{
	static const char of[] = NAME "." NAMESPACE ".ConfigMap.";
	char hex[KC_SHA256_HEX];
	_cleanup_free_ char *text = NULL;
	unsigned char raw[32];

	kc_sha256(of, strlen(of), hex);
	for (size_t i = 0; i < sizeof(raw); i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		raw[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	text = kc_base64_encode(raw, sizeof(raw));
	text[strcspn(text, "=")] = 0;
	for (char *p = text; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	snprintf(out, 64, "applyset-%s-v1", text);
}

static json_t *identity(void)
{
	return kc_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
		       "metadata", "name", NAME, "namespace", NAMESPACE);
}

/* The list, sorted, with commas: the form that the annotation has. */
static char *joined(const json_t *list)
{
	size_t n = json_array_size(list), i;
	_cleanup_free_ const char **words = xcalloc(n + 1, sizeof(*words));
	_cleanup_buf_ struct kc_buf b = { 0 };
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
		words[i] = json_is_string(v) ? json_string_value(v) : "";
	kc_sort_text(words, n);
	for (i = 0; i < n; i++)
		kc_buf_printf(&b, "%s%s", i ? "," : "", words[i]);
	return xstrdup(kc_buf_get(&b));
}

static json_t *split(const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text);
	json_t *list = json_array();
	char *save = NULL;

	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(w));
	return list;
}

static json_t *actual_of(const json_t *live)
{
	const json_t *notes = kc_json_at(live, "metadata.annotations");

	return kc_pack("{s:o, s:o}", "groupKinds", split(kc_json_get_str(notes, KINDS, "")),
		       "namespaces", split(kc_json_get_str(notes, NAMESPACES, "")));
}

static int set_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	json_auto_t *id = identity(), *live = NULL;
	int r = kube_find(ctx, task, id, &live, err);

	if (r < 0 || !live)
		return r;
	if (!kube_is_ours(live, task->owner))
		return task->want ? kc_fail(err, KC_ECONFLICT,
					    "ConfigMap " NAMESPACE "/" NAME
					    " exists but is not this cluster's; remove it first")
				  : 0;
	*ret_actual = actual_of(live);
	return 0;
}

static int set_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		     const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *kinds = joined(json_object_get(task->want, "groupKinds")),
			    *spaces = joined(json_object_get(task->want, "namespaces"));
	json_auto_t *object = identity(), *live = NULL;
	json_t *meta = json_object_get(object, "metadata");
	char id[64];
	int r;

	kc_applyset_id(id);
	json_object_set_new(meta, "labels", kc_pack("{s:s}", PREFIX "id", id));
	json_object_set_new(meta, "annotations",
			    kc_pack("{s:s, s:s, s:s, s:s}", PREFIX "tooling",
				    "kubecdn/v" KC_VERSION, KINDS, kinds, NAMESPACES, spaces,
				    KC_OWNER_ANNOTATION, task->owner));
	r = kube_apply(ctx, task, object, &live, err);
	if (r == 0)
		*ret_actual = actual_of(live);
	return r;
}

static int set_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		      struct kc_err *err)
{
	json_auto_t *id = identity();

	return kube_remove(ctx, task, id, err);
}

const struct kc_kind kc_kube_applyset = {
	.name = "kube/applyset",
	.sets = (const char *const[]){ "groupKinds", "namespaces", NULL },
	.find = set_find,
	.apply = set_apply,
	.remove = set_remove,
};
