/*
 * Where a cluster serves a DNS name, as its own API says.
 *
 *	Services, Nodes (JSON as the API lists them) + name --kc_sources--> addresses
 *
 * A Service or Node counts if its annotation kubecdn.io/dns names the policy's name (several with
 * commas between). A Service's addresses are those of its load balancer, else its external IPs,
 * else, if it is a NodePort, those of all edge nodes. An edge node is one with the label or
 * annotation kubecdn.io/edge (any value but "false") that is ready; its address is the annotation
 * kubecdn.io/external-ip, else its ExternalIPs, else its InternalIPs.
 *
 * A pure function. What is malformed is an error (KC_EINVAL), never absence: who has not understood
 * the answer must not withdraw anything for it.
 */
#ifndef KC_DNS_SOURCES_H
#define KC_DNS_SOURCES_H

#include <jansson.h>

#include "lib/base/err.h"

/* name: "www.example.com". *ret: sorted, each once, in canonical form; may be empty. notes gets a
 * sentence on what is named and cannot be used, as a load balancer that has only a host name. */
int kc_sources(const json_t *services, const json_t *nodes, const char *name, json_t **ret,
	       json_t *notes, struct kc_err *err);

#endif
