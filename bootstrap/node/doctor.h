/*
 * The verb doctor: what this host can say of why its node does not work. Only
 * evidence: which cause it adds up to is judged by the CLI (bootstrap/why.h),
 * which also sees the other hosts and the API. Nothing is changed.
 *
 * The envelope is as for plan but without spec, and has
 *   "doctor": {"checks": as a spec's, "ask": ["192.0.2.11:6443"]  API servers to connect to}
 *
 *   answer: {"format", "agent", "facts", "checks": [{id, ok, why, fix}],
 *    "marker": {uid, cluster, fence} or null,
 *    "drift": [{"id", "action", "changes": [{path, from?, to?}]}] the host's record against the
 * host "driftError": text                                    where that could not be told "disks":
 * [{"path", "freeMiB", "freePercent", "freeInodes" (percent), "readOnly"}], "certs": [{"path",
 * "notBefore", "notAfter"} or {"path", "problem"}], "capabilities": [names that this host's first
 * process may not have], "cgroups": [controllers that are missing], "units": [{"name", "load",
 * "enabled", "active", "sub", "result", "status", "restarts", "seconds" since it was started,
 * "capabilities", "log": [lines of its last run], "taken": {"port", "by"}}], "reach": [{"address",
 * "ok", "why", "route": text of `ip route get`}], "routes": [{"dst", "dev"}], "nameservers":
 * [{"address", "ok", "why"}], "etcd":
 * {"fsyncs", "slow": those that took 128 ms or longer}      where one answers
 *   }
 * Bounded: 80 lines a unit, 400 bytes a line.
 */
#ifndef KC_NODE_DOCTOR_H
#define KC_NODE_DOCTOR_H

#include <jansson.h>

/* Units of the host's record ("kubelet.service", …). New reference. */
json_t *kc_doctor_units(const json_t *recorded);

/* Add "reach", "routes", "nameservers", "etcd" to answer. */
void kc_doctor_net(const json_t *ask, const json_t *facts, json_t *answer);

#endif
