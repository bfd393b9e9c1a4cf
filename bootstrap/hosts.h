/*
 * Hosts over SSH: the kind "node". One task a host; the node agent there runs the
 * same engine, so a node's plan is the agent's plan, nested.
 *
 *   find    connect, see that the agent is there, `plan`   -> actual {plan, facts, checks, blobs,
 * …} apply   `csr` -> certificates signed here -> `recv` missing blobs -> `apply` remove  `reset`:
 * the host is as it was before
 *
 * want: {"spec": SHA-256 of the NodeSpec, "node": {name, address, …}, "ssh": {host, user, port,
 * identityFile, hostKey, …}}; the specs themselves are in the context, so that records stay small.
 * Outputs: {"address", "ssh", "secrets": [{"secret", "version"}]}; ssh is how delete finds the host
 * with nothing but the record.
 *
 * A session is opened once a run and kept until kc_hosts_done(); the engine
 * never runs two calls of one task at a time, so a session has one user.
 */
#ifndef KC_BOOTSTRAP_HOSTS_H
#define KC_BOOTSTRAP_HOSTS_H

#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "bootstrap/bundle/bundle.h"
#include "bootstrap/secrets.h"
#include "lib/base/err.h"
#include "lib/net/ssh.h"
#include "lib/plan/kind.h"

struct kc_host;
struct kc_route;

/* Who gives blobs to others in this run (host_blobs.c); under kc_hosts.lock. */
struct kc_peers {
	size_t expected; /* hosts of this run; few of them: everybody is sent all from here */
	struct kc_seed *seeds;
	int n, uploads, given, refused;
	int64_t upload_ms; /* the longest one */
	pthread_cond_t changed;
};

struct kc_hosts {
	struct kc_secrets *secrets;
	const char *cluster;		/* its name */
	const json_t *specs;		/* {sha256: NodeSpec}; NULL: reset only */
	const struct kc_bundle *bundle; /* or NULL: reset only */
	const char *agent;		/* path of the kubecdn-node to bring */
	char agent_sha256[65];
	const char *agent_gzip; /* the same for a host that has gzip; or NULL */
	const char *agent_blob; /* the same as a blob, for recv; or NULL: reset only */
	char agent_blob_sha256[65];
	bool accept_new_host_keys;
	const struct kc_ssh_phrases *phrases;
	void *phrases_cookie;
	const atomic_bool *cancel; /* stops long calls; or NULL */
	/* Told of what was done on a host, once it is over: its task, since when, whether it went
	 * well. From any thread. Optional. */
	void (*step)(void *cookie, const char *task, const char *what, int64_t since_ms, bool ok);
	void *step_cookie;
	bool closing;	      /* tidying up goes on after a cancel */
	pthread_mutex_t lock; /* of the list */
	struct kc_host *list;
	struct kc_route *routes;
	struct kc_peers peers;
};

void kc_hosts_init(struct kc_hosts *h);
/* Closes every session and removes what was uploaded for it. */
void kc_hosts_done(struct kc_hosts *h);
/* The provider "ssh". h must outlive it. */
struct kc_provider kc_hosts_provider(struct kc_hosts *h);

/*
 * Ask a host that the record knows (id "node/NAME" and its task there) the agent's probe
 * (node/protocol.h). An open session of this run is used, else one is opened and kept. Only agent,
 * agent_sha256 and agent_gzip of h are needed. From several threads, each with another host.
 */
int kc_hosts_probe(struct kc_hosts *h, const char *id, const json_t *recorded,
		   const json_t *question, json_t **ret, struct kc_err *err);
/*
 * What a host can say of why its node does not work (node/doctor.h). task: id, owner and fence;
 * ssh as in a node task's want. question: the envelope's "doctor". Needs secrets and cluster, too.
 * From several threads, each with another host.
 */
int kc_hosts_doctor(struct kc_hosts *h, const struct kc_task *task, const json_t *ssh,
		    const json_t *question, json_t **ret, struct kc_err *err);
/* Let the host's kubelet register its Node anew; task is whoever needs it, with owner and fence. */
int kc_hosts_rejoin(struct kc_hosts *h, const struct kc_task *task, const json_t *recorded,
		    struct kc_err *err);

/* Ask a host that this run has a session with the agent's reach. From several threads, each with
 * another host. KC_ENOTFOUND: there is no session. */
int kc_hosts_reach(struct kc_hosts *h, const char *id, const json_t *question, json_t **ret,
		   struct kc_err *err);

/*
 * For struct kc_kube_conf: how the API server at address:6443 of the recorded host behind ssh is
 * reached. Where SSH goes through a bastion, so does this, through the host's own sshd;
 * *ret_dial stays NULL where we connect directly. The cookie lives until kc_hosts_done().
 */
void kc_hosts_route(struct kc_hosts *h, const json_t *ssh, const char *address,
		    int (**ret_dial)(void *cookie, int *ret_fd, struct sockaddr_in *ret_to,
				     struct kc_err *err),
		    void **ret_cookie);

#endif
