/* bundle build, verify, push, list. */
#include <stdio.h>

#include "bootstrap/bundle/bundle.h"
#include "cli/cli.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const struct kc_opt build_opts[] = {
	{ "from", .type = KC_OPT_STRING, .meta = "SOURCE", .def = "gomod",
	  .doc = "gomod (compiled), upstream (the projects' releases), or a bundle" },
	{ "kubernetes", .type = KC_OPT_STRING, .meta = "VERSION",
	  .doc = "Kubernetes version (default: the newest pinned one)" },
	{ "arch", .type = KC_OPT_ENUM, .choices = (const char *const[]){ "amd64", "arm64", NULL },
	  .doc = "Architecture (default: this machine's)" },
	{ "out", .type = KC_OPT_STRING, .meta = "PLACE",
	  .doc = "DIR, or FILE.tar for one file (default ~/.cache/kubecdn/bundles/VERSION-ARCH)" },
	{ "mirrors", .type = KC_OPT_STRING, .meta = "HOST=URL,...",
	  .doc = "upstream: base URLs to use in place of https://HOST" },
	{ "pins", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "upstream: only what the sources of this earlier bundle.json say" },
	{ "sources", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "upstream: a file with another section upstream than the built-in one" },
	{ "test-images", .type = KC_OPT_FLAG, .doc = "With the images that tests need (busybox)" },
	{ NULL },
};

static const struct kc_opt auth_opts[] = {
	{ "authfile", .type = KC_OPT_STRING, .meta = "FILE", .env = "KUBECDN_AUTHFILE",
	  .doc = "Credentials for hosts, as `docker login` writes them" },
	{ NULL },
};

static const struct kc_opt push_opts[] = {
	{ "replace", .type = KC_OPT_FLAG, .doc = "Replace another bundle that is there" },
	{ NULL },
};

static const struct kc_opt *const build_lists[] = { build_opts, auth_opts, kc_cli_output, NULL };
static const struct kc_opt *const verify_lists[] = { auth_opts, kc_cli_output, NULL };
static const struct kc_opt *const push_lists[] = { push_opts, auth_opts, kc_cli_output, NULL };
static const struct kc_opt *const list_lists[] = { kc_cli_output, NULL };

static void progress(void *cookie, const char *line)
{
	kc_ui_note(cookie, "%s", line);
}

/* How many of the bundle's sources whom was believed for: {"published": 10, "tag": 3}. */
static json_t *trust_of(const struct kc_bundle *bundle)
{
	json_t *counts = json_object();
	const json_t *source;
	size_t i;

	json_array_foreach(json_object_get(kc_bundle_json(bundle), "sources"), i, source) {
		const char *trust = kc_json_get_str(source, "trust", "?");

		json_object_set_new(counts, trust,
				    json_integer(kc_json_get_int(counts, trust, 0) + 1));
	}
	return counts;
}

static void print_trust(const json_t *counts)
{
	static const struct {
		const char *trust, *text;
	} means[] = {
		{ "built-in", "pinned in this program" },
		{ "pins", "pinned by --pins" },
		{ "published", "compared with the checksum published beside them" },
		{ "tag", "what an image's tag stood for" },
	};

	if (json_object_size(counts))
		puts("Its sources:");
	for (size_t i = 0; i < ARRAY_SIZE(means); i++)
		if (json_object_get(counts, means[i].trust))
			printf("  %d %s\n", (int)kc_json_get_int(counts, means[i].trust, 0),
			       means[i].text);
}

/* The bundle's manifest for -o json, its sizes for people. */
static int print_bundle(const struct kc_args *args, const char *dir, const char *what,
			struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *bundle = NULL;
	json_auto_t *result = NULL, *trust = NULL;
	int r = kc_bundle_open(dir, kc_args_str(args, "authfile"), &bundle, err);

	if (r < 0)
		return r;
	trust = trust_of(bundle);
	if (kc_cli_wants_text(args)) {
		printf("Bundle %s is %s: Kubernetes %s, %s.\n", dir, what,
		       kc_bundle_version(bundle), kc_bundle_arch(bundle));
		print_trust(trust);
		return 0;
	}
	result = kc_pack("{s:s, s:s, s:s}", "dir", dir, "kubernetes", kc_bundle_version(bundle),
			 "arch", kc_bundle_arch(bundle));
	if (json_object_size(trust))
		json_object_set(result, "trust", trust);
	return kc_cli_print(args, result, err);
}

static int run_build(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_ui_ struct kc_ui *ui = kc_cli_ui(args);
	_cleanup_free_ char *dir = NULL;
	struct kc_bundle_build build = {
		.from = kc_args_str(args, "from"),
		.kubernetes = kc_args_str(args, "kubernetes"),
		.arch = kc_args_str(args, "arch"),
		.out = kc_args_str(args, "out"),
		.with_test_images = kc_args_bool(args, "test-images"),
		.mirrors = kc_args_str(args, "mirrors"),
		.authfile = kc_args_str(args, "authfile"),
		.pins = kc_args_str(args, "pins"),
		.sources = kc_args_str(args, "sources"),
		.progress = progress,
		.cookie = ui,
		.cancel = kc_cli_cancel(),
	};
	int r = kc_bundle_build(&build, &dir, err);

	if (r < 0)
		return r;
	kc_ui_pause(ui);
	return print_bundle(args, dir, "complete", err);
}

