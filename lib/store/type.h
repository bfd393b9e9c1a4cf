/* Private to the room: the back ends that stand here, and what they share. */
#ifndef KC_STORE_TYPE_H
#define KC_STORE_TYPE_H

#include <stdbool.h>

#include "lib/store/store.h"

#define KC_STORE_WRITER "kubecdn " KC_VERSION

extern const struct kc_store_type kc_store_dir;
/* How long a write to a directory waits for the one before it; less in tests. */
extern long kc_store_dir_patience_ms;

/* The three ways in which a condition is not met, in words that are equal for all back ends. */
int kc_store_conflict(const char *if_match, bool exists, struct kc_err *err);

#endif
