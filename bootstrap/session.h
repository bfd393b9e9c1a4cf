/*
 * One run of a cluster verb: everything it opens, in the order it opens it.
 *
 * Private to bootstrap's cluster*.c. A session is opened for reading (a
 * preview, get, validate) or for writing (with the lock and a fence); close
 * undoes it all and accepts a session that was opened half.
 */
#ifndef KC_BOOTSTRAP_SESSION_H
#define KC_BOOTSTRAP_SESSION_H

#include "bootstrap/cluster.h"
#include "bootstrap/hosts.h"
#include "bootstrap/runs.h"
#include "bootstrap/secrets.h"
#include "lib/objects/objects.h"
#include "lib/plan/state.h"
#include "lib/store/lock.h"

struct session {
	const struct kc_cluster_opts *o;
	const struct kc_cluster_io *io;
	struct kc_store *store;
	char *name;
	char *prefix; /* "clusters/NAME" */
	char *uid;    /* all zeros in the preview of a new cluster */
	bool exists;
	bool writing, deleting;
	json_t *cluster; /* the wanted document */
	struct kc_lock *lock;
	struct kc_state *state;
	struct kc_bundle *bundle;
	struct kc_secrets secrets;
	struct kc_hosts hosts;
	struct kc_kube_ctx *kube;
	const struct kc_cloud *cloud;
	char *cache; /* ~/.cache/kubecdn */
	char *agent_path, *agent_gzip, *agent_blob;
	json_t *agent; /* its blob entry */
	json_t *tasks, *specs;
	struct kc_provider cloud_provider, state_provider, ssh_provider, kube_provider;
	bool cloud_open;
	const struct kc_provider *providers[5];
	json_t *lost; /* {node task: why it failed} of this run */
	struct kc_engine engine;
	struct kc_plan *plan;
	struct runs runs;
};

/* Open the store and settle the name; the cluster itself may not exist. */
int session_open(struct session *s, const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		 struct kc_err *err);
void session_close(struct session *s);
#define _cleanup_session_ _cleanup_(session_close)

/* The document from -f, the flags, or the store; defaulted and checked. */
int session_load(struct session *s, struct kc_err *err);
/* Stored document and uid of an existing cluster. KC_ENOTFOUND names the ones there are. */
int session_stored(struct session *s, json_t **ret_cluster, struct kc_err *err);
/* Lock, fence, uid (minted if it must be), state. verb: "cluster create". */
int session_begin(struct session *s, const char *verb, bool writing, struct kc_err *err);
/* Open and begin on an existing cluster, for verbs that only look; close it in any case. */
int session_look(struct session *s, const struct kc_cluster_opts *o, struct kc_err *err);
/* Before the first change: what is new (uid, document) goes into the store, and not earlier, so
 * that a refused plan leaves nothing. */
int session_commit(struct session *s, struct kc_err *err);
/* 0 while the lock is ours or none is held; for kc_engine.guard and kc_state_guard. cookie: the
 * session. */
int session_guard(void *cookie, struct kc_err *err);
/* Before that: the plan's blobs are all there and undamaged, so that it can be carried out. */
int session_check_blobs(struct session *s, struct kc_err *err);
/* Bundle, agent, model, providers, engine. */
int session_graph(struct session *s, struct kc_err *err);
/* A plan could not be made: the hosts that are to blame, a line each, if there is more than one;
 * otherwise err stays as it is. Returns code. */
int session_lost_hosts(const struct session *s, int code, struct kc_err *err);
/* As session_graph(), for delete: no tasks, only what the record needs. */
int session_empty_graph(struct session *s, struct kc_err *err);
/* Instead of a graph, for validate: what asks the API and the hosts. Needs no bundle. */
int session_looking(struct session *s, struct kc_err *err);
/* The cloud of this name in the build's registry; borrowed. */
int session_cloud(const struct session *s, const char *name, const struct kc_cloud **ret,
		  struct kc_err *err);
void session_phase(struct session *s, const char *name);
/*
 * Keep this run (bootstrap/runs.h) in a state: "running" before the first change, then what it came
 * to, NULL to tell that from code and why. Nothing is kept of what changes nothing. Never in the
 * way: the user is told if it fails.
 */
void session_keep_run(struct session *s, const char *state, int code, const struct kc_err *why);
/* Address of the API server, from the inventory, this run or the record; NULL: not known. Owned. */
char *session_api_address(struct session *s);
/* A client with this process's own short-lived certificate. */
int session_kube_conf(void *cookie, struct kc_kube_conf *ret, struct kc_err *err);

#endif
