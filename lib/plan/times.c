/* When the steps of an apply ran: what is left of its jobs once they are over. */
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

static json_t *positions(const struct kc_idx *deps)
{
	json_t *out = json_array();

	for (size_t i = 0; i < deps->n; i++)
		json_array_append_new(out, json_integer((json_int_t)deps->v[i]));
	return out;
}

static json_t *entry_of(const struct kc_node *n, enum kc_action action, const struct kc_idx *deps)
{
	return kc_pack("{s:s, s:s, s:s, s:s, s:s*, s:o}", "id", n->id, "kind", n->kind->name,
		       "action", kc_action_name(action), "provider", n->provider->name, "limit",
		       kc_json_get_str(n->task, "limit", NULL), "after", positions(deps));
}

static void set_ms(json_t *o, const char *key, int64_t ms)
{
	if (ms)
		json_object_set_new(o, key, json_integer(ms));
}

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(o, key, json_string(text));
}

json_t *kc_times_make(const struct kc_run *r, const struct kc_sched *s)
{
	static const char *const parts[] = {
		[KC_JOB_MAIN] = NULL, [KC_JOB_REMOVE] = "remove", [KC_JOB_CLEANUP] = "cleanup"
	};
	json_t *out = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct kc_job *j = &r->jobs[i];
		json_t *o = entry_of(j->node, j->planned, &s->jobs[i].deps);

		set_text(o, "part", parts[j->type]);
		set_ms(o, "due", j->due_ms);
		set_ms(o, "start", j->start_ms);
		set_ms(o, "end", j->end_ms);
		set_ms(o, "slept", j->slept_ms);
		set_text(o, "why", j->slept_ms ? j->waiting.msg : NULL);
		set_text(o, "result", j->result);
		set_text(o, "error", j->error);
		json_array_append_new(out, o);
	}
	return out;
}

json_t *kc_plan_times(const struct kc_plan *p)
{
	json_t *out;

	if (p->times)
		return json_deep_copy(p->times);
	out = json_array();
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(out, entry_of(&p->nodes[i], p->nodes[i].action,
						    &p->nodes[i].deps));
	return out;
}
