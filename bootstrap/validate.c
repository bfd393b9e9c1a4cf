#include "bootstrap/validate.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

enum { POLL_MS = 200, KUBECONFIG_TTL = 18 * 3600 };

void validate_verdict(json_t *checks, const char *id, bool ok, const char *text)
{
	json_array_append_new(checks, kc_pack("{s:s, s:b, s:s}", "id", id, "ok", ok, "text", text));
}

static bool condition(const json_t *object, const char *type)
{
	const json_t *c;
	size_t i;

	json_array_foreach(kc_json_at(object, "status.conditions"), i, c)
		if (streq(kc_json_get_str(c, "type", ""), type))
			return streq(kc_json_get_str(c, "status", ""), "True");
	return false;
}

static const char *object_name(const json_t *object)
{
	return kc_json_get_str(json_object_get(object, "metadata"), "name", "");
}

/* One of the API server's own checks; etcd's goes through to the store and back. */
static int check_ready(struct kc_kube *k, const char *path, const char *id, const char *good,
		       json_t *checks, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	struct kc_err why;
	int r = kc_kube_raw(k, path, &text, &why);

	if (r < 0 && r != KC_EAGAIN) {
		*err = why;
		return r;
	}
	validate_verdict(checks, id, r == 0, r == 0 ? good : why.msg);
	return 0;
}

/* Clients of the control planes one by one, kept while we wait. */
struct planes {
	struct plane {
		const char *name; /* borrowed from the record */
		struct kc_kube *kube;
	} * v;
	size_t n;
};

static void planes_done(struct planes *p)
{
	for (size_t i = 0; i < p->n; i++)
		kc_kube_free(p->v[i].kube);
	free(p->v);
}

static int add_plane(struct session *s, struct planes *p, const char *name, const json_t *outputs,
		     struct kc_kube_conf *conf, struct kc_err *err)
{
	const char *address = kc_json_get_str(outputs, "address", "");
	struct kc_kube *kube;
	int r;

	free(conf->server);
	conf->server = xasprintf("https://%s:6443", address);
	conf->dial = NULL;
	kc_hosts_route(&s->hosts, json_object_get(outputs, "ssh"), address, &conf->dial,
		       &conf->dial_cookie);
	r = kc_kube_new(conf, &kube, err);
	if (r == 0)
		p->v[p->n++] = (struct plane){ .name = name, .kube = kube };
	return r;
}

static int open_planes(struct session *s, struct planes *p, struct kc_err *err)
{
	_cleanup_kube_conf_ struct kc_kube_conf conf = { 0 };
	const json_t *tasks = kc_state_tasks(s->state), *task;
	const char *id;
	int r;

	if (p->n)
		return 0;
	r = session_kube_conf(s, &conf, err);
	if (r < 0)
		return r;
	free(p->v);
	p->v = xcalloc(json_object_size(tasks), sizeof(*p->v));
	json_object_foreach((json_t *)tasks, id, task) {
		const char *address = json_string_value(kc_json_at(task, "outputs.address")),
			   *role = json_string_value(kc_json_at(task, "want.node.role"));

		if (r == 0 && streq(kc_json_get_str(task, "kind", ""), "node") && address && role &&
		    streq(role, "control-plane"))
			r = add_plane(s, p, id + strlen("node/"), json_object_get(task, "outputs"),
				      &conf, err);
	}
	return r;
}

/* The kubelets' balancers send requests to any of them. */
static int check_planes(const struct planes *p, json_t *checks, struct kc_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n; i++) {
		_cleanup_free_ char *id = xasprintf("api/%s", p->v[i].name);

		r = check_ready(p->v[i].kube, "/readyz", id, "the API server is ready", checks,
				err);
	}
	return r;
}

/* Every recorded node is registered and Ready. */
static int check_nodes(struct session *s, struct kc_kube *k, json_t *checks, struct kc_err *err)
{
	json_auto_t *items = NULL, *ready = json_object();
	const json_t *node, *task;
	const char *id;
	size_t i;
	int r = kc_kube_list(k, "/api/v1/nodes", NULL, &items, err);

	if (r < 0)
		return r;
	json_array_foreach(items, i, node)
		json_object_set_new(ready, object_name(node),
				    json_boolean(condition(node, "Ready")));
	json_object_foreach((json_t *)kc_state_tasks(s->state), id, task) {
		_cleanup_free_ char *check = NULL;
		const char *name = id + strlen("node/");
		const json_t *v;

		if (!streq(kc_json_get_str(task, "kind", ""), "node"))
			continue;
		v = json_object_get(ready, name);
		check = xasprintf("node/%s", name);
		validate_verdict(checks, check, json_is_true(v),
				 json_is_true(v) ? "Ready"
				 : v		 ? "registered, but not Ready"
						 : "has not joined the cluster");
	}
	return 0;
}

