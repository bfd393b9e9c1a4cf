/*
 * Is there life at these addresses? One look at each, many at a time.
 *
 *	spec.health + addresses --a connection each--> {address: true | false}
 *
 * http and https: a GET of the path at the address, with the host's name in the request; 2xx is
 * life, and so is nothing else. For https the certificate has to be the host's, signed by ca or
 * whom the system trusts. tcp: a connection. An address that was not looked at (canceled) is not in
 * the result.
 */
#ifndef KC_DNS_PROBE_H
#define KC_DNS_PROBE_H

#include <jansson.h>
#include <stdatomic.h>

struct kc_probe {
	const json_t *health; /* {"protocol", "port", "path", "host"}, as in the IR */
	const char *ca_pem;   /* NULL: the system's */
	long timeout_ms;      /* of each */
	const atomic_bool *cancel;
};

/* why (an object) gets {address: text} of those that are not alive. New reference. */
json_t *kc_probe(const struct kc_probe *p, const json_t *addresses, json_t *why);

#endif
