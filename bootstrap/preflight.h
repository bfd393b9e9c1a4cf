/*
 * Preflight over all hosts at once: what one host alone cannot see. Pure; it
 * judges the facts that the agents reported and changes nothing.
 */
#ifndef KC_BOOTSTRAP_PREFLIGHT_H
#define KC_BOOTSTRAP_PREFLIGHT_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/plan/plan.h"

/*
 * Judge every node of the plan whose facts are known: its own failing checks, two hosts with one
 * machine-id or MAC address, clocks that differ by more than a second. KC_EINVAL with one line a
 * finding (newline-separated), each "host: what; what to do".
 */
int kc_preflight(const struct kc_plan *plan, const json_t *tasks, struct kc_err *err);

/* Of one host that has answered: its own failing checks as "host: what; what to do", with between
 * them what is given. */
void kc_preflight_checks(const char *host, const json_t *actual, const char *between,
			 struct kc_buf *out);

#endif
