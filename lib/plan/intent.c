/* What a job tells the journal and the record: its intent, and what came of it. */
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

/* Hashed once, asked for in every call. */
const char *kc_job_token(struct kc_run *r, struct kc_job *j)
{
	if (j->token_of != j->generation || !*j->token)
		kc_token(r->engine->owner, j->node->id, j->generation, j->token);
	j->token_of = j->generation;
	return j->token;
}

/* Outputs as they are recorded: without what is news, not state, such as a nested plan. */
json_t *kc_job_outputs(const struct kc_node *n, const json_t *actual)
{
	json_t *out = json_copy((json_t *)actual);

	if (out && n->kind->nested)
		json_object_del(out, "plan");
	for (const char *const *k = n->kind->news; out && k && *k; k++)
		json_object_del(out, *k);
	return out;
}

/* What the record keeps of a task: {kind, want, after, within?, via?, generation, outputs?}. */
static json_t *record_of(const struct kc_run *r, const struct kc_job *j, const json_t *outputs)
{
	const struct kc_node *n = j->node;
	json_t *after = json_array(), *o;

	for (size_t i = 0; i < n->deps.n; i++)
		json_array_append_new(after, json_string(r->plan->nodes[n->deps.v[i]].id));
	o = kc_pack("{s:s, s:O, s:o, s:I}", "kind", n->kind->name, "want", n->want, "after", after,
		    "generation", (json_int_t)j->generation);
	if (n->within != KC_NONE)
		json_object_set_new(o, "within", json_string(r->plan->nodes[n->within].id));
	if (n->via)
		json_object_set(o, "via", n->via);
	if (outputs)
		json_object_set_new(o, "outputs", kc_job_outputs(n, outputs));
	return o;
}

int kc_job_append(struct kc_run *r, const struct kc_node *n, json_t *entry, bool durable,
		  struct kc_err *err)
{
	json_object_set_new(entry, "task", json_string(n->id));
	return kc_state_append(r->engine->state, entry, durable, err);
}

int kc_job_result(struct kc_run *r, const struct kc_node *n, const char *result, struct kc_err *err)
{
	return kc_job_append(r, n, kc_pack("{s:s}", "result", result), false, err);
}

/* Write what is true of a task, unless the record says so already. */
int kc_job_record(struct kc_run *r, struct kc_job *j, const json_t *actual, struct kc_err *err)
{
	json_auto_t *now = j->intended ? NULL : kc_state_entry(r->engine->state, j->node->id);
	json_auto_t *set = record_of(r, j, actual);
	json_t *old = json_object_get(now, "old");

	if (old)
		json_object_set(set, "old", old);
	if (json_equal(now, set))
		return 0;
	json_object_del(set, "old");
	return kc_job_append(r, j->node, kc_pack("{s:s, s:o}", "result", "ok", "set", TAKE(set)),
			     false, err);
}

int kc_job_intent(struct kc_run *r, struct kc_job *j, const char *action, json_t *old,
		  struct kc_err *err)
{
	json_t *e;

	if (j->intended)
		return 0;
	e = kc_pack("{s:s, s:I, s:s, s:I, s:o*}", "intent", action, "fence",
		    (json_int_t)r->engine->fence, "token", kc_job_token(r, j), "generation",
		    (json_int_t)j->generation, "old", old);
	/* While it is being replaced its recorded want is how to find the old one. */
	if (j->node->task && !streq(action, "replace"))
		json_object_set_new(e, "set", record_of(r, j, NULL));
	j->intended = true;
	return kc_job_append(r, j->node, e, true, err);
}
