#include "lib/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/plan/engine.h"

const char *kc_action_name(enum kc_action a)
{
	static const char *const names[] = { "keep",	"update", "create",
					     "replace", "delete", "forget" };

	return names[a];
}

void kc_plan_free(struct kc_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		struct kc_node *n = &p->nodes[i];

		kc_idx_done(&n->deps);
		kc_idx_done(&n->needs);
		json_decref(n->want);
		json_decref(n->via);
		json_decref(n->actual);
		json_decref(n->changes);
		json_decref(n->output);
	}
	free(p->nodes);
	free(p->order);
	json_decref(p->tasks);
	json_decref(p->record);
	json_decref(p->strays);
	json_decref(p->index);
	json_decref(p->json);
	json_decref(p->times);
	free(p);
}

static bool is_secret(const char *path, const struct kc_kind *kind)
{
	return kc_path_in(path, kind->sensitive);
}

/* A value below path without what no text may show. */
static json_t *censor(const json_t *v, const char *path, const struct kc_kind *kind)
{
	json_t *out, *m;
	const char *key;
	size_t i;

	if (is_secret(path, kind) && !kc_is_hole(v))
		return json_string("(sensitive)");
	if (json_is_array(v) && kind->sensitive) {
		out = json_array();
		json_array_foreach(v, i, m)
			json_array_append_new(out, censor(m, path, kind));
		return out;
	}
	if (!json_is_object(v) || !kind->sensitive)
		return json_deep_copy(v);
	out = json_object();
	json_object_foreach((json_t *)v, key, m) {
		_cleanup_free_ char *p = xasprintf("%s.%s", path, key);

		json_object_set_new(out, key, censor(m, p, kind));
	}
	return out;
}

static json_t *changes_json(const struct kc_node *n)
{
	json_t *out = json_array(), *c, *v;
	size_t i;

	json_array_foreach(n->changes, i, c) {
		const char *path = kc_json_get_str(c, "path", "");
		json_t *o = kc_pack("{s:s}", "path", path);

		v = json_object_get(c, "from");
		if (v)
			json_object_set_new(o, "from", censor(v, path, n->kind));
		v = json_object_get(c, "to");
		if (v)
			json_object_set_new(o, "to", censor(v, path, n->kind));
		json_array_append_new(out, o);
	}
	return out;
}

static json_t *entry_json(const struct kc_node *n)
{
	json_t *o = kc_pack("{s:s, s:s, s:s, s:s}", "id", n->id, "kind", n->kind->name, "action",
			    kc_action_name(n->action), "provider", n->provider->name);
	const json_t *plan = n->kind->nested ? json_object_get(n->actual, "plan") : NULL;

	if (json_array_size(n->changes) && n->action != KC_KEEP)
		json_object_set_new(o, "changes", changes_json(n));
	if (json_is_object(plan))
		plan = json_object_get(plan, "tasks");
	if (json_array_size(plan) && n->action != KC_KEEP)
		json_object_set_new(o, "children", json_deep_copy(plan));
	if (n->hidden)
		json_object_set_new(o, "hidden", json_true());
	if (n->warning)
		json_object_set_new(o, "warning", json_string(n->warning));
	return o;
}

static void render(struct kc_plan *p)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(tasks, entry_json(&p->nodes[p->order[i]]));
	p->json = kc_pack("{s:i, s:o}", "format", 1, "tasks", tasks);
}

int kc_plan_make(struct kc_engine *e, const json_t *tasks, struct kc_plan **ret, struct kc_err *err)
{
	_cleanup_plan_ struct kc_plan *p = NULL;
	json_auto_t *strays = NULL;
	int r = 0;

	json_object_seed(0); /* before threads */
	if (e->scan)
		r = kc_scan(e, &strays, err);
	if (r < 0)
		return r;
	r = kc_graph_build(e, tasks, strays, &p, err);
	if (r < 0)
		return r;
	r = kc_find_all(e, p, err);
	if (r < 0)
		return r;
	render(p);
	*ret = TAKE(p);
	return 0;
}

const json_t *kc_plan_json(const struct kc_plan *p)
{
	return p->json;
}

static const struct kc_node *node_of(const struct kc_plan *p, const char *id)
{
	size_t i = kc_graph_index(p, id, strlen(id));

	return i == KC_NONE ? NULL : &p->nodes[i];
}

const json_t *kc_plan_actual(const struct kc_plan *p, const char *id)
{
	const struct kc_node *n = node_of(p, id);

	return n ? n->actual : NULL;
}

const json_t *kc_plan_output(const struct kc_plan *p, const char *id)
{
	const struct kc_node *n = node_of(p, id);

	return n ? n->output : NULL;
}

size_t kc_plan_pending(const struct kc_plan *p)
{
	size_t count = 0;

	for (size_t i = 0; i < p->n; i++)
		count += p->nodes[i].action != KC_KEEP;
	return count;
}

void kc_plan_hash(const struct kc_plan *p, char out[65])
{
	kc_sha256_json(p->json, out);
}

size_t kc_plan_count(const json_t *plan, const char *kind, const char *action)
{
	const json_t *t;
	size_t i, count = 0;

	json_array_foreach(json_object_get(plan, "tasks"), i, t)
		count += (!kind || streq(kc_json_get_str(t, "kind", ""), kind)) &&
			 (!action || streq(kc_json_get_str(t, "action", ""), action));
	return count;
}
