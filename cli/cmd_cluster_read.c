/* cluster list, get, validate, export kubeconfig: what only looks. */
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const struct kc_opt validate_opts[] = {
	{ "wait", .type = KC_OPT_DURATION, .meta = "DURATION",
	  .doc = "Wait that long for a healthy cluster (default: look once)" },
	{ "accept-new-host-keys", .type = KC_OPT_FLAG,
	  .doc = "Pin unknown SSH host keys; a changed key is still refused" },
	{ NULL },
};

static const struct kc_opt kubeconfig_opts[] = {
	{ "to", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Write it there (0600; folders are made) instead of to standard output" },
	{ "ttl", .type = KC_OPT_DURATION, .meta = "DURATION", .def = "18h", .min = 60000,
	  .doc = "How long its certificate is good" },
	{ "break-glass", .type = KC_OPT_FLAG,
	  .doc = "In system:masters: works without RBAC, cannot be revoked" },
	{ NULL },
};

static const struct kc_opt *const list_lists[] = { kc_cli_output, NULL };
static const struct kc_opt *const validate_lists[] = { validate_opts, kc_cli_output, NULL };
static const struct kc_opt *const kubeconfig_lists[] = { kubeconfig_opts, NULL };

static int run_list(const struct kc_args *args, struct kc_err *err)
{
	static const struct kc_column columns[] = {
		{ "NAME", "name" },	{ "CLOUD", "cloud" },
		{ "REGION", "region" }, { "KUBERNETES", "kubernetesVersion" },
		{ "NODES", "nodes" },	{ "STATE", "state" },
		{ NULL, NULL },
	};
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	json_auto_t *list = NULL;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	r = kc_cluster_list(&v.opts, &list, err);
	if (r < 0)
		return r;
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, list, err);
	if (json_array_size(list))
		kc_cli_table(list, columns);
	else
		printf("No clusters in %s. To make one: kubecdn cluster create --cloud local\n",
		       v.state);
	return 0;
}

static void print_member(const char *title, const json_t *o, const char *path)
{
	const json_t *v = kc_json_at(o, path);
	_cleanup_free_ char *cell = NULL;

	if (!v || json_is_null(v))
		return;
	cell = kc_cli_cell(v);
	printf("%-12s %s\n", title, cell);
}

static void print_nodes(const json_t *cluster)
{
	static const struct kc_column columns[] = {
		{ "NODE", "name" },
		{ "ROLE", "role" },
		{ "ADDRESSES", "addresses" },
		{ NULL, NULL },
	};
	const json_t *nodes = kc_json_at(cluster, "status.nodes");

	if (!json_array_size(nodes))
		return;
	puts("");
	kc_cli_table(nodes, columns);
}

static int run_get(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	json_auto_t *cluster = NULL;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	r = kc_cluster_get(&v.opts, &cluster, err);
	if (r < 0)
		return r;
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, cluster, err);
	print_member("Name", cluster, "metadata.name");
	print_member("Cloud", cluster, "spec.cloud");
	print_member("Region", cluster, "spec.region");
	print_member("Kubernetes", cluster, "spec.kubernetesVersion");
	print_member("Pods", cluster, "spec.networking.podCIDRs");
	print_member("Services", cluster, "spec.networking.serviceCIDRs");
	print_member("Addons", cluster, "spec.addons");
	print_member("State", cluster, "status.state");
	print_member("Endpoint", cluster, "status.endpoint");
	print_member("UID", cluster, "status.uid");
	print_nodes(cluster);
	return 0;
}

static void print_checks(const json_t *result)
{
	const json_t *checks = json_object_get(result, "checks"), *check;
	size_t i;

	json_array_foreach(checks, i, check)
		printf("%-4s  %-24s %s\n", kc_json_get_bool(check, "ok", false) ? "ok" : "BAD",
		       kc_json_get_str(check, "id", "?"), kc_json_get_str(check, "text", ""));
}

