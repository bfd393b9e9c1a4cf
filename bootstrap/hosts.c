#include "bootstrap/hosts.h"

#include <string.h>

#include "bootstrap/hosts_priv.h"
#include "bootstrap/node/protocol.h"
#include "bootstrap/preflight.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Collect the names of all {"$secret": name} below v as members of names. */
static void secret_names(const json_t *v, json_t *names)
{
	const char *key, *name;
	json_t *child;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach((json_t *)v, i, child)
			secret_names(child, names);
		return;
	}
	name = json_string_value(json_object_get(v, "$secret"));
	if (name && json_object_size(v) == 1) {
		json_object_set_new(names, name, json_null());
		return;
	}
	json_object_foreach((json_t *)v, key, child)
		secret_names(child, names);
}

/* The secrets a spec mentions, and the CAs its certificates are checked against. */
static int load_secrets(struct kc_hosts *h, const json_t *spec, json_t **ret, struct kc_err *err)
{
	json_auto_t *names = json_object();
	const json_t *task;
	const char *name;
	json_t *v;
	void *tmp;
	size_t i;
	int r;

	secret_names(spec, names);
	json_array_foreach(json_object_get(spec, "tasks"), i, task) {
		const char *ca = kc_json_get_str(json_object_get(task, "want"), "ca", NULL);
		_cleanup_free_ char *crt = ca ? xasprintf("pki/%s.crt", ca) : NULL;

		if (crt && streq(kc_json_get_str(task, "kind", ""), "cert"))
			json_object_set_new(names, crt, json_null());
	}
	json_object_foreach_safe(names, tmp, name, v) {
		_cleanup_wiped_ char *text = NULL;
		int64_t version;

		r = kc_secret_load(h->secrets, name, &text, &version, err);
		if (r < 0 && r != KC_ENOTFOUND)
			return r;
		if (r == 0)
			json_object_set_new(names, name,
					    kc_pack("{s:I, s:s}", "version", (json_int_t)version,
						    "value", text));
	}
	*ret = TAKE(names);
	return 0;
}

/* The key of this node's HMACs, or null while nothing can be compared yet. */
static int node_key(struct kc_hosts *h, const struct kc_task *task, json_t **ret,
		    struct kc_err *err)
{
	char key[KC_SHA256_HEX];
	int r = kc_state_key(h->secrets, task->id, key, err);

	if (r < 0 && r != KC_ENOTFOUND)
		return r;
	*ret = r == 0 ? json_string(key) : json_null();
	kc_wipe(key, sizeof(key));
	return 0;
}

static int make_envelope(struct kc_hosts *h, const struct kc_task *task, json_t **ret,
			 struct kc_err *err)
{
	const char *sha = kc_json_get_str(task->want, "spec", "");
	json_t *spec = json_object_get(h->specs, sha), *secrets = NULL, *key = NULL;
	int r;

	if (!spec)
		return kc_fail(err, KC_EFAIL, "no NodeSpec %.12s", sha);
	r = node_key(h, task, &key, err);
	if (r == 0)
		r = load_secrets(h, spec, &secrets, err);
	if (r < 0) {
		json_decref(key);
		return r;
	}
	*ret = kc_pack("{s:i, s:i, s:s, s:I, s:s, s:O, s:O, s:o, s:o, s:{}}", "format",
		       KC_NODE_FORMAT, "protocol", KC_NODE_PROTOCOL, "uid", task->owner, "fence",
		       (json_int_t)task->fence, "cluster", h->cluster, "node",
		       json_object_get(task->want, "node"), "spec", spec, "hmacKey", key, "secrets",
		       secrets, "certs");
	return 0;
}

/* [{"secret", "version"}] of those that are made, by name. */
static json_t *versions_of(const json_t *secrets)
{
	size_t n;
	_cleanup_free_ const char **names = kc_json_keys(secrets, &n);
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(secrets, names[i]);

		if (json_is_object(v))
			json_array_append_new(out,
					      kc_pack("{s:s, s:O}", "secret", names[i], "version",
						      json_object_get(v, "version")));
	}
	return out;
}

/* What the record keeps of a host: how to reach it, and which secrets it was given. */
static void add_outputs(json_t *actual, const struct kc_task *task, const json_t *envelope)
{
	json_object_set(actual, "ssh", json_object_get(task->want, "ssh"));
	json_object_set(actual, "address", kc_json_at(task->want, "node.address"));
	json_object_set_new(actual, "secrets", versions_of(json_object_get(envelope, "secrets")));
}

/*
 * How far the host's clock is from ours, in milliseconds, as far as the time that the call took
 * leaves no doubt: the host read its clock somewhere between before and now.
 */
static void add_skew(json_t *facts, int64_t before)
{
	int64_t there = kc_json_get_int(facts, "timeMs", 0), now = kc_realtime_ms(), skew = 0;

	if (there > 0 && there < before)
		skew = there - before;
	else if (there > now)
		skew = there - now;
	json_object_set_new(facts, "skewMs", json_integer(skew));
}

