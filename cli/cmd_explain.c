/* explain and version: what this program knows about itself. */
#include <stdio.h>

#include "bootstrap/bundle/bundle.h"
#include "bootstrap/node/protocol.h"
#include "bootstrap/schema.h"
#include "cli/cli.h"
#include "cli/config.h"
#include "lib/codec/json.h"
#include "lib/spec/spec.h"

static const struct kc_opt explain_opts[] = {
	{ "json-schema", .type = KC_OPT_FLAG,
	  .doc = "Print the JSON Schema of a kind, for editors (default Cluster)" },
	{ NULL },
};

static const struct kc_opt *const explain_lists[] = { explain_opts, NULL };
static const struct kc_opt *const version_lists[] = { kc_cli_output, NULL };

static int print_schema(const char *name, struct kc_err *err)
{
	const struct kc_spec_kind *kind = kc_spec_kind_find(kc_cli_kinds(), name);
	_cleanup_free_ char *text = NULL;
	json_auto_t *schema = NULL;

	if (!kind)
		return kc_cli_usage(err, "there is no kind \"%s\"; see `kubecdn explain`", name);
	schema = kc_spec_json_schema(kind);
	text = json_dumps(schema, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (!text)
		return kc_fail(err, KC_EFAIL, "the schema of %s cannot be written", name);
	puts(text);
	return 0;
}

static int run_explain(const struct kc_args *args, struct kc_err *err)
{
	const char *path = kc_args_pos(args, 0);
	_cleanup_free_ char *text = NULL;
	int r;

	if (kc_args_bool(args, "json-schema"))
		return print_schema(path ? path : kc_cluster_kind.name, err);
	if (!path) {
		for (const struct kc_spec_kind *const *k = kc_cli_kinds(); *k; k++)
			printf("%-14s %-20s  %s\n", (*k)->name,
			       (*k)->api_version ? (*k)->api_version : "(no manifest)", (*k)->doc);
		puts("\nkubecdn explain cluster.spec shows the fields of a kind.");
		return 0;
	}
	r = kc_spec_explain(kc_cli_kinds(), path, &text, err);
	if (r < 0)
		return r;
	fputs(text, stdout);
	return 0;
}

static int run_version(const struct kc_args *args, struct kc_err *err)
{
	json_auto_t *bundles = NULL, *result = NULL;
	_cleanup_free_ char *supported = NULL;
	json_t *versions;
	int r = kc_bundle_list(&bundles, err);

	if (r < 0)
		return r;
	versions = json_object_get(bundles, "supported");
	if (!kc_cli_wants_text(args)) {
		result = kc_pack("{s:s, s:i, s:{s:O?}}", "version", KC_VERSION, "protocol",
				 KC_NODE_PROTOCOL, "kubernetes", "supported", versions);
		return kc_cli_print(args, result, err);
	}
	supported = kc_cli_cell(versions);
	printf("kubecdn %s, agent protocol %d, Kubernetes %s\n", KC_VERSION, KC_NODE_PROTOCOL,
	       supported);
	return 0;
}

const struct kc_verb kc_cli_explain[] = {
	{ .path = "explain",
	  .summary = "Explain a field of a manifest",
	  .description =
		  "Without FIELD: the kinds of manifests, and your settings (config). What it says "
		  "comes\n"
		  "from the table that manifests are checked by: type, default, what is allowed.",
	  .examples = "kubecdn explain cluster.spec.networking\n"
		      "kubecdn explain config\n"
		      "kubecdn explain --json-schema Cluster > cluster.schema.json",
	  .positional = "[FIELD]",
	  .max_args = 1,
	  .opts = explain_lists,
	  .run = run_explain },
	{ .path = "version",
	  .summary = "Print versions: of this program, the agent's protocol, Kubernetes",
	  .opts = version_lists,
	  .run = run_version },
	{ NULL },
};
