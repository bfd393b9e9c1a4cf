/*
 * Why does a node not work? Evidence from every host (bootstrap/node/doctor.h)
 * and from the API, judged by one table of causes.
 *
 *	hosts' doctor, API --why.c--> evidence --kc_why_judge--> findings, the first to mend first
 *
 * Evidence, one JSON value that a test can write by hand:
 *   {"cluster": {"name", "podCIDRs", "serviceCIDRs"}, "now": seconds since 1970,
 *    "api": {"error": text} or {"nodes": {NAME: {"ready", "message", "podCIDR"}},
 *            "pods": [{"name", "node", "reason", "message"}]   those of kube-system that wait},
 *    "checks": [{"id", "ok", "text"}]                          validate's (bootstrap/validate.h)
 *    "hosts": [{"name", "role", "address", "ssh", "recorded", "error": {"code", "message"} or
 *              "doctor": the agent's answer}]}
 *
 * A finding: {"id", "node", "text", "fix", "symptom"}. Of a node with a cause, its symptoms are
 *left out: they go with it. Nodes that do not work come before those that do, then the table's
 *order counts, then control planes come first.
 */
#ifndef KC_BOOTSTRAP_WHY_H
#define KC_BOOTSTRAP_WHY_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"

struct kc_why_look;
struct kc_why_finding;

struct kc_why_cause {
	const char *id;	     /* "SWAP_ON"; NULL ends the table */
	const char *summary; /* for the table in the documentation */
	bool symptom;	     /* of a cause that is named when it is seen, too */
	bool (*rule)(const struct kc_why_look *l, struct kc_why_finding *f);
};

/* What is to be mended first comes first. */
extern const struct kc_why_cause kc_why_causes[];

/* The findings, best first. New reference. */
json_t *kc_why_judge(const json_t *evidence);

#endif