/* A session that broke off is of no more use: who tries again connects again. */
static int drop_broken(struct kc_hosts *h, struct kc_host *host, int r)
{
	if (host && (r == KC_EAGAIN || r == KC_ETIMEOUT))
		host_forget(h, host);
	return r;
}

static int node_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	struct kc_hosts *h = ctx;
	const json_t *ssh = json_object_get(task->want ? task->want : task->known, "ssh");
	json_auto_t *envelope = NULL, *actual = NULL;
	const json_t *plan;
	struct kc_host *host = NULL;
	int64_t before;
	int r;

	/* Leaving the cluster: whether it is still there is reset's to find out. */
	if (!task->want || !json_object_get(h->specs, kc_json_get_str(task->want, "spec", ""))) {
		*ret_actual = ssh ? kc_pack("{s:O, s:[]}", "ssh", ssh, "plan") : NULL;
		return 0;
	}
	r = host_open(h, task, ssh, &host, err);
	/* Whoever planned it has waited for it to be up: a host that is not is an error now. */
	if (r == KC_EAGAIN)
		return err->code = KC_ETIMEOUT;
	if (r == 0)
		r = make_envelope(h, task, &envelope, err);
	before = kc_realtime_ms();
	if (r == 0)
		r = host_call(host, task, "plan", envelope, &actual, err);
	if (r == 0)
		r = kc_json_arr(actual, "the agent's answer", "plan", &plan, err);
	if (r < 0)
		return drop_broken(h, host, r);
	add_skew(json_object_get(actual, "facts"), before);
	add_outputs(actual, task, envelope);
	*ret_actual = TAKE(actual);
	return 0;
}

/* All failing checks of a host in one error, each with its fix: one line, for progress shows it. */
static int judge_checks(const struct kc_task *task, const json_t *actual, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf text = { 0 };

	kc_preflight_checks(task->id + strlen("node/"), actual, "; and ", &text);
	return text.len ? kc_fail(err, KC_EINVAL, "%s", kc_buf_get(&text)) : 0;
}

static int get_certs(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
		     json_t *envelope, struct kc_err *err)
{
	json_auto_t *answer = NULL;
	json_t *certs = NULL;
	const json_t *csrs;
	int r;

	r = host_call(host, task, "csr", envelope, &answer, err);
	if (r == 0)
		r = kc_json_obj(answer, "the agent's answer", "csrs", &csrs, err);
	if (r == 0)
		r = host_sign(h, json_object_get(envelope, "spec"),
			      json_object_get(task->want, "node"), csrs, &certs, err);
	if (r == 0)
		json_object_set_new(envelope, "certs", certs);
	return r;
}

/* The host hashed its programs just now: the next call need not do so again. */
static void hand_on_stats(json_t *envelope, const json_t *answer)
{
	json_t *stats = json_object_get(answer, "stats");

	if (stats)
		json_object_set(envelope, "stats", stats);
}

static int node_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct kc_hosts *h = ctx;
	json_auto_t *envelope = NULL, *now = NULL;
	struct kc_host *host = NULL;
	int r;

	r = host_open(h, task, json_object_get(task->want, "ssh"), &host, err);
	if (r == 0)
		r = make_envelope(h, task, &envelope, err);
	if (r == 0)
		hand_on_stats(envelope, actual);
	/* The plan may have been made before the host or the secrets existed. */
	if (r == 0)
		r = host_call(host, task, "plan", envelope, &now, err);
	if (r == 0)
		hand_on_stats(envelope, now);
	if (r == 0)
		r = judge_checks(task, now, err);
	if (r == 0)
		r = get_certs(h, host, task, envelope, err);
	if (r == 0)
		r = host_bring_blobs(h, host, task, json_object_get(now, "blobs"), err);
	if (r == 0)
		r = host_converge(host, task, "apply", envelope, err);
	if (r < 0)
		return drop_broken(h, host, r);
	*ret_actual = kc_pack("{s:[], s:O*}", "plan", "facts", json_object_get(now, "facts"));
	add_outputs(*ret_actual, task, envelope);
	return 0;
}

/* For verbs that need no spec. */
static json_t *bare_envelope(const struct kc_hosts *h, const struct kc_task *task)
{
	return kc_pack("{s:i, s:i, s:s, s:I, s:s}", "format", KC_NODE_FORMAT, "protocol",
		       KC_NODE_PROTOCOL, "uid", task->owner, "fence", (json_int_t)task->fence,
		       "cluster", h->cluster);
}

