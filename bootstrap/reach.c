#include "bootstrap/reach.h"

#include <pthread.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

/* WINDOW: how long a host that cannot reach another tries; a lost SYN is sent again after a second.
 */
enum { WINDOW_MS = 1500, WINDOW_HOST_MS = 30, WINDOW_MAX_MS = 6000 };
enum { LINES_MAX = 12, NAMES_MAX = 3, STACK = 256 << 10 };

struct host {
	const char *id, *name, *address; /* borrowed from the tasks */
	bool control_plane, fresh;
	bool half_made; /* in the cluster, but a unit is missing or down: its silence means nothing
			 */
	json_t *question, *targets; /* targets[i]: {"to", "port", "udp"} of peers[i] */
	json_t *answer;
	int expect;
	struct kc_err err;
	int r;
	pthread_t thread;
	bool started;
	struct kc_hosts *hosts;
};

/* Who has to reach whom on what. Workers' kubelets are asked by API servers, and by nobody else. */
static const struct {
	int port;
	bool udp, from_control_plane, to_control_plane;
} needs[] = {
	{ 2379, false, true, true },   { 2380, false, true, true },  { 6443, false, false, true },
	{ 10250, false, true, false }, { 8472, true, false, false },
};

static const json_t *entry_of(const struct kc_plan *plan, const char *id)
{
	return kc_json_find(json_object_get(kc_plan_json(plan), "tasks"), "id", id);
}

/* One of its units is not there or does not run. */
static bool is_half_made(const json_t *entry)
{
	const json_t *child, *change;
	size_t i, k;

	json_array_foreach(json_object_get(entry, "children"), i, child) {
		if (!streq(kc_json_get_str(child, "kind", ""), "unit"))
			continue;
		if (streq(kc_json_get_str(child, "action", ""), "create"))
			return true;
		json_array_foreach(json_object_get(child, "changes"), k, change)
			if (streq(kc_json_get_str(change, "path", ""), "active"))
				return true;
	}
	return false;
}

/* The hosts that can be asked, and whether one of them is new. */
static size_t take_hosts(const struct kc_plan *plan, const json_t *tasks, struct host *out,
			 bool *ret_fresh)
{
	const json_t *task;
	size_t i, n = 0;

	*ret_fresh = false;
	json_array_foreach((json_t *)tasks, i, task) {
		const char *id = kc_json_get_str(task, "id", "");
		const json_t *node = kc_json_at(task, "want.node");
		const char *address = kc_json_get_str(node, "address", NULL);
		const json_t *entry = entry_of(plan, id);

		if (!streq(kc_json_get_str(task, "kind", ""), "node") || !address ||
		    !json_object_get(kc_plan_actual(plan, id), "facts"))
			continue;
		out[n] =
			(struct host){ .id = id, .name = id + strlen("node/"), .address = address };
		out[n].control_plane = streq(kc_json_get_str(node, "role", ""), "control-plane");
		out[n].fresh = streq(kc_json_get_str(entry, "action", ""), "create");
		out[n].half_made = !out[n].fresh && is_half_made(entry);
		*ret_fresh |= out[n++].fresh;
	}
	return n;
}

static void add_probe(struct host *from, struct host *to, int port, bool udp)
{
	json_array_append_new(json_object_get(from->question, "peers"),
			      kc_pack("{s:s, s:s, s:i, s:b, s:b}", "name", to->name, "address",
				      to->address, "port", port, "udp", udp, "serves", !to->fresh));
	json_array_append_new(from->targets,
			      kc_pack("{s:s, s:i, s:b}", "to", to->name, "port", port, "udp", udp));
	/* A host of the cluster is not asked to answer: what it runs does. */
	to->expect += to->fresh;
}

static void add_pair(struct host *from, struct host *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if ((needs[i].from_control_plane && !from->control_plane) ||
		    (needs[i].to_control_plane && !to->control_plane))
			continue;
		/* Its kernel takes VXLAN and gives no answer. */
		if (needs[i].udp && !to->fresh)
			continue;
		add_probe(from, to, needs[i].port, needs[i].udp);
	}
}

static void make_questions(struct host *hosts, size_t n)
{
	/* Many are not asked at the very same moment. */
	int ms = WINDOW_MS + (int)n * WINDOW_HOST_MS;
	unsigned char bytes[16];
	char token[33];

	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), token);
	for (size_t i = 0; i < n; i++) {
		json_t *listen = json_array();

		for (size_t k = 0; hosts[i].fresh && k < ARRAY_SIZE(needs); k++)
			if (hosts[i].control_plane || !needs[k].to_control_plane)
				json_array_append_new(listen,
						      kc_pack("{s:i, s:b}", "port", needs[k].port,
							      "udp", needs[k].udp));
		hosts[i].targets = json_array();
		hosts[i].question = kc_pack("{s:s, s:i, s:i, s:o, s:[]}", "token", token, "ms",
					    ms < WINDOW_MAX_MS ? ms : WINDOW_MAX_MS, "self", (int)i,
					    "listen", listen, "peers");
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (i != k && (hosts[i].fresh || hosts[k].fresh) && !hosts[k].half_made)
				add_pair(&hosts[i], &hosts[k]);
	for (size_t i = 0; i < n; i++)
		json_object_set_new(hosts[i].question, "expect", json_integer(hosts[i].expect));
}

