/* From tasks and record to nodes, edges and an order that names its cycles. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

void kc_idx_add(struct kc_idx *x, size_t i)
{
	if (x->n == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 4;
		x->v = xrealloc(x->v, x->cap * sizeof(*x->v));
	}
	x->v[x->n++] = i;
}

void kc_idx_done(struct kc_idx *x)
{
	free(x->v);
	*x = (struct kc_idx){ 0 };
}

static int by_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

static void idx_unique(struct kc_idx *x)
{
	size_t n = 0;

	if (x->n)
		qsort(x->v, x->n, sizeof(*x->v), by_number);
	for (size_t i = 0; i < x->n; i++)
		if (!n || x->v[n - 1] != x->v[i])
			x->v[n++] = x->v[i];
	x->n = n;
}

size_t kc_graph_index(const struct kc_plan *p, const char *id, size_t len)
{
	const json_t *v = json_object_getn(p->index, id, len);

	return v ? (size_t)json_integer_value(v) : KC_NONE;
}

static int find_kind(const struct kc_engine *e, const char *name, struct kc_node *n)
{
	for (size_t p = 0; e->providers && e->providers[p]; p++) {
		for (size_t k = 0; e->providers[p]->kinds[k]; k++) {
			if (!streq(e->providers[p]->kinds[k]->name, name))
				continue;
			n->provider = e->providers[p];
			n->kind = e->providers[p]->kinds[k];
			n->lane = p;
			n->rank = k;
			return 0;
		}
	}
	return KC_ENOTFOUND;
}

static int parse_mode(const struct kc_node *n, enum kc_mode *ret, struct kc_err *err)
{
	static const char *const names[] = { "sync", "ignore", "exists", "exists-warn" };
	const char *mode = kc_json_get_str(n->task, "mode", "sync");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (streq(mode, names[i])) {
			*ret = (enum kc_mode)i;
			return 0;
		}
	}
	return kc_fail(err, KC_EINVAL,
		       "task %s: unknown mode \"%s\"; known: sync, ignore, exists, exists-warn",
		       n->id, mode);
}

static int add_task(const struct kc_engine *e, struct kc_plan *p, const json_t *task,
		    struct kc_err *err)
{
	struct kc_node *n = &p->nodes[p->n];
	const char *kind, *limit = kc_json_get_str(task, "limit", NULL);
	size_t len;
	long max;

	if (kc_json_str(task, "a task", "id", &n->id, err) < 0 ||
	    kc_json_str(task, n->id, "kind", &kind, err) < 0)
		return KC_EINVAL;
	if (!*n->id || strchr(n->id, '#'))
		return kc_fail(err, KC_EINVAL, "task id \"%s\": empty or with a #", n->id);
	if (json_object_get(p->index, n->id))
		return kc_fail(err, KC_EINVAL, "two tasks are named %s", n->id);
	if (!json_is_object(json_object_get(task, "want")))
		return kc_fail(err, KC_EINVAL, "task %s: no object \"want\"", n->id);
	if (find_kind(e, kind, n) < 0)
		return kc_fail(err, KC_EINVAL, "task %s: no provider here knows the kind %s", n->id,
			       kind);
	if (limit && !kc_limit_parse(limit, &len, &max))
		return kc_fail(err, KC_EINVAL, "task %s: limit \"%s\" is not \"name:number\"",
			       n->id, limit);
	n->task = task;
	n->rec = json_object_get(p->record, n->id);
	n->within = KC_NONE;
	if (parse_mode(n, &n->mode, err) < 0)
		return KC_EINVAL;
	json_object_set_new(p->index, n->id, json_integer((json_int_t)p->n++));
	return 0;
}

static int add_gone(const struct kc_engine *e, struct kc_plan *p, const char *id, const json_t *rec,
		    struct kc_err *err)
{
	struct kc_node *n = &p->nodes[p->n];
	const char *kind = kc_json_get_str(rec, "kind", "?");

	if (find_kind(e, kind, n) < 0)
		return kc_fail(err, KC_EINVAL,
			       "%s is recorded with the kind %s, which no provider here knows", id,
			       kind);
	n->id = id;
	n->rec = rec;
	n->within = KC_NONE;
	n->action = KC_DELETE;
	json_object_set_new(p->index, id, json_integer((json_int_t)p->n++));
	return 0;
}

static int edge_to(struct kc_plan *p, struct kc_node *n, const char *id, const char *how, bool data,
		   struct kc_err *err)
{
	size_t i = kc_graph_index(p, id, strlen(id));

	if (i == KC_NONE || !p->nodes[i].task)
		return kc_fail(err, KC_EINVAL, "task %s %s %s, which is not in the graph", n->id,
			       how, id);
	kc_idx_add(&n->deps, i);
	if (data)
		kc_idx_add(&n->needs, i);
	return 0;
}

static int add_edges(struct kc_plan *p, struct kc_node *n, struct kc_err *err)
{
	json_auto_t *refs = json_object();
	const char *id, *within = kc_json_get_str(n->task, "within", NULL);
	json_t *v;
	size_t i;

	kc_refs_set(json_object_get(n->task, "want"), refs);
	kc_refs_set(json_object_get(n->task, "via"), refs);
	json_object_foreach(refs, id, v)
		if (edge_to(p, n, id, "refers to", true, err) < 0)
			return KC_EINVAL;
	json_array_foreach(json_object_get(n->task, "after"), i, v) {
		if (!json_is_string(v))
			return kc_fail(err, KC_EINVAL, "task %s: \"after\" takes ids", n->id);
		if (edge_to(p, n, json_string_value(v), "comes after", false, err) < 0)
			return KC_EINVAL;
	}
	if (within) {
		if (edge_to(p, n, within, "lies within", true, err) < 0)
			return KC_EINVAL;
		n->within = kc_graph_index(p, within, strlen(within));
	}
	return 0;
}

/* Is n, which left the graph, gone with what it lies within? ret: that node, or KC_NONE. */
static bool dies_with(struct kc_plan *p, const struct kc_node *n, size_t *ret)
{
	*ret = KC_NONE;
	for (size_t hops = 0; n->rec && hops < p->n; hops++) {
		const char *within = kc_json_get_str(n->rec, "within", NULL);
		size_t i = within ? kc_graph_index(p, within, strlen(within)) : KC_NONE;

		if (!within)
			return *ret != KC_NONE;
		if (i == KC_NONE)
			return true; /* already deleted or forgotten */
		n = &p->nodes[i];
		if (n->task)
			return *ret != KC_NONE;
		*ret = i;
	}
	return *ret != KC_NONE;
}

