/*
 * The story of a cluster: spec -> graph -> plan -> apply -> validate.
 *
 * These functions are the verbs without their command line: they never print
 * and never parse flags. A verb first makes a plan and hands it to
 * io.preview; only when that returns 0 is anything changed.
 *
 *	opts + manifest --load--> cluster --model--> graph --kc_plan_make--> plan --preview--> apply
 */
#ifndef KC_BOOTSTRAP_CLUSTER_H
#define KC_BOOTSTRAP_CLUSTER_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "clouds/cloud.h"
#include "lib/base/err.h"
#include "lib/net/ssh.h"
#include "lib/plan/plan.h"

struct kc_cluster_opts {
	const char *state;	    /* store URL */
	const char *state_key_file; /* seals the private objects of the state; or NULL */
	const char *name;	    /* the cluster's name; NULL: from the manifest or the flags */
	const char *file;	    /* manifest, "-" for standard input, or NULL */
	const char *cloud, *region; /* without a manifest */
	int workers;		    /* --workers N, -1: unset */
	const char *bundle; /* as for kc_bundle_open(); NULL: ~/.cache/kubecdn/bundles/<version> */
	const char *authfile; /* credentials for a bundle at a URL; or NULL */
	const char *forget;   /* --forget HOST, or NULL */
	const char *confirm;  /* plan hash that must be met, or NULL */
	bool force;	      /* pass the gate */
	bool accept_new_host_keys;
	int parallelism;  /* 0: default */
	int max_failures; /* so many hosts failed: no other one is begun; 0: all are tried */
	/* How long one thing may take to become ready (0: the engine's default), and after the
	 * apply the cluster to be healthy (0: five minutes). */
	long wait_ms;
	const struct kc_cloud *const *clouds; /* NULL-terminated registry */
	const char
		*self_dir; /* directory of the running program: where kubecdn-node is looked for */
};

/* The agent: beside the program, or where an installation or a build tree has it. NULL: nowhere.
 * Owned. */
char *kc_agent_path(const char *self_dir);

struct kc_cluster_io {
	bool writing; /* false: only the plan is made and shown; no lock is taken */
	/*
	 * Called with the complete plan before anything changes: 0 = go on, KC_ECANCELED = stop
	 * here without error (a preview), other codes stop with err.
	 */
	int (*preview)(void *cookie, const json_t *plan, const char *hash, struct kc_err *err);
	/* Called before a preview that is no more than that: acting on this plan will be refused
	 * without force. Optional. */
	void (*gated)(void *cookie, const char *why);
	void (*event)(void *cookie, const struct kc_event *ev);
	/* What the user should know afterwards, a line or a few: what was left where. Optional. */
	void (*note)(void *cookie, const char *text);
	/* After an apply, also one that failed: kc_host_results() (bootstrap/results.h). Optional.
	 */
	void (*hosts)(void *cookie, const json_t *results);
	/* Phases of the verb ("connect", "plan", "apply", "validate"), for progress and timings. */
	void (*phase)(void *cookie, const char *name);
	/* The cluster's name, once it is known: from the options, the manifest or the flags. */
	void (*named)(void *cookie, const char *name);
	void *cookie;
	atomic_bool *cancel;
	const struct kc_ssh_phrases
		*phrases; /* who is asked for the passphrases of keys; or NULL */
	void *phrases_cookie;
};

/* Create, or update towards the manifest or flags. */
int kc_cluster_create(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err);
/* As create, but the cluster must exist. */
int kc_cluster_update(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err);
int kc_cluster_delete(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
		      struct kc_err *err);

/* {"name", "cloud", "region", "kubernetesVersion", "nodes": count, "state"} each; state is "ready"
 * when its record has nothing half-done, else "incomplete". */
int kc_cluster_list(const struct kc_cluster_opts *o, json_t **ret, struct kc_err *err);
/* The stored manifest with its defaults, plus {"status": {"state", "uid", "endpoint": URL or null,
 * "nodes": [{"name", "role", "addresses"}], "tasks": count}}. */
int kc_cluster_get(const struct kc_cluster_opts *o, json_t **ret, struct kc_err *err);
/*
 * {"healthy": bool, "checks": [{"id", "ok", "text"}]}. An unreachable API is an error; an unhealthy
 * cluster is not (the caller exits 2). Waits up to wait_ms for healthy when that is > 0.
 */
int kc_cluster_validate(const struct kc_cluster_opts *o, const struct kc_cluster_io *io,
			json_t **ret, struct kc_err *err);
/*
 * Why does it not work? {"healthy", "summary", "findings": as kc_why_judge() says, best first,
 * "evidence"}. Hosts and an API that cannot be reached are findings, not errors.
 */
int kc_cluster_why(const struct kc_cluster_opts *o, const struct kc_cluster_io *io, json_t **ret,
		   struct kc_err *err);
/*
 * Log in to every host of the manifest, at the same time, and out again: [{"name", "ok", "text"}].
 * Empty for clouds that make their machines. The cluster need not exist.
 */
int kc_cluster_login(const struct kc_cluster_opts *o, const struct kc_cluster_io *io, json_t **ret,
		     struct kc_err *err);
/* A kubeconfig document (JSON) with a fresh admin certificate of ttl seconds. */
int kc_cluster_kubeconfig(const struct kc_cluster_opts *o, long ttl, bool break_glass, json_t **ret,
			  struct kc_err *err);
/*
 * The words of an ssh command that reaches a host as the record says (NULL: the first control
 * plane): its key pinned, through its bastion. Runs command there (lib/net/ssh.h); strings.
 */
int kc_cluster_ssh(const struct kc_cluster_opts *o, const char *host, bool tty,
		   char *const *command, json_t **ret, struct kc_err *err);
/*
 * Seal every private object of a cluster by the first key of state_key_file, or, with unseal, make
 * all of them plain. Killed anywhere, the same call goes on. *ret_keys: what was changed, or
 * without writing what would be.
 */
int kc_cluster_rekey(const struct kc_cluster_opts *o, bool unseal, bool writing, json_t **ret_keys,
		     struct kc_err *err);
/* One of the last ten runs that changed something, as kc_timeline_report() has it; run 0: the last.
 * Also of a run that is under way, or that was killed. */
int kc_cluster_timeline(const struct kc_cluster_opts *o, uint64_t run, json_t **ret,
			struct kc_err *err);
int kc_cluster_unlock(const struct kc_cluster_opts *o, uint64_t fence, struct kc_err *err);

#endif
