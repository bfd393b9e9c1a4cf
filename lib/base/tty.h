/*
 * Asking the person at the terminal for something that must not be seen.
 *
 * /dev/tty, so that neither input nor output that go elsewhere are touched.
 * Echo is off while it is asked and on again however that ends: an answer, an
 * error, a cancellation, or a signal handler that leaves the process and calls
 * kc_tty_restore() before.
 */
#ifndef KC_BASE_TTY_H
#define KC_BASE_TTY_H

#include <stdatomic.h>

#include "lib/base/err.h"

/* One line without its end; owned, to be wiped. KC_ENOTFOUND: there is no terminal. KC_ECANCELED:
 * *cancel became true (it may be NULL), or the input ended. */
int kc_tty_secret(const char *prompt, const atomic_bool *cancel, char **ret, struct kc_err *err);
/* Echo on, if we turned it off. For signal handlers. */
void kc_tty_restore(void);

#endif