static bool lies_within(struct kc_plan *p, size_t i, size_t root)
{
	for (size_t hops = 0; i != KC_NONE && hops < p->n; hops++) {
		if (i == root)
			return true;
		i = p->nodes[i].task ? KC_NONE : p->nodes[i].within;
	}
	return false;
}

/*
 * Recorded edges, turned round: what d depended on, and d does no longer use
 * (because it is gone, or was updated), goes after d. Where that thing only
 * dies with another one, the other one waits for d as well. What dies with its container
 * keeps nobody waiting: hosts of a dying cluster are given back side by side.
 */
static void reverse_edges(struct kc_plan *p, size_t d)
{
	json_t *v;
	size_t k;

	if (p->nodes[d].action == KC_FORGET && p->nodes[d].within != KC_NONE)
		return;
	json_array_foreach(json_object_get(p->nodes[d].rec, "after"), k, v) {
		const char *id = json_string_value(v);
		size_t t = id ? kc_graph_index(p, id, strlen(id)) : KC_NONE;

		if (t == KC_NONE || t == d || p->nodes[t].task)
			continue;
		if (p->nodes[t].action == KC_FORGET && p->nodes[t].within != KC_NONE &&
		    !lies_within(p, d, p->nodes[t].within))
			kc_idx_add(&p->nodes[p->nodes[t].within].deps, d);
		if (!lies_within(p, d, t))
			kc_idx_add(&p->nodes[t].deps, d);
	}
}

