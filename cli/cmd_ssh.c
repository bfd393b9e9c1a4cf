/* cluster ssh: the program ssh, with what the record knows of a host. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/verb.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

static const struct kc_opt ssh_opts[] = {
	{ "tty", 't', KC_OPT_FLAG, .doc = "Give COMMAND a terminal, as a shell has one anyway" },
	{ "dry-run", .type = KC_OPT_FLAG, .doc = "Print the ssh command instead of running it" },
	{ NULL },
};
static const struct kc_opt *const ssh_lists[] = { ssh_opts, NULL };

static void print_words(const json_t *words)
{
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word) {
		_cleanup_free_ char *quoted = kc_ssh_quote(json_string_value(word));

		printf("%s%s", i ? " " : "", quoted);
	}
	puts("");
}

/* We become it: its terminal, its signals and its exit code are ours. Comes back only in vain. */
static int become(const json_t *words, struct kc_err *err)
{
	size_t n = json_array_size(words);
	_cleanup_free_ const char **argv = xcalloc(n + 1, sizeof(*argv));

	for (size_t i = 0; i < n; i++)
		argv[i] = json_string_value(json_array_get(words, i));
	signal(SIGPIPE, SIG_DFL);
	fflush(NULL);
	execvp(argv[0], (char *const *)argv);
	if (errno == ENOENT)
		return kc_fail(err, KC_ENOTFOUND,
			       "the program ssh is not in PATH; install openssh-client");
	return kc_fail_errno(err, errno, "ssh");
}

static int run_ssh(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_free_ char *state = NULL;
	struct kc_cluster_opts opts;
	json_auto_t *words = NULL;
	int r = kc_verb_opts(args, &state, &opts, err);

	if (r == 0)
		r = kc_cluster_ssh(&opts, kc_args_pos(args, 1), kc_args_bool(args, "tty"),
				   args->rest, &words, err);
	if (r < 0)
		return r;
	if (!kc_args_bool(args, "dry-run"))
		return become(words, err);
	print_words(words);
	return 0;
}

const struct kc_verb kc_cli_ssh[] = {
	{ .path = "cluster ssh",
	  .summary = "Log in to a host of a cluster, or run a command there",
	  .description = "The program ssh, with the user, the key, the bastion and the host's own "
			 "key that\n"
			 "the record has; without HOST the first control plane. COMMAND is run by "
			 "the login\n"
			 "shell there, and its exit code is ours (255: ssh's own).",
	  .examples = "kubecdn cluster ssh fra1\n"
		      "kubecdn cluster ssh fra1 w1 -- journalctl -u kubelet -n 20\n"
		      "kubecdn cluster ssh fra1 -- 'df -h | sort'",
	  .positional = "NAME [HOST]",
	  .min_args = 1,
	  .max_args = 2,
	  .rest = true,
	  .endless = true,
	  .opts = ssh_lists,
	  .run = run_ssh },
	{ NULL },
};
