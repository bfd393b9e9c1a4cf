/* What a change must not lead to, looked at before anything is changed. */
#include "dns/publish_priv.h"
#include "dns/simulate.h"

json_t *kc_publish_claims(const struct kc_publish *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(out, p->copies[i].claims ? json_incref(p->copies[i].claims)
							       : json_null());
	return out;
}

/* A region that speaks is not asked: what it says of itself is so, whatever follows. */
void publish_check_safety(struct kc_publish *p)
{
	json_auto_t *claims = kc_publish_claims(p);
	struct kc_err why;

	if (p->claim || p->remove || kc_simulate_check(p->policy, claims, &why) == 0)
		return;
	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].why.code)
			p->copies[i].why = why;
}