static bool pod_done(const json_t *pod)
{
	return streq(kc_json_get_str(json_object_get(pod, "status"), "phase", ""), "Succeeded");
}

static bool of_daemon_set(const json_t *pod, const char *name)
{
	const json_t *owner;
	size_t i;

	json_array_foreach(kc_json_at(pod, "metadata.ownerReferences"), i, owner)
		if (streq(kc_json_get_str(owner, "kind", ""), "DaemonSet") &&
		    streq(kc_json_get_str(owner, "name", ""), name))
			return true;
	return false;
}

/* Pods run on every node: flannel's is there, and Ready. */
static void check_pod_of(const json_t *pods, const char *node, json_t *checks)
{
	_cleanup_free_ char *id = xasprintf("pods/%s", node), *text = NULL;
	const json_t *pod, *found = NULL;
	size_t i;

	json_array_foreach(pods, i, pod)
		if (of_daemon_set(pod, "flannel") &&
		    streq(kc_json_get_str(json_object_get(pod, "spec"), "nodeName", ""), node) &&
		    (!found || condition(pod, "Ready")))
			found = pod;
	text = found ? xasprintf("%s is %sReady", object_name(found),
				 condition(found, "Ready") ? "" : "not ")
		     : xstrdup("no pod of flannel's is there");
	validate_verdict(checks, id, found && condition(found, "Ready"), text);
}

/* All pods of kube-system are Ready, and each addon's workload has the pods it wants. */
static int check_pods(struct session *s, struct kc_kube *k, json_t *checks, struct kc_err *err)
{
	json_auto_t *items = NULL;
	_cleanup_buf_ struct kc_buf waiting = { 0 };
	_cleanup_free_ char *text = NULL;
	const json_t *pod, *task;
	const char *id;
	size_t i, n = 0;
	int r = kc_kube_list(k, "/api/v1/namespaces/kube-system/pods", NULL, &items, err);

	if (r < 0)
		return r;
	json_array_foreach(items, i, pod)
		if (!pod_done(pod) && !condition(pod, "Ready"))
			kc_buf_printf(&waiting, "%s%s", n++ ? ", " : "", object_name(pod));
	text = n ? xasprintf("%zu of %zu not Ready: %s", n, json_array_size(items),
			     kc_buf_get(&waiting))
		 : xasprintf("%zu Ready", json_array_size(items));
	validate_verdict(checks, "system-pods", n == 0 && json_array_size(items) > 0, text);
	json_object_foreach((json_t *)kc_state_tasks(s->state), id, task)
		if (streq(kc_json_get_str(task, "kind", ""), "node"))
			check_pod_of(items, id + strlen("node/"), checks);
	return 0;
}

struct workload {
	const char *path, *id, *want, *have;
};

static int check_workload(struct kc_kube *k, const struct workload *w, json_t *checks,
			  struct kc_err *err)
{
	json_auto_t *object = NULL;
	_cleanup_free_ char *text = NULL;
	int64_t want, have;
	int r = kc_kube_get(k, w->path, &object, err);

	if (r == KC_ENOTFOUND) {
		validate_verdict(checks, w->id, false, "not there");
		return 0;
	}
	if (r < 0)
		return r;
	want = json_integer_value(kc_json_at(object, w->want));
	have = json_integer_value(kc_json_at(object, w->have));
	text = xasprintf("%lld of %lld pods available", (long long)have, (long long)want);
	validate_verdict(checks, w->id, want > 0 && have >= want, text);
	return 0;
}

