/*
 * What a policy says, and the claims of its regions, in one form that every provider's records are
 * made from: a chain of stages, each of which a provider can do, do nearly, or cannot.
 *
 *	healthy -> fence -> rank -> spread -> take
 *
 *	policy + claims --kc_ir_make--> IR --kc_ir_branches--> for each kind of client: groups that
 *	                                    are equally near, as the provider counts nearness
 *
 * IR: {"name": "www.example.com.", "ttl": 30, "owner": "prod", "route": "any" | "latency",
 *      "answers": 2, "within": 90, "health": {"protocol", "port", "path", "host"},
 *      "fence": [{"clients": ["EU"], "only": ["fra"]}],
 *      "endpoints": [{"id", "addresses", "weight", "capacity", "cloud", "lat", "lon", "near"}]}
 * endpoints are by id and without those that are drained; answers, within, health, capacity, cloud,
 * lat and lon (microdegrees) only where the policy says so.
 *
 * Pure functions: the same bytes for everybody. What a provider does to each stage is kept in a
 * fidelity report: [{"stage": "rank", "how": "exact" | "approximated" | "refused", "why"}].
 */
#ifndef KC_DNS_IR_H
#define KC_DNS_IR_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"

/* What a provider's servers can do, as far as lowering has it in common. */
struct kc_dns_traits {
	const char *provider; /* of lib/geo: near is one of its regions; NULL: by coordinates */
	bool ranks, fences, checks;
	bool spreads; /* by weight, also among those that are equally near */
	/* Of health checks: the intervals to choose from (0-terminated), the range of failures in a
	 * row, and what each may take until it counts as one; seconds. */
	int intervals[4], min_failures, max_failures, timeout;
};

json_t *kc_ir_make(const json_t *policy, const json_t *claims, json_t *notes);

/*
 * [{"clients": ["EU"], "groups": [{"region": "eu-central-1", "lat", "lon",
 *   "members": [{"id", "address", "weight"}]}]}]: of one family (AF_INET, AF_INET6). The last
 * branch has no clients: all others. Groups are by region, members by address; without ranking
 * there is one group. A branch without an address of the family has no groups. fidelity gets how
 * far endpoints are from what stands for them.
 */
json_t *kc_ir_branches(const json_t *ir, const struct kc_dns_traits *traits, int family,
		       json_t *fidelity);

/* "interval" and "failures" of a provider's checks so that a dead endpoint is out "within"; the
 * least load that can do it. KC_EINVAL: it cannot. NULL without health. Owned: health with both. */
int kc_ir_health(const json_t *ir, const struct kc_dns_traits *traits, json_t **ret,
		 struct kc_err *err);

/* The stages that a policy uses, as lowering must account for each: ["healthy", "rank"]. */
json_t *kc_ir_stages(const json_t *ir);

void kc_fidelity(json_t *fidelity, const char *stage, const char *how, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Has a stage been accounted for already? */
bool kc_fidelity_has(const json_t *fidelity, const char *stage);

/* All endpoints as A and AAAA records, for servers that cannot choose. */
void kc_ir_plain(const json_t *ir, json_t *rrsets);

#endif
