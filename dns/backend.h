/*
 * A provider of DNS: one const struct, a handful of calls. What is wanted, whose it is and what
 * may be changed is decided in publish.c; a back end reads, and changes by compare-and-swap.
 *
 * rrsets are those of lib/net/dns.h. Calls for one connection come one after the other.
 */
#ifndef KC_DNS_BACKEND_H
#define KC_DNS_BACKEND_H

#include <jansson.h>

#include "lib/base/err.h"

struct kc_dns_backend {
	const char *name; /* as spec.publish[].provider has it */
	/* publish: an entry of the policy. */
	int (*open)(const json_t *publish, const char *zone, void **ret_conn, struct kc_err *err);
	void (*close)(void *conn);
	/* "192.0.2.53 port 53": where, for people. Borrowed. */
	const char *(*where)(const void *conn);
	/*
	 * The rrsets of the names and types of which [{"name", "type"}] tells, as the zone has
	 * them: those that are there, and no others (what a wildcard would answer is not there).
	 */
	int (*read)(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err);
	/*
	 * In one step, or not at all: each of which, now exactly as in before (there, or absent),
	 * becomes as in after. KC_ECONFLICT: one of them is not as in before. After KC_EAGAIN or
	 * KC_ETIMEOUT it may have happened or not.
	 */
	int (*change)(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err);
	/*
	 * Do clients get this rrset from each of the zone's servers, by UDP and by TCP? KC_EAGAIN
	 * says who answers what instead.
	 */
	int (*look)(void *conn, const json_t *rrset, struct kc_err *err);
};

extern const struct kc_dns_backend kc_dns_rfc2136;

#endif
