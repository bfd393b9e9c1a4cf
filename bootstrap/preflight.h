/*
 * Preflight over all hosts at once: what one host alone cannot see. Pure; it
 * judges the facts that the agents reported and changes nothing.
 */
#ifndef KC_BOOTSTRAP_PREFLIGHT_H
#define KC_BOOTSTRAP_PREFLIGHT_H

#include "lib/base/err.h"
#include "lib/plan/plan.h"

/*
 * Judge every node of the plan whose facts are known: its own failing checks, two hosts with one
 * machine-id or MAC address, clocks that differ by more than a second. KC_EINVAL with one line a
 * finding (newline-separated), each "host: what; what to do".
 */
int kc_preflight(const struct kc_plan *plan, const json_t *tasks, struct kc_err *err);

#endif
