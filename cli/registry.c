/* What there is: clouds and verbs, a line each. */
#include "cli/cli.h"

#include "clouds/local/local.h"
#include "clouds/onprem/onprem.h"

const struct kc_cloud *const kc_cli_clouds[] = {
	&kc_cloud_local,
	&kc_cloud_onprem,
	NULL,
};

static const struct kc_noun nouns[] = {
	{ "cluster", "Clusters: make, change, check, enter and delete them" },
	{ "dns", "DNS: where names lead, at all providers of a zone" },
	{ "bundle", "Bundles: everything a cluster is made of" },
	{ NULL, NULL },
};

static const struct kc_verb *const verbs[] = {
	kc_cli_cluster, kc_cli_cluster_read, kc_cli_timeline,	kc_cli_why,
	kc_cli_ssh,	kc_cli_dns,	     kc_cli_serve,	kc_cli_bundle,
	kc_cli_doctor,	kc_cli_explain,	     kc_cli_completion, NULL,
};

static const struct kc_opt global[] = {
	{ "state", .type = KC_OPT_STRING, .meta = "URL", .env = "KUBECDN_STATE",
	  .doc = "Where clusters are recorded (default ~/.local/state/kubecdn)" },
	{ "state-key-file", .type = KC_OPT_STRING, .meta = "FILE", .env = "KUBECDN_STATE_KEY_FILE",
	  .doc = "Seal the state's secrets with the keys in this file" },
	{ "progress", .type = KC_OPT_ENUM,
	  .choices = (const char *const[]){ "auto", "tty", "plain", "json", "off", NULL },
	  .def = "auto", .env = "KUBECDN_PROGRESS", .doc = "Progress on standard error" },
	{ "no-color", .type = KC_OPT_FLAG, .env = "KUBECDN_NO_COLOR",
	  .doc = "No colours, as with NO_COLOR set" },
	{ "timeout", .type = KC_OPT_DURATION, .meta = "DURATION", .env = "KUBECDN_TIMEOUT",
	  .doc = "Stop cleanly when it takes longer; 0: no limit" },
	{ "verbose", 'v', KC_OPT_FLAG, .env = "KUBECDN_VERBOSE", .doc = "Say more about errors" },
	{ "debug", .type = KC_OPT_STRING, .meta = "LIST", .env = "KUBECDN_DEBUG",
	  .doc = "Trace components: dns, http, ssh, proc (commands run here) or all" },
	{ "config", .type = KC_OPT_STRING, .meta = "FILE", .env = "KUBECDN_CONFIG",
	  .doc = "Your settings (default ~/.config/kubecdn/config.yaml)" },
	{ "help", 'h', KC_OPT_FLAG, .doc = "Show help" },
	{ NULL },
};

const struct kc_opt kc_cli_output[] = {
	{ "output", 'o', KC_OPT_ENUM,
	  .choices = (const char *const[]){ "text", "json", "yaml", NULL }, .def = "text",
	  .doc = "How results are printed" },
	{ NULL },
};

const struct kc_program kc_cli_program = {
	.name = "kubecdn",
	.summary = "uniform Kubernetes clusters for a CDN of your own",
	.nouns = nouns,
	.verbs = verbs,
	.global = global,
	.footer =
		"What changes something shows a preview, and acts with --yes. Exit codes: 0 done, "
		"1 failed, "
		"2 changes\n"
		"(--detailed-exitcode) or not healthy, 3 some failed, 64 wrong usage, 130 stopped.",
};
