/* Between dns.c (questions and updates), dns_rr.c (rrsets) and dns_socket.c. */
#ifndef KC_NET_DNS_IMPL_H
#define KC_NET_DNS_IMPL_H

#include <ldns/ldns.h>

#include "lib/base/mem.h"
#include "lib/net/dns.h"

KC_DEFINE_CLEANUP(ldns_pkt *, ldns_pkt_free)
#define _cleanup_pkt_ _cleanup_(ldns_pkt_freep)

/* DNS_TRY_MS: a UDP packet may be lost, and is sent again after a second, as resolvers do. */
enum { DNS_MESSAGE_MAX = 65535, DNS_TRY_MS = 1000, DNS_DEFAULT_MS = 5000 };

/* Those of one section, records of one name and type together. New reference. */
json_t *dns_rrsets(const ldns_rr_list *rrs);
/* KC_EINVAL names what is wrong. */
int dns_type(const char *name, ldns_rr_type *ret, struct kc_err *err);
int dns_name(const char *name, ldns_rdf **ret, struct kc_err *err);
/* A record of the class without data: what it says is its type (RFC 2136, 2.4 and 2.5). */
int dns_bare_rr(const char *name, const char *type, ldns_rr_class klass, ldns_rr **ret,
		struct kc_err *err);
/* A record for each of the rrset's data, with this class and TTL, into section of pkt. */
int dns_push_rrset(ldns_pkt *pkt, ldns_pkt_section section, const json_t *rrset,
		   ldns_rr_class klass, uint32_t ttl, struct kc_err *err);

/* "NOERROR". Owned. */
char *dns_rcode_name(ldns_pkt *pkt);
/* The message that asks q; its ID is drawn. */
int dns_question(const struct kc_dns_question *q, ldns_pkt **ret, struct kc_err *err);

/* Of one exchange, as the server's settings or the default have it. */
long dns_timeout(const struct kc_dns_server *server);
/* A connected socket of type; a connected UDP socket takes answers from there only. */
int dns_open(const struct kc_dns_server *server, int type, int64_t deadline, int *ret,
	     struct kc_err *err);
/* 0 once the socket is ready for what (POLLIN, POLLOUT), KC_ETIMEOUT at the deadline. */
int dns_wait(int fd, short what, int64_t deadline);
/* All of the bytes, into in or out of out. */
int dns_move(int fd, uint8_t *in, const uint8_t *out, size_t len, int64_t deadline,
	     struct kc_err *err);
/* One exchange of bytes; the reply has the request's ID and is the caller's. */
int dns_exchange(const struct kc_dns_server *server, bool tcp, const uint8_t *wire, size_t len,
		 uint8_t **ret, size_t *ret_len, struct kc_err *err);
/* "192.0.2.53 port 5353". Owned. */
char *dns_server_name(const struct kc_dns_server *server);

#endif
