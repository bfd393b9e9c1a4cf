/* serve: what runs for long. --dns: the agent of one region. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "cli/serve.h"
#include "dns/ir.h"
#include "dns/policy.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/httpd.h"
#include "lib/net/kubeconfig.h"

/* END_MS: from the signal to the end, whatever hangs. */
enum { KEY_MAX = 4096, CA_MAX = 1 << 20, TICK_MS = 50, END_MS = 1500, ID_LEN = 16 };

static const struct kc_opt serve_opts[] = {
	{ "dns", .type = KC_OPT_FLAG, .doc = "Keep a region's claim at a DNS name" },
	{ "file", 'f', KC_OPT_STRING, "FILE", .doc = "Manifest of a TrafficPolicy, - for stdin" },
	{ "region", .type = KC_OPT_STRING, .meta = "NAME",
	  .doc = "The region that speaks, one of spec.regions" },
	{ "key", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Its private key, Ed25519 in PEM, which only its owner may read" },
	{ "kubeconfig", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "The region's cluster (default: the one that this pod runs in)" },
	{ "interval", .type = KC_OPT_DURATION, .meta = "DURATION", .def = "5s", .min = 100,
	  .doc = "Between two rounds" },
	{ "health-ca", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Who signs the certificates that https checks see (default: the system's)" },
	{ "metrics", .type = KC_OPT_STRING, .meta = "ADDR:PORT", .def = "127.0.0.1:9402",
	  .doc = "Where /metrics, /healthz and /readyz are" },
	{ "namespace", .type = KC_OPT_STRING, .meta = "NAME", .def = "kube-system",
	  .doc = "Where the Lease is that replicas elect one by" },
	{ "identity", .type = KC_OPT_STRING, .meta = "NAME",
	  .doc = "Of this replica (default: the host's name and a random part)" },
	{ "once", .type = KC_OPT_FLAG,
	  .doc = "One round, without the Lease; each address is tried once" },
	{ NULL },
};

static const struct kc_opt *const serve_lists[] = { serve_opts, NULL };

void serve_sleep(const struct serve *s, int64_t ms)
{
	int64_t until = kc_now_ms() + ms;

	while (!atomic_load(s->stop) && kc_now_ms() < until)
		kc_sleep_ms(TICK_MS);
}

static void serve_done(struct serve *s)
{
	json_decref(s->policy);
	json_decref(s->health);
	free(s->name);
	free(s->region);
	kc_free_wiped(s->key);
	free(s->ca_pem);
	free(s->lease_name);
	free(s->identity);
	kc_agent_free(s->agent);
	serve_api_drop(&s->api);
	serve_api_drop(&s->elector_api);
	kc_lease_done(&s->lease);
	json_decref(s->said);
	json_decref(s->metrics.state);
	pthread_mutex_destroy(&s->metrics.lock);
}

/* --- what it needs */

static int read_files(struct serve *s, const struct kc_args *args, struct kc_err *err)
{
	const char *ca = kc_args_str(args, "health-ca");
	_cleanup_free_ char *path = kc_expand_home(kc_args_str(args, "key"));
	_cleanup_kube_conf_ struct kc_kube_conf conf = { 0 };
	int r = kc_cli_dns_policy(args, &s->policy, err);

	if (r == 0)
		r = kc_file_read_private(path, KEY_MAX, &s->key, NULL, err);
	if (r == 0 && ca)
		r = kc_file_read(ca, CA_MAX, &s->ca_pem, NULL, err);
	/* What is wrong with it for good is said now, and not round by round. */
	if (r == 0)
		r = kc_kubeconfig_read(s->api.kubeconfig, &conf, err);
	return r;
}

/* One Lease a name and region, for two regions may share a cluster. */
static char *lease_name_of(const struct serve *s)
{
	_cleanup_free_ char *what = xasprintf("%s/%s", s->name, s->region);
	char hash[KC_SHA256_HEX];

	kc_sha256(what, strlen(what), hash);
	return xasprintf("kubecdn-dns-%.*s", ID_LEN, hash);
}

static char *own_identity(void)
{
	char host[256] = "host", hex[2 * 5 + 1];
	unsigned char bytes[5];

	gethostname(host, sizeof(host) - 1);
	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), hex);
	return xasprintf("%s_%s", host, hex);
}

static int begin(struct serve *s, const struct kc_args *args, struct kc_err *err)
{
	const char *identity = kc_args_str(args, "identity");
	json_auto_t *ir = NULL, *notes = json_array();
	int r;

	pthread_mutex_init(&s->metrics.lock, NULL);
	if (!kc_args_bool(args, "dns"))
		return kc_cli_usage(err, "--dns is needed: there is nothing else to serve");
	if (!kc_args_str(args, "region") || !kc_args_str(args, "key"))
		return kc_cli_usage(err, "--region NAME and --key FILE are needed");
	s->region = xstrdup(kc_args_str(args, "region"));
	s->interval_ms = kc_args_long(args, "interval", 0);
	s->once = kc_args_bool(args, "once");
	s->api.kubeconfig = s->elector_api.kubeconfig = kc_args_str(args, "kubeconfig");
	r = read_files(s, args, err);
	if (r != 0)
		return r;
	/* What operators publish is not read again and again. */
	json_object_del(json_object_get(s->policy, "spec"), "hosts");
	ir = kc_ir_make(s->policy, NULL, notes);
	s->health = json_incref(json_object_get(ir, "health"));
	s->name = kc_policy_name(s->policy);
	s->name[strlen(s->name) - 1] = '\0'; /* the dot */
	s->lease_name = lease_name_of(s);
	s->identity = identity ? xstrdup(identity) : own_identity();
	s->lease.namespace = kc_args_str(args, "namespace");
	s->lease.name = s->lease_name;
	s->lease.identity = s->identity;
	s->agent = kc_agent_new(s->policy, s->region, s->once);
	s->said = json_object();
	s->metrics.last_end_ms = kc_now_ms();
	return kc_publish_check(s->policy, s->region, s->key, err);
}

/* --- its life */

static void *work(void *cookie)
{
	struct serve *s = cookie;

	while (!atomic_load(s->stop)) {
		int64_t start = kc_now_ms();
		struct kc_err err;

		serve_round(s, &err); /* what was wrong is in the log */
		serve_sleep(s, s->interval_ms - (kc_now_ms() - start));
	}
	atomic_store(&s->worker_done, true);
	return NULL;
}

/* A thread that hangs in the network is left behind: the process ends under it. */
static void end(struct serve *s, pthread_t worker, pthread_t elector)
{
	int64_t deadline = kc_now_ms() + END_MS;

	atomic_store(&s->no_write, true);
	atomic_store(s->stop, true);
	while (kc_now_ms() < deadline &&
	       !(atomic_load(&s->worker_done) && atomic_load(&s->elector_done)))
		kc_sleep_ms(10);
	if (!atomic_load(&s->worker_done) || !atomic_load(&s->elector_done)) {
		fflush(NULL);
		_exit(0);
	}
	pthread_join(worker, NULL);
	pthread_join(elector, NULL);
}

static int live(struct serve *s, const char *where, struct kc_err *err)
{
	_cleanup_httpd_ struct kc_httpd *httpd = NULL;
	pthread_t worker, elector;
	int r = kc_httpd_start(where, serve_page, s, &httpd, err);

	if (r < 0)
		return kc_wrap(err, "--metrics");
	atomic_store(&s->no_write, true);
	if (pthread_create(&elector, NULL, serve_elect, s) != 0)
		return kc_fail(err, KC_EFAIL, "no thread could be made");
	if (pthread_create(&worker, NULL, work, s) != 0) {
		atomic_store(s->stop, true);
		atomic_store(&s->worker_done, true);
		pthread_join(elector, NULL);
		return kc_fail(err, KC_EFAIL, "no thread could be made");
	}
	/* A change that is under way stops before another replica may begin one. */
	while (!atomic_load(kc_cli_cancel())) {
		atomic_store(&s->no_write, !kc_lease_held(&s->lease));
		kc_sleep_ms(TICK_MS);
	}
	end(s, worker, elector);
	return 0;
}

static int run_once(struct serve *s, struct kc_err *err)
{
	int r = serve_round(s, err);

	if (r > 0)
		fprintf(stderr, "kubecdn: %s\n", err->msg);
	return r;
}

static int run_serve(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_(serve_done) struct serve s = { .stop = kc_cli_cancel() };
	int r = begin(&s, args, err);

	if (r != 0)
		return r;
	return s.once ? run_once(&s, err) : live(&s, kc_args_str(args, "metrics"), err);
}

const struct kc_verb kc_cli_serve[] = {
	{ .path = "serve",
	  .summary = "Run the agent of a region (--dns)",
	  .description =
		  "Round by round it asks the region's cluster where it serves the policy's name\n"
		  "(Services and edge Nodes annotated kubecdn.io/dns), tries these addresses and\n"
		  "those of the other regions as spec.health says, and keeps the region's claim\n"
		  "at every copy of the zone. Of several replicas one writes, elected by a Lease.\n"
		  "What cannot be read changes nothing; when it is stopped the claim stays.",
	  .examples =
		  "kubecdn serve --dns -f www.yaml --region eu --key eu.key --kubeconfig eu.conf\n"
		  "kubecdn serve --dns -f www.yaml --region eu --key eu.key --kubeconfig eu.conf "
		  "--once",
	  .endless = true,
	  .opts = serve_lists,
	  .run = run_serve },
	{ NULL },
};