static void *ask(void *cookie)
{
	struct host *h = cookie;

	h->r = kc_hosts_reach(h->hosts, h->id, h->question, &h->answer, &h->err);
	return NULL;
}

/* All at the same moment: each waits for the others. */
static void ask_all(struct kc_hosts *hosts, struct host *list, size_t n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (size_t i = 0; i < n; i++) {
		struct host *h = &list[i];

		h->hosts = hosts;
		h->started = pthread_create(&h->thread, &attr, ask, h) == 0;
		if (!h->started)
			h->r = kc_fail(&h->err, KC_EFAIL, "%s: cannot start a thread", h->name);
	}
	for (size_t i = 0; i < n; i++)
		if (list[i].started)
			pthread_join(list[i].thread, NULL);
	pthread_attr_destroy(&attr);
}

static int add_failures(const struct host *h, json_t *out, struct kc_err *err)
{
	const json_t *failed, *f;
	size_t i;
	int r = kc_json_arr(h->answer, "the agent's answer", "failed", &failed, err);

	if (r < 0)
		return r;
	json_array_foreach(failed, i, f) {
		const json_t *target =
			json_array_get(h->targets, (size_t)kc_json_get_int(f, "peer", -1));
		json_t *entry = target ? json_copy((json_t *)target) : json_object();

		json_object_set_new(entry, "from", json_string(h->name));
		json_object_set_new(entry, "why", json_string(kc_json_get_str(f, "why", "?")));
		json_array_append_new(out, entry);
	}
	return 0;
}

/* "10250/tcp" */
static char *port_of(const json_t *f)
{
	return xasprintf("%lld/%s", (long long)kc_json_get_int(f, "port", 0),
			 kc_json_get_bool(f, "udp", false) ? "udp" : "tcp");
}

/* {"w1 on 8472/udp: no answer": [who cannot]}, in the order they come. */
static json_t *group(const json_t *failures, bool by_port)
{
	json_t *groups = json_object(), *list;
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)failures, i, f) {
		_cleanup_free_ char *port = port_of(f), *key = NULL, *who = NULL;
		const char *to = kc_json_get_str(f, "to", "?"),
			   *from = kc_json_get_str(f, "from", "?"),
			   *why = kc_json_get_str(f, "why", "?");

		key = by_port ? xasprintf("on %s: %s", port, why)
			      : xasprintf("%s on %s: %s", to, port, why);
		who = by_port ? xasprintf("%s to %s", from, to) : xstrdup(from);
		list = json_object_get(groups, key);
		if (!list) {
			list = json_array();
			json_object_set_new(groups, key, list);
		}
		json_array_append_new(list, json_string(who));
	}
	return groups;
}

/* "a", "a and b", "a, b, c and 4 more" */
static char *names(const json_t *list)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	size_t n = json_array_size(list), shown = n > NAMES_MAX + 1 ? NAMES_MAX : n;

	for (size_t i = 0; i < shown; i++)
		kc_buf_printf(&b, "%s%s",
			      !i	   ? ""
			      : i + 1 == n ? " and "
					   : ", ",
			      json_string_value(json_array_get(list, i)));
	if (shown < n)
		kc_buf_printf(&b, " and %zu more", n - shown);
	return kc_buf_steal(&b);
}

void kc_reach_lines(const json_t *failures, struct kc_buf *out)
{
	json_auto_t *groups = group(failures, false);
	bool by_port = json_object_size(groups) > LINES_MAX;
	const char *what;
	json_t *list;

	if (by_port) {
		json_decref(groups);
		groups = group(failures, true);
	}
	json_object_foreach(groups, what, list) {
		_cleanup_free_ char *who = names(list);

		kc_buf_printf(out, "%s%s%s%s %s; open it in the firewalls between them",
			      out->len ? "\n" : "", by_port ? "no way from " : "", who,
			      by_port ? "" : " cannot reach", what);
	}
}

static int judge(const struct host *hosts, size_t n, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	json_auto_t *failures = json_array();
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (hosts[i].r < 0 && hosts[i].r != KC_ENOTFOUND) {
			*err = hosts[i].err;
			return hosts[i].r;
		}
		if (hosts[i].answer)
			r = add_failures(&hosts[i], failures, err);
	}
	if (r < 0)
		return r;
	kc_reach_lines(failures, &out);
	return out.len ? kc_fail_lines(err, KC_EINVAL, kc_buf_get(&out)) : 0;
}

int kc_reach(struct kc_hosts *hosts, const struct kc_plan *plan, const json_t *tasks,
	     struct kc_err *err)
{
	struct host *list = xcalloc(json_array_size(tasks) + 1, sizeof(*list));
	bool fresh;
	size_t n = take_hosts(plan, tasks, list, &fresh);
	int r = 0;

	if (fresh && n > 1) {
		make_questions(list, n);
		ask_all(hosts, list, n);
		r = judge(list, n, err);
	}
	for (size_t i = 0; i < n; i++) {
		json_decref(list[i].question);
		json_decref(list[i].targets);
		json_decref(list[i].answer);
	}
	free(list);
	return r;
}
