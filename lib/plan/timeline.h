/*
 * Reading a run: when each task of an apply ran, and what the time was lost to.
 *
 * A run is data, as bootstrap/runs.h stores it; times are milliseconds since it began:
 *   {"ms": all of it,
 *    "phases": [{"name", "start", "ms"}],   one after the other
 *    "tasks": [ … ]}                        kc_plan_times(), where what never ended has no "end"
 *
 *	run --kc_timeline_path--> what it was waiting for at each moment --kc_timeline_report--> all
 *of it
 *
 * Pure functions: nothing is read or written, and what is odd in a stored run (a circle, an end
 * before a start) makes the answer odd, never endless.
 */
#ifndef KC_PLAN_TIMELINE_H
#define KC_PLAN_TIMELINE_H

#include <jansson.h>

/*
 * The critical path: the chain of tasks, through dependencies and queues, that ends with the last
 * one to end; before, after and between them the phases. Without gaps and in order, so that the
 * times add up to the run's:
 *   [{"what": "phase", "id": name, "start", "ms"},
 *    {"what": "task", "id", "part"?, "action", "start", "ms", "slept"?, "why"?, "after"?: id},
 *    {"what": "queue", "id": who waited, "start", "ms", "behind"?: id of who was in the way,
 *     "for"?: the limit or the provider that both need, or "threads"}]
 * New reference.
 */
json_t *kc_timeline_path(const json_t *run);

/*
 * The run as people and programs read it: a copy in which "after" has ids, each task its "host"
 * if there is one, and beside them "criticalPath", "slowest": [{"id", "part"?, "ms"}] (ten at
 * most), "parallelism": {"max", "average"}. New reference.
 */
json_t *kc_timeline_report(const json_t *run);

#endif
