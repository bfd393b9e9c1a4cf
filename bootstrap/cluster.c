#include "bootstrap/cluster.h"

#include <stdio.h>
#include <string.h>

#include "bootstrap/gate.h"
#include "bootstrap/hosts_priv.h"
#include "bootstrap/node/protocol.h"
#include "bootstrap/preflight.h"
#include "bootstrap/reach.h"
#include "bootstrap/results.h"
#include "bootstrap/session.h"
#include "bootstrap/status.h"
#include "bootstrap/validate.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/plan/timeline.h"

static int gate(const struct session *s, struct kc_err *err)
{
	if (s->o->force || s->deleting)
		return 0;
	return kc_gate(kc_plan_json(s->plan), s->state ? kc_state_tasks(s->state) : NULL, err);
}

static int preview(struct session *s, struct kc_err *err)
{
	struct kc_err why;
	char hash[65];
	int r;

	kc_plan_hash(s->plan, hash);
	if (s->o->confirm && !streq(s->o->confirm, hash))
		return kc_fail(err, KC_ECONFLICT,
			       "the plan is not the one that was confirmed (now %s); look at it "
			       "again",
			       hash);
	if (!s->io || !s->io->preview)
		return 0;
	if (!s->writing && s->io->gated && gate(s, &why) < 0)
		s->io->gated(s->io->cookie, why.msg);
	r = s->io->preview(s->io->cookie, kc_plan_json(s->plan), hash, err);
	return r == KC_ECANCELED && !s->writing ? 0 : r;
}

static int make_plan(struct session *s, struct kc_err *err)
{
	int r;

	session_phase(s, "plan");
	r = kc_plan_make(&s->engine, s->tasks, &s->plan, err);
	if (r < 0)
		return session_lost_hosts(s, r, err);
	runs_phase(&s->runs, "preflight");
	r = kc_preflight(s->plan, s->tasks, err);
	/* Hosts that are not what they should be fail here for that reason, too. */
	return r < 0 ? r : kc_reach(&s->hosts, s->plan, s->tasks, err);
}

/* What waits in the cluster does not know why; all hosts and the API, asked at once, do. */
static int refer_to_why(const struct session *s, struct kc_err *err)
{
	struct kc_err was = *err;

	return kc_fail(err, KC_ETIMEOUT, "%.900s; `kubecdn cluster why %s` names the cause",
		       was.msg, s->name);
}

static int apply(struct session *s, struct kc_err *err)
{
	json_auto_t *times = NULL, *results = NULL;
	int r = kc_plan_apply(&s->engine, s->plan, err);

	times = kc_plan_times(s->plan);
	results = kc_host_results(times);
	if (s->io && s->io->hosts)
		s->io->hosts(s->io->cookie, results);
	if (r == KC_ETIMEOUT && !s->deleting && !kc_host_count(results).failed)
		return refer_to_why(s, err);
	return r < 0 ? kc_host_summary(results, s->name, r, err) : 0;
}

/* Plan, show, do, record. */
static int converge(struct session *s, struct kc_err *err)
{
	int r;

	r = make_plan(s, err);
	if (r == 0)
		r = preview(s, err);
	if (r == 0)
		r = gate(s, err);
	if (r == 0)
		r = session_check_blobs(s, err);
	if (r == 0)
		r = session_commit(s, err);
	if (r < 0)
		return r;
	session_phase(s, "apply");
	session_keep_run(s, "running", 0, NULL);
	kc_kube_ctx_expect(s->kube);
	r = apply(s, err);
	if (r == 0)
		r = kc_state_compact(s->state, err);
	session_keep_run(s, r == 0 && !s->deleting ? "running" : NULL, r, err);
	return r;
}

/* Wait until the cluster says that it is healthy, or say in one line what is not. */
static int settle(struct session *s, struct kc_err *err)
{
	json_auto_t *report = NULL;
	int r;

	session_phase(s, "validate");
	r = validate_wait(s, s->o->wait_ms ? s->o->wait_ms : 300000, &report, err);
	if (r < 0 || kc_json_get_bool(report, "healthy", false))
		return r;
	kc_fail(err, KC_ETIMEOUT, "cluster %s was made, but is not healthy yet: %s", s->name,
		kc_json_get_str(report, "summary", "?"));
	return refer_to_why(s, err);
}

static bool in_manifest(const struct session *s, const char *host)
{
	return kc_json_find(kc_json_at(s->cluster, "spec.hosts"), "name", host);
}

