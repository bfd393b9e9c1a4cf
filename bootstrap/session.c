#include "bootstrap/session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bootstrap/formats.h"
#include "bootstrap/schema.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

enum { MANIFEST_MAX = 1 << 20 };
static const char no_uid[] = "00000000000000000000000000000000";

void session_phase(struct session *s, const char *name)
{
	runs_phase(&s->runs, name);
	if (s->io && s->io->phase)
		s->io->phase(s->io->cookie, name);
}

static int set_name(struct session *s, const char *name, struct kc_err *err)
{
	if (!kc_is_dns_label(name))
		return kc_fail(err, KC_EINVAL,
			       "\"%s\" is no cluster name; use lower-case letters, digits and "
			       "dashes, at most 63",
			       name);
	free(s->name);
	free(s->prefix);
	s->name = xstrdup(name);
	s->prefix = xasprintf("clusters/%s", name);
	if (s->io && s->io->named)
		s->io->named(s->io->cookie, name);
	return 0;
}

int session_open(struct session *s, const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		 struct kc_err *err)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->o = o;
	s->io = io;
	kc_hosts_init(&s->hosts);
	runs_init(&s->runs);
	runs_phase(&s->runs, "prepare");
	s->cache = kc_cache_dir();
	r = kc_store_open_sealed(o->state, o->state_key_file, &s->store, err);
	if (r < 0)
		return r;
	return o->name ? set_name(s, o->name, err) : 0;
}

void session_close(struct session *s)
{
	kc_plan_free(s->plan);
	kc_kube_ctx_free(s->kube); /* before the hosts its connections may go through */
	kc_hosts_done(&s->hosts);
	if (s->cloud_open)
		s->cloud->close(&s->cloud_provider);
	kc_state_close(s->state);
	kc_lock_release(s->lock);
	kc_bundle_close(s->bundle);
	kc_store_close(s->store);
	json_decref(s->cluster);
	json_decref(s->agent);
	json_decref(s->tasks);
	json_decref(s->specs);
	json_decref(s->lost);
	runs_done(&s->runs);
	free(s->name);
	free(s->prefix);
	free(s->uid);
	free(s->cache);
	free(s->agent_path);
	free(s->agent_gzip);
	free(s->agent_blob);
	memset(s, 0, sizeof(*s));
}

int session_cloud(const struct session *s, const char *name, const struct kc_cloud **ret,
		  struct kc_err *err)
{
	for (const struct kc_cloud *const *c = s->o->clouds; *c; c++)
		if (streq((*c)->name, name)) {
			*ret = *c;
			return 0;
		}
	return kc_fail(err, KC_EINVAL,
		       "cloud \"%s\" is not in this build; `kubecdn cluster create --help` "
		       "lists those that are",
		       name);
}

static int read_manifest(const char *file, char **ret, size_t *ret_len, struct kc_err *err)
{
	if (!streq(file, "-"))
		return kc_file_read(file, MANIFEST_MAX, ret, ret_len, err);
	return kc_file_read("/dev/stdin", MANIFEST_MAX, ret, ret_len, err);
}

/* All problems, a line each, as one error. */
static int all_lines(struct kc_buf *lines, struct kc_err *err)
{
	return lines->len ? kc_fail_lines(err, KC_EINVAL, kc_buf_get(lines)) : KC_EINVAL;
}

/* What may not change once the cluster exists is refused by name. */
static int check_update(struct session *s, const struct kc_cluster_source *source,
			struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf lines = { 0 };
	json_auto_t *old = NULL;
	int r = session_stored(s, &old, err);

	if (r == KC_ENOTFOUND) /* a create */
		return 0;
	if (r < 0)
		return r;
	r = kc_cluster_check_update(source, old, s->cluster, &lines, err);
	return r < 0 ? all_lines(&lines, err) : 0;
}

