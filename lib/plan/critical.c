/*
 * The critical path, backwards from the last task to end: each was let go by the last of its
 * dependencies, or, when it stood in a queue, by whoever left the queue's slot at that moment.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"
#include "lib/plan/timeline.h"

/* A slot is taken again at once: who ended longer ago than this did not leave it. */
enum { HANDOVER_MS = 20 };

struct step {
	const json_t *o;
	int64_t due, start, end;
	bool ran, seen, asked;
};

struct path {
	struct step *steps;
	size_t n;
	json_t *links; /* the last one first */
};

static void load(struct path *p, const json_t *run)
{
	const json_t *tasks = json_object_get(run, "tasks"), *o;
	int64_t all = kc_json_get_int(run, "ms", 0);
	size_t i;

	p->n = json_array_size(tasks);
	p->steps = xcalloc(p->n, sizeof(*p->steps));
	p->links = json_array();
	json_array_foreach((json_t *)tasks, i, o) {
		struct step *s = &p->steps[i];

		s->o = o;
		s->ran = json_is_integer(json_object_get(o, "start"));
		s->start = kc_json_get_int(o, "start", 0);
		s->end = kc_json_get_int(o, "end", all);
		s->due = kc_json_get_int(o, "due", s->start);
		if (s->end < s->start)
			s->end = s->start;
	}
}

/* Where more than one ended last, the one that took longest. */
static size_t last_step(const struct path *p)
{
	size_t best = KC_NONE;

	for (size_t i = 0; i < p->n; i++) {
		const struct step *s = &p->steps[i], *b = &p->steps[best == KC_NONE ? i : best];

		if (s->ran && (best == KC_NONE || s->end > b->end ||
			       (s->end == b->end && s->start < b->start)))
			best = i;
	}
	return best;
}

/* The dependency that ended last, through those of which no time is known. */
static size_t last_dep(struct path *p, size_t i)
{
	struct kc_idx stack = { 0 };
	size_t best = KC_NONE;

	for (size_t k = 0; k < p->n; k++)
		p->steps[k].asked = false;
	kc_idx_add(&stack, i);
	while (stack.n) {
		const json_t *after = json_object_get(p->steps[stack.v[--stack.n]].o, "after");

		for (size_t k = 0; k < json_array_size(after); k++) {
			size_t d = (size_t)json_integer_value(json_array_get(after, k));

			if (d >= p->n || p->steps[d].asked)
				continue;
			p->steps[d].asked = true;
			if (!p->steps[d].ran)
				kc_idx_add(&stack, d);
			else if (!p->steps[d].seen && p->steps[d].end <= p->steps[i].start &&
				 (best == KC_NONE || p->steps[d].end > p->steps[best].end))
				best = d;
		}
	}
	kc_idx_done(&stack);
	return best;
}

/* 2: both hold the same limit, 1: one provider, 0: they only share the threads. */
static int kinship(const struct step *a, const struct step *b)
{
	const char *limit = kc_json_get_str(a->o, "limit", NULL);

	if (limit && strsame(limit, kc_json_get_str(b->o, "limit", NULL)))
		return 2;
	return strsame(kc_json_get_str(a->o, "provider", NULL),
		       kc_json_get_str(b->o, "provider", NULL));
}

/* Who was there when i could have started, and left just before it did. */
static size_t in_the_way(const struct path *p, size_t i)
{
	const struct step *s = &p->steps[i];
	size_t best = KC_NONE;

	for (size_t k = 0; k < p->n; k++) {
		const struct step *c = &p->steps[k], *b = &p->steps[best == KC_NONE ? k : best];
		int near = kinship(s, c), nearest = kinship(s, b);

		if (k == i || !c->ran || c->seen || c->start >= s->start || c->end < s->due ||
		    c->end > s->start || c->end + HANDOVER_MS < s->start)
			continue;
		if (best == KC_NONE || near > nearest || (near == nearest && c->end > b->end))
			best = k;
	}
	return best;
}

