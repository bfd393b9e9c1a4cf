/*
 * What clients get: every server of a zone, by UDP and by TCP, from every subnet.
 *
 * servers: [{"address", "port"} or {"name"}]; a name is looked up in the DNS of this machine.
 */
#ifndef KC_DNS_VERIFY_H
#define KC_DNS_VERIFY_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/net/dns.h"

/* Each address of each server; where names it for people. An error ends it. */
typedef int kc_dns_visit(void *cookie, const struct kc_dns_server *server, const char *where,
			 struct kc_err *err);
int kc_dns_servers_visit(const json_t *servers, kc_dns_visit *each, void *cookie,
			 struct kc_err *err);

/*
 * wanted: rrsets that are to be there. Those with data are compared as they are; where a provider
 * chooses, whatever it answers has to be among allowed (A and AAAA rrsets), something, and be kept
 * no longer than the TTL there. subnets: of clients, may be NULL.
 * KC_EAGAIN says who answers what instead; other errors are about asking.
 */
int kc_dns_look(const json_t *servers, const json_t *wanted, const json_t *allowed,
		const json_t *subnets, struct kc_err *err);

/*
 * Does every server have the zone (absolute): its SOA, and the same with NXDOMAIN for a name that
 * is not there? ret_negative: seconds that resolvers keep such an answer for (RFC 2308: the lesser
 * of the SOA's TTL and its last field), the greatest of all servers. Where a wildcard answers for
 * every name, only the SOA is looked at.
 */
int kc_dns_look_zone(const json_t *servers, const char *zone, int64_t *ret_negative,
		     struct kc_err *err);

/* An authoritative reply, NOERROR or NXDOMAIN; KC_EAGAIN: it is none, says where. */
int verify_ask(const struct kc_dns_server *server, const char *where,
	       const struct kc_dns_question *q, json_t **ret, struct kc_err *err);

#endif
