/* kubecdn: parse, run the verb, print an error once. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/config.h"
#include "lib/codec/json.h"

/*
 * "my clusters/fra.yaml:3:7: …" stands for itself; everything else gets the program's name. A
 * position behind a ": " is part of a sentence.
 */
static bool has_position(const char *line)
{
	const char *end = strstr(line, ": ");

	for (const char *p = strchr(line, ':'); p && p < end; p = strchr(p + 1, ':')) {
		int n = 0;

		if (p > line && sscanf(p, ":%*[0-9]:%*[0-9]%n", &n) == 0 && p + n == end)
			return true;
	}
	return false;
}

static void print_error(struct kc_err *err)
{
	char *save = NULL;

	for (char *s = strtok_r(err->msg, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "%s%s\n", has_position(s) ? "" : "kubecdn: ", s);
}

/* Why it ended before its end, for who asked for that; NULL: nobody did. */
static const char *stopped_by(int r)
{
	if (r != KC_ECANCELED)
		return NULL;
	return kc_cli_interrupted() ? "stopped cleanly"
	       : kc_cli_timed_out() ? "--timeout has passed"
				    : NULL;
}

static int finish(const struct kc_args *args, int r, struct kc_err *err)
{
	bool verbose = kc_args_bool(args, "verbose");
	const char *stopped = stopped_by(r);

	if (r >= 0 && r != KC_EXIT_USAGE)
		return r;
	if (!stopped || verbose)
		print_error(err);
	if (verbose && r < 0)
		fprintf(stderr, "kubecdn: kind of error: %s; command: %s\n", kc_err_name(r),
			args->verb->path);
	if (stopped)
		fprintf(stderr,
			"kubecdn: %s; run the same command again to go on where it stopped\n",
			stopped);
	return kc_cli_interrupted() ? KC_EXIT_STOPPED : r < 0 ? 1 : r;
}

int main(int argc, char **argv)
{
	struct kc_args args = { 0 };
	json_auto_t *settings = NULL;
	struct kc_err err = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN);
	kc_json_init();
	r = kc_opt_parse(&kc_cli_program, argc, argv, &args, &err);
	if (r < 0) {
		print_error(&err);
		return KC_EXIT_USAGE;
	}
	if (args.help) {
		fputs(args.help, stdout);
		kc_args_done(&args);
		return kc_cli_flush(&err) < 0;
	}
	if (!args.verb->hidden && kc_cli_config(&args, &settings, &err) < 0) {
		print_error(&err);
		kc_args_done(&args);
		return KC_EXIT_USAGE;
	}
	r = kc_cli_start(&args, &err);
	if (r == 0)
		r = args.verb->run(&args, &err);
	if (r >= 0 && r != KC_EXIT_USAGE && kc_cli_flush(&err) < 0)
		r = KC_EFAIL;
	r = finish(&args, r, &err);
	kc_args_done(&args);
	return r;
}
