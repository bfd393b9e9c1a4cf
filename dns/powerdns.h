/* What powerdns.c makes of the API's reply; for tests. */
#ifndef KC_DNS_POWERDNS_H
#define KC_DNS_POWERDNS_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

/* The rrsets in a zone's JSON that which [{"name", "type"}] tells of, into found. api names it in
 * errors. */
int pdns_rrsets(const char *reply, size_t len, const char *api, const json_t *which, json_t *found,
		struct kc_err *err);

#endif
