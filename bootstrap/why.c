/* cluster why: ask all hosts and the API at the same time, and judge what they say. */
#include "bootstrap/why.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bootstrap/nodespec.h"
#include "bootstrap/validate.h"
#include "lib/base/each.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { THREADS_MAX = 32 };

struct patient {
	const char *name, *role, *address;
	const json_t *ssh;
	bool recorded;
	char *id; /* "node/NAME" */
	json_t *question, *answer;
	struct kc_err err;
	int r;
};

struct ward {
	struct session *s;
	struct patient *list;
	size_t n;
	json_t *api, *checks;
};

/* Those of the record, and those of the manifest that it does not know yet. */
static void admit(struct session *s, struct ward *w)
{
	const json_t *tasks = kc_state_tasks(s->state), *task, *host;
	const json_t *wanted = kc_json_at(s->cluster, "spec.hosts");
	const char *id;
	size_t i;

	w->list = xcalloc(json_object_size(tasks) + json_array_size(wanted) + 1, sizeof(*w->list));
	json_object_foreach((json_t *)tasks, id, task) {
		const json_t *node = kc_json_at(task, "want.node"), *ssh;

		if (!streq(kc_json_get_str(task, "kind", ""), "node"))
			continue;
		ssh = kc_json_at(task, "outputs.ssh");
		w->list[w->n++] = (struct patient){
			.name = id + strlen("node/"),
			.role = kc_json_get_str(node, "role", ""),
			.address = kc_json_get_str(json_object_get(task, "outputs"), "address",
						   kc_json_get_str(node, "address", "")),
			.ssh = ssh ? ssh : kc_json_at(task, "want.ssh"),
			.recorded = ssh != NULL,
		};
	}
	json_array_foreach(wanted, i, host) {
		_cleanup_free_ char *key = xasprintf("node/%s", kc_json_get_str(host, "name", ""));

		if (!json_object_get(tasks, key))
			w->list[w->n++] = (struct patient){
				.name = kc_json_get_str(host, "name", ""),
				.role = kc_json_get_str(host, "role", ""),
				.address = json_string_value(
					json_array_get(json_object_get(host, "addresses"), 0)),
				.ssh = json_object_get(host, "ssh"),
			};
	}
	for (i = 0; i < w->n; i++)
		w->list[i].id = xasprintf("node/%s", w->list[i].name);
}

static json_t *question_for(const struct ward *w, const struct patient *p)
{
	json_t *ask = json_array();

	for (size_t i = 0; i < w->n; i++)
		if (streq(w->list[i].role, "control-plane") && w->list[i].address)
			json_array_append_new(ask, json_sprintf("%s:6443", w->list[i].address));
	return kc_pack("{s:o, s:o}", "checks",
		       kc_nodespec_checks(NULL, streq(p->role, "control-plane")), "ask", ask);
}

static bool is_true(const json_t *object, const char *type, const json_t **ret)
{
	const json_t *c;
	size_t i;

	*ret = NULL;
	json_array_foreach(kc_json_at(object, "status.conditions"), i, c)
		if (streq(kc_json_get_str(c, "type", ""), type)) {
			*ret = c;
			return streq(kc_json_get_str(c, "status", ""), "True");
		}
	return false;
}

static const char *name_of(const json_t *object)
{
	return kc_json_get_str(json_object_get(object, "metadata"), "name", "");
}

static int add_nodes(struct kc_kube *k, json_t *api, struct kc_err *err)
{
	json_auto_t *items = NULL;
	json_t *nodes = json_object();
	const json_t *node, *c;
	size_t i;
	int r = kc_kube_list(k, "/api/v1/nodes", NULL, &items, err);

	json_object_set_new(api, "nodes", nodes);
	json_array_foreach(items, i, node) {
		bool ready = is_true(node, "Ready", &c);

		json_object_set_new(nodes, name_of(node),
				    kc_pack("{s:b, s:s, s:s}", "ready", ready, "message",
					    kc_json_get_str(c, "message", ""), "podCIDR",
					    kc_json_get_str(json_object_get(node, "spec"),
							    "podCIDR", "")));
	}
	return r;
}

