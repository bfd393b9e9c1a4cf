/*
 * Two regions at once beside one, as JSON on standard output: of a simulated provider whose
 * machines take 30 s each, as a cloud's do. The samples run side by side, for they only wait.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/plan.h"
#include "lib/plan/state.h"

enum { MACHINES = 4, WAIT_MS = 30000, SAMPLES = 9 };

/* When each was made, by kc_now_ms(); 0: not yet. */
struct region {
	atomic_long made[MACHINES];
};

static atomic_long *machine(void *ctx, const struct kc_task *task)
{
	struct region *r = ctx;

	return &r->made[kc_json_get_int(task->want, "number", 0)];
}

static int find(void *ctx, const struct kc_task *task, json_t **ret, struct kc_err *err)
{
	*ret = *machine(ctx, task) ? json_deep_copy(task->want) : NULL;
	return 0;
}

static int apply(void *ctx, const struct kc_task *task, const json_t *actual, const json_t *changes,
		 json_t **ret, struct kc_err *err)
{
	*machine(ctx, task) = kc_now_ms();
	*ret = json_deep_copy(task->want);
	return 0;
}

static int ready(void *ctx, const struct kc_task *task, const json_t *actual, struct kc_err *err)
{
	return kc_now_ms() - *machine(ctx, task) >= WAIT_MS ? 0
							    : kc_fail(err, KC_EAGAIN, "booting");
}

#define KIND(id)                                                                                   \
	{                                                                                          \
		.name = id, .find = find, .apply = apply, .ready = ready                           \
	}
static const struct kc_kind east = KIND("east/machine"), west = KIND("west/machine");
static const struct kc_kind *const kinds[][2] = { { &east, NULL }, { &west, NULL } };

/* A line of machines in each region: the second half waits for the first. */
static json_t *graph(int regions)
{
	json_t *tasks = json_array();

	for (int r = 0; r < regions; r++)
		for (int i = 0; i < MACHINES; i++) {
			json_t *after = json_array();

			if (i >= MACHINES / 2)
				json_array_append_new(after,
						      json_sprintf("%d/%d", r, i - MACHINES / 2));
			json_array_append_new(tasks, kc_pack("{s:o, s:s, s:{s:i}, s:o}", "id",
							     json_sprintf("%d/%d", r, i), "kind",
							     kinds[r][0]->name, "want", "number", i,
							     "after", after));
		}
	return tasks;
}

struct sample {
	int regions;
	double seconds; /* negative: it failed */
	pthread_t thread;
};

static int run(int regions, const char *dir, double *ret_seconds, struct kc_err *err)
{
	struct region made[2] = { 0 };
	struct kc_provider at[2];
	const struct kc_provider *providers[3] = { 0 };
	struct kc_engine e = { .providers = providers, .owner = "bench", .fence = 1 };
	json_auto_t *tasks = graph(regions);
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_plan_ struct kc_plan *p = NULL;
	int64_t start = kc_now_ms();
	int r;

	for (int i = 0; i < regions; i++) {
		at[i] = (struct kc_provider){ .name = kinds[i][0]->name,
					      .kinds = kinds[i],
					      .ctx = &made[i] };
		providers[i] = &at[i];
	}
	r = kc_store_open(dir, &store, err);
	if (r == 0)
		r = kc_state_open(store, "bench", "uid", 1, &e.state, err);
	if (r < 0)
		return r;
	r = kc_plan_make(&e, tasks, &p, err);
	if (r == 0)
		r = kc_plan_apply(&e, p, err);
	kc_state_close(e.state);
	*ret_seconds = (double)(kc_now_ms() - start) / 1000;
	return r;
}

static void *sample(void *cookie)
{
	struct sample *s = cookie;
	char dir[] = "/var/tmp/kc-bench-XXXXXX";
	struct kc_err err = { 0 };

	s->seconds = -1;
	if (!mkdtemp(dir))
		return NULL;
	if (run(s->regions, dir, &s->seconds, &err) < 0) {
		fprintf(stderr, "bench-regions: %s\n", err.msg);
		s->seconds = -1;
	}
	kc_rm_rf(dir, NULL);
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return x->seconds < y->seconds ? -1 : x->seconds > y->seconds;
}

static json_t *figures(const struct sample *s)
{
	return kc_pack("{s:f, s:f, s:f}", "min", s[0].seconds, "median", s[SAMPLES / 2].seconds,
		       "max", s[SAMPLES - 1].seconds);
}

int main(void)
{
	struct sample s[2][SAMPLES];
	json_auto_t *out = NULL;
	_cleanup_free_ char *text = NULL;

	for (int r = 0; r < 2; r++)
		for (int i = 0; i < SAMPLES; i++) {
			s[r][i].regions = r + 1;
			if (pthread_create(&s[r][i].thread, NULL, sample, &s[r][i]))
				return 1;
		}
	for (int r = 0; r < 2; r++) {
		for (int i = 0; i < SAMPLES; i++)
			pthread_join(s[r][i].thread, NULL);
		qsort(s[r], SAMPLES, sizeof(s[r][0]), by_time);
		if (s[r][0].seconds < 0)
			return 1;
	}
	out = kc_pack("{s:i, s:o, s:o, s:f}", "samples", SAMPLES, "one_region_s", figures(s[0]),
		      "two_regions_s", figures(s[1]), "ratio_of_medians",
		      s[1][SAMPLES / 2].seconds / s[0][SAMPLES / 2].seconds);
	text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
	puts(text);
	return 0;
}