static int node_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		       struct kc_err *err)
{
	struct kc_hosts *h = ctx;
	const json_t *ssh = json_object_get(actual, "ssh");
	json_auto_t *envelope = bare_envelope(h, task);
	const char *name = task->id + strlen("node/");
	struct kc_host *host = NULL;
	struct kc_err why;
	int r;

	r = host_open(h, task, ssh, &host, &why);
	/* It was there once: nobody waits for a host that was switched off. */
	if (r == KC_EAGAIN)
		return kc_fail(err, KC_ETIMEOUT,
			       "%s; bring the host back, or leave it as it is with --forget %s",
			       why.msg, name);
	if (r < 0)
		return kc_fail(err, r, "%s", why.msg);
	r = host_converge(host, task, "reset", envelope, err);
	return drop_broken(h, host, r);
}

int kc_hosts_probe(struct kc_hosts *h, const char *id, const json_t *recorded,
		   const json_t *question, json_t **ret, struct kc_err *err)
{
	struct kc_task task = { .id = id };
	struct kc_host *host = NULL;
	int r = host_open(h, &task, kc_json_at(recorded, "outputs.ssh"), &host, err);

	if (r == 0)
		r = host_call(host, &task, "probe", question, ret, err);
	return drop_broken(h, host, r);
}

/* To compare what the record says of secrets and certificates; the CAs' certificates are public. */
static int add_comparison(struct kc_hosts *h, const struct kc_task *task, json_t *envelope,
			  struct kc_err *err)
{
	static const char *const cas[] = { "ca", "etcd-ca", "front-proxy-ca" };
	json_auto_t *spec = json_object();
	json_t *key = NULL, *secrets = NULL, *tasks = json_array();
	int r;

	json_object_set_new(spec, "tasks", tasks);
	for (size_t i = 0; i < ARRAY_SIZE(cas); i++)
		json_array_append_new(tasks, kc_pack("{s:s, s:{s:s}}", "kind", "cert", "want", "ca",
						     cas[i]));
	r = load_secrets(h, spec, &secrets, err);
	if (r < 0)
		return r;
	json_object_set_new(envelope, "secrets", secrets);
	r = node_key(h, task, &key, err);
	if (r == 0)
		json_object_set_new(envelope, "hmacKey", key);
	return r;
}

int kc_hosts_doctor(struct kc_hosts *h, const struct kc_task *task, const json_t *ssh,
		    const json_t *question, json_t **ret, struct kc_err *err)
{
	json_auto_t *envelope = bare_envelope(h, task), *answer = NULL;
	struct kc_host *host = NULL;
	int64_t before;
	int r = add_comparison(h, task, envelope, err);

	if (r < 0)
		return r;
	json_object_set(envelope, "doctor", (json_t *)question);
	r = host_open(h, task, ssh, &host, err);
	before = kc_realtime_ms();
	if (r == 0)
		r = host_call(host, task, "doctor", envelope, &answer, err);
	if (r < 0)
		return drop_broken(h, host, r);
	add_skew(json_object_get(answer, "facts"), before);
	*ret = TAKE(answer);
	return 0;
}

int kc_hosts_reach(struct kc_hosts *h, const char *id, const json_t *question, json_t **ret,
		   struct kc_err *err)
{
	struct kc_task task = { .id = id };
	struct kc_host *host = host_find(h, id);

	if (!host)
		return kc_fail(err, KC_ENOTFOUND, "%s: not connected", id);
	return drop_broken(h, host, host_call(host, &task, "reach", question, ret, err));
}

int kc_hosts_rejoin(struct kc_hosts *h, const struct kc_task *task, const json_t *recorded,
		    struct kc_err *err)
{
	json_auto_t *envelope = bare_envelope(h, task);
	struct kc_host *host = NULL;
	int r = host_open(h, task, kc_json_at(recorded, "outputs.ssh"), &host, err);

	if (r == 0)
		r = host_converge(host, task, "rejoin", envelope, err);
	return drop_broken(h, host, r);
}

/* What a host looks like at the moment; it would change the record in every run. */
static const char *const news[] = { "agent", "blobs", "checks", "facts", "format", "stats", NULL };

static const struct kc_kind node_kind = {
	.name = "node",
	.nested = true,
	.news = news,
	.find = node_find,
	.apply = node_apply,
	.remove = node_remove,
};

void kc_hosts_init(struct kc_hosts *h)
{
	memset(h, 0, sizeof(*h));
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->peers.changed, NULL);
}

void kc_hosts_done(struct kc_hosts *h)
{
	h->closing = true;
	while (h->list)
		host_forget(h, h->list);
	host_routes_free(TAKE(h->routes));
	host_seeds_free(h);
	pthread_cond_destroy(&h->peers.changed);
	pthread_mutex_destroy(&h->lock);
}

struct kc_provider kc_hosts_provider(struct kc_hosts *h)
{
	static const struct kc_kind *const kinds[] = { &node_kind, NULL };

	return (struct kc_provider){
		.name = "ssh", .kinds = kinds, .ctx = h, .limits = kc_limits("ssh")
	};
}