/* {"reason", "message"} of the first container that waits, or of why no node takes it. */
static json_t *waiting(const json_t *pod)
{
	static const char *const lists[] = { "status.initContainerStatuses",
					     "status.containerStatuses" };
	const json_t *c, *scheduled;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
		json_array_foreach(kc_json_at(pod, lists[k]), i, c) {
			const json_t *w = kc_json_at(c, "state.waiting");

			if (w)
				return kc_pack("{s:s, s:s}", "reason",
					       kc_json_get_str(w, "reason", ""), "message",
					       kc_json_get_str(w, "message", ""));
		}
	if (!is_true(pod, "PodScheduled", &scheduled) && scheduled)
		return kc_pack("{s:s, s:s}", "reason", "not scheduled:", "message",
			       kc_json_get_str(scheduled, "message", ""));
	return kc_pack("{s:s, s:s}", "reason", "not Ready", "message", "");
}

static int add_pods(struct kc_kube *k, json_t *api, struct kc_err *err)
{
	json_auto_t *items = NULL;
	json_t *pods = json_array();
	const json_t *pod, *c;
	size_t i;
	int r = kc_kube_list(k, "/api/v1/namespaces/kube-system/pods", NULL, &items, err);

	json_object_set_new(api, "pods", pods);
	json_array_foreach(items, i, pod) {
		json_t *w;

		if (is_true(pod, "Ready", &c) ||
		    streq(kc_json_get_str(json_object_get(pod, "status"), "phase", ""),
			  "Succeeded"))
			continue;
		w = waiting(pod);
		json_object_set_new(w, "name", json_string(name_of(pod)));
		json_object_set_new(w, "node",
				    json_string(kc_json_get_str(json_object_get(pod, "spec"),
								"nodeName", "")));
		json_array_append_new(pods, w);
	}
	return r;
}

static const char *about(const json_t *event)
{
	return kc_json_get_str(json_object_get(event, "involvedObject"), "name", "");
}

/* A pod whose status says nothing: the newest warning about it does. */
static int add_warnings(struct kc_kube *k, json_t *pods, struct kc_err *err)
{
	json_auto_t *events = NULL, *newest = json_object();
	json_t *pod;
	const json_t *e, *was;
	size_t i;
	int r = 0;

	if (json_array_size(pods))
		r = kc_kube_list(k, "/api/v1/namespaces/kube-system/events",
				 "fieldSelector=type%3DWarning%2CinvolvedObject.kind%3DPod",
				 &events, err);
	json_array_foreach(events, i, e) {
		was = json_object_get(newest, about(e));
		if (strcmp(kc_json_get_str(e, "lastTimestamp", ""),
			   kc_json_get_str(was, "lastTimestamp", "")) >= 0)
			json_object_set(newest, about(e), (json_t *)e);
	}
	json_array_foreach(pods, i, pod) {
		e = json_object_get(newest, kc_json_get_str(pod, "name", ""));
		if (e && !*kc_json_get_str(pod, "message", ""))
			json_object_set(pod, "message", json_object_get(e, "message"));
	}
	return r;
}

/* What the API says, and that it says nothing. */
static json_t *ask_api(struct session *s, json_t *checks)
{
	json_t *api = json_object();
	struct kc_kube *k;
	struct kc_err why;
	int r = kc_kube_ctx_get(s->kube, &k, &why);

	/* One that hangs is waited for once. */
	if (r == 0)
		r = kc_kube_raw(k, "/readyz", NULL, &why);
	if (r == 0)
		r = validate_api(s, checks, &why);
	if (r == 0)
		r = add_nodes(k, api, &why);
	if (r == 0)
		r = add_pods(k, api, &why);
	if (r == 0)
		r = add_warnings(k, json_object_get(api, "pods"), &why);
	if (r < 0)
		json_object_set_new(api, "error", json_string(why.msg));
	return api;
}

