/* The second half of a session: what stands between a document and a plan. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/model.h"
#include "bootstrap/node/protocol.h"
#include "bootstrap/session.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/hash.h"

static int open_bundle(struct session *s, struct kc_err *err)
{
	const char *want = json_string_value(kc_json_at(s->cluster, "spec.kubernetesVersion"));
	_cleanup_free_ char *dir = s->o->bundle ? xstrdup(s->o->bundle) : NULL;
	int r = 0;

	if (!dir)
		r = kc_bundle_default_dir(want, NULL, &dir, err);
	if (r == 0)
		r = kc_bundle_open(dir, s->o->authfile, &s->bundle, err);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, r,
			       "no bundle in %s; make one with `kubecdn bundle build --from "
			       "gomod`, "
			       "or name one with --bundle",
			       dir);
	if (r < 0)
		return r;
	if (want && !streq(want, kc_bundle_version(s->bundle)))
		return kc_fail(err, KC_EINVAL,
			       "spec.kubernetesVersion is %s, but the bundle in %s has %s; build "
			       "or "
			       "name another bundle, or change the version",
			       want, dir, kc_bundle_version(s->bundle));
	return 0;
}

char *kc_agent_path(const char *self_dir)
{
	static const char *const places[] = { "", "../lib/kubecdn/", "../bootstrap/node/" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%skubecdn-node", self_dir, places[i]);

		if (kc_exists(path))
			return TAKE(path);
	}
	return NULL;
}

static int locate_agent(struct session *s, struct kc_err *err)
{
	s->agent_path = kc_agent_path(s->o->self_dir);
	return s->agent_path
		       ? 0
		       : kc_fail(err, KC_ENOTFOUND,
				 "no kubecdn-node beside the program in %s; the installation is "
				 "incomplete",
				 s->o->self_dir);
}

/* The agent's place in the cache, for one way to compress it: named by the content's hash. */
static char *cached_agent(const struct session *s, const char *ending)
{
	return xasprintf("%s/agents/%s.%s", s->cache, s->hosts.agent_sha256, ending);
}

static int zstd_agent(const char *src, const char *dst, struct kc_err *err)
{
	return kc_zstd_compress_file(src, dst, 9, NULL, err);
}

/* Once, to path in the cache. Aside, then renamed: two runs may do it at once, and one may die. */
static int compress_agent(const struct session *s, const char *path,
			  int (*compress)(const char *src, const char *dst, struct kc_err *err),
			  struct kc_err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.%d", path, (int)getpid()),
			    *dir = xasprintf("%s/agents", s->cache);
	int r;

	if (kc_exists(path))
		return 0;
	r = kc_mkdir_p(dir, 0755, err);
	if (r == 0)
		r = compress(s->agent_path, tmp, err);
	if (r == 0)
		r = kc_file_publish(tmp, path, err);
	if (r < 0)
		unlink(tmp);
	return r;
}

static int find_agent(struct session *s, uint64_t *ret_size, struct kc_err *err)
{
	int r = locate_agent(s, err);

	if (r == 0)
		r = kc_sha256_file(s->agent_path, s->hosts.agent_sha256, ret_size, err);
	if (r < 0)
		return r;
	s->hosts.agent = s->agent_path;
	s->agent_gzip = cached_agent(s, "gz");
	/* Without a cache to write to it is brought as it is. */
	if (compress_agent(s, s->agent_gzip, kc_gzip_file, NULL) == 0)
		s->hosts.agent_gzip = s->agent_gzip;
	return 0;
}

/* The agent as a blob. */
static int pack_agent(struct session *s, struct kc_err *err)
{
	char blob_sha[KC_SHA256_HEX];
	uint64_t size, blob_size;
	int r = find_agent(s, &size, err);

	if (r < 0)
		return r;
	s->agent_blob = cached_agent(s, "zst");
	r = compress_agent(s, s->agent_blob, zstd_agent, err);
	if (r == 0)
		r = kc_sha256_file(s->agent_blob, blob_sha, &blob_size, err);
	if (r < 0)
		return r;
	s->agent = kc_pack("{s:s, s:I, s:s, s:s, s:I}", "sha256", s->hosts.agent_sha256, "size",
			   (json_int_t)size, "mode", "0755", "blob", blob_sha, "blobSize",
			   (json_int_t)blob_size);
	memcpy(s->hosts.agent_blob_sha256, blob_sha, sizeof(blob_sha));
	s->hosts.agent_blob = s->agent_blob;
	return 0;
}

static void forward_event(void *cookie, const struct kc_event *ev)
{
	struct session *s = cookie;

	/* The plan's error names one host; session_lost_hosts() says the same of all of them. */
	if (ev->what == KC_EV_FAILED && ev->text && streq(ev->kind, "node"))
		json_object_set_new(s->lost, ev->task, json_string(ev->text));
	if (ev->detail)
		runs_event(&s->runs, ev->task, ev->detail);
	if (s->io && s->io->event)
		s->io->event(s->io->cookie, ev);
}

static void host_step(void *cookie, const char *task, const char *what, int64_t since_ms, bool ok)
{
	struct session *s = cookie;

	runs_step(&s->runs, task, what, since_ms, ok);
}