static void plan_gone(const struct kc_engine *e, struct kc_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct kc_node *n = &p->nodes[i];
		size_t root;

		if (!n->task && dies_with(p, n, &root)) {
			n->action = KC_FORGET;
			n->within = root;
			if (root != KC_NONE)
				kc_idx_add(&n->deps, root);
		} else if (!n->task && e->forget && streq(n->id, e->forget)) {
			n->action = KC_FORGET;
		}
	}
	for (size_t i = 0; i < p->n; i++)
		if (p->nodes[i].rec)
			reverse_edges(p, i);
}

/* Both leave, and one is a stray: whose kind comes later goes first, for no edge was recorded. */
static void order_stray(struct kc_plan *p, size_t a, size_t b)
{
	const struct kc_node *x = &p->nodes[a], *y = &p->nodes[b];

	if (x->lane == y->lane && x->rank < y->rank)
		kc_idx_add(&p->nodes[a].deps, b);
	else if (x->lane == y->lane && x->rank > y->rank)
		kc_idx_add(&p->nodes[b].deps, a);
}

/* What carries the owner's mark, and neither graph nor record knows. */
static int add_strays(const struct kc_engine *e, struct kc_plan *p, struct kc_err *err)
{
	const json_t *s;
	size_t i;

	json_array_foreach(p->strays, i, s) {
		const char *id = kc_json_get_str(s, "id", "");
		struct kc_node *n = &p->nodes[p->n];

		if (kc_graph_index(p, id, strlen(id)) != KC_NONE)
			continue;
		if (add_gone(e, p, id, s, err) < 0)
			return KC_EINVAL;
		n->rec = NULL;
		n->stray = json_object_get(s, "found");
		n->warning = "carries this owner's mark, but is not recorded";
	}
	return 0;
}

static void order_strays(struct kc_plan *p)
{
	for (size_t a = 0; a < p->n; a++)
		for (size_t b = 0; p->nodes[a].stray && b < p->n; b++)
			if (!p->nodes[b].task && (b < a || !p->nodes[b].stray))
				order_stray(p, a, b);
}

static int name_cycle(struct kc_plan *p, const size_t *left, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	_cleanup_free_ size_t *seen = xcalloc(p->n, sizeof(*seen)), *path = NULL;
	size_t i = 0, n = 0;

	path = xcalloc(p->n + 1, sizeof(*path));
	while (!left[i])
		i++;
	/* Every node that is left has a dependency that is left: following them ends in a circle.
	 */
	while (!seen[i]) {
		const struct kc_idx *deps = &p->nodes[i].deps;

		path[n++] = i;
		seen[i] = n;
		for (size_t k = 0; k < deps->n; k++) {
			if (left[deps->v[k]]) {
				i = deps->v[k];
				break;
			}
		}
	}
	for (size_t k = seen[i] - 1; k < n && b.len < 800; k++)
		kc_buf_printf(&b, "%s -> ", p->nodes[path[k]].id);
	kc_buf_puts(&b, p->nodes[i].id);
	return kc_fail(err, KC_EINVAL, "tasks depend on each other in a circle: %s",
		       kc_buf_get(&b));
}

struct sorting {
	size_t *left;  /* unmet dependencies + 1; 0: in order */
	size_t *start; /* node -> its dependents in users[start[i] .. start[i + 1]) */
	size_t *users;
	size_t done;
};

static void sorting_done(struct sorting *s)
{
	free(s->left);
	free(s->start);
	free(s->users);
}

static void sorting_init(struct sorting *s, struct kc_plan *p)
{
	size_t edges = 0;

	s->left = xcalloc(p->n + 1, sizeof(*s->left));
	s->start = xcalloc(p->n + 2, sizeof(*s->start));
	for (size_t i = 0; i < p->n; i++) {
		idx_unique(&p->nodes[i].deps);
		idx_unique(&p->nodes[i].needs);
		s->left[i] = p->nodes[i].deps.n + 1;
		edges += p->nodes[i].deps.n;
		for (size_t k = 0; k < p->nodes[i].deps.n; k++)
			s->start[p->nodes[i].deps.v[k] + 2]++;
	}
	for (size_t i = 0; i < p->n; i++)
		s->start[i + 1] += s->start[i];
	s->users = xcalloc(edges + 1, sizeof(*s->users));
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->nodes[i].deps.n; k++)
			s->users[s->start[p->nodes[i].deps.v[k] + 1]++] = i;
}