/* The last one is the API. */
static void ask_one(void *cookie, size_t i)
{
	struct ward *w = cookie;
	struct patient *p = &w->list[i];
	struct kc_task task = { .id = p->id, .owner = w->s->uid };

	if (i == w->n) {
		w->api = ask_api(w->s, w->checks);
		return;
	}
	if (!p->ssh)
		p->r = kc_fail(&p->err, KC_ENOTFOUND,
			       "the machine was not made yet; run the create "
			       "again");
	else
		p->r = kc_hosts_doctor(&w->s->hosts, &task, p->ssh, p->question, &p->answer,
				       &p->err);
}

static json_t *host_evidence(const struct patient *p)
{
	json_t *host =
		kc_pack("{s:s, s:s, s:s, s:O*, s:b}", "name", p->name, "role", p->role, "address",
			p->address ? p->address : "", "ssh", p->ssh, "recorded", p->recorded);

	if (p->answer)
		json_object_set(host, "doctor", p->answer);
	else
		json_object_set_new(host, "error",
				    kc_pack("{s:i, s:s}", "code", p->r, "message", p->err.msg));
	return host;
}

/* Everybody is asked at once: a host that does not answer takes its time, and no more. */
static json_t *gather(struct ward *w)
{
	json_t *hosts = json_array();
	const json_t *net = kc_json_at(w->s->cluster, "spec.networking");

	w->checks = json_array();
	for (size_t i = 0; i < w->n; i++)
		w->list[i].question = question_for(w, &w->list[i]);
	kc_each(w->n + 1, THREADS_MAX, ask_one, w);
	for (size_t i = 0; i < w->n; i++)
		json_array_append_new(hosts, host_evidence(&w->list[i]));
	return kc_pack("{s:{s:s, s:O*, s:O*}, s:I, s:o, s:o, s:o}", "cluster", "name", w->s->name,
		       "podCIDRs", json_object_get(net, "podCIDRs"), "serviceCIDRs",
		       json_object_get(net, "serviceCIDRs"), "now", (json_int_t)time(NULL), "api",
		       w->api, "checks", w->checks, "hosts", hosts);
}

static void dismiss(struct ward *w)
{
	for (size_t i = 0; i < w->n; i++) {
		free(w->list[i].id);
		json_decref(w->list[i].question);
		json_decref(w->list[i].answer);
	}
	free(w->list);
}

/* The first check that is bad, or NULL. */
static const char *first_bad(const json_t *checks, char **ret)
{
	const json_t *c;
	size_t i;

	json_array_foreach((json_t *)checks, i, c)
		if (!kc_json_get_bool(c, "ok", true)) {
			*ret = xasprintf("%s: %s", kc_json_get_str(c, "id", "?"),
					 kc_json_get_str(c, "text", "?"));
			return *ret;
		}
	return NULL;
}

static int diagnose(struct session *s, json_t **ret, struct kc_err *err)
{
	_cleanup_(dismiss) struct ward w = { .s = s };
	json_auto_t *evidence = NULL;
	_cleanup_free_ char *bad = NULL;
	const json_t *checks;
	const char *down;
	int r = 0;

	if (!s->state)
		return kc_fail(err, KC_ENOTFOUND, "cluster %s has no record; run the create again",
			       s->name);
	admit(s, &w);
	evidence = gather(&w);
	checks = json_object_get(evidence, "checks");
	down = kc_json_get_str(json_object_get(evidence, "api"), "error", NULL);
	if (!down && !first_bad(checks, &bad))
		r = validate_nodes(s, (json_t *)checks, err);
	if (r < 0)
		return r;
	if (!down && !bad)
		first_bad(checks, &bad);
	*ret = kc_pack("{s:b, s:s, s:o, s:O}", "healthy", !down && !bad, "summary",
		       down  ? down
		       : bad ? bad
			     : "healthy",
		       "findings", kc_why_judge(evidence), "evidence", evidence);
	return 0;
}

int kc_cluster_why(const struct kc_cluster_opts *o, const struct kc_cluster_io *io, json_t **ret,
		   struct kc_err *err)
{
	_cleanup_session_ struct session s;
	int r = session_look(&s, o, err);

	if (r < 0)
		return r;
	s.io = io;
	s.hosts.secrets = &s.secrets;
	r = session_looking(&s, err);
	return r < 0 ? r : diagnose(&s, ret, err);
}
