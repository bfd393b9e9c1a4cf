/* cluster create, update, delete, unlock: what changes something. */
#include <stdio.h>
#include <string.h>

#include "bootstrap/results.h"
#include "cli/verb.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const struct kc_opt preview_opts[] = {
	{ "yes", 'y', KC_OPT_FLAG, .doc = "Do it; without this flag only a preview is shown" },
	{ "confirm", .type = KC_OPT_STRING, .meta = "HASH",
	  .doc = "Do it if the plan still has this hash" },
	{ "dry-run", .type = KC_OPT_FLAG, .doc = "Preview, even with --yes" },
	{ "detailed-exitcode", .type = KC_OPT_FLAG,
	  .doc = "Preview: exit 0 with nothing to do, 2 with changes, 1 on errors" },
	{ "force", .type = KC_OPT_FLAG, .doc = "Pass the safety gate on large changes" },
	{ "parallelism", .type = KC_OPT_INT, .meta = "N", .min = 1, .max = 256,
	  .env = "KUBECDN_PARALLELISM",
	  .doc = "Operations at a time (default: what the providers allow)" },
	{ NULL },
};

static const struct kc_opt apply_opts[] = {
	{ "file", 'f', KC_OPT_STRING, "FILE",
	  .doc = "Manifest (YAML or JSON); - reads standard input" },
	{ "cloud", .type = KC_OPT_STRING, .meta = "CLOUD",
	  .doc = "Without a manifest: where the machines come from (see below)" },
	{ "region", .type = KC_OPT_STRING, .meta = "REGION",
	  .doc = "Without a manifest: the region" },
	{ "workers", .type = KC_OPT_INT, .meta = "N", .min = 0, .max = 5000,
	  .doc = "Without a manifest: how many workers" },
	{ "bundle", .type = KC_OPT_STRING, .meta = "BUNDLE", .env = "KUBECDN_BUNDLE",
	  .doc = "Directory, file or URL of a bundle (default: the newest built)" },
	{ "authfile", .type = KC_OPT_STRING, .meta = "FILE", .env = "KUBECDN_AUTHFILE",
	  .doc = "Credentials for its URL, as `docker login` writes them" },
	{ "wait", .type = KC_OPT_DURATION, .meta = "DURATION", .def = "5m", .min = 1000,
	  .doc = "How long to wait for each thing, then for a healthy cluster" },
	{ "accept-new-host-keys", .type = KC_OPT_FLAG,
	  .doc = "Pin unknown SSH host keys; a changed key is still refused" },
	{ NULL },
};

static const struct kc_opt failure_opts[] = {
	{ "max-failures", .type = KC_OPT_INT, .meta = "N", .min = 1, .max = 5000,
	  .doc = "Begin no other host once N have failed (default: try all)" },
	{ NULL },
};

static const struct kc_opt forget_opts[] = {
	{ "forget", .type = KC_OPT_STRING, .meta = "HOST",
	  .doc = "Drop an unreachable host from the record without touching it" },
	{ NULL },
};

static const struct kc_opt unlock_opts[] = {
	{ "force", .type = KC_OPT_INT, .meta = "FENCE", .min = 1, .max = 1L << 52,
	  .doc = "The fence that the lock's error message shows" },
	{ NULL },
};

static const struct kc_opt rekey_opts[] = {
	{ "yes", 'y', KC_OPT_FLAG, .doc = "Do it; without this flag only a preview is shown" },
	{ "dry-run", .type = KC_OPT_FLAG, .doc = "Preview, even with --yes" },
	{ "unseal", .type = KC_OPT_FLAG, .doc = "Make everything plain instead" },
	{ NULL },
};

static const struct kc_opt *const rekey_lists[] = { rekey_opts, kc_cli_output, NULL };
static const struct kc_opt *const create_lists[] = { apply_opts,  preview_opts,	 failure_opts,
						     forget_opts, kc_cli_output, NULL };
static const struct kc_opt *const delete_lists[] = { preview_opts, forget_opts, kc_cli_output,
						     NULL };
static const struct kc_opt *const unlock_lists[] = { unlock_opts, NULL };