static int run_validate(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	json_auto_t *result = NULL;
	bool healthy;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	r = kc_cluster_validate(&v.opts, &v.io, &result, err);
	kc_ui_pause(v.ui);
	if (r < 0)
		return r;
	healthy = kc_json_get_bool(result, "healthy", false);
	if (!kc_cli_wants_text(args)) {
		r = kc_cli_print(args, result, err);
		if (r < 0)
			return r;
	} else {
		print_checks(result);
		if (healthy)
			printf("Cluster %s is healthy.\n", v.opts.name);
		else
			printf("Cluster %s is not healthy; `kubecdn cluster why %s` names the "
			       "cause.\n",
			       v.opts.name, v.opts.name);
	}
	return healthy ? 0 : KC_EXIT_PENDING;
}

static int run_kubeconfig(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	const char *to = kc_args_str(args, "to"), *slash = to ? strrchr(to, '/') : NULL;
	_cleanup_free_ char *parent = NULL;
	_cleanup_wiped_ char *text = NULL, *line = NULL;
	json_auto_t *config = NULL;
	long ttl = kc_args_long(args, "ttl", 0) / 1000;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	r = kc_cluster_kubeconfig(&v.opts, ttl, kc_args_bool(args, "break-glass"), &config, err);
	if (r < 0)
		return r;
	text = json_dumps(config, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	if (!text)
		return kc_fail(err, KC_EFAIL, "the kubeconfig cannot be written as JSON");
	line = xasprintf("%s\n", text);
	if (!to) {
		fputs(line, stdout);
		return 0;
	}
	parent = xstrndup(to, slash ? (size_t)(slash - to) : 0);
	r = *parent ? kc_mkdir_p(parent, 0700, err) : 0; /* ~/.kube, the first time */
	if (r == 0)
		r = kc_file_write(to, line, strlen(line), 0600, err);
	if (r == 0)
		printf("Wrote %s. Use it: kubectl --kubeconfig %s get nodes\n", to, to);
	return r;
}

#define NAMED .positional = "NAME", .min_args = 1, .max_args = 1

const struct kc_verb kc_cli_cluster_read[] = {
	{ .path = "cluster list",
	  .aliases = (const char *const[]){ "cluster ls", "get clusters", NULL },
	  .summary = "List the clusters in the state store",
	  .examples = "kubecdn cluster list\nkubecdn cluster list -o json | jq -r '.[].name'",
	  .looks = true,
	  .opts = list_lists,
	  .run = run_list },
	{ .path = "cluster get",
	  .aliases = (const char *const[]){ "get cluster", NULL },
	  .summary = "Show one cluster: its manifest with defaults, and its status",
	  .description = "As it is recorded; no host is asked. -o yaml prints the manifest, with "
			 "its status.",
	  .examples = "kubecdn cluster get fra1\nkubecdn cluster get fra1 -o yaml",
	  NAMED,
	  .looks = true,
	  .opts = list_lists,
	  .run = run_get },
	{ .path = "cluster validate",
	  .aliases = (const char *const[]){ "validate cluster", NULL },
	  .summary = "Check that a cluster works",
	  .description =
		  "Asks the API server and every host, and changes nothing. Exit 0: healthy. 2:\n"
		  "reachable, but not healthy. 1: not reachable.",
	  .examples = "kubecdn cluster validate fra1 --wait 5m",
	  NAMED,
	  .looks = true,
	  .opts = validate_lists,
	  .run = run_validate },
	{ .path = "cluster export kubeconfig",
	  .aliases = (const char *const[]){ "cluster kubeconfig", "export kubeconfig", NULL },
	  .summary = "Export a kubeconfig with a fresh admin certificate",
	  .description = "The certificate is short-lived, as it cannot be revoked: export another "
			 "one when\n"
			 "it has ended.",
	  .examples = "kubecdn cluster export kubeconfig fra1 --to ~/.kube/fra1",
	  NAMED,
	  .looks = true,
	  .opts = kubeconfig_lists,
	  .run = run_kubeconfig },
	{ NULL },
};
