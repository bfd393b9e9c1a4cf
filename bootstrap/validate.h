/* Is the cluster healthy, and the kubeconfig to ask it oneself. Private to bootstrap. */
#ifndef KC_BOOTSTRAP_VALIDATE_H
#define KC_BOOTSTRAP_VALIDATE_H

#include "bootstrap/session.h"

/*
 * Look at once, then every 200 ms until healthy or wait_ms have passed. The report is {"healthy",
 * "summary", "checks": [{"id", "ok", "text"}]}; an API that cannot be reached is an error
 * (KC_EAGAIN).
 */
int validate_wait(struct session *s, long wait_ms, json_t **ret, struct kc_err *err);

int kubeconfig_make(struct session *s, const char *server, long ttl, bool break_glass, json_t **ret,
		    struct kc_err *err);

#endif
