/*
 * What the agent of one region says, out of what it sees. No network and no clock: rounds.
 *
 *	the cluster --source--> addresses --.
 *	the copies --claims--> own, peers --+--targets--> probes --probed--> verdicts --decide-->
 *claim
 *
 * Round by round, whoever runs it (cli/serve_round.c) tells what it could find out and leaves out
 * what it could not: what is not known changes nothing. One miss changes nothing either; a verdict
 * turns after KC_AGENT_FALL failures or KC_AGENT_RISE successes in a row. What an agent that has
 * just started does not know it takes from its region's claim: an address that stands there is up,
 * a peer named in d= is down, until that many rounds say otherwise. A new address is what its first
 * probe says.
 *
 * An empty list of addresses counts after KC_AGENT_EMPTY rounds in a row, and the last addresses of
 * all that is claimed are never given up. Who has no address that works does not judge peers.
 */
#ifndef KC_DNS_AGENT_H
#define KC_DNS_AGENT_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/mem.h"

enum { KC_AGENT_FALL = 3, KC_AGENT_RISE = 2, KC_AGENT_EMPTY = 3 };

struct kc_agent;

/* policy is borrowed. at_once: there is one round only, so one probe is enough, and an empty list
 * never is. */
struct kc_agent *kc_agent_new(const json_t *policy, const char *region, bool at_once);
void kc_agent_free(struct kc_agent *a);
KC_DEFINE_CLEANUP(struct kc_agent *, kc_agent_free)
#define _cleanup_agent_ _cleanup_(kc_agent_freep)

/* What the cluster says this round, sorted. */
void kc_agent_source(struct kc_agent *a, const json_t *addresses);
/* As kc_publish_newest() has them. */
void kc_agent_claims(struct kc_agent *a, const json_t *claims);
/* What is to be probed: [address], own and peers'; nothing before the claims are known, and without
 * spec.health. New reference. */
json_t *kc_agent_targets(const struct kc_agent *a);
/* {address: true | false}; other members do not count. */
void kc_agent_probed(struct kc_agent *a, const json_t *results);

/* {"addresses": [...], "down": [...], "held": bool}, new reference; held: nothing of it works, and
 * it is all there is. NULL: there is nothing to say yet, so what is claimed stays. */
json_t *kc_agent_decide(struct kc_agent *a);
/* {"address ADDRESS": "up" | "down", "region REGION": "up" | "down", "the cluster's list":
 * "empty"}: for people and metrics. New reference. */
json_t *kc_agent_state(const struct kc_agent *a);

#endif
