#include "bootstrap/node/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/checks.h"
#include "bootstrap/node/facts.h"
#include "bootstrap/node/kinds.h"
#include "bootstrap/node/marker.h"
#include "bootstrap/node/peer.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/resolve.h"
#include "lib/plan/state.h"

static int check_versions(const json_t *envelope, bool reset, struct kc_err *err)
{
	int64_t format, protocol;
	int r = kc_json_int(envelope, "envelope", "format", &format, err);

	if (r == 0)
		r = kc_json_int(envelope, "envelope", "protocol", &protocol, err);
	if (r < 0)
		return r;
	if (reset && format == KC_NODE_FORMAT && protocol >= KC_NODE_RESET_PROTOCOL &&
	    protocol <= KC_NODE_PROTOCOL)
		return 0;
	if (format != KC_NODE_FORMAT || protocol != KC_NODE_PROTOCOL)
		return kc_fail(err, KC_EINVAL,
			       "envelope: format %" PRId64 ", protocol %" PRId64
			       "; this agent (" KC_VERSION ") speaks %d and %d: bring an agent of "
			       "the same release",
			       format, protocol, KC_NODE_FORMAT, KC_NODE_PROTOCOL);
	return 0;
}

/* The operator's key for this node; absent or null: nothing to compare by. */
static int hmac_key(const json_t *envelope, const char **ret, struct kc_err *err)
{
	const json_t *v = json_object_get(envelope, "hmacKey");
	const char *key = json_string_value(v);

	if (v && !json_is_null(v) && !(key && kc_is_sha256(key)))
		return kc_fail(err, KC_EINVAL, "envelope: hmacKey must be 64 hex digits or null");
	*ret = key;
	return 0;
}

int kc_agent_init(struct kc_agent *a, json_t *envelope, bool writable, struct kc_err *err)
{
	const char *key = NULL;
	int64_t fence;
	int r;

	a->envelope = envelope;
	r = check_versions(envelope, a->reset, err);
	if (r == 0)
		r = kc_json_str(envelope, "envelope", "uid", &a->uid, err);
	if (r == 0)
		r = kc_json_int(envelope, "envelope", "fence", &fence, err);
	if (r == 0)
		r = hmac_key(envelope, &key, err);
	if (r < 0)
		return r;
	a->fence = (uint64_t)fence;
	a->cluster = kc_json_get_str(envelope, "cluster", "");
	a->tasks = kc_json_at(envelope, "spec.tasks");
	a->facts = kc_node_facts();
	a->host = (struct kc_node_host){
		.blobs = KC_NODE_BLOBS,
		.secrets = json_object_get(envelope, "secrets"),
		.certs = json_object_get(envelope, "certs"),
		.deep = kc_json_get_bool(envelope, "deep", false),
		.writable = writable,
	};
	r = kc_host_init(&a->host, key, err);
	a->keyed = key != NULL;
	a->host_open = true;
	if (r == 0)
		kc_host_recall(&a->host, json_object_get(envelope, "stats"));
	return r;
}

void kc_agent_done(struct kc_agent *a)
{
	if (a->host_open)
		kc_host_done(&a->host);
	json_decref(a->envelope);
	json_decref(a->facts);
	memset(a, 0, sizeof(*a));
}

int kc_agent_resolve(void *cookie, const char *name, const json_t *arg, json_t **ret,
		     struct kc_err *err)
{
	struct kc_agent *a = cookie;
	const char *key = json_string_value(arg);
	const json_t *v;

	if (!key)
		return kc_fail(err, KC_EINVAL, "%s: needs a name", name);
	if (streq(name, "$fact")) {
		v = kc_json_at(json_object_get(a->envelope, "node"), key);
		v = v ? v : kc_json_at(a->facts, key);
		if (!v)
			return kc_fail(err, KC_EINVAL,
				       "the node spec asks for the fact \"%s\", which neither the "
				       "inventory nor this host has",
				       key);
		*ret = json_deep_copy(v);
		return 0;
	}
	if (!streq(name, "$secret"))
		return kc_fail(err, KC_EINVAL, "%s: not known to the node agent", name);
	v = json_object_get(a->host.secrets, key);
	if (!v)
		return kc_fail(err, KC_EINVAL, "secret %s was not sent to this node", key);
	if (json_is_null(v) || !a->keyed)
		return KC_EAGAIN; /* not generated yet, or nothing to compare it by */
	return kc_host_secret_ref(&a->host, key, ret, err);
}

void kc_agent_engine(struct kc_agent *a, struct kc_provider *host,
		     const struct kc_provider *providers[2], struct kc_engine *e)
{
	kc_node_provider(&a->host, host);
	providers[0] = host;
	providers[1] = NULL;
	*e = (struct kc_engine){
		.providers = providers,
		.owner = a->uid,
		.fence = a->fence,
		.deadline_ms = 180000,
		.resolve = kc_agent_resolve,
		.cookie = a,
	};
}

static const struct kc_stored stored[] = {
	{ "record.json", &kc_record_format },
	{ "journal/", &kc_journal_format },
	{ NULL, NULL },
};

int kc_agent_state(uint64_t fence, struct kc_store **ret_store, struct kc_state **ret,
		   struct kc_err *err)
{
	int r;

	if (fence == 0 && !kc_exists(KC_NODE_STATE "/record"))
		return 0; /* opening would create it */
	r = kc_store_open(KC_NODE_STATE_URL, ret_store, err);
	if (r == 0 && fence)
		r = kc_formats_migrate(*ret_store, "node", stored, NULL, NULL, err);
	/* Whose it is, the marker says; who only plans is told so by a check, not by an error. */
	return r < 0 ? r : kc_state_open(*ret_store, "node", "", fence, ret, err);
}

