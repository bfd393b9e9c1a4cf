/*
 * The command line's own room: the composition root, the only place that
 * knows every other room.
 *
 *	argv --kc_opt_parse(registry.c)--> verb->run() --bootstrap, bundle--> JSON --print--> stdout
 *
 * A verb returns its exit code, or a negative KC_E* with err filled in; main.c
 * prints errors once. Progress goes to standard error through lib/base/ui.h,
 * results to standard output.
 */
#ifndef KC_CLI_CLI_H
#define KC_CLI_CLI_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "clouds/cloud.h"
#include "lib/base/opt.h"
#include "lib/base/ui.h"

enum {
	KC_EXIT_PENDING = 2, /* --detailed-exitcode: changes; validate: reachable but unhealthy */
	KC_EXIT_SOME = 3,    /* some of several were done, and others failed */
	KC_EXIT_USAGE = 64,
	KC_EXIT_STOPPED = 130,
};

extern const struct kc_program kc_cli_program;
extern const struct kc_cloud *const kc_cli_clouds[]; /* NULL-terminated */
extern const struct kc_opt kc_cli_output[];	     /* -o text|json|yaml */
extern const struct kc_verb kc_cli_cluster[], kc_cli_cluster_read[], kc_cli_timeline[],
	kc_cli_why[], kc_cli_doctor[], kc_cli_dns[], kc_cli_bundle[], kc_cli_explain[],
	kc_cli_serve[], kc_cli_completion[], kc_cli_ssh[];
extern const struct kc_manual kc_cli_manual; /* what manual pages say beyond the tables */

/* Wrong usage that the parser cannot see: fills err and returns KC_EXIT_USAGE. */
int kc_cli_usage(struct kc_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Ctrl-C and --timeout set this flag; a second Ctrl-C ends the process at once. */
int kc_cli_start(const struct kc_args *args, struct kc_err *err);
atomic_bool *kc_cli_cancel(void);
bool kc_cli_interrupted(void);
bool kc_cli_timed_out(void);

/* The state store's URL: --state, KUBECDN_STATE, $XDG_STATE_HOME/kubecdn, ~/.local/state/kubecdn.
 */
int kc_cli_state(const struct kc_args *args, char **ret, struct kc_err *err);
/* The directory of the running program; owned. */
char *kc_cli_self_dir(void);
/* The progress display that the flags ask for; owned. */
struct kc_ui *kc_cli_ui(const struct kc_args *args);
bool kc_cli_color_stdout(const struct kc_args *args);

bool kc_cli_wants_text(const struct kc_args *args);
/* Print as -o says, json or yaml. */
int kc_cli_print(const struct kc_args *args, const json_t *v, struct kc_err *err);
/* A table of objects: columns are {"HEADER", "member.path"}, ended by NULLs. */
struct kc_column {
	const char *title, *path;
};
void kc_cli_table(const json_t *rows, const struct kc_column *columns);
/* One value as a table or a line shows it: strings bare, lists with commas. Owned. */
char *kc_cli_cell(const json_t *v);
/* Everything is on standard output, or an error ("disk full"). */
int kc_cli_flush(struct kc_err *err);

#endif
