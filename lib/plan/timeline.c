#include "lib/plan/timeline.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { SLOWEST = 10 };

struct span {
	int64_t start, end;
	const json_t *task;
};

struct edge {
	int64_t at;
	int step; /* one more runs from here on, or one less */
};

static int by_length(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int64_t l = x->end - x->start, m = y->end - y->start;

	if (l != m)
		return l > m ? -1 : 1;
	return x->start != y->start ? (x->start < y->start ? -1 : 1) : 0;
}

/* Who ends makes room before another one starts. */
static int by_time(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->step - y->step;
}

static size_t spans_of(const json_t *run, struct span *spans)
{
	const json_t *t;
	size_t i, n = 0;

	json_array_foreach(json_object_get(run, "tasks"), i, t) {
		struct span s = { kc_json_get_int(t, "start", -1),
				  kc_json_get_int(t, "end", kc_json_get_int(run, "ms", 0)), t };

		if (s.start >= 0 && s.end > s.start)
			spans[n++] = s;
	}
	return n;
}

static json_t *slowest(struct span *spans, size_t n)
{
	json_t *out = json_array();

	qsort(spans, n, sizeof(*spans), by_length);
	for (size_t i = 0; i < n && i < SLOWEST; i++)
		json_array_append_new(out, kc_pack("{s:O, s:O*, s:I}", "id",
						   json_object_get(spans[i].task, "id"), "part",
						   json_object_get(spans[i].task, "part"), "ms",
						   (json_int_t)(spans[i].end - spans[i].start)));
	return out;
}

/* How many ran at a time: at most, and on average between the first start and the last end. */
static json_t *parallelism(const struct span *spans, size_t n)
{
	_cleanup_free_ struct edge *edges = xcalloc(2 * n, sizeof(*edges));
	int64_t work = 0, wall, tenths;
	int now = 0, max = 0;

	for (size_t i = 0; i < n; i++) {
		edges[2 * i] = (struct edge){ spans[i].start, 1 };
		edges[2 * i + 1] = (struct edge){ spans[i].end, -1 };
		work += spans[i].end - spans[i].start;
	}
	qsort(edges, 2 * n, sizeof(*edges), by_time);
	for (size_t i = 0; i < 2 * n; i++) {
		now += edges[i].step;
		max = now > max ? now : max;
	}
	wall = n ? edges[2 * n - 1].at - edges[0].at : 0;
	tenths = wall ? (work * 10 + wall / 2) / wall : 0; /* more would be noise */
	return kc_pack("{s:i, s:f}", "max", max, "average", (double)tenths / 10);
}

/* "node/w1", "kube/node/w1" and "local/machine/w1" are about the host w1. */
static json_t *hosts_of(const json_t *tasks)
{
	json_t *hosts = json_object();
	const json_t *t;
	size_t i;

	json_array_foreach((json_t *)tasks, i, t)
		if (streq(kc_json_get_str(t, "kind", ""), "node"))
			json_object_set_new(hosts, kc_json_get_str(t, "id", "") + strlen("node/"),
					    json_true());
	return hosts;
}

json_t *kc_timeline_report(const json_t *run)
{
	json_t *out = json_deep_copy(run), *tasks = json_object_get(out, "tasks"), *t, *v;
	_cleanup_free_ struct span *spans = xcalloc(json_array_size(tasks), sizeof(*spans));
	json_auto_t *hosts = hosts_of(tasks);
	size_t i, k, n = spans_of(run, spans);

	json_array_foreach(tasks, i, t) {
		const char *slash = strrchr(kc_json_get_str(t, "id", ""), '/');
		json_t *after = json_array();

		if (slash && json_object_get(hosts, slash + 1))
			json_object_set_new(t, "host", json_string(slash + 1));
		json_array_foreach(json_object_get(t, "after"), k, v) {
			const json_t *dep = json_array_get(tasks, (size_t)json_integer_value(v));

			if (dep)
				json_array_append(after, json_object_get(dep, "id"));
		}
		json_object_set_new(t, "after", after);
	}
	json_object_set_new(out, "criticalPath", kc_timeline_path(run));
	json_object_set_new(out, "slowest", slowest(spans, n));
	json_object_set_new(out, "parallelism", parallelism(spans, n));
	return out;
}
