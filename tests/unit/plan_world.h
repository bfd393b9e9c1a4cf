/* Part of plan.c and plan_scan.c: a toy cloud, a store and an engine, and what a test asks of them.
 */
#ifndef KC_TEST_PLAN_WORLD_H
#define KC_TEST_PLAN_WORLD_H

static char root[] = "/tmp/kc-plan-XXXXXX";

static inline int root_new(void **x)
{
	return mkdtemp(root) ? 0 : -1;
}

static inline int root_gone(void **x)
{
	return kc_rm_rf(root, NULL);
}

/* One world: a toy cloud, a store, and an engine over them. */
struct world {
	struct toy toy;
	struct kc_provider provider;
	const struct kc_provider *providers[2];
	struct kc_store *store;
	struct kc_engine e;
	struct kc_plan *plan;
	struct kc_err err;
	char cloud[128];
	char *events; /* one line each */
};

static int worlds;

static inline void on_event(void *cookie, const struct kc_event *ev)
{
	static const char *const what[] = { "start", "progress", "done", "failed", "wait" };
	struct world *w = cookie;
	char *old = w->events;

	w->events = xasprintf("%s%s %s%s%s\n", old ? old : "", what[ev->what], ev->task,
			      ev->text ? ": " : "", ev->text ? ev->text : "");
	free(old);
}

static inline struct world *world_new(void)
{
	struct world *w = xcalloc(1, sizeof(*w));
	_cleanup_free_ char *dir = xasprintf("%s/state-%d", root, worlds);

	snprintf(w->cloud, sizeof(w->cloud), "%s/cloud-%d", root, worlds++);
	w->toy.path = w->cloud;
	w->provider = toy_provider(&w->toy);
	w->providers[0] = &w->provider;
	w->e = (struct kc_engine){
		.providers = w->providers,
		.owner = "uid-1",
		.fence = 1,
		.backoff_ms = 1,
		.event = on_event,
		.cookie = w,
	};
	assert_int_equal(kc_store_open(dir, &w->store, &w->err), 0);
	assert_int_equal(kc_state_open(w->store, "c", "uid-1", 1, &w->e.state, &w->err), 0);
	return w;
}

static inline void world_free(struct world *w)
{
	kc_plan_free(w->plan);
	kc_state_close(w->e.state);
	kc_store_close(w->store);
	free(w->events);
	free(w);
}

static inline int plan(struct world *w, const char *graph)
{
	json_error_t je;
	json_auto_t *tasks = json_loads(graph, 0, &je);

	if (!tasks)
		fail_msg("%s: %s", je.text, graph);
	kc_plan_free(w->plan);
	w->plan = NULL;
	return kc_plan_make(&w->e, tasks, &w->plan, &w->err);
}

static inline void plan_ok(struct world *w, const char *graph)
{
	if (plan(w, graph) < 0)
		fail_msg("plan: %s", w->err.msg);
}

static inline void apply_ok(struct world *w, const char *graph)
{
	plan_ok(w, graph);
	if (kc_plan_apply(&w->e, w->plan, &w->err) < 0)
		fail_msg("apply: %s\n%s", w->err.msg, w->events);
}

static inline void refused(struct world *w, const char *graph, const char *why)
{
	assert_int_equal(plan(w, graph), KC_EINVAL);
	if (!strstr(w->err.msg, why))
		fail_msg("\"%s\" does not say \"%s\"", w->err.msg, why);
	assert_null(w->plan);
}

static inline const json_t *entry(struct world *w, const char *id)
{
	const json_t *t;
	size_t i;

	json_array_foreach(json_object_get(kc_plan_json(w->plan), "tasks"), i, t)
		if (streq(kc_json_get_str(t, "id", ""), id))
			return t;
	fail_msg("no entry %s", id);
	return NULL;
}

static inline void expect(struct world *w, const char *id, const char *action)
{
	const char *have = kc_json_get_str(entry(w, id), "action", "?");

	if (!streq(have, action))
		fail_msg("%s: %s, not %s", id, have, action);
}

static inline void expect_change(struct world *w, const char *id, const char *path,
				 const char *from, const char *to)
{
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(entry(w, id), "changes"), i, c) {
		const char *keys[] = { "from", "to" }, *want[] = { from, to };

		if (!streq(kc_json_get_str(c, "path", ""), path))
			continue;
		for (size_t k = 0; k < 2; k++) {
			const json_t *v = json_object_get(c, keys[k]);
			_cleanup_free_ char *have = v ? kc_json_text(v) : NULL;

			if (!strsame(have, want[k]))
				fail_msg("%s %s %s: %s, not %s", id, path, keys[k], have, want[k]);
		}
		return;
	}
	fail_msg("%s: no change of %s", id, path);
}

static inline void no_violations(struct world *w)
{
	json_auto_t *cloud = toy_load(w->cloud);
	_cleanup_free_ char *bad = kc_json_text(json_object_get(cloud, "violations"));

	assert_string_equal(bad, "[]");
}

#endif
