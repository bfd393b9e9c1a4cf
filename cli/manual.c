/* What the manual pages say beyond the table of verbs. */
#include "cli/cli.h"
#include "lib/base/opt_man.h"

static const struct kc_manual_item environment[] = {
	{ "NO_COLOR", "Set and not empty: no colours." },
	{ "XDG_CONFIG_HOME", "Where kubecdn/config.yaml is, instead of ~/.config." },
	{ "XDG_STATE_HOME", "Where clusters are recorded, instead of ~/.local/state." },
	{ "XDG_CACHE_HOME", "Where bundles and what they are built from are kept, instead of "
			    "~/.cache." },
	{ "SSH_AUTH_SOCK", "The ssh-agent that is asked for keys." },
	{ NULL, NULL },
};

static const struct kc_manual_item files[] = {
	{ "~/.config/kubecdn/config.yaml",
	  "Your settings; kubecdn explain config lists them. A flag goes before a variable, a "
	  "variable before this file, and all of them before a default." },
	{ "~/.local/state/kubecdn",
	  "The state: manifests, records and keys of your clusters. Who can read it can enter "
	  "them." },
	{ "~/.cache/kubecdn/bundles", "Bundles, one a version and architecture." },
	{ "~/.ssh/known_hosts", "Host keys of machines that the manifest pins none for." },
	{ NULL, NULL },
};

static const struct kc_manual_item exits[] = {
	{ "0", "Done, or there was nothing to do." },
	{ "1", "Failed; a line on standard error says what, why and what to do." },
	{ "2", "With --detailed-exitcode: there are changes. Of a check: reachable, but not as it "
	       "should be." },
	{ "3", "Some of several were done, and others failed." },
	{ "64", "Wrong usage: a flag, a variable or a setting." },
	{ "130", "Stopped by Ctrl-C." },
	{ NULL, NULL },
};

const struct kc_manual kc_cli_manual = {
	.version = "kubecdn " KC_VERSION,
	.title = "kubecdn manual",
	.description =
		"kubecdn makes Kubernetes clusters that are alike, on hosts of your own over SSH "
		"or in containers on this one, and leads DNS names to them at several providers "
		"at once.\n\n"
		"Commands that change something show a preview, and act with --yes. Ctrl-C once "
		"stops cleanly, twice at once; the same command then goes on where it stopped. "
		"Progress goes to standard error, results to standard output.",
	.environment = environment,
	.files = files,
	.exits = exits,
	.see = "kubectl(1), ssh(1)",
};
