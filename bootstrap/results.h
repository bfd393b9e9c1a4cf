/*
 * What an apply came to, host by host: pure functions over kc_plan_times().
 *
 *	times --kc_host_results--> [{"host", "action", "result", "why"?, "ms"?}]
 *--kc_host_summary--> one line
 *
 * result is "done", "failed", "not begun" (it gave up before, was stopped, or what the host needs
 * failed) or "unchanged". A host that fails is never hidden by another one: each has its entry.
 */
#ifndef KC_BOOTSTRAP_RESULTS_H
#define KC_BOOTSTRAP_RESULTS_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

struct kc_host_counts {
	size_t done, failed, not_begun, unchanged;
};

/* In the order of the graph. New reference. */
json_t *kc_host_results(const json_t *times);
struct kc_host_counts kc_host_count(const json_t *results);
/*
 * After a failure: if hosts failed, and there were others, err becomes the line on all of them (the
 * entries have the reasons), and keeps what failed beside hosts. Returns code.
 */
int kc_host_summary(const json_t *results, const char *cluster, int code, struct kc_err *err);

#endif