/* What the API has to say. */
static int look_at_api(struct session *s, struct planes *p, json_t *checks, struct kc_err *err)
{
	static const struct workload workloads[] = {
		{ "/apis/apps/v1/namespaces/kube-system/daemonsets/flannel", "flannel",
		  "status.desiredNumberScheduled", "status.numberAvailable" },
		{ "/apis/apps/v1/namespaces/kube-system/deployments/coredns", "coredns",
		  "spec.replicas", "status.availableReplicas" },
	};
	struct kc_kube *k;
	int r = kc_kube_ctx_get(s->kube, &k, err);

	if (r == 0)
		r = open_planes(s, p, err);
	if (r == 0)
		r = check_planes(p, checks, err);
	if (r == 0)
		r = check_ready(k, "/readyz/etcd", "etcd", "answers", checks, err);
	if (r == 0)
		r = check_nodes(s, k, checks, err);
	if (r == 0)
		r = check_pods(s, k, checks, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(workloads); i++)
		r = check_workload(k, &workloads[i], checks, err);
	return r;
}

/* What is bad, in one line; empty when nothing is. */
static void summarize(const json_t *checks, struct kc_buf *bad)
{
	const json_t *check;
	size_t i;

	json_array_foreach(checks, i, check)
		if (!kc_json_get_bool(check, "ok", false))
			kc_buf_printf(bad, "%s%s: %s", bad->len ? "; " : "",
				      kc_json_get_str(check, "id", ""),
				      kc_json_get_str(check, "text", ""));
}

int validate_api(struct session *s, json_t *checks, struct kc_err *err)
{
	_cleanup_(planes_done) struct planes planes = { 0 };

	return look_at_api(s, &planes, checks, err);
}

static int look_once(struct session *s, struct planes *p, json_t **ret, struct kc_err *err)
{
	json_auto_t *checks = json_array();
	_cleanup_buf_ struct kc_buf bad = { 0 };
	int r = look_at_api(s, p, checks, err);

	if (r < 0)
		return r;
	summarize(checks, &bad);
	/* While the API still misses something the nodes are not ready to be asked. */
	if (bad.len == 0) {
		r = validate_nodes(s, checks, err);
		if (r < 0)
			return r;
		summarize(checks, &bad);
	}
	*ret = kc_pack("{s:b, s:s, s:O}", "healthy", bad.len == 0, "summary",
		       bad.len ? kc_buf_get(&bad) : "healthy", "checks", checks);
	return 0;
}

static bool canceled(const struct session *s)
{
	return s->io && s->io->cancel && atomic_load(s->io->cancel);
}

int validate_wait(struct session *s, long wait_ms, json_t **ret, struct kc_err *err)
{
	_cleanup_(planes_done) struct planes planes = { 0 };
	int64_t deadline = kc_now_ms() + wait_ms;

	for (;;) {
		json_auto_t *report = NULL;
		int r = look_once(s, &planes, &report, err);

		if (r < 0 && (r != KC_EAGAIN || kc_now_ms() >= deadline))
			return r;
		if (r == 0 &&
		    (kc_json_get_bool(report, "healthy", false) || kc_now_ms() >= deadline)) {
			*ret = TAKE(report);
			return 0;
		}
		if (canceled(s))
			return kc_fail(err, KC_ECANCELED, "stopped while waiting for cluster %s",
				       s->name);
		kc_sleep_ms(POLL_MS);
	}
}

static json_t *base64_of(const char *text)
{
	_cleanup_wiped_ char *b = kc_base64_encode(text, strlen(text));

	return json_string(b);
}

int kubeconfig_make(struct session *s, const char *server, long ttl, bool break_glass, json_t **ret,
		    struct kc_err *err)
{
	_cleanup_free_ char *ca = NULL, *cert = NULL;
	_cleanup_wiped_ char *key = NULL;
	const char *user = break_glass ? "break-glass" : "admin";
	int r;

	r = kc_admin_cert(&s->secrets, break_glass ? "kubecdn:break-glass" : "kubecdn:admin",
			  break_glass ? "system:masters" : "kubecdn:admins",
			  ttl ? ttl : KUBECONFIG_TTL, &ca, &cert, &key, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:s, s:s, s:[{s:s, s:{s:o, s:o}}], s:[{s:s, s:{s:o, s:o}}], s:[{s:s, "
		       "s:{s:s, s:s}}], s:s}",
		       "apiVersion", "v1", "kind", "Config", "clusters", "name", s->name, "cluster",
		       "server", json_string(server), "certificate-authority-data", base64_of(ca),
		       "users", "name", user, "user", "client-certificate-data", base64_of(cert),
		       "client-key-data", base64_of(key), "contexts", "name", s->name, "context",
		       "cluster", s->name, "user", user, "current-context", s->name);
	return 0;
}