/* Put everything into the order that has no unmet dependency: the queue is the order itself. */
static void drain(struct sorting *s, struct kc_plan *p, size_t from)
{
	for (size_t head = from; head < s->done; head++) {
		size_t i = p->order[head];

		s->left[i] = 0;
		for (size_t k = s->start[i]; k < s->start[i + 1]; k++)
			if (s->left[s->users[k]] && --s->left[s->users[k]] == 1)
				p->order[s->done++] = s->users[k];
	}
}

/*
 * Recorded edges of several versions may form a circle among tasks that are all
 * gone. Somebody has to go first: the one recorded first, without its unmet edges.
 */
static bool break_gone_circle(struct sorting *s, struct kc_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct kc_node *n = &p->nodes[i];
		size_t kept = 0;

		if (!s->left[i] || n->task)
			continue;
		for (size_t k = 0; k < n->deps.n; k++)
			if (!s->left[n->deps.v[k]])
				n->deps.v[kept++] = n->deps.v[k];
		n->deps.n = kept;
		s->left[i] = 1;
		p->order[s->done++] = i;
		return true;
	}
	return false;
}

static int sort(struct kc_plan *p, struct kc_err *err)
{
	_cleanup_(sorting_done) struct sorting s = { 0 };
	size_t from = 0;

	sorting_init(&s, p);
	p->order = xcalloc(p->n + 1, sizeof(*p->order));
	for (size_t i = 0; i < p->n; i++)
		if (s.left[i] == 1)
			p->order[s.done++] = i;
	drain(&s, p, from);
	for (size_t i = 0; s.done < p->n && i < p->n; i++)
		if (s.left[i] && p->nodes[i].task)
			return name_cycle(p, s.left, err);
	while (s.done < p->n) {
		from = s.done;
		if (!break_gone_circle(&s, p))
			return name_cycle(p, s.left, err);
		drain(&s, p, from);
	}
	return 0;
}

/* In the order of their ids: the record's own order depends on who was done first. */
static int add_all_gone(const struct kc_engine *e, struct kc_plan *p, struct kc_err *err)
{
	size_t n;
	_cleanup_free_ const char **ids = kc_json_keys(p->record, &n);

	for (size_t i = 0; i < n; i++)
		if (!json_object_get(p->index, ids[i]) &&
		    add_gone(e, p, ids[i], json_object_get(p->record, ids[i]), err) < 0)
			return KC_EINVAL;
	return 0;
}

int kc_graph_build(const struct kc_engine *e, const json_t *tasks, json_t *strays,
		   struct kc_plan **ret, struct kc_err *err)
{
	_cleanup_plan_ struct kc_plan *p = xcalloc(1, sizeof(*p));
	size_t i, n;
	json_t *v;

	if (!json_is_array(tasks))
		return kc_fail(err, KC_EINVAL, "the graph is not a list of tasks");
	p->tasks = json_deep_copy(tasks);
	p->record = e->state ? json_deep_copy(kc_state_tasks(e->state)) : json_object();
	p->strays = json_incref(strays);
	p->index = json_object();
	p->nodes = xcalloc(json_array_size(p->tasks) + json_object_size(p->record) +
				   json_array_size(strays) + 1,
			   sizeof(*p->nodes));
	json_array_foreach(p->tasks, i, v)
		if (add_task(e, p, v, err) < 0)
			return KC_EINVAL;
	n = p->n;
	for (i = 0; i < n; i++)
		if (add_edges(p, &p->nodes[i], err) < 0)
			return KC_EINVAL;
	if (add_all_gone(e, p, err) < 0 || add_strays(e, p, err) < 0)
		return KC_EINVAL;
	plan_gone(e, p);
	order_strays(p);
	if (sort(p, err) < 0)
		return KC_EINVAL;
	*ret = TAKE(p);
	return 0;
}