json_t *kc_agent_answer(void)
{
	return kc_pack("{s:i, s:{s:s, s:i}}", "format", KC_NODE_FORMAT, "agent", "version",
		       KC_VERSION, "protocol", KC_NODE_PROTOCOL);
}

int kc_agent_facts(json_t **ret, struct kc_err *err)
{
	*ret = kc_agent_answer();
	json_object_set_new(*ret, "facts", kc_node_facts());
	return 0;
}

/* Blobs of tasks with something to do that are not here yet, once each. */
static json_t *missing_blobs(const struct kc_agent *a, const json_t *plan)
{
	json_t *missing = json_array(), *entry;
	size_t i;

	json_array_foreach((json_t *)plan, i, entry) {
		const json_t *t = kc_json_find(a->tasks, "id", kc_json_get_str(entry, "id", ""));
		const char *blob = kc_json_get_str(json_object_get(t, "want"), "blob", NULL);
		const char *action = kc_json_get_str(entry, "action", "");
		_cleanup_free_ char *path = NULL;

		if (!blob || streq(action, "keep") || streq(action, "delete") ||
		    streq(action, "forget"))
			continue;
		path = xasprintf("%s/%s", KC_NODE_BLOBS, blob);
		if (!kc_exists(path) && !kc_json_has_str(missing, blob))
			json_array_append_new(missing, json_string(blob));
	}
	return missing;
}

int kc_agent_plan(struct kc_agent *a, json_t **ret, struct kc_err *err)
{
	const struct kc_provider *providers[2];
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_state_ struct kc_state *state = NULL;
	_cleanup_plan_ struct kc_plan *plan = NULL;
	json_auto_t *none = json_array();
	struct kc_provider host;
	struct kc_engine e;
	const json_t *list;
	int r = kc_agent_state(0, &store, &state, err);

	if (r < 0)
		return r;
	kc_agent_engine(a, &host, providers, &e);
	e.state = state;
	r = kc_plan_make(&e, a->tasks ? a->tasks : none, &plan, err);
	if (r < 0)
		return r;
	list = json_object_get(kc_plan_json(plan), "tasks");
	*ret = kc_agent_answer();
	json_object_set(*ret, "facts", a->facts);
	json_object_set_new(*ret, "checks",
			    kc_node_checks(kc_json_at(a->envelope, "spec.checks"), a->facts, a->uid,
					   state ? kc_state_tasks(state) : NULL));
	json_object_set_new(*ret, "blobs", missing_blobs(a, list));
	json_object_set_new(*ret, "stats", kc_host_stats(&a->host));
	json_object_set_new(*ret, "plan", json_deep_copy(list));
	return 0;
}

static int one_csr(struct kc_agent *a, const json_t *task, json_t *csrs, struct kc_err *err)
{
	const char *id = kc_json_get_str(task, "id", "?");
	_cleanup_free_ char *csr = NULL;
	json_auto_t *want = NULL;
	int unknown = 0, r;

	r = kc_resolve(json_object_get(task, "want"), kc_agent_resolve, a, &want, &unknown, err);
	if (r == 0 && unknown)
		r = kc_fail(err, KC_EINVAL, "a certificate must not refer to other tasks");
	if (r == 0)
		r = kc_node_cert_csr(&a->host, id, want, &csr, err);
	if (r < 0)
		return kc_wrap(err, "%s", id);
	if (csr)
		json_object_set_new(csrs, id, json_string(csr));
	return 0;
}

int kc_agent_csr(struct kc_agent *a, json_t **ret, struct kc_err *err)
{
	json_auto_t *csrs = json_object();
	json_t *t;
	size_t i;
	int r = kc_marker_claim(a->uid, a->cluster, a->fence, err);

	json_array_foreach((json_t *)a->tasks, i, t)
		if (r == 0 && streq(kc_json_get_str(t, "kind", ""), "cert"))
			r = one_csr(a, t, csrs, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:i, s:O}", "format", KC_NODE_FORMAT, "csrs", csrs);
	return 0;
}

int kc_agent_rejoin(struct kc_agent *a, json_t **ret, struct kc_err *err)
{
	int r = kc_marker_claim(a->uid, a->cluster, a->fence, err);

	if (r == 0)
		r = kc_runl(NULL, err, "systemctl", "restart", "kubelet.service", NULL);
	if (r == 0)
		*ret = kc_agent_answer();
	return r;
}

int kc_agent_recv(int fd, json_t **ret, struct kc_err *err)
{
	FILE *in = fdopen(dup(fd), "re");
	int received = 0, r;

	if (!in)
		return kc_fail_errno(err, errno, "standard input");
	setvbuf(in, NULL, _IOFBF, 1 << 18);
	r = kc_mkdir_p(KC_NODE_STATE, 0700, err);
	if (r == 0)
		r = kc_mkdir_p(KC_NODE_BLOBS, 0700, err);
	while (r == 0 && (r = kc_blob_take(in, KC_NODE_BLOBS, NULL, err)) > 0) {
		received++;
		r = 0;
	}
	fclose(in);
	if (r == 0)
		*ret = kc_pack("{s:i, s:i}", "format", KC_NODE_FORMAT, "received", received);
	return r;
}

int kc_agent_fetch(const json_t *question, json_t **ret, struct kc_err *err)
{
	int r = kc_mkdir_p(KC_NODE_STATE, 0700, err);

	if (r == 0)
		r = kc_mkdir_p(KC_NODE_BLOBS, 0700, err);
	return r < 0 ? r : kc_peer_fetch(KC_NODE_BLOBS, question, ret, err);
}
