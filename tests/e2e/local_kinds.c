/*
 * Runs the kinds of clouds/local one after the other, without the engine, so
 * that test_local.py can look at each step and kill it at any instant.
 *
 *	local-kinds up|show|down CLUSTER UID CACHE WORKERS
 *
 * up and show print {"tasks": {id: actual or null}, "changed": [ids]}.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "clouds/local/local.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct job {
	const struct kc_provider *p;
	const struct kc_kind *kind;
	struct kc_task task;
	json_t *actual;
	struct kc_err err;
	bool changed, apply;
	pthread_t thread;
	int r;
};

static const struct kc_kind *kind_of(const struct kc_provider *p, const char *name)
{
	for (size_t i = 0; p->kinds[i]; i++)
		if (streq(p->kinds[i]->name, name))
			return p->kinds[i];
	return NULL;
}

static bool differs(const json_t *want, const json_t *actual)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)want, key, v) {
		if (!json_equal(v, json_object_get(actual, key)))
			return true;
	}
	return false;
}

static int find(struct job *j)
{
	json_decref(j->actual);
	j->actual = NULL;
	return j->kind->find(j->p->ctx, &j->task, &j->actual, &j->err);
}

static void *run(void *arg)
{
	struct job *j = arg;
	int64_t deadline = kc_now_ms() + 60000;

	j->r = find(j);
	if (j->r < 0 || !j->apply)
		return NULL;
	if (!j->actual || differs(j->task.want, j->actual)) {
		json_t *after = NULL;

		j->changed = true;
		j->r = j->kind->apply(j->p->ctx, &j->task, j->actual, NULL, &after, &j->err);
		if (j->r < 0)
			return NULL;
		json_decref(after);
	}
	do {
		j->r = find(j);
		if (j->r == 0 && j->kind->ready)
			j->r = j->kind->ready(j->p->ctx, &j->task, j->actual, &j->err);
	} while (j->r == KC_EAGAIN && kc_now_ms() < deadline);
	return NULL;
}

static void *drop(void *arg)
{
	struct job *j = arg;

	do
		j->r = j->kind->remove(j->p->ctx, &j->task, NULL, &j->err);
	while (j->r == KC_EAGAIN);
	return NULL;
}

/* The first three tasks one by one (last when removing), machines side by side. */
static int run_all(struct job *jobs, size_t n, bool removing)
{
	size_t i;

	for (i = 0; !removing && i < 3; i++) {
		run(&jobs[i]);
		if (jobs[i].r < 0)
			return jobs[i].r;
	}
	for (i = 3; i < n; i++)
		pthread_create(&jobs[i].thread, NULL, removing ? drop : run, &jobs[i]);
	for (i = 3; i < n; i++)
		pthread_join(jobs[i].thread, NULL);
	for (i = 3; removing && i-- > 0;)
		drop(&jobs[i]);
	for (i = 0; i < n; i++)
		if (jobs[i].r < 0)
			return jobs[i].r;
	return 0;
}

static void print(const struct job *jobs, size_t n)
{
	json_auto_t *tasks = json_object(), *changed = json_array(), *out = NULL;
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < n; i++) {
		json_object_set_new(tasks, jobs[i].task.id,
				    jobs[i].actual ? json_incref(jobs[i].actual) : json_null());
		if (jobs[i].changed)
			json_array_append_new(changed, json_string(jobs[i].task.id));
	}
	out = kc_pack("{s:O, s:O}", "tasks", tasks, "changed", changed);
	text = kc_json_text(out);
	puts(text);
}

static int fail(const struct kc_err *err)
{
	fprintf(stderr, "%s\n", err->msg);
	return 1;
}

int main(int argc, char **argv)
{
	json_auto_t *spec = NULL, *cluster = NULL, *tasks = NULL, *nodes = NULL;
	struct kc_cloud_env env = { 0 };
	struct kc_provider p = { 0 };
	struct kc_err err = { 0 };
	struct job *jobs;
	const json_t *t;
	size_t i, n;
	long workers;
	int r;

	if (argc != 6 || !kc_parse_long(argv[5], 0, 200, &workers))
		return 64;
	env = (struct kc_cloud_env){ .cluster = argv[2], .uid = argv[3], .cache = argv[4] };
	r = kc_cloud_local.defaults(NULL, (int)workers, &spec, &err);
	if (r == 0)
		cluster = kc_pack("{s:O}", "spec", spec);
	if (r == 0)
		r = kc_cloud_local.model(&env, cluster, &tasks, &nodes, &err);
	if (r == 0)
		r = kc_cloud_local.open(&env, &p, &err);
	if (r < 0)
		return fail(&err);
	n = json_array_size(tasks);
	jobs = xcalloc(n, sizeof(*jobs));
	json_array_foreach(tasks, i, t) {
		jobs[i].p = &p;
		jobs[i].kind = kind_of(&p, kc_json_get_str(t, "kind", ""));
		jobs[i].task = (struct kc_task){ .id = kc_json_get_str(t, "id", ""),
						 .want = json_object_get(t, "want"),
						 .owner = env.uid };
		jobs[i].apply = streq(argv[1], "up");
	}
	r = run_all(jobs, n, streq(argv[1], "down"));
	for (i = 0; i < n; i++)
		if (jobs[i].r < 0)
			fail(&jobs[i].err);
	if (r == 0 && !streq(argv[1], "down"))
		print(jobs, n);
	for (i = 0; i < n; i++)
		json_decref(jobs[i].actual);
	free(jobs);
	kc_cloud_local.close(&p);
	return r < 0 ? 1 : 0;
}