/* Say what stays on a host that is dropped, and how to put it right once it is back. */
static void tell_forgotten(struct session *s, const json_t *task)
{
	const json_t *ssh = kc_json_at(task, "want.ssh");
	bool cp =
		streq(kc_json_get_str(kc_json_at(task, "want.node"), "role", ""), "control-plane");
	_cleanup_free_ char *text = NULL;

	if (!s->io || !s->io->note)
		return;
	text = xasprintf(
		"Left on %s (%s@%s) as it was: kubecdn's services%s, /opt/kubecdn, /etc/kubecdn, "
		"/etc/kubernetes, /var/lib/{kubecdn,containerd,kubelet%s}.\n"
		"Once the host is back, this puts it right:\n"
		"  echo '{\"format\":%d,\"protocol\":%d,\"uid\":\"%s\",\"fence\":%llu,\"cluster\":"
		"\"%s\"}' | ssh -p %lld %s@%s sudo " KC_NODE_AGENT " reset",
		s->o->forget, kc_json_get_str(ssh, "user", "root"),
		kc_json_get_str(ssh, "host", "?"), cp ? " and etcd" : "", cp ? ",etcd" : "",
		KC_NODE_FORMAT, KC_NODE_RESET_PROTOCOL, s->uid, (unsigned long long)s->engine.fence,
		s->name, (long long)kc_json_get_int(ssh, "port", 22),
		kc_json_get_str(ssh, "user", "root"), kc_json_get_str(ssh, "host", "?"));
	s->io->note(s->io->cookie, text);
}

/*
 * Over the graph that stays: the plan drops the host's task instead of deleting
 * it. *ret_task is what the record says of it, for tell_forgotten().
 */
static int forget_host(struct session *s, char **ret_id, json_t **ret_task, struct kc_err *err)
{
	_cleanup_free_ char *id = NULL;
	const json_t *task;

	if (!s->o->forget)
		return 0;
	id = xasprintf("node/%s", s->o->forget);
	task = s->state ? json_object_get(kc_state_tasks(s->state), id) : NULL;
	if (kc_json_find(s->tasks, "id", id))
		return kc_fail(err, KC_EINVAL,
			       "--forget: host \"%s\" is still in the manifest of cluster %s; take "
			       "it out of the manifest first",
			       s->o->forget, s->name);
	if (!task && !(s->deleting && in_manifest(s, s->o->forget)))
		return kc_fail(err, KC_ENOTFOUND, "--forget: cluster %s has no host \"%s\"",
			       s->name, s->o->forget);
	*ret_task = json_deep_copy(task);
	*ret_id = TAKE(id);
	s->engine.forget = *ret_id;
	return 0;
}

static int create_or_update(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
			    const char *verb, bool must_exist, struct kc_err *err)
{
	_cleanup_session_ struct session s;
	_cleanup_free_ char *forgotten_id = NULL;
	json_auto_t *old = NULL, *forgotten = NULL;
	bool writing = io && io->writing;
	int r;

	r = session_open(&s, o, io, err);
	if (r == 0)
		r = session_load(&s, err);
	if (r == 0 && must_exist)
		r = session_stored(&s, &old, err);
	if (r == 0)
		r = session_begin(&s, verb, writing, err);
	if (r == 0)
		r = session_graph(&s, err);
	if (r == 0)
		r = forget_host(&s, &forgotten_id, &forgotten, err);
	if (r == 0)
		r = writing ? converge(&s, err) : make_plan(&s, err);
	if (r == 0 && !writing)
		r = preview(&s, err);
	if (r < 0 || !writing)
		return r;
	/* Also when the cluster is not healthy yet: the host is dropped by now. */
	if (forgotten)
		tell_forgotten(&s, forgotten);
	r = settle(&s, err);
	session_keep_run(&s, NULL, r, err);
	return r;
}

int kc_cluster_create(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err)
{
	return create_or_update(o, io, "cluster create", false, err);
}

int kc_cluster_update(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err)
{
	return create_or_update(o, io, "cluster update", true, err);
}

/* The lock goes last, and before it what says that there is a cluster: a killed delete is repeated.
 */
static int remove_objects(struct session *s, struct kc_err *err)
{
	_cleanup_free_ char *below = xasprintf("%s/", s->prefix),
			    *lock = xasprintf("%slock", below),
			    *identity = xasprintf("%scluster.json", below);
	json_auto_t *keys = NULL;
	const json_t *key;
	uint64_t fence;
	size_t i;
	int r;

	kc_state_close(TAKE(s->state));
	r = kc_store_list(s->store, below, &keys, err);
	json_array_foreach(keys, i, key)
		if (r == 0 && !streq(json_string_value(key), lock) &&
		    !streq(json_string_value(key), identity))
			r = kc_store_remove(s->store, json_string_value(key), NULL, err);
	if (r == 0)
		r = kc_store_remove(s->store, identity, NULL, err);
	if (r < 0)
		return r;
	fence = kc_lock_fence(s->lock);
	kc_lock_release(TAKE(s->lock));
	return kc_lock_remove(s->store, lock, fence, err);
}