static int load_text(struct session *s, const struct kc_cluster_source *source, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf lines = { 0 };
	const struct kc_cluster_limits limits = { .clouds = s->o->clouds };
	int r = kc_cluster_load(source->file, source->text, source->len, &limits, &s->cluster,
				&lines, err);

	if (r == 0 && s->name)
		r = kc_cluster_check_name(source, s->cluster, s->name, &lines, err);
	return r < 0 ? all_lines(&lines, err) : 0;
}

static int load_file(struct session *s, struct kc_err *err)
{
	struct kc_cluster_source source = { .file = s->o->file };
	_cleanup_free_ char *text = NULL;
	int r;

	if (streq(source.file, "-"))
		source.file = "<stdin>";
	r = read_manifest(s->o->file, &text, &source.len, err);
	if (r < 0)
		return r;
	source.text = text;
	r = load_text(s, &source, err);
	if (r == 0)
		r = set_name(s,
			     kc_json_get_str(json_object_get(s->cluster, "metadata"), "name", ""),
			     err);
	return r < 0 ? r : check_update(s, &source, err);
}

static int load_flags(struct session *s, struct kc_err *err)
{
	const struct kc_cluster_limits limits = { .clouds = s->o->clouds };
	const struct kc_cloud *cloud;
	json_t *spec = NULL;
	_cleanup_buf_ struct kc_buf lines = { 0 };
	_cleanup_free_ char *name = NULL;
	json_auto_t *doc = NULL;
	int r;

	r = session_cloud(s, s->o->cloud, &cloud, err);
	if (r < 0)
		return r;
	if (!cloud->defaults)
		return kc_fail(err, KC_EINVAL, "--cloud %s needs a manifest: -f FILE", cloud->name);
	r = cloud->defaults(s->o->region, s->o->workers, &spec, err);
	if (r < 0)
		return r;
	name = s->name	      ? xstrdup(s->name)
	       : s->o->region ? xasprintf("%s-%s", cloud->name, s->o->region)
			      : xstrdup(cloud->name);
	doc = kc_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "kubecdn.io/v1alpha1", "kind",
		      "Cluster", "metadata", "name", name, "spec", spec);
	r = kc_cluster_check(doc, &limits, &s->cluster, &lines, err);
	if (r < 0)
		return all_lines(&lines, err);
	r = set_name(s, name, err);
	return r < 0 ? r : check_update(s, NULL, err);
}

int session_load(struct session *s, struct kc_err *err)
{
	if (s->o->file || s->o->cloud)
		return s->o->file ? load_file(s, err) : load_flags(s, err);
	if (s->name)
		return session_stored(s, &s->cluster, err);
	return kc_fail(err, KC_EINVAL, "which cluster? give -f FILE, --cloud NAME or a name");
}

/* "; there are a, b" for messages, or "; there are none". Owned. */
static char *known_names(struct session *s)
{
	_cleanup_buf_ struct kc_buf text = { 0 };
	json_auto_t *keys = NULL;
	const json_t *key;
	size_t i;

	if (kc_store_list(s->store, "clusters/", &keys, NULL) == 0)
		json_array_foreach(keys, i, key) {
			const char *k = json_string_value(key) + strlen("clusters/");

			if (streq(k + strcspn(k, "/"), "/cluster.json"))
				kc_buf_printf(&text, "%s%.*s", text.len ? ", " : "",
					      (int)strcspn(k, "/"), k);
		}
	return text.len ? xasprintf("there are: %s", kc_buf_get(&text))
			: xstrdup("there are none yet");
}

static int read_identity(struct session *s, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/cluster.json", s->prefix);
	json_auto_t *id = NULL;
	const char *uid;
	int r;

	r = kc_store_get_json(s->store, key, &kc_identity_format, &id, NULL, err);
	if (r == 0)
		r = kc_json_str(id, key, "uid", &uid, err);
	if (r < 0)
		return r;
	free(s->uid);
	s->uid = xstrdup(uid);
	s->exists = true;
	return 0;
}

