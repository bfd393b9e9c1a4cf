/* How the copies stand, for people who watch. */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "dns/policy.h"
#include "dns/publish_priv.h"
#include "dns/verify.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* [{"region", "epoch", "addresses"}] of the claims that count, and the regions without one. */
static json_t *claims_of(const struct kc_publish *p, const struct copy *c)
{
	json_auto_t *notes = json_array(), *claims = kc_policy_claims(p->policy, c->before, notes);
	json_t *out = json_array(), *region;
	size_t i;

	json_array_foreach(kc_json_at(p->policy, "spec.regions"), i, region) {
		json_t *name = json_object_get(region, "name"),
		       *claim = json_object_get(claims, json_string_value(name));

		json_array_append_new(out, kc_pack("{s:O, s:O*, s:O*}", "region", name, "epoch",
						   json_object_get(claim, "epoch"), "addresses",
						   json_object_get(claim, "addresses")));
	}
	return out;
}

static int64_t going_since(const struct kc_publish *p, const struct copy *c)
{
	_cleanup_free_ char *at = kc_policy_mark_name(p->policy);
	const json_t *mark = kc_dns_rrset_find(c->before, at, "TXT");

	return kc_policy_mark_since(
		json_string_value(json_array_get(json_object_get(mark, "data"), 0)));
}

/* ret_state, and why if it is not all well. */
static void judge(struct kc_publish *p, struct copy *c, const char **ret_state, struct kc_err *why)
{
	json_auto_t *servers = NULL;

	*why = c->why;
	*ret_state =
		c->why.code == KC_ECONFLICT || c->why.code == KC_EINVAL ? "refused" : "unreachable";
	if (c->why.code)
		return;
	*ret_state = "unpublished";
	if (!publish_same(c->before, c->wanted)) {
		*ret_state = json_array_size(c->before) ? "differs" : "unpublished";
		kc_fail(why, KC_EFAIL, "`kubecdn dns plan` shows what would change");
		return;
	}
	if (hosts_count_changes(c->hosts)) {
		*ret_state = "differs";
		kc_fail(why, KC_EFAIL, "%zu hosts differ; `kubecdn dns plan` shows them",
			hosts_count_changes(c->hosts));
		return;
	}
	if (publish_servers(c, &servers, why) < 0 ||
	    kc_dns_look(servers, c->wanted, c->allowed,
			kc_json_at(p->policy, "spec.verify.subnets"), why) < 0 ||
	    hosts_served(c->hosts, c, why) < 0) {
		*ret_state = "unserved";
		return;
	}
	why->code = 0;
	*ret_state = "served";
}

json_t *kc_publish_status(struct kc_publish *p)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy);
	json_t *copies = json_array();

	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		const char *state;
		struct kc_err why;
		json_t *one;

		judge(p, c, &state, &why);
		one = kc_pack("{s:s, s:s, s:s, s:s*, s:o}", "provider", c->backend->name, "where",
			      c->backend->where(c->conn), "state", state, "why",
			      why.code ? why.msg : NULL, "claims", claims_of(p, c));
		if (c->before && going_since(p, c))
			json_object_set_new(one, "goingSince", json_integer(going_since(p, c)));
		json_array_append_new(copies, one);
	}
	return kc_pack("{s:s, s:O, s:o}", "name", name, "owner",
		       kc_json_at(p->policy, "spec.owner"), "copies", copies);
}