static int preview_nothing(struct session *s, struct kc_err *err)
{
	json_auto_t *none = kc_pack("{s:i, s:[]}", "format", 1, "tasks");
	char hash[65];
	int r;

	if (!s->io || !s->io->preview)
		return 0;
	kc_sha256_json(none, hash);
	r = s->io->preview(s->io->cookie, none, hash, err);
	return r == KC_ECANCELED ? 0 : r;
}

/*
 * A create that died before it had stored its manifest, or a delete that died
 * after it had removed it: outside of the store there is nothing.
 */
static int delete_half(struct session *s, bool writing, struct kc_err *err)
{
	_cleanup_free_ char *below = xasprintf("%s/", s->prefix);
	json_auto_t *keys = NULL;
	struct kc_err why;
	int r;

	r = kc_store_list(s->store, below, &keys, &why);
	if (r < 0 || json_array_size(keys) == 0)
		return err->code; /* "no cluster …" stands */
	r = session_begin(s, "cluster delete", writing, err);
	if (r == 0 && s->state && json_object_size(kc_state_tasks(s->state)) > 0)
		r = kc_fail(err, KC_EINVAL,
			    "cluster %s: its record has %zu tasks but its manifest is missing; run "
			    "the create again with the manifest, then delete",
			    s->name, json_object_size(kc_state_tasks(s->state)));
	if (r < 0)
		return r;
	return writing ? remove_objects(s, err) : preview_nothing(s, err);
}

static int delete_whole(struct session *s, bool writing, struct kc_err *err)
{
	_cleanup_free_ char *forgotten_id = NULL;
	json_auto_t *forgotten = NULL;
	int r;

	r = session_begin(s, "cluster delete", writing, err);
	if (r == 0)
		r = session_empty_graph(s, err);
	if (r == 0)
		r = forget_host(s, &forgotten_id, &forgotten, err);
	if (r < 0)
		return r;
	if (!writing) {
		r = make_plan(s, err);
		return r < 0 ? r : preview(s, err);
	}
	r = converge(s, err);
	if (r == 0)
		r = remove_objects(s, err);
	if (r == 0 && forgotten)
		tell_forgotten(s, forgotten);
	return r;
}

int kc_cluster_delete(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err)
{
	_cleanup_session_ struct session s;
	bool writing = io && io->writing;
	int r;

	r = session_open(&s, o, io, err);
	s.deleting = true;
	if (r == 0 && o->file)
		r = session_load(&s, err);
	if (r == 0 && !s.name)
		r = kc_fail(err, KC_EINVAL, "which cluster? give a name or -f FILE");
	if (r < 0)
		return r;
	json_decref(TAKE(s.cluster));
	r = session_stored(&s, &s.cluster, err);
	if (r == KC_ENOTFOUND)
		return delete_half(&s, writing, err);
	return r < 0 ? r : delete_whole(&s, writing, err);
}

static int list_one(struct session *s, const char *name, json_t *out, struct kc_err *err)
{
	_cleanup_session_ struct session one;
	struct kc_cluster_opts o = *s->o;
	json_auto_t *doc = NULL;
	const json_t *task;
	const char *id;
	size_t nodes = 0;
	int r;

	o.name = name;
	r = session_open(&one, &o, NULL, err);
	if (r == 0)
		r = session_stored(&one, &doc, err);
	if (r == 0)
		r = session_begin(&one, "cluster list", false, err);
	if (r < 0 && r != KC_ENOTFOUND)
		return r;
	json_object_foreach((json_t *)(one.state ? kc_state_tasks(one.state) : NULL), id, task)
		nodes += streq(kc_json_get_str(task, "kind", ""), "node");
	json_array_append_new(out,
			      kc_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "name", name, "cloud",
				      kc_json_get_str(json_object_get(doc, "spec"), "cloud", ""),
				      "region",
				      kc_json_get_str(json_object_get(doc, "spec"), "region", ""),
				      "kubernetesVersion",
				      kc_json_get_str(json_object_get(doc, "spec"),
						      "kubernetesVersion", ""),
				      "nodes", (json_int_t)nodes, "state", status_state(&one)));
	return 0;
}

