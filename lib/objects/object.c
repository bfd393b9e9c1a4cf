/* kube/object: any manifest, by server-side apply. */
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

bool kube_is_ours(const json_t *live, const char *owner)
{
	const json_t *notes = kc_json_at(live, "metadata.annotations");

	return streq(kc_json_get_str(notes, KC_OWNER_ANNOTATION, ""), owner);
}

static char *title(const json_t *o)
{
	const json_t *meta = json_object_get(o, "metadata");
	const char *space = kc_json_get_str(meta, "namespace", NULL);

	return xasprintf("%s %s%s%s", kc_json_get_str(o, "kind", "object"), space ? space : "",
			 space ? "/" : "", kc_json_get_str(meta, "name", "?"));
}

/* What the API shows of a manifest that it was given: no status. */
static void settle(json_t *o)
{
	json_object_del(o, "status");
}

/* A task's want stands in plans, in the record and in the journal: no place for a Secret's values.
 */
static int check_manifest(const json_t *o, struct kc_err *err)
{
	_cleanup_free_ char *name = NULL;

	if (!streq(kc_json_get_str(o, "kind", ""), "Secret") ||
	    (!json_object_get(o, "data") && !json_object_get(o, "stringData")))
		return 0;
	name = title(o);
	return kc_fail(err, KC_EINVAL,
		       "%s: its values would stand in plans and in the record; make it with "
		       "kubectl "
		       "or an operator instead",
		       name);
}

static json_t *member(json_t *o, const char *key)
{
	if (!json_is_object(json_object_get(o, key)))
		json_object_set_new(o, key, json_object());
	return json_object_get(o, key);
}

static void stamp(json_t *o, const char *owner)
{
	json_t *meta = member(o, "metadata");
	char id[64];

	kc_applyset_id(id);
	json_object_set_new(member(meta, "annotations"), KC_OWNER_ANNOTATION, json_string(owner));
	json_object_set_new(member(meta, "labels"), KC_PART_OF_LABEL, json_string(id));
}

static json_t *settled(const struct kc_task *task)
{
	json_t *o = json_deep_copy(json_object_get(task->want, "object"));

	settle(o);
	return o;
}

/* What tells us the object: the manifest, or what the record kept of it. Borrowed. */
static const json_t *identity(const struct kc_task *task)
{
	const json_t *o = json_object_get(task->want, "object");

	return o ? o : json_object_get(task->known, "object");
}

static json_t *actual_of(const struct kc_task *task, const json_t *want, const json_t *live)
{
	json_t *object = kube_reduce(want, live), *actual;
	const json_t *wait = json_object_get(task->want, "wait"),
		     *adopt = json_object_get(task->want, "adopt");
	_cleanup_free_ char *waits = json_is_false(wait) ? NULL : kube_waits_for(live);

	actual = kc_pack("{s:o}", "object", object);
	/* These two are about us, not about the object: never a difference. */
	if (wait)
		json_object_set(actual, "wait", (json_t *)wait);
	if (adopt)
		json_object_set(actual, "adopt", (json_t *)adopt);
	if (waits)
		json_object_set_new(actual, "waits", json_string(waits));
	return actual;
}

static int foreign(const json_t *o, struct kc_err *err)
{
	_cleanup_free_ char *name = title(o);

	return kc_fail(err, KC_ECONFLICT,
		       "%s exists but does not carry this cluster's " KC_OWNER_ANNOTATION
		       "; delete it, or set that annotation to hand it over",
		       name);
}

static int object_find(void *ctx, const struct kc_task *task, json_t **ret_actual,
		       struct kc_err *err)
{
	const json_t *id = identity(task);
	json_auto_t *live = NULL, *want = NULL;
	int r;

	if (!id)
		return 0; /* nothing was ever made of it */
	r = check_manifest(id, err);
	if (r == 0)
		r = kube_find(ctx, task, id, &live, err);
	if (r < 0 || !live)
		return r;
	if (!kube_is_ours(live, task->owner) && !kc_json_get_bool(task->want, "adopt", false)) {
		if (!task->want)
			return 0; /* ours is gone; this one is somebody else's */
		return foreign(id, err);
	}
	want = task->want ? settled(task) : json_deep_copy(id);
	*ret_actual = actual_of(task, want, live);
	return 0;
}

static int object_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	json_auto_t *object = settled(task), *want = json_deep_copy(object), *old = NULL,
		    *live = NULL;
	int r;

	/* find may have been skipped, or somebody was faster. */
	r = check_manifest(object, err);
	if (r == 0 && !actual)
		r = kube_find(ctx, task, object, &old, err);
	if (r < 0)
		return r;
	if (old && !kube_is_ours(old, task->owner) && !kc_json_get_bool(task->want, "adopt", false))
		return foreign(object, err);
	stamp(object, task->owner);
	r = kube_apply(ctx, task, object, &live, err);
	if (r < 0)
		return r;
	*ret_actual = actual_of(task, want, live);
	return 0;
}

static int object_ready(void *ctx, const struct kc_task *task, const json_t *actual,
			struct kc_err *err)
{
	const char *waits = kc_json_get_str(actual, "waits", NULL);
	_cleanup_free_ char *name = title(identity(task));

	return waits ? kc_fail(err, KC_EAGAIN, "%s: %s", name, waits) : 0;
}

int kube_remove(struct kc_kube_ctx *c, const struct kc_task *task, const json_t *id,
		struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	json_auto_t *live = NULL;
	struct kc_kube *k;
	int r;

	r = kc_kube_ctx_get(c, &k, err);
	if (r == 0)
		r = kc_kube_object_path(k, id, &path, err);
	if (r == 0)
		r = kc_kube_get(k, path, &live, err);
	if (r < 0)
		return r == KC_ENOTFOUND ? 0 : r;
	if (!kube_is_ours(live, task->owner))
		return foreign(id, err);
	/* With its uid: a successor of the same name, made by somebody else, stays. */
	r = kc_kube_delete(k, path, "Background",
			   kc_json_get_str(json_object_get(live, "metadata"), "uid", NULL), -1,
			   err);
	if (r == 0)
		r = kc_kube_get(k, path, NULL, err);
	if (r == KC_ENOTFOUND)
		return 0;
	return r < 0 ? r : kc_fail(err, KC_EAGAIN, "%s is being deleted", path);
}

static int object_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			 struct kc_err *err)
{
	const json_t *id = identity(task);

	if (!id)
		id = json_object_get(actual, "object");
	return id ? kube_remove(ctx, task, id, err) : 0;
}

static void object_normalize(json_t *want, json_t *actual)
{
	settle(json_object_get(want, "object"));
}

const struct kc_kind kc_kube_object = {
	.name = "kube/object",
	.find = object_find,
	.apply = object_apply,
	.ready = object_ready,
	.remove = object_remove,
	.normalize = object_normalize,
};