static int run_verify(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_ui_ struct kc_ui *ui = kc_cli_ui(args);
	_cleanup_free_ char *fallback = NULL;
	const char *dir = kc_args_pos(args, 0);
	int r;

	if (!dir) {
		r = kc_bundle_default_dir(NULL, NULL, &fallback, err);
		if (r < 0)
			return r;
		dir = fallback;
	}
	r = kc_bundle_verify(dir, kc_args_str(args, "authfile"), progress, ui, kc_cli_cancel(),
			     err);
	if (r < 0)
		return r;
	kc_ui_pause(ui);
	return print_bundle(args, dir, "whole", err);
}

static int run_push(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_ui_ struct kc_ui *ui = kc_cli_ui(args);
	_cleanup_free_ char *url = NULL;
	json_auto_t *result = NULL;
	struct kc_bundle_push push = {
		.where = kc_args_pos(args, 0),
		.url = kc_args_pos(args, 1),
		.authfile = kc_args_str(args, "authfile"),
		.replace = kc_args_bool(args, "replace"),
		.progress = progress,
		.cookie = ui,
		.cancel = kc_cli_cancel(),
	};
	int r = kc_bundle_push(&push, &url, err);

	if (r < 0)
		return r;
	kc_ui_pause(ui);
	if (kc_cli_wants_text(args)) {
		printf("The bundle is there. To install from it:\n"
		       "  kubecdn cluster create --bundle '%s'\n",
		       url);
		return 0;
	}
	result = kc_pack("{s:s}", "url", url);
	return kc_cli_print(args, result, err);
}

static int run_list(const struct kc_args *args, struct kc_err *err)
{
	static const struct kc_column columns[] = {
		{ "KUBERNETES", "kubernetes" }, { "ARCH", "arch" },
		{ "BLOBS", "blobs" },		{ "MB", "mb" },
		{ "CORE MB", "coreMb" },	{ "DIRECTORY", "dir" },
		{ "ERROR", "error" },		{ NULL, NULL },
	};
	json_auto_t *list = NULL;
	const json_t *bundles;
	_cleanup_free_ char *supported = NULL;
	json_t *b;
	size_t i;
	int r = kc_bundle_list(&list, err);

	if (r < 0)
		return r;
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, list, err);
	bundles = json_object_get(list, "bundles");
	json_array_foreach(bundles, i, b) {
		if (json_object_get(b, "error"))
			continue;
		json_object_set_new(b, "mb", json_integer(kc_json_get_int(b, "bytes", 0) >> 20));
		json_object_set_new(b, "coreMb", json_integer(kc_json_get_int(b, "core", 0) >> 20));
	}
	if (json_array_size(bundles))
		kc_cli_table(bundles, columns);
	else
		puts("No bundles yet. To make one: kubecdn bundle build");
	supported = kc_cli_cell(json_object_get(list, "supported"));
	printf("Kubernetes versions that can be built: %s\n", supported);
	return 0;
}

const struct kc_verb kc_cli_bundle[] = {
	{ .path = "bundle build",
	  .summary = "Build a bundle: every program and image a cluster needs",
	  .description =
		  "Compiles pinned versions, verified by checksum, or fetches the projects' "
		  "releases.\n"
		  "What was compiled or fetched before is kept; a build that was stopped goes on\n"
		  "where it was.",
	  .examples = "kubecdn bundle build\n"
		      "kubecdn bundle build --from /media/usb/bundle.tar\n"
		      "kubecdn bundle build --from upstream --arch arm64 --out bundle.tar",
	  .opts = build_lists,
	  .run = run_build },
	{ .path = "bundle verify",
	  .summary = "Check everything in a bundle against its hashes",
	  .description =
		  "Without BUNDLE the newest one built. Exit 1: the first thing that is damaged.",
	  .examples = "kubecdn bundle verify\nkubecdn bundle verify /media/usb/bundle.tar",
	  .positional = "[BUNDLE]",
	  .max_args = 1,
	  .looks = true,
	  .opts = verify_lists,
	  .run = run_verify },
	{ .path = "bundle push",
	  .summary = "Put a bundle into a directory of an HTTP server",
	  .description = "Blobs that are not there yet are sent by PUT, bundle.json last: what can "
			 "be read\n"
			 "is whole. After Ctrl-C, or a lost connection, the same command goes on.",
	  .examples =
		  "kubecdn bundle push bundle.tar https://files.example/kubernetes/1.37.2-amd64",
	  .positional = "BUNDLE URL",
	  .min_args = 2,
	  .max_args = 2,
	  .opts = push_lists,
	  .run = run_push },
	{ .path = "bundle list",
	  .aliases = (const char *const[]){ "bundle ls", NULL },
	  .summary = "List the bundles on this machine and what can be built",
	  .looks = true,
	  .opts = list_lists,
	  .run = run_list },
	{ NULL },
};
