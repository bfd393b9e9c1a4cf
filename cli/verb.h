/*
 * One run of a cluster verb: flags into options, the preview, progress.
 *
 * kc_verb_begin() fills opts and io for kc_cluster_*(); whatever the verb then
 * does, kc_verb_done() ends the progress display and frees. The preview keeps
 * the plan; with neither --yes nor --confirm it stops there.
 */
#ifndef KC_CLI_VERB_H
#define KC_CLI_VERB_H

#include "bootstrap/cluster.h"
#include "cli/cli.h"
#include "cli/passphrase.h"

struct kc_verb_run {
	const struct kc_args *args;
	struct kc_cluster_opts opts;
	struct kc_cluster_io io;
	struct kc_ui *ui;
	struct kc_passphrases phrases;
	char *state, *self_dir;
	char *name;    /* of the cluster; NULL until it is known */
	bool act;      /* --yes or --confirm, and no --dry-run */
	char *gated;   /* why acting would be refused; or NULL */
	json_t *plan;  /* NULL until the preview */
	json_t *hosts; /* what an apply came to; NULL until then */
	char hash[65];
	size_t pending;
	size_t failed; /* tasks */
};

/* For who only looks at the state: the options of every command and the first argument as the
 * cluster's name. *ret_state is owned, and what ret borrows. */
int kc_verb_opts(const struct kc_args *args, char **ret_state, struct kc_cluster_opts *ret,
		 struct kc_err *err);

/* A KC_E*, or KC_EXIT_USAGE, or 0. The flags that the verb lacks keep their defaults. */
int kc_verb_begin(struct kc_verb_run *v, const struct kc_args *args, struct kc_err *err);
void kc_verb_done(struct kc_verb_run *v);
#define _cleanup_verb_ _cleanup_(kc_verb_done)

/* {"plan", "hash", "applied", "result"} for -o json; after an apply result has "hosts", as
 * kc_host_results() says. New reference. */
json_t *kc_verb_result(const struct kc_verb_run *v, bool applied);
/* Some hosts were done and others failed. */
bool kc_verb_partial(const struct kc_verb_run *v);
/* To standard error: which hosts failed and why, a line each, and which were not begun. Nothing if
 * the error itself says it all. */
void kc_verb_print_hosts(const struct kc_verb_run *v);

#endif
