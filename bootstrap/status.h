/* What the record says of a cluster, without asking anybody. Private to bootstrap. */
#ifndef KC_BOOTSTRAP_STATUS_H
#define KC_BOOTSTRAP_STATUS_H

#include "bootstrap/session.h"

/* "ready": the record has nothing half-done. "incomplete": it has, or it has no node yet. */
const char *status_state(const struct session *s);
/* "https://192.0.2.11:6443" for clients, from spec.api.endpoint or the record; NULL: not known yet.
 * Owned. */
char *status_endpoint(struct session *s);
/* How the record reaches a host, {"host", "user", ...}, by its node's name or (NULL) that of the
 * first control plane; borrowed. KC_ENOTFOUND says which there are. */
int status_ssh(const struct session *s, const char *node, const json_t **ret, struct kc_err *err);
/*
 * {"state", "uid", "endpoint": URL or null, "nodes": [{"name", "role", "addresses"}], "tasks"}. New
 * reference. The session has its document and its record.
 */
json_t *status_make(struct session *s);

#endif