int kc_cluster_list(const struct kc_cluster_opts *o, json_t **ret, struct kc_err *err)
{
	_cleanup_session_ struct session s;
	json_auto_t *keys = NULL, *out = json_array();
	const json_t *key;
	size_t i;
	int r;

	r = session_open(&s, o, NULL, err);
	if (r == 0)
		r = kc_store_list(s.store, "clusters/", &keys, err);
	json_array_foreach(keys, i, key) {
		const char *k = json_string_value(key) + strlen("clusters/");
		_cleanup_free_ char *name = xstrndup(k, strcspn(k, "/"));

		if (r == 0 && streq(k + strcspn(k, "/"), "/cluster.json"))
			r = list_one(&s, name, out, err);
	}
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

int kc_cluster_get(const struct kc_cluster_opts *o, json_t **ret, struct kc_err *err)
{
	_cleanup_session_ struct session s;
	json_t *doc;
	int r;

	r = session_look(&s, o, err);
	if (r < 0)
		return r;
	doc = json_deep_copy(s.cluster);
	json_object_set_new(doc, "status", status_make(&s));
	*ret = doc;
	return 0;
}

int kc_cluster_validate(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
			json_t **ret, struct kc_err *err)
{
	_cleanup_session_ struct session s;
	int r = session_look(&s, o, err);

	if (r < 0)
		return r;
	s.io = io;
	r = session_looking(&s, err);
	return r < 0 ? r : validate_wait(&s, o->wait_ms, ret, err);
}

int kc_cluster_kubeconfig(const struct kc_cluster_opts *o, long ttl, bool break_glass, json_t **ret,
			  struct kc_err *err)
{
	_cleanup_session_ struct session s;
	_cleanup_free_ char *server = NULL;
	int r = session_look(&s, o, err);

	if (r < 0)
		return r;
	server = status_endpoint(&s);
	if (!server)
		return kc_fail(err, KC_EAGAIN,
			       "cluster %s has no API server yet; finish `kubecdn cluster create`",
			       s.name);
	return kubeconfig_make(&s, server, ttl, break_glass, ret, err);
}

int kc_cluster_ssh(const struct kc_cluster_opts *o, const char *host, bool tty,
		   char *const *command, json_t **ret, struct kc_err *err)
{
	_cleanup_(host_login_done) struct host_login login = { 0 };
	_cleanup_session_ struct session s;
	const json_t *ssh;
	int r = session_look(&s, o, err);

	if (r == 0)
		r = status_ssh(&s, host, &ssh, err);
	if (r == 0)
		r = host_login(ssh, &login, err);
	if (r < 0)
		return r;
	if (login.via)
		login.target.bastion = &login.bastion;
	return kc_ssh_command(&login.target, tty, command, ret, err);
}

/* "3, 5, 7". Owned. */
static char *numbers_text(const json_t *numbers)
{
	_cleanup_buf_ struct kc_buf text = { 0 };
	const json_t *n;
	size_t i;

	json_array_foreach((json_t *)numbers, i, n)
		kc_buf_printf(&text, "%s%lld", i ? ", " : "", (long long)json_integer_value(n));
	return kc_buf_steal(&text);
}

int kc_cluster_timeline(const struct kc_cluster_opts *o, uint64_t run, json_t **ret,
			struct kc_err *err)
{
	_cleanup_session_ struct session s;
	json_auto_t *numbers = NULL, *found = NULL;
	_cleanup_free_ char *known = NULL;
	size_t n;
	int r;

	r = session_open(&s, o, NULL, err);
	if (r == 0)
		r = session_stored(&s, &s.cluster, err);
	if (r == 0)
		r = runs_list(s.store, s.prefix, &numbers, err);
	if (r < 0)
		return r;
	n = json_array_size(numbers);
	if (!n)
		return kc_fail(err, KC_ENOTFOUND,
			       "cluster %s has no run yet that changed something; the next create, "
			       "update or delete with --yes leaves one",
			       s.name);
	if (!run)
		run = (uint64_t)json_integer_value(json_array_get(numbers, n - 1));
	known = numbers_text(numbers);
	r = runs_get(s.store, s.prefix, s.uid, run, &found, err);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, r, "cluster %s has no run %llu; there are: %s", s.name,
			       (unsigned long long)run, known);
	if (r < 0)
		return r;
	*ret = kc_timeline_report(found);
	json_object_set_new(*ret, "cluster", json_string(s.name));
	json_object_set(*ret, "runs", numbers);
	return 0;
}

int kc_cluster_unlock(const struct kc_cluster_opts *o, uint64_t fence, struct kc_err *err)
{
	_cleanup_session_ struct session s;
	_cleanup_free_ char *key = NULL;
	int r;

	r = session_open(&s, o, NULL, err);
	if (r == 0 && !s.name)
		r = kc_fail(err, KC_EINVAL, "which cluster? give its name");
	if (r < 0)
		return r;
	key = xasprintf("%s/lock", s.prefix);
	return kc_lock_break(s.store, key, fence, err);
}