/* Who stops the hosts' sessions, and who is asked for passphrases. */
static void listen_to_user(struct session *s)
{
	s->hosts.step = host_step;
	s->hosts.step_cookie = s;
	if (!s->io)
		return;
	s->hosts.cancel = s->io->cancel;
	s->hosts.phrases = s->io->phrases;
	s->hosts.phrases_cookie = s->io->phrases_cookie;
}

/* Its host is the record's: the graph may hold references where it has addresses. */
static int rejoin(void *cookie, const struct kc_task *task, struct kc_err *err)
{
	struct session *s = cookie;
	_cleanup_free_ char *id = xasprintf("node/%s", kc_json_get_str(task->want, "name", ""));
	json_auto_t *all = kc_state_copy(s->state);
	const json_t *recorded = json_object_get(all, id);
	struct kc_task host = *task;

	host.id = id;
	return recorded ? kc_hosts_rejoin(&s->hosts, &host, recorded, err) : 0;
}

static size_t count_nodes(const json_t *tasks)
{
	const json_t *task;
	size_t i, n = 0;

	json_array_foreach((json_t *)tasks, i, task)
		n += streq(kc_json_get_str(task, "kind", ""), "node");
	return n;
}

static int set_up_engine(struct session *s, const struct kc_cloud_env *env, struct kc_err *err)
{
	size_t n = 0;
	int r = 0;

	s->state_provider = kc_secrets_provider(&s->secrets);
	s->providers[n++] = &s->state_provider;
	s->hosts.secrets = &s->secrets;
	s->hosts.cluster = s->name;
	s->hosts.peers.expected = count_nodes(s->tasks);
	s->hosts.accept_new_host_keys = s->o->accept_new_host_keys;
	s->engine.cancel = s->io ? s->io->cancel : NULL;
	listen_to_user(s);
	s->ssh_provider = kc_hosts_provider(&s->hosts);
	s->providers[n++] = &s->ssh_provider;
	s->kube = kc_kube_ctx_new(session_kube_conf, s);
	kc_kube_ctx_on_lost(s->kube, rejoin);
	s->kube_provider = kc_kube_provider(s->kube);
	s->providers[n++] = &s->kube_provider;
	if (s->cloud->open) {
		r = s->cloud->open(env, &s->cloud_provider, err);
		if (r < 0)
			return r;
		s->cloud_open = true;
		s->providers[n++] = &s->cloud_provider;
	}
	s->lost = json_object();
	s->engine.providers = s->providers;
	s->engine.owner = s->uid;
	s->engine.scan = s->deleting;
	s->engine.state = s->state;
	s->engine.threads = s->o->parallelism;
	s->engine.deadline_ms = s->o->wait_ms;
	s->engine.give_up.kind = "node";
	s->engine.give_up.failures = s->o->max_failures;
	s->engine.guard = session_guard;
	s->engine.event = forward_event;
	s->engine.cookie = s;
	return 0;
}

int session_looking(struct session *s, struct kc_err *err)
{
	uint64_t size;

	s->kube = kc_kube_ctx_new(session_kube_conf, s);
	s->hosts.cluster = s->name;
	s->hosts.accept_new_host_keys = s->o->accept_new_host_keys;
	listen_to_user(s);
	return find_agent(s, &size, err);
}

static int graph(struct session *s, bool empty, struct kc_err *err)
{
	const char *cloud = json_string_value(kc_json_at(s->cluster, "spec.cloud"));
	struct kc_cloud_env env = { .cluster = s->name, .uid = s->uid, .cache = s->cache };
	struct kc_model_env model = { .cloud_env = env, .cluster = s->cluster };
	int r;

	r = session_cloud(s, cloud ? cloud : "", &s->cloud, err);
	if (r == 0)
		r = pack_agent(s, err);
	if (r == 0 && !empty)
		r = open_bundle(s, err);
	if (r < 0)
		return r;
	if (empty) {
		s->tasks = json_array();
	} else {
		model.cloud = s->cloud;
		model.bundle = kc_bundle_json(s->bundle);
		model.agent = s->agent;
		r = kc_cluster_model(&model, &s->tasks, &s->specs, err);
		s->hosts.specs = s->specs;
		s->hosts.bundle = s->bundle;
	}
	return r < 0 ? r : set_up_engine(s, &env, err);
}

int session_lost_hosts(const struct session *s, int code, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf lines = { 0 };
	const json_t *task;
	size_t i;

	if (json_object_size(s->lost) < 2 || code == KC_ECANCELED)
		return code;
	json_array_foreach(s->tasks, i, task) {
		const char *why = kc_json_get_str(s->lost, kc_json_get_str(task, "id", ""), NULL);

		if (why)
			kc_buf_printf(&lines, "%s\n", why);
	}
	return lines.len ? kc_fail_lines(err, code, kc_buf_get(&lines)) : code;
}

int session_graph(struct session *s, struct kc_err *err)
{
	return graph(s, false, err);
}

int session_empty_graph(struct session *s, struct kc_err *err)
{
	return graph(s, true, err);
}
