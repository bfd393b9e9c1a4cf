/*
 * Does a name resolve? One question over UDP, as a program on this host would ask it: it goes
 * through whatever rules the host's kernel has for the server's address, so for a Service's address
 * it is also the question whether kube-proxy has done its work here. Source: RFC 1035, section 4.
 */
#ifndef KC_NODE_DNS_H
#define KC_NODE_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* A question without EDNS: no server answers with more. */
enum { KC_DNS_MAX = 512 };

/*
 * Ask server ("10.96.0.10:53") for name's addresses, IPv4 or IPv6 as the server's own. 0: there is
 * one; KC_EAGAIN with why: not (yet); KC_EINVAL: no such name or server. One try of at most a
 * second.
 */
int kc_node_dns(const char *server, const char *name, struct kc_err *err);

/*
 * Judge the answer to a question, both as on the wire. 0: it has an address; KC_ENOTFOUND: it
 * answers another question (its id is not ours); KC_EAGAIN with why.
 */
int kc_dns_judge(const uint8_t *question, size_t question_len, const uint8_t *answer, size_t len,
		 struct kc_err *err);

#endif
