/*
 * A provider of DNS: one const struct, a handful of calls. What is wanted, whose it is and what
 * may be changed is decided in publish.c; a back end makes the provider's records of an IR, reads,
 * and changes by compare-and-swap.
 *
 * rrsets are those of lib/net/dns.h. One that a provider chooses from has other members instead of
 * "data", which only its back end knows: {"name", "type", "ttl", …}. There is one of a name and
 * type, so that two states are the same if their rrsets are. Calls for one connection come one
 * after the other.
 */
#ifndef KC_DNS_BACKEND_H
#define KC_DNS_BACKEND_H

#include <jansson.h>

#include "dns/ir.h"
#include "lib/base/err.h"

/* An rrset that a zone has, borrowed for a call. data NULL: the provider chooses, in a way that
 * only the back end knows. */
struct kc_dns_found {
	const char *name, *type;
	int64_t ttl;
	const char *const *data;
	size_t n;
};
typedef int kc_dns_found_fn(void *cookie, const struct kc_dns_found *found, struct kc_err *err);

struct kc_dns_backend {
	const char *name; /* as spec.publish[].provider has it */
	/* Fields of spec.publish[] that it must have, and that it may have, beside those of all. */
	const char *const *needs, *const *takes;
	/* Types of records at the name that others could have put there, and ours. */
	const char *const *types;
	const struct kc_dns_traits *traits;
	/* Whose failure takes these servers along, as endpoints of an IR have it; NULL: nobody's.
	 */
	const char *cloud;
	/* Of NS records at the apex: its own cannot be taken out; how many it takes, 0: any number.
	 */
	bool ns_fixed;
	int ns_most;
	/*
	 * The IR as this provider's rrsets; fidelity gets an entry for each stage in use. Pure.
	 * KC_EINVAL: what the policy says cannot be said there.
	 */
	int (*lower)(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
		     struct kc_err *err);
	/*
	 * And back: the branches (ir.h, without ids) that rrsets answer name with, for type "A" or
	 * "AAAA"; plain records are not its business. NULL, or a NULL result: nobody knows. Pure.
	 */
	json_t *(*raise)(const json_t *rrsets, const char *name, const char *type);
	/* publish: an entry of the policy; owner: whose marks are ours. */
	int (*open)(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		    struct kc_err *err);
	void (*close)(void *conn);
	/* "192.0.2.53 port 53": where, for people. Borrowed. */
	const char *(*where)(const void *conn);
	/* Who answers for the zone: [{"address", "port"} or {"name"}]. */
	int (*servers)(void *conn, json_t **ret, struct kc_err *err);
	/*
	 * The rrsets of the names and types of which [{"name", "type"}] tells, as the zone has
	 * them: those that are there, and no others (what a wildcard would answer is not there).
	 * A back end that lower() makes more names for adds those, of whatever policy they were.
	 */
	int (*read)(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err);
	/*
	 * As read(), for many names at once and without holding them all: of each name the rrsets
	 * of .types, and TXT at its kc_claim_name(); in any order, and others between them. Names
	 * are absolute. NULL: read() is called a name. scans_all: all types there are of a name.
	 */
	int (*scan)(void *conn, const char *const *names, size_t n, kc_dns_found_fn *found,
		    void *cookie, struct kc_err *err);
	bool scans_all;
	/*
	 * All of the zone that leads elsewhere, as lint.h has it: [{"name", "type", "data"}] of
	 * the types of kc_lint_is_link(), and "alias": true for what only this provider has. NULL:
	 * it can only be asked for names.
	 */
	int (*links)(void *conn, json_t **ret, struct kc_err *err);
	/* Names that one change may have, beside the one that is steered; 0: one. */
	size_t batch;
	/*
	 * In one step, or not at all: each of which, now exactly as in before (there, or absent),
	 * becomes as in after. A name without a type, of a back end that scans_all, is one at
	 * which nothing stands at all. KC_EINVAL: too much for one change. KC_ECONFLICT: one of
	 * them is not as in before. After KC_EAGAIN or KC_ETIMEOUT it may have happened or not.
	 */
	int (*change)(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err);
	/* The NS records at the apex (rrsets as read() gives them) become as in after, if they
	 * still are as in before. As change(). */
	int (*set_ns)(void *conn, const json_t *before, const json_t *after, struct kc_err *err);
	/* Does the provider say that the last change has reached its servers? KC_EAGAIN: not yet.
	 * NULL: it never says. */
	int (*settled)(void *conn, struct kc_err *err);
	/* What the provider itself says that clients of a subnet ("198.51.100.0/24") are answered
	 * now: sorted data. NULL: it never says. */
	int (*says)(void *conn, const char *name, const char *type, const char *subnet,
		    json_t **ret_data, struct kc_err *err);
};

extern const struct kc_dns_backend kc_dns_rfc2136, kc_dns_powerdns, kc_dns_route53, kc_dns_clouddns,
	kc_dns_azure;

/* All of them, NULL-terminated. */
extern const struct kc_dns_backend *const kc_dns_backends[];
const struct kc_dns_backend *kc_dns_backend_find(const char *name);

#endif