int session_stored(struct session *s, json_t **ret_cluster, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/spec.yaml", s->prefix), *names = NULL;
	int r;

	r = read_identity(s, err);
	if (r == KC_ENOTFOUND) {
		names = known_names(s);
		return kc_fail(err, KC_ENOTFOUND, "no cluster \"%s\" in %s; %s", s->name,
			       s->store->url, names);
	}
	if (r < 0)
		return r;
	r = kc_store_get_json(s->store, key, &kc_spec_format, ret_cluster, NULL, err);
	/* The uid is minted first: a create that died there left no document. */
	if (r == KC_ENOTFOUND)
		return kc_fail(err, r,
			       "cluster \"%s\" was never created completely; run the create again "
			       "with its manifest or flags",
			       s->name);
	return r;
}

static void mint_uid(struct session *s)
{
	unsigned char bytes[16];
	char uid[33];

	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), uid);
	s->uid = xstrdup(uid);
}

static int store_identity(struct session *s, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/cluster.json", s->prefix);
	json_auto_t *id = NULL;
	char now[21];

	kc_time_format(time(NULL), now);
	id = kc_pack("{s:s, s:s, s:s}", "uid", s->uid, "name", s->name, "created", now);
	return kc_store_put_json(s->store, key, &kc_identity_format, id, "", NULL, err);
}

static int store_document(struct session *s, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("%s/spec.yaml", s->prefix);

	return kc_store_put_json(s->store, key, &kc_spec_format, s->cluster, NULL, NULL, err);
}

/* What a later release wrote is refused before the lock leaves a trace. */
static int take_lock(struct session *s, const char *verb, size_t *ret_older, struct kc_err *err)
{
	_cleanup_free_ char *lock = xasprintf("%s/lock", s->prefix);
	int r = kc_formats_check(s->store, s->prefix, kc_cluster_stored, ret_older, err);

	if (r < 0)
		return r;
	r = kc_lock_acquire(s->store, lock, verb, &s->lock, err);
	return r < 0 ? kc_wrap(err, "cluster %s", s->name) : 0;
}

int session_guard(void *cookie, struct kc_err *err)
{
	struct session *s = cookie;

	return s->lock ? kc_lock_check(s->lock, err) : 0;
}

static int open_state(struct session *s, uint64_t fence, struct kc_err *err)
{
	int r = kc_state_open(s->store, s->prefix, s->uid, fence, &s->state, err);

	if (r == 0)
		kc_state_guard(s->state, session_guard, s);
	return r;
}

int session_begin(struct session *s, const char *verb, bool writing, struct kc_err *err)
{
	uint64_t fence = 0;
	size_t older = 0;
	int r = 0;

	s->writing = writing;
	s->runs.verb = verb;
	if (writing) {
		r = take_lock(s, verb, &older, err);
		if (r < 0)
			return r;
		fence = kc_lock_fence(s->lock);
	}
	r = read_identity(s, err);
	if (older && (r == 0 || r == KC_ENOTFOUND)) {
		int m = kc_formats_migrate(s->store, s->prefix, kc_cluster_stored, s->uid, s->lock,
					   err);

		r = m < 0 ? m : r;
	}
	if (r == KC_ENOTFOUND && writing && !s->deleting) {
		mint_uid(s); /* stored once the plan is accepted */
		r = 0;
	} else if (r == KC_ENOTFOUND) {
		s->uid = xstrdup(no_uid);
		r = 0;
	}
	s->secrets = (struct kc_secrets){ .store = s->store, .prefix = s->prefix };
	if (r == 0 && s->exists && writing)
		runs_settle(s->store, s->prefix, s->uid, fence,
			    NULL); /* history: never in the way */
	if (r == 0 && s->exists)
		r = open_state(s, fence, err);
	s->engine.fence = fence;
	return r;
}

int session_look(struct session *s, const struct kc_cluster_opts *o, struct kc_err *err)
{
	int r;

	r = session_open(s, o, NULL, err);
	if (r == 0 && !s->name)
		r = kc_fail(err, KC_EINVAL, "which cluster? give its name");
	if (r == 0)
		r = session_stored(s, &s->cluster, err);
	return r < 0 ? r : session_begin(s, "look", false, err);
}

