/*
 * Is the cluster healthy, and the kubeconfig to ask it oneself. Private to bootstrap.
 *
 *   validate.c         what the API says: cheap, asked each time
 *   validate_nodes.c   what the nodes say over SSH: asked once the API has nothing to complain of
 */
#ifndef KC_BOOTSTRAP_VALIDATE_H
#define KC_BOOTSTRAP_VALIDATE_H

#include <time.h>

#include "bootstrap/session.h"

/*
 * Look at once, then every 200 ms until healthy or wait_ms have passed. The report is {"healthy",
 * "summary", "checks": [{"id", "ok", "text"}]}; an API that cannot be reached is an error
 * (KC_EAGAIN).
 */
int validate_wait(struct session *s, long wait_ms, json_t **ret, struct kc_err *err);

/* What the API has to say, once, as checks. */
int validate_api(struct session *s, json_t *checks, struct kc_err *err);
/*
 * Ask every recorded node: checks dns/NAME and certificates/NAME, or ssh/NAME when it cannot be
 * asked. Only a cancel is an error.
 */
int validate_nodes(struct session *s, json_t *checks, struct kc_err *err);
/* One node's answer (node/protocol.h, probe) as checks; KC_EINVAL when it is malformed. */
int validate_judge(json_t *checks, const char *node, const char *cluster, const char *server,
		   const json_t *answer, time_t now, struct kc_err *err);
void validate_verdict(json_t *checks, const char *id, bool ok, const char *text);

int kubeconfig_make(struct session *s, const char *server, long ttl, bool break_glass, json_t **ret,
		    struct kc_err *err);

#endif
