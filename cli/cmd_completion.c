/* completion, and what the shells' scripts ask on TAB. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"
#include "cli/verb.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/opt_complete.h"
#include "lib/base/opt_man.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* The scripts as they stand in cli/completion, in read-only data. */
#define SCRIPT(shell)                                                                              \
	"kc_completion_" shell ":\n"                                                               \
	".incbin \"" KC_CLI_DIR "/completion/kubecdn." shell "\"\n"                                \
	".byte 0\n"
__asm__(".pushsection .rodata\n" SCRIPT("bash") SCRIPT("zsh") SCRIPT("fish") ".popsection\n");
#define HIDDEN __attribute__((visibility("hidden")))
extern const char kc_completion_bash[] HIDDEN, kc_completion_zsh[] HIDDEN,
	kc_completion_fish[] HIDDEN;

static int run_completion(const struct kc_args *args, struct kc_err *err)
{
	const char *shell = kc_args_pos(args, 0);

	if (streq(shell, "bash"))
		fputs(kc_completion_bash, stdout);
	else if (streq(shell, "zsh"))
		fputs(kc_completion_zsh, stdout);
	else if (streq(shell, "fish"))
		fputs(kc_completion_fish, stdout);
	else
		return kc_cli_usage(err,
				    "there is no completion for \"%s\"; there is for bash, zsh "
				    "and fish",
				    shell);
	return 0;
}

/* ---- values ---- */

static bool of_cluster(const struct kc_args *args)
{
	return kc_startswith(args->verb->path, "cluster ");
}

static void put_clusters(const struct kc_args *args, kc_opt_put *put, void *to)
{
	_cleanup_free_ char *state = NULL;
	struct kc_cluster_opts o;
	json_auto_t *list = NULL;
	const json_t *cluster;
	struct kc_err err;
	size_t i;

	if (kc_verb_opts(args, &state, &o, &err) < 0)
		return;
	o.name = NULL;
	if (kc_cluster_list(&o, &list, &err) < 0)
		return;
	json_array_foreach(list, i, cluster) {
		_cleanup_free_ char *what =
			xasprintf("%s %s", kc_json_get_str(cluster, "cloud", ""),
				  kc_json_get_str(cluster, "region", ""));

		put(to, kc_json_get_str(cluster, "name", ""), what);
	}
}

static void put_hosts(const struct kc_args *args, kc_opt_put *put, void *to)
{
	_cleanup_free_ char *state = NULL;
	struct kc_cluster_opts o;
	json_auto_t *cluster = NULL;
	const json_t *node;
	struct kc_err err;
	size_t i;

	if (kc_verb_opts(args, &state, &o, &err) < 0 || !o.name ||
	    kc_cluster_get(&o, &cluster, &err) < 0)
		return;
	json_array_foreach(kc_json_at(cluster, "status.nodes"), i, node)
		put(to, kc_json_get_str(node, "name", ""), kc_json_get_str(node, "role", ""));
}

/*
 * The fields beside the word's last part ("cluster.spec.ap": api, apiServer). What has fields
 * of its own stands there with a dot, too, so that the shell does not end the word.
 */
static void put_fields(const struct kc_field *table, const char *before, const char *word,
		       kc_opt_put *put, void *to)
{
	for (const struct kc_field *f = table; f->name; f++) {
		const struct kc_field *inner = f->type == KC_FIELD_LIST ? f->item : f;
		_cleanup_free_ char *path = xasprintf("%s%s", before, f->name),
				    *deeper = xasprintf("%s.", path);

		put(to, path, f->doc);
		if (inner->type != KC_FIELD_OBJECT)
			continue;
		put(to, deeper, NULL);
		if (kc_startswith(word, deeper))
			put_fields(inner->fields, deeper, word, put, to);
	}
}

static void put_kinds(const char *word, kc_opt_put *put, void *to)
{
	for (const struct kc_spec_kind *const *k = kc_cli_kinds(); *k; k++) {
		_cleanup_free_ char *name = xstrdup((*k)->name), *deeper = NULL;

		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		deeper = xasprintf("%s.", name);
		put(to, name, (*k)->doc);
		put(to, deeper, NULL);
		if (kc_startswith(word, deeper))
			put_fields((*k)->fields, deeper, word, put, to);
	}
}

static void values(const struct kc_args *args, const char *meta, const char *word, kc_opt_put *put,
		   void *to)
{
	if (streq(meta, "NAME") && of_cluster(args))
		put_clusters(args, put, to);
	else if (streq(meta, "HOST") && of_cluster(args))
		put_hosts(args, put, to);
	else if (streq(meta, "FIELD"))
		put_kinds(word, put, to);
	else if (streq(meta, "CLOUD"))
		for (const struct kc_cloud *const *c = kc_cli_clouds; *c; c++)
			put(to, (*c)->name, (*c)->summary);
}

/* With the user's settings, as far as they can be read: the state may be named there. */
static void values_as_set(const struct kc_args *args, const char *meta, const char *word,
			  kc_opt_put *put, void *to)
{
	struct kc_args with = *args;
	json_auto_t *settings = NULL;
	struct kc_err err;

	kc_cli_config(&with, &settings, &err);
	values(&with, meta, word, put, to);
}

static int run_complete(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	int n = 0;

	while (args->rest[n])
		n++;
	kc_opt_complete(&kc_cli_program, values_as_set, n, args->rest, &out);
	fputs(kc_buf_get(&out), stdout);
	return 0;
}

/* ---- manual pages ---- */

static const struct kc_opt man_opts[] = {
	{ "to", .type = KC_OPT_STRING, .meta = "DIR", .doc = "Write all of them there" },
	{ NULL },
};
static const struct kc_opt *const man_lists[] = { man_opts, NULL };

static int write_page(void *cookie, const char *name, const char *text, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.1", (const char *)cookie, name);

	return kc_file_write(path, text, strlen(text), 0644, err);
}

static int run_man(const struct kc_args *args, struct kc_err *err)
{
	const char *to = kc_args_str(args, "to");
	int r;

	if (!to)
		return kc_cli_usage(err, "--to DIR is needed");
	r = kc_mkdir_p(to, 0755, err);
	return r < 0 ? r : kc_opt_man(&kc_cli_program, &kc_cli_manual, write_page, (void *)to, err);
}

const struct kc_verb kc_cli_completion[] = {
	{ .path = "completion",
	  .summary = "Print what makes TAB complete commands, for a shell",
	  .description = "Verbs, flags, their values, names of clusters and hosts, fields to "
			 "explain, files.\n"
			 "`make install` puts all three where the shells look.",
	  .examples = "source <(kubecdn completion bash)\n"
		      "kubecdn completion zsh > ~/.zfunc/_kubecdn\n"
		      "kubecdn completion fish > ~/.config/fish/completions/kubecdn.fish",
	  .positional = "bash|zsh|fish",
	  .min_args = 1,
	  .max_args = 1,
	  .run = run_completion },
	{ .path = "__complete",
	  .summary = "What may stand at the last of these words",
	  .rest = true,
	  .hidden = true,
	  .run = run_complete },
	{ .path = "__man",
	  .summary = "Write the manual pages",
	  .opts = man_lists,
	  .hidden = true,
	  .run = run_man },
	{ NULL },
};