static void add_task(struct path *p, const struct step *s, const struct step *after)
{
	json_t *o = kc_pack("{s:s, s:s, s:I, s:I}", "what", "task", "id",
			    kc_json_get_str(s->o, "id", "?"), "start", (json_int_t)s->start, "ms",
			    (json_int_t)(s->end - s->start));
	static const char *const copied[] = { "part", "action", "slept", "why" };

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		json_t *v = json_object_get(s->o, copied[i]);

		if (v)
			json_object_set(o, copied[i], v);
	}
	if (after)
		json_object_set(o, "after", json_object_get(after->o, "id"));
	json_array_append_new(p->links, o);
}

static void add_queue(struct path *p, const struct step *s, const struct step *behind, int64_t from)
{
	static const char *const shared[] = { NULL, "provider", "limit" };
	json_t *o = kc_pack("{s:s, s:s, s:I, s:I}", "what", "queue", "id",
			    kc_json_get_str(s->o, "id", "?"), "start", (json_int_t)from, "ms",
			    (json_int_t)(s->start - from));

	if (behind) {
		const char *key = shared[kinship(s, behind)];

		json_object_set(o, "behind", json_object_get(behind->o, "id"));
		json_object_set_new(o, "for",
				    json_string(key ? kc_json_get_str(s->o, key, "?") : "threads"));
	}
	json_array_append_new(p->links, o);
}

/* One link: i, what it waited for in a queue, and who comes before it, or KC_NONE. */
static size_t link_back(struct path *p, size_t i)
{
	struct step *s = &p->steps[i];
	size_t dep = last_dep(p, i), before = dep;
	bool queued = s->start > s->due;
	int64_t from;

	s->seen = true;
	if (queued) {
		size_t other = in_the_way(p, i);

		before = other != KC_NONE ? other : dep;
	}
	add_task(p, s, dep == KC_NONE ? NULL : &p->steps[dep]);
	if (before == KC_NONE) {
		if (queued)
			add_queue(p, s, NULL, s->due);
		return before;
	}
	from = p->steps[before].end;
	if (from < s->start)
		add_queue(p, s, before == dep ? NULL : &p->steps[before], from);
	return before;
}

/* Phases from one moment to another; what lies in none of them is kubecdn's own. */
static void cover(json_t *out, const json_t *run, int64_t from, int64_t to)
{
	const json_t *phase;
	size_t i;

	json_array_foreach(json_object_get(run, "phases"), i, phase) {
		int64_t start = kc_json_get_int(phase, "start", 0),
			end = start + kc_json_get_int(phase, "ms", 0);

		start = start < from ? from : start;
		end = end > to ? to : end;
		if (end <= start)
			continue;
		if (start > from)
			json_array_append_new(out, kc_pack("{s:s, s:s, s:I, s:I}", "what", "phase",
							   "id", "other", "start", (json_int_t)from,
							   "ms", (json_int_t)(start - from)));
		json_array_append_new(out,
				      kc_pack("{s:s, s:O, s:I, s:I}", "what", "phase", "id",
					      json_object_get(phase, "name"), "start",
					      (json_int_t)start, "ms", (json_int_t)(end - start)));
		from = end;
	}
	if (from < to)
		json_array_append_new(out, kc_pack("{s:s, s:s, s:I, s:I}", "what", "phase", "id",
						   "other", "start", (json_int_t)from, "ms",
						   (json_int_t)(to - from)));
}

json_t *kc_timeline_path(const json_t *run)
{
	int64_t all = kc_json_get_int(run, "ms", 0), first = all, last = all;
	struct path p = { 0 };
	json_t *out = json_array();
	size_t i;

	load(&p, run);
	i = last_step(&p);
	if (i != KC_NONE)
		last = p.steps[i].end;
	while (i != KC_NONE)
		i = link_back(&p, i);
	i = json_array_size(p.links);
	if (i)
		first = kc_json_get_int(json_array_get(p.links, i - 1), "start", 0);
	cover(out, run, 0, first);
	while (i--)
		json_array_append(out, json_array_get(p.links, i));
	cover(out, run, last, all);
	json_decref(p.links);
	free(p.steps);
	return out;
}