int session_commit(struct session *s, struct kc_err *err)
{
	int r = 0;

	if (s->deleting)
		return 0;
	if (!s->exists) {
		r = store_identity(s, err);
		s->exists = r == 0;
		if (r == 0)
			r = open_state(s, s->engine.fence, err);
		s->engine.state = s->state;
	}
	return r < 0 ? r : store_document(s, err);
}

/* Address and ssh of the control plane that is asked, from the record; both owned. */
static char *api_host(struct session *s, json_t **ret_ssh)
{
	/* A copy: the kinds of Kubernetes objects ask for it while others record. */
	json_auto_t *tasks = s->state ? kc_state_copy(s->state) : NULL;
	const char *id, *address = NULL;
	const json_t *task, *ssh = NULL;

	json_object_foreach(tasks, id, task) {
		const json_t *out = json_object_get(task, "outputs");

		if (!streq(kc_json_get_str(task, "kind", ""), "node") ||
		    !json_object_get(out, "address"))
			continue;
		if (streq(kc_json_get_str(kc_json_at(task, "want.node"), "role", ""),
			  "control-plane")) {
			address = kc_json_get_str(out, "address", NULL);
			ssh = json_object_get(out, "ssh");
		}
	}
	if (ret_ssh)
		*ret_ssh = json_deep_copy(ssh);
	return xstrdup(address);
}

char *session_api_address(struct session *s)
{
	return api_host(s, NULL);
}

int session_kube_conf(void *cookie, struct kc_kube_conf *ret, struct kc_err *err)
{
	struct session *s = cookie;
	json_auto_t *ssh = NULL;
	_cleanup_free_ char *address = api_host(s, &ssh), *ca = NULL, *cert = NULL;
	_cleanup_wiped_ char *key = NULL;
	int r;

	if (!address)
		return kc_fail(err, KC_EAGAIN,
			       "the control plane's address is not known: the create did not come "
			       "that far; run it again");
	/* system:masters, because the roles of everybody else are objects that it has to apply. */
	r = kc_admin_cert(&s->secrets, "kubecdn", "system:masters", 3600, &ca, &cert, &key, err);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, KC_EAGAIN, "the cluster's CA was not made yet");
	if (r < 0)
		return r;
	*ret = (struct kc_kube_conf){
		.server = xasprintf("https://%s:6443", address),
		.ca_pem = TAKE(ca),
		.cert_pem = TAKE(cert),
		.key_pem = TAKE(key),
	};
	kc_hosts_route(&s->hosts, ssh, address, &ret->dial, &ret->dial_cookie);
	return 0;
}

static void tell_unkept(struct session *s, const struct kc_err *why)
{
	_cleanup_free_ char *text =
		xasprintf("The timeline of this run could not be kept: %s", why->msg);

	if (s->io && s->io->note)
		s->io->note(s->io->cookie, text);
}

void session_keep_run(struct session *s, const char *state, int code, const struct kc_err *why)
{
	struct kc_err err = { 0 };
	json_auto_t *run = NULL;
	int r;

	if (!s->plan || !kc_plan_pending(s->plan) || !s->lock || (!s->runs.stored && !state))
		return;
	if (!state)
		state = code == 0 ? "done" : code == KC_ECANCELED ? "stopped" : "failed";
	run = runs_json(&s->runs, s->engine.fence, kc_plan_times(s->plan), state,
			code < 0 ? why->msg : NULL);
	r = kc_lock_check(s->lock, &err);
	if (r == 0)
		r = runs_put(s->store, s->prefix, run, &err);
	if (r == 0 && !s->runs.stored)
		r = runs_prune(s->store, s->prefix, &err);
	if (r < 0 && !s->runs.stored)
		tell_unkept(s, &err);
	s->runs.stored = true;
}
