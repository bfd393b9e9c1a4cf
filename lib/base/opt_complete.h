/*
 * Completion on TAB: what may come next.
 *
 *	TAB -> the shell's script -> `kubecdn __complete -- WORDS` -> kc_opt_complete(table, words)
 *
 * A shell's script (cli/completion) knows no command: all is asked of the program,
 * so that the two are never out of step. An answer is a line a
 * candidate, "word<TAB>what it is", and a last line that says what else there is:
 * ":files", ":dirs" or ":none".
 */
#ifndef KC_BASE_OPT_COMPLETE_H
#define KC_BASE_OPT_COMPLETE_H

#include "lib/base/opt.h"

struct kc_buf;

typedef void kc_opt_put(void *to, const char *word, const char *what);
/*
 * What the tables do not know: the values of an argument or of a flag by its name in the usage
 * ("NAME", "CLOUD"). args has the words before, unchecked: its verb, arguments and values; word is
 * how the value begins, for who has many. Each one, and what it is (or NULL), goes to put(), which
 * drops what begins otherwise; to know none is no error.
 */
typedef void kc_opt_values(const struct kc_args *args, const char *meta, const char *word,
			   kc_opt_put *put, void *to);

/* words: those behind the program's name, NULL-ended; the last of the n is the one under the
 * cursor, "" when it has not been begun. */
void kc_opt_complete(const struct kc_program *p, kc_opt_values *values, int n, char *const *words,
		     struct kc_buf *out);

#endif
