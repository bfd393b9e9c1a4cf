/*
 * Who lands where: a policy at each copy of its zone, for clients all over the world, with nothing
 * dead, each endpoint dead, and each whole cloud. A cloud that is dead takes its endpoints along,
 * and the copies of the zone that its own DNS serves.
 *
 *	policy + claims --kc_ir_make, kc_ir_branches--> what a copy can answer a city (lib/geo)
 *	that, the dead --> shares of the endpoints; over all cities: load, moved, dead, outage
 *
 * Pure functions: nothing is asked of the network. Nearness is the map's: a provider that measures
 * may differ. Clients take any address of an answer. All shares are per mille.
 *
 * Results are the caller's; claims are an array with those (policy.h) of each entry of
 * spec.publish, null where they are not known, or NULL when there are none.
 */
#ifndef KC_DNS_SIMULATE_H
#define KC_DNS_SIMULATE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"

struct kc_simulate_opts {
	int family; /* AF_INET: clients that ask for A, AF_INET6: AAAA; 0: the first that there is
		     */
	/* Of all clients together, in the unit of spec.endpoints[].capacity; 0: what a copy
	 * carries while nothing is dead. */
	int64_t load;
};

/*
 * {"name", "type": "A",
 *  "clients": [{"name": "Tokyo", "continent": "AS", "lat", "lon", "share": 20}],
 *  "copies": [{"provider", "index": of spec.publish, "load",
 *    "endpoints": [{"id", "cloud", "lat", "lon", "capacity"}],
 *    "scenarios": [{"failed": "none" | "endpoint ID" | "cloud NAME",
 *      "cells": [{"client": "Tokyo", "to": {"az-tyo": 1000}, "km": 0, "dead": 0}],
 *      "load": {"az-tyo": {"share": 310, "capacity": 60, "over": true}},
 *      "moved": 230, "dead": 0, "carries": 180, "empty": ["Tokyo"], "outage": 95, "gone":
 * false}]}], "worst": {"copy": 0, "failed", "dead", "outage"}}
 *
 * dead: the share that lands on a dead endpoint, or gets no answer, after checks have done what
 * they can. empty: the clients that nobody alive answers. moved: the share that is sent elsewhere
 * than with nothing dead; null at a copy that is gone. carries: the greatest load of all clients
 * that overloads nobody; null without capacities. outage: seconds until the last client is sent to
 * somebody alive; null: until somebody acts. A copy that cannot have the policy has "refused", the
 * reason, and no scenarios. Members are in order, so that the same input gives the same text.
 */
json_t *kc_simulate(const json_t *policy, const json_t *claims,
		    const struct kc_simulate_opts *opts);

/* Does the policy survive what spec.safety.survive says? KC_EINVAL: the first client that nobody
 * alive would answer. */
int kc_simulate_check(const json_t *policy, const json_t *claims, struct kc_err *err);

#endif
