/* Shared by opt.c and what is made from the same tables. Private to lib/base. */
#ifndef KC_BASE_OPT_IMPL_H
#define KC_BASE_OPT_IMPL_H

#include "lib/base/opt.h"

enum { OPT_WORDS = 256, OPT_PATH_MAX = 128 };

/* The verb whose path or alias is the longest run of leading words; *ret_used counts them. NULL. */
const struct kc_verb *opt_find_verb(const struct kc_program *p, char *const *words, int n,
				    int *ret_used);
/* The words that may follow `known` leading words, once each. */
size_t opt_next_words(const struct kc_program *p, char *const *words, int known,
		      char found[OPT_WORDS][OPT_PATH_MAX]);
/* Every option of a->verb, the global ones last, without a value. */
void opt_collect(struct kc_args *a);
/* Borrowed from a; or NULL. */
struct kc_opt_value *opt_by_name(const struct kc_args *a, const char *name, size_t len);
struct kc_opt_value *opt_by_letter(struct kc_args *a, char c);

#endif
