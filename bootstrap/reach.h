/*
 * Preflight between hosts: can every pair talk on the ports that a cluster needs?
 * The plan tells who is new; all agents probe at once; what fails is one error of a line each.
 *
 * Only pairs with a host that is new to the cluster are looked at, so a plan without one asks
 * nobody. Hosts without a session of this run (their machines come later) are left out.
 */
#ifndef KC_BOOTSTRAP_REACH_H
#define KC_BOOTSTRAP_REACH_H

#include <jansson.h>

#include "bootstrap/hosts.h"
#include "lib/plan/plan.h"

/* tasks: the graph. KC_EINVAL with a line a pair, or a line for many. */
int kc_reach(struct kc_hosts *hosts, const struct kc_plan *plan, const json_t *tasks,
	     struct kc_err *err);

/* The lines for failures [{"from", "to", "port", "udp", "why"}], for tests. */
struct kc_buf;
void kc_reach_lines(const json_t *failures, struct kc_buf *out);

#endif
