/*
 * What back ends of servers with dynamic updates share: who the primary is, the key, and a change
 * in one signed message whose prerequisites are all that was read. rrsets as in backend.h.
 */
#ifndef KC_DNS_UPDATE_H
#define KC_DNS_UPDATE_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/net/dns.h"

struct primary {
	struct kc_dns_server server;
	struct kc_dns_key key;
	char *where, *zone, *key_name, *secret;
};

/* Also after a failure ret needs primary_done(). */
int primary_open(const json_t *publish, const char *zone, struct primary *ret, struct kc_err *err);
void primary_done(struct primary *p);
/* [{"address", "port"}]. New reference. */
json_t *primary_servers(const struct primary *p);
/* As struct kc_dns_backend's. */
int primary_change(struct primary *p, const json_t *which, const json_t *before,
		   const json_t *after, struct kc_err *err);
/* As its set_ns(). */
int primary_set_ns(struct primary *p, const json_t *before, const json_t *after,
		   struct kc_err *err);
/* The one line of a file that only its owner may read; what names it in errors. Owned, wiped. */
int primary_secret(const char *path, const char *what, char **ret, struct kc_err *err);

#endif
