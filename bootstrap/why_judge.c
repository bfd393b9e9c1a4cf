#include <stdlib.h>
#include <string.h>

#include "bootstrap/why_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

bool why_check(const struct kc_why_look *l, const char *id, struct kc_why_finding *f)
{
	const json_t *c = kc_json_find(json_object_get(l->doctor, "checks"), "id", id);

	return c && !kc_json_get_bool(c, "ok", true) &&
	       why_found(f, kc_json_get_str(c, "fix", ""), "%s",
			 kc_json_get_str(c, "why", "a check failed"));
}

const json_t *why_unit(const struct kc_why_look *l, const char *name)
{
	_cleanup_free_ char *file = xasprintf("%s.service", name);

	return kc_json_find(json_object_get(l->doctor, "units"), "name", file);
}

const char *why_line(const json_t *unit, const char *const *needles)
{
	const json_t *log = json_object_get(unit, "log");

	for (size_t i = json_array_size(log); i-- > 0;) {
		const char *line = json_string_value(json_array_get(log, i));

		for (const char *const *n = needles; line && *n; n++)
			if (strstr(line, *n))
				return line;
	}
	return NULL;
}

const json_t *why_drift(const struct kc_why_look *l, const char *id)
{
	return kc_json_find(json_object_get(l->doctor, "drift"), "id", id);
}

const json_t *why_change(const json_t *drift, const char *path)
{
	return kc_json_find(json_object_get(drift, "changes"), "path", path);
}

const char *why_cluster(const struct kc_why_look *l)
{
	return kc_json_get_str(json_object_get(l->evidence, "cluster"), "name", "NAME");
}

struct found {
	size_t host, cause;
	enum { FIRST, SECOND, CAN_WAIT } turn;
	bool control_plane;
	struct kc_why_finding f;
};

static int by_urgency(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->turn != y->turn)
		return x->turn < y->turn ? -1 : 1;
	if (x->cause != y->cause)
		return x->cause < y->cause ? -1 : 1;
	if (x->control_plane != y->control_plane)
		return x->control_plane ? -1 : 1;
	return x->host < y->host ? -1 : x->host > y->host;
}

static struct kc_why_look look_at(const json_t *evidence, const json_t *host)
{
	const json_t *api = json_object_get(evidence, "api");
	struct kc_why_look l = {
		.evidence = evidence,
		.host = host,
		.doctor = json_object_get(host, "doctor"),
		.api = api,
		.name = kc_json_get_str(host, "name", ""),
		.control_plane = streq(kc_json_get_str(host, "role", ""), "control-plane"),
		.api_up = !json_object_get(api, "error"),
	};

	l.node = json_object_get(json_object_get(api, "nodes"), l.name);
	l.ready = kc_json_get_bool(l.node, "ready", false);
	return l;
}

/* Without an API no worker works, whatever else it has; a node that is Ready can wait. */
static int turn_of(const struct kc_why_look *l)
{
	if (!l->api_up)
		return l->control_plane ? FIRST : SECOND;
	return l->ready ? CAN_WAIT : FIRST;
}

/* All causes that are seen on a host; symptoms only where no cause is. */
static size_t judge_host(const struct kc_why_look *l, size_t host, struct found *out)
{
	bool caused = false;
	size_t n = 0;

	for (size_t i = 0; kc_why_causes[i].id; i++) {
		struct found found = { .host = host,
				       .cause = i,
				       .turn = turn_of(l),
				       .control_plane = l->control_plane };

		if ((kc_why_causes[i].symptom && caused) || !kc_why_causes[i].rule(l, &found.f))
			continue;
		caused |= !kc_why_causes[i].symptom;
		out[n++] = found;
	}
	return n;
}

json_t *kc_why_judge(const json_t *evidence)
{
	const json_t *hosts = json_object_get(evidence, "hosts"), *host;
	_cleanup_free_ struct found *found = NULL;
	json_t *out = json_array();
	size_t i, n = 0, causes = 0;

	while (kc_why_causes[causes].id)
		causes++;
	found = xcalloc(json_array_size(hosts) * causes + 1, sizeof(*found));
	json_array_foreach(hosts, i, host) {
		struct kc_why_look l = look_at(evidence, host);

		n += judge_host(&l, i, found + n);
	}
	qsort(found, n, sizeof(*found), by_urgency);
	for (i = 0; i < n; i++) {
		const struct kc_why_cause *c = &kc_why_causes[found[i].cause];
		char text[sizeof(found[i].f.text)];

		host = json_array_get(hosts, found[i].host);
		/* Logs may hold anything, and a cause is one line. */
		kc_clean(text, sizeof(text), found[i].f.text, '?');
		json_array_append_new(out, kc_pack("{s:s, s:s, s:s, s:s, s:b}", "id", c->id, "node",
						   kc_json_get_str(host, "name", ""), "text", text,
						   "fix", found[i].f.fix, "symptom", c->symptom));
	}
	return out;
}
