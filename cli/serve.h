/*
 * Between the files of `kubecdn serve --dns`, the agent of one region.
 *
 *	cmd_serve.c: flags, threads, the end
 *	   worker thread --serve_round.c--> cluster, probes, copies -> claim (if this replica leads)
 *	   elector thread --serve_lease.c--> Lease
 *	   libmicrohttpd's thread --serve_metrics.c--> what the last rounds came to
 *
 * The worker owns the agent and its own connection to the API, the elector another one; between
 * them there are only atomics and what is behind metrics.lock.
 */
#ifndef KC_CLI_SERVE_H
#define KC_CLI_SERVE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dns/agent.h"
#include "dns/publish.h"
#include "lib/base/err.h"
#include "lib/base/opt.h"
#include "lib/net/kube.h"
#include "lib/objects/lease.h"

/* A connection to the cluster's API that is made anew now and then, for tokens are replaced. */
struct serve_api {
	const char *kubeconfig; /* NULL: inside of a pod */
	struct kc_kube *kube;
	int64_t since;
};
int serve_api_get(struct serve_api *a, struct kc_kube **ret, struct kc_err *err);
/* The next one is a new one. */
void serve_api_drop(struct serve_api *a);

/* What the pages show. */
struct serve_metrics {
	pthread_mutex_t lock;
	int64_t rounds, failed, api_errors, applies, apply_ms;
	int64_t last_success_ms, last_end_ms; /* of the real time; the monotonic one */
	int64_t epoch;
	json_t *state; /* kc_agent_state() */
	size_t refused;
};

struct serve {
	json_t *policy, *health;
	char *name; /* "www.example.com" */
	char *region, *key, *ca_pem;
	char *lease_name, *identity;
	bool once;
	long interval_ms;
	struct kc_agent *agent;
	struct serve_api api, elector_api;
	struct kc_lease lease;
	bool knows_claims;
	json_t *said; /* what the log has said: {what: [state, detail]} */
	struct serve_metrics metrics;
	atomic_bool *stop;    /* the command is to end */
	atomic_bool no_write; /* this replica does not lead, or not any more */
	atomic_bool worker_done, elector_done;
};

/* serve_round.c: see, decide, and write if it may. An exit code as that of `dns claim`. */
int serve_round(struct serve *s, struct kc_err *err);
/* serve_lease.c: a thread's whole life; cookie is the struct serve. */
void *serve_elect(void *cookie);
/* serve_metrics.c: for kc_httpd_start(). */
int serve_page(void *cookie, const char *path, char **ret_text);

/* cmd_serve.c: sleep, but not longer than the command lives. */
void serve_sleep(const struct serve *s, int64_t ms);

#endif
