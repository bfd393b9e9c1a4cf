/* What every store back end must do; called with an opened, empty one. */
#ifndef KC_TESTS_STORE_H
#define KC_TESTS_STORE_H

#include "lib/store/store.h"

/* Each of these fails the running cmocka test. open gives another handle on the same store. */
struct kc_store_suite {
	struct kc_store *store;
	struct kc_store *(*open)(void *cookie);
	void *cookie;
};
void conformance_store(const struct kc_store_suite *s);

#endif
