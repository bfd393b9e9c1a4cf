/* cluster why: the cause of what does not work, in one line. */
#include <stdio.h>
#include <string.h>

#include "bootstrap/why.h"
#include "cli/verb.h"
#include "cli/why.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const struct kc_opt why_opts[] = {
	{ "causes", .type = KC_OPT_FLAG, .doc = "List the causes that it knows, and ask nobody" },
	{ "bundle", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Also write all that was seen, without secrets, to a tar, for those who help" },
	{ "accept-new-host-keys", .type = KC_OPT_FLAG,
	  .doc = "Pin unknown SSH host keys; a changed key is still refused" },
	{ NULL },
};

static const struct kc_opt *const why_lists[] = { why_opts, kc_cli_output, NULL };

static int print_causes(const struct kc_args *args, struct kc_err *err)
{
	static const struct kc_column columns[] = { { "CAUSE", "id" },
						    { "WHAT IT IS", "summary" },
						    { NULL, NULL } };
	json_auto_t *list = json_array();

	for (const struct kc_why_cause *c = kc_why_causes; c->id; c++)
		json_array_append_new(list,
				      kc_pack("{s:s, s:s}", "id", c->id, "summary", c->summary));
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, list, err);
	kc_cli_table(list, columns);
	return 0;
}

static void print_finding(const char *word, const json_t *f)
{
	printf("%s: %s %s: %s; fix: %s\n", word, kc_json_get_str(f, "id", "?"),
	       kc_json_get_str(f, "node", "?"), kc_json_get_str(f, "text", ""),
	       kc_json_get_str(f, "fix", ""));
}

static void print_text(const char *name, const json_t *result)
{
	const json_t *findings = json_object_get(result, "findings"), *f;
	bool healthy = kc_json_get_bool(result, "healthy", false);
	size_t i;

	printf("Cluster %s %s%s\n", name, healthy ? "is healthy" : "is not healthy: ",
	       healthy ? json_array_size(findings) ? ", but something is not as it should be." : "."
		       : kc_json_get_str(result, "summary", "?"));
	json_array_foreach(findings, i, f)
		print_finding(healthy ? "note" : i ? "then" : "cause", f);
	if (!healthy && !json_array_size(findings))
		puts("cause: UNKNOWN no cause that this program knows was seen; it may still be "
		     "starting; fix: ask again in a minute, then see -o json and "
		     "`kubecdn cluster validate`");
}

static int write_bundle(const struct kc_verb_run *v, const char *file, const json_t *result,
			struct kc_err *err)
{
	json_auto_t *cluster = NULL;
	int r = kc_cluster_get(&v->opts, &cluster, err);

	if (r == 0)
		r = kc_why_bundle(file, result, cluster, err);
	if (r == 0)
		fprintf(stderr, "Wrote %s. Read it before you give it away.\n", file);
	return r;
}

static int run_why(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	const char *bundle = kc_args_str(args, "bundle");
	json_auto_t *result = NULL;
	int r;

	if (kc_args_bool(args, "causes"))
		return print_causes(args, err);
	if (!kc_args_pos(args, 0))
		return kc_cli_usage(err, "which cluster? give its name");
	r = kc_verb_begin(&v, args, err);
	if (r != 0)
		return r;
	r = kc_cluster_why(&v.opts, &v.io, &result, err);
	kc_ui_pause(v.ui);
	if (r == 0 && kc_cli_wants_text(args))
		print_text(v.opts.name, result);
	else if (r == 0)
		r = kc_cli_print(args, result, err);
	if (r == 0 && bundle)
		r = write_bundle(&v, bundle, result, err);
	if (r < 0)
		return r;
	return kc_json_get_bool(result, "healthy", false) ? 0 : KC_EXIT_PENDING;
}

const struct kc_verb kc_cli_why[] = {
	{ .path = "cluster why",
	  .aliases = (const char *const[]){ "why", NULL },
	  .summary = "Say why a cluster or one of its nodes does not work",
	  .description = "Asks every host and the API at once and names the cause to mend first, "
			 "with its fix;\n"
			 "what else was found follows. Nothing is changed. Exit 0: healthy. 2: "
			 "not. 1: it\n"
			 "could not look.",
	  .examples = "kubecdn cluster why fra1\n"
		      "kubecdn cluster why fra1 -o json",
	  .positional = "[NAME]",
	  .max_args = 1,
	  .looks = true,
	  .opts = why_lists,
	  .run = run_why },
	{ NULL },
};
