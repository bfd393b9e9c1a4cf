/*
 * DNS messages over ldns: questions with a client subnet (RFC 7871), dynamic
 * updates with prerequisites (RFC 2136), signed with TSIG (RFC 8945).
 *
 *	question -> message -> UDP, then TCP if it was cut -> message -> reply (JSON)
 *	prerequisites + changes -> one signed message over TCP -> made, or who was there first
 *
 * An rrset is {"name": "www.example.com.", "type": "A", "ttl": 30, "data": ["192.0.2.1", …]}:
 * names absolute and in lower case, data in presentation form and sorted, so that equal rrsets are
 * equal values. Nothing is cached or retried but a lost UDP packet. Calls are independent of each
 * other, from any thread.
 *
 * Errors: KC_ETIMEOUT (no answer), KC_EAGAIN (cannot connect; SERVFAIL), KC_EAUTH (REFUSED,
 *NOTAUTH, a signature that is wrong or missing on either side), KC_ECONFLICT (a prerequisite does
 *not hold), KC_EINVAL (a name, a type or data that is none), KC_EFAIL (all other rcodes, replies
 *that are no DNS).
 */
#ifndef KC_NET_DNS_H
#define KC_NET_DNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/err.h"

/* hmac-sha256 with a secret in base64, as `keymgr -t` and `tsig-keygen` print it. */
struct kc_dns_key {
	const char *name, *secret;
};

struct kc_dns_server {
	struct kc_addr address;
	int port;		      /* 0: 53 */
	const struct kc_dns_key *key; /* or NULL: unsigned */
	long timeout_ms;	      /* of one exchange, all tries; 0: 5 s */
};

struct kc_dns_question {
	const char *name, *type;
	const char *subnet; /* of the client, "198.51.100.0/24"; or NULL */
	bool tcp;	    /* not by UDP at all */
};

/* The rrset of a name and type in a list of them, or NULL; borrowed. */
json_t *kc_dns_rrset_find(const json_t *rrsets, const char *name, const char *type);
/* The same for long lists: made once (a new reference), asked often. */
json_t *kc_dns_rrset_index(const json_t *rrsets);
json_t *kc_dns_rrset_at(const json_t *index, const char *name, const char *type);

/*
 * Ask, without recursion. The reply: {"rcode": "NOERROR", "aa": true, "answer": [rrset…],
 * "authority": [rrset…], "scope": 24}; scope only if the server echoed a client subnet. Every rcode
 * is a success here.
 */
int kc_dns_ask(const struct kc_dns_server *server, const struct kc_dns_question *q, json_t **ret,
	       struct kc_err *err);

/*
 * All of it or nothing, in one message of at most 64 KB (more is KC_EINVAL).
 * prerequisites: {"name", "type", "data"}: there is exactly this rrset, whatever its TTL;
 * {"name", "type"}: there is some rrset; {"name", "type", "absent": true}: there is none;
 * {"name", "absent": true}: the name is not used at all.
 * changes, in this order: {"delete": {"name", "type"}} the rrset, {"delete": {"name", "type",
 * "data"}} these of its values, {"add": rrset}.
 */
int kc_dns_update(const struct kc_dns_server *server, const char *zone, const json_t *prerequisites,
		  const json_t *changes, struct kc_err *err);

/*
 * Many questions to one server, many at a time: on one connection, or by UDP, where a reply that
 * was cut is asked for again by TCP. answer gets every reply (as kc_dns_ask() has it, without
 * "authority"), in whatever order. KC_ETIMEOUT: nothing came for the server's timeout, or one
 * question went without an answer for as long.
 */
struct kc_dns_query {
	const char *name, *type;
};
typedef void kc_dns_answer(void *cookie, size_t i, const json_t *reply);
int kc_dns_ask_many(const struct kc_dns_server *server, bool tcp, const struct kc_dns_query *q,
		    size_t n, kc_dns_answer *answer, void *cookie, struct kc_err *err);

/* A message's bytes as a reply of kc_dns_ask(); for tests. */
int kc_dns_parse(const uint8_t *wire, size_t len, json_t **ret, struct kc_err *err);

#endif
