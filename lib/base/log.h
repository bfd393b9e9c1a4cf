/*
 * Debug traces by component (--debug http,ssh). Off unless enabled.
 *
 * This is not for results, progress or errors: those are returned or go
 * through lib/base/ui.h. Never pass a secret.
 */
#ifndef KC_BASE_LOG_H
#define KC_BASE_LOG_H

#include <stdbool.h>

#include "lib/base/err.h"

/* Enable a comma-separated list of components ("all" for every one); unknown names are KC_EINVAL.
 */
int kc_log_enable(const char *components, struct kc_err *err);
bool kc_log_on(const char *component);
void kc_debug(const char *component, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
