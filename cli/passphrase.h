/*
 * Passphrases of SSH keys, asked for once a run.
 *
 * Many hosts log in at the same time with the same key: the first that needs
 * its passphrase asks, the others wait for what comes of it. One question at a
 * time; three wrong answers are enough. They live in this process only and are
 * wiped at the end.
 */
#ifndef KC_CLI_PASSPHRASE_H
#define KC_CLI_PASSPHRASE_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/ui.h"
#include "lib/net/ssh.h"

struct kc_passphrases {
	struct kc_ui *ui; /* held still while a question stands on the terminal; or NULL */
	const atomic_bool *cancel;
	pthread_mutex_t lock;
	pthread_cond_t settled;
	struct passphrase *list;
};

void kc_passphrases_init(struct kc_passphrases *p, struct kc_ui *ui, const atomic_bool *cancel);
void kc_passphrases_done(struct kc_passphrases *p);
/* What kc_ssh_target takes; the cookie is p. */
extern const struct kc_ssh_phrases kc_cli_phrases;

#endif