static int preview_exit(const struct kc_verb_run *v)
{
	return kc_args_bool(v->args, "detailed-exitcode") && v->pending ? KC_EXIT_PENDING : 0;
}

/* What went well, how long it took and what to type next. */
static void print_done(const struct kc_verb_run *v, const char *what, bool kubeconfig)
{
	_cleanup_free_ char *timings = kc_ui_timings(v->ui);

	printf("Cluster %s %s (%s).\n", v->name, what, timings);
	if (kubeconfig)
		printf("To use it:\n"
		       "  kubecdn cluster export kubeconfig %s --to kubeconfig\n"
		       "  kubectl --kubeconfig kubeconfig get nodes\n",
		       v->name);
}

/* Hosts failed: what became of each of them, and 3 if some were done. */
static int finish_failed(struct kc_verb_run *v, int r, struct kc_err *err)
{
	json_auto_t *result = NULL;
	char *save = NULL;

	if (r == KC_ECANCELED || !kc_host_count(v->hosts).failed)
		return r;
	kc_verb_print_hosts(v);
	if (!kc_cli_wants_text(v->args)) {
		result = kc_verb_result(v, true);
		if (kc_cli_print(v->args, result, NULL) < 0)
			return r;
	}
	if (!kc_verb_partial(v))
		return r;
	for (char *line = strtok_r(err->msg, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "kubecdn: %s\n", line);
	return KC_EXIT_SOME;
}

/* What every verb with a plan ends with: its result as JSON, or a line on what was done. */
static int finish(struct kc_verb_run *v, int r, const char *what, bool kubeconfig,
		  struct kc_err *err)
{
	kc_ui_phase(v->ui, NULL);
	kc_ui_pause(v->ui);
	if (r < 0)
		return finish_failed(v, r, err);
	if (!kc_cli_wants_text(v->args)) {
		json_auto_t *result = kc_verb_result(v, v->act);

		r = kc_cli_print(v->args, result, err);
		if (r < 0)
			return r;
	} else if (v->act) {
		print_done(v, what, kubeconfig);
	}
	return v->act ? 0 : preview_exit(v);
}

static int run_apply(const struct kc_args *args,
		     int (*fn)(const struct kc_cluster_opts *, const struct kc_cluster_io *,
			       struct kc_err *),
		     const char *what, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	if (!v.opts.name && !v.opts.file && !v.opts.cloud)
		return kc_cli_usage(err, "which cluster? Give -f FILE, or --cloud CLOUD (try "
					 "`--cloud local`), or the NAME of an existing one");
	r = fn(&v.opts, &v.io, err);
	return finish(&v, r, v.pending ? what : "is up to date", true, err);
}

static int run_create(const struct kc_args *args, struct kc_err *err)
{
	return run_apply(args, kc_cluster_create, "is ready", err);
}

static int run_update(const struct kc_args *args, struct kc_err *err)
{
	return run_apply(args, kc_cluster_update, "is updated", err);
}

static int run_delete(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	r = kc_cluster_delete(&v.opts, &v.io, err);
	return finish(&v, r, "is deleted", false, err);
}

static int run_unlock(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	int r;

	if (!kc_args_given(args, "force"))
		return kc_cli_usage(err, "--force FENCE is needed: the number in the message that "
					 "says who holds the lock");
	/* --force is a number here: kc_verb_begin() would read it as a switch. */
	v.args = args;
	r = kc_verb_opts(args, &v.state, &v.opts, err);
	if (r < 0)
		return r;
	r = kc_cluster_unlock(&v.opts, (uint64_t)kc_args_long(args, "force", 0), err);
	if (r < 0)
		return r;
	printf("The lock of cluster %s is free.\n", v.opts.name);
	return 0;
}

static void print_rekeyed(const struct kc_verb_run *v, const json_t *keys, bool unseal)
{
	const json_t *k;
	size_t i;

	json_array_foreach(keys, i, k)
		printf("~ %s %s\n", unseal ? "unseal" : "seal", json_string_value(k));
	if (!json_array_size(keys))
		printf("Nothing to do: every secret of cluster %s is %s.\n", v->opts.name,
		       unseal ? "plain" : "sealed by the first key");
	else if (!v->act)
		puts("\nNothing was changed. Run the same command with --yes to do it.");
	else
		printf("\nEvery secret of cluster %s is %s.\n", v->opts.name,
		       unseal ? "plain now" : "sealed by the first key of the file now");
}

static int run_rekey(const struct kc_args *args, struct kc_err *err)
{
	bool unseal = kc_args_bool(args, "unseal");
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	json_auto_t *keys = NULL, *result = NULL;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	if (!v.opts.state_key_file)
		return kc_cli_usage(err, "--state-key-file FILE or KUBECDN_STATE_KEY_FILE is "
					 "needed: the keys to seal and to open with");
	r = kc_cluster_rekey(&v.opts, unseal, v.act, &keys, err);
	if (r < 0)
		return r;
	if (kc_cli_wants_text(args)) {
		print_rekeyed(&v, keys, unseal);
		return 0;
	}
	result = kc_pack("{s:O, s:b}", "objects", keys, "applied", v.act);
	return kc_cli_print(args, result, err);
}

static void list_clouds(struct kc_buf *out)
{
	kc_buf_puts(out, "\nClouds:\n");
	for (const struct kc_cloud *const *c = kc_cli_clouds; *c; c++)
		kc_buf_printf(out, "  %-34s %s\n", (*c)->name, (*c)->summary);
}

const struct kc_verb kc_cli_cluster[] = {
	{
		.path = "cluster create",
		.aliases = (const char *const[]){ "create cluster", NULL },
		.summary = "Create a cluster, or bring an existing one to its manifest",
		.more = list_clouds,
		.description = "Shows what would be made; --yes makes it and waits until it is "
			       "healthy. An\n"
			       "interrupted run is resumed by the same command.",
		.examples = "kubecdn cluster create --cloud local --workers 1\n"
			    "kubecdn cluster create -f cluster.yaml --yes",
		.positional = "[NAME]",
		.max_args = 1,
		.opts = create_lists,
		.run = run_create,
	},
	{
		.path = "cluster update",
		.aliases = (const char *const[]){ "update cluster", NULL },
		.summary = "Bring an existing cluster to its manifest",
		.more = list_clouds,
		.description =
			"As create, but the cluster must exist. With only a NAME the stored\n"
			"manifest is applied again: drift is shown and repaired.",
		.examples = "kubecdn cluster update fra1\n"
			    "kubecdn cluster update -f cluster.yaml --yes",
		.positional = "[NAME]",
		.max_args = 1,
		.opts = create_lists,
		.run = run_update,
	},
	{
		.path = "cluster delete",
		.aliases = (const char *const[]){ "delete cluster", NULL },
		.summary = "Delete a cluster and everything that was made for it",
		.description = "Hosts of your own are left as they were before; machines that were "
			       "made are gone.\n"
			       "An interrupted run is resumed by the same command. --forget HOST "
			       "goes on without\n"
			       "one that is gone for good.",
		.examples = "kubecdn cluster delete fra1\nkubecdn cluster delete fra1 --yes",
		.positional = "NAME",
		.min_args = 1,
		.max_args = 1,
		.opts = delete_lists,
		.run = run_delete,
	},
	{
		.path = "cluster rekey",
		.summary = "Seal a cluster's stored secrets with another key, or no more",
		.description =
			"The first key of --state-key-file seals, all of its keys open. To change "
			"the\n"
			"key, put the new one on the first line and rekey; then the old line may "
			"go.\n"
			"The same seals a state that is plain; --unseal makes it plain again.",
		.examples = "kubecdn cluster rekey fra1 --state-key-file state.keys --yes\n"
			    "kubecdn cluster rekey fra1 --state-key-file state.keys --unseal --yes",
		.positional = "NAME",
		.min_args = 1,
		.max_args = 1,
		.opts = rekey_lists,
		.run = run_rekey,
	},
	{
		.path = "cluster unlock",
		.summary = "Take the lock away from an operator that is gone",
		.description = "Only if that process has ended for certain: whoever still runs "
			       "finds out at its\n"
			       "next change, and stops there.",
		.examples = "kubecdn cluster unlock fra1 --force 7",
		.positional = "NAME",
		.min_args = 1,
		.max_args = 1,
		.opts = unlock_lists,
		.run = run_unlock,
	},
	{ NULL },
};
