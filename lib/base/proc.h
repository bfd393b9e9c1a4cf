/*
 * Child processes: argv without a shell, a deadline, bounded output.
 *
 * The child gets LC_ALL=C and, unless env says otherwise, the caller's
 * environment; it is in its own process group, so that a Ctrl-C on the terminal
 * does not reach it, and is killed with its group when the deadline passes.
 */
#ifndef KC_BASE_PROC_H
#define KC_BASE_PROC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct kc_run {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;	 /* "K=V" added to the environment, NULL-terminated; or NULL */
	const char *dir;	 /* working directory, or NULL */
	const char *input;	 /* fed to standard input; NULL: /dev/null */
	size_t input_len;
	long timeout_ms; /* 0: ten minutes */
	bool merge;	 /* standard error goes into out, too */
	const char *log; /* append both streams to this file instead of out/errors */
	const atomic_bool
		*cancel; /* once true: SIGTERM, SIGKILL after 2 s, KC_ECANCELED; or NULL */
};

/*
 * Run and wait. Exit 0 is success; otherwise KC_EFAIL with the program, its exit
 * code and the last line it wrote to standard error. ret_out (may be NULL) gets
 * standard output in both cases.
 */
int kc_run(const struct kc_run *run, char **ret_out, struct kc_err *err);

/* SIGKILL to every group that kc_run() waits for. For a signal handler that ends the process. */
void kc_run_kill_all(void);

/* As kc_run() of a NULL-terminated argument list, e.g. kc_runl(&out, err, "ip", "-j", "addr",
 * NULL). */
int kc_runl(char **ret_out, struct kc_err *err, const char *arg0, ...) __attribute__((sentinel));

#endif
