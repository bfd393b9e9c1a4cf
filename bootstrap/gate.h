/*
 * The gate: what a plan may not do by an edited line alone. Pure.
 *
 * It counts what a user named (hosts), not the tasks below them. `cluster
 * delete` lists everything and does it, and --force passes the gate; neither
 * comes here.
 */
#ifndef KC_BOOTSTRAP_GATE_H
#define KC_BOOTSTRAP_GATE_H

#include <jansson.h>

#include "lib/base/err.h"

/*
 * plan: kc_plan_json(); recorded: kc_state_tasks(), or NULL. KC_ECONFLICT for the loss of a control
 * plane, or of more than 30 % of the workers where there are ten or more.
 */
int kc_gate(const json_t *plan, const json_t *recorded, struct kc_err *err);

#endif
