/* The gate on how much traffic one change moves. */
#include <string.h>

#include "dns/policy.h"
#include "dns/publish_priv.h"
#include "dns/shift.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* FEW: of fewer addresses than that each is so much that a budget says nothing. */
enum { FEW = 3 };

/* Who a state answers, plain or chosen from; NULL: nobody knows. New reference. */
static json_t *branches_of(const struct copy *c, const json_t *rrsets, const char *name,
			   const char *type)
{
	const json_t *data = json_object_get(kc_dns_rrset_find(rrsets, name, type), "data"), *d;
	json_t *members;
	size_t i;

	if (!data)
		return c->backend->raise ? c->backend->raise(rrsets, name, type) : NULL;
	members = json_array();
	json_array_foreach((json_t *)data, i, d)
		json_array_append_new(members, kc_pack("{s:O, s:i}", "address", d, "weight", 1));
	return kc_pack("[{s:[{s:s, s:o}]}]", "groups", "region", "", "members", members);
}

int publish_shift(const struct kc_publish *p, const struct copy *c)
{
	static const char *const types[] = { "A", "AAAA" };
	_cleanup_free_ char *name = kc_policy_name(p->policy),
			    *mark = kc_policy_mark_name(p->policy);
	int most = 0;

	if (p->claim || !kc_dns_rrset_find(c->before, mark, "TXT"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		json_auto_t *was = branches_of(c, c->before, name, types[i]),
			    *is = branches_of(c, c->wanted, name, types[i]);
		int moved = was && is && kc_branches_addresses(was) >= FEW
				    ? kc_traffic_shift(was, is)
				    : 0;

		most = moved > most ? moved : most;
	}
	return most;
}

int publish_check_shift(const struct kc_publish *p, const struct copy *c, struct kc_err *err)
{
	int most = p->allow_shift ? p->allow_shift
				  : (int)kc_json_get_int(kc_json_at(p->policy, "spec.safety"),
							 "maxTrafficShift", 100),
	    moved = publish_shift(p, c);

	if (moved <= most * 10)
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "this would send %d %% of all clients elsewhere at once, and "
		       "safety.maxTrafficShift is %d %%; change less at a time, or allow it with "
		       "--allow-shift %d",
		       (moved + 9) / 10, most, (moved + 9) / 10);
}
