/* What a policy makes of its name: pure functions, the same bytes for everybody. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/claims.h"
#include "dns/policy.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

#define MARK_VERSION "v=kc1"

static const json_t *spec_of(const json_t *policy)
{
	return json_object_get(policy, "spec");
}

char *kc_policy_name(const json_t *policy)
{
	return xasprintf("%s.", kc_json_get_str(json_object_get(policy, "metadata"), "name", ""));
}

char *kc_policy_mark_name(const json_t *policy)
{
	_cleanup_free_ char *name = kc_policy_name(policy);

	return kc_claim_name(name, NULL);
}

char *kc_policy_mark_owner(const char *data)
{
	static const char before[] = "\"" MARK_VERSION " o=";
	_cleanup_free_ char *owner = NULL;
	const char *end;

	if (!kc_startswith(data, before))
		return NULL;
	data += strlen(before);
	end = data + strcspn(data, " \"");
	owner = xstrndup(data, (size_t)(end - data));
	return kc_is_dns_label(owner) ? TAKE(owner) : NULL;
}

json_t *kc_policy_which(const json_t *policy, const char *const *types)
{
	_cleanup_free_ char *name = kc_policy_name(policy), *mark = kc_policy_mark_name(policy);
	const json_t *region;
	json_t *which = json_array();
	size_t i;

	for (; *types; types++)
		json_array_append_new(which, kc_pack("{s:s, s:s}", "name", name, "type", *types));
	json_array_foreach(json_object_get(spec_of(policy), "regions"), i, region) {
		_cleanup_free_ char *claim =
			kc_claim_name(name, kc_json_get_str(region, "name", ""));

		json_array_append_new(which, kc_pack("{s:s, s:s}", "name", claim, "type", "TXT"));
	}
	/* Last: records that somebody makes while we read are then seen with their owner. */
	json_array_append_new(which, kc_pack("{s:s, s:s}", "name", mark, "type", "TXT"));
	return which;
}

static int read_claim(const json_t *policy, const json_t *region, const json_t *rrset,
		      struct kc_claim *ret, struct kc_err *err)
{
	_cleanup_free_ char *name = kc_policy_name(policy), *text = NULL;
	const json_t *data = json_object_get(rrset, "data");
	_cleanup_claim_ struct kc_claim c = { 0 };
	int r;

	if (json_array_size(data) == 1)
		text = kc_claim_text(json_string_value(json_array_get(data, 0)));
	if (!text)
		return kc_fail(err, KC_EINVAL, "not the text of one claim");
	r = kc_claim_read(text, name, kc_json_get_str(region, "publicKey", ""), &c, err);
	if (r < 0)
		return r;
	if (!streq(c.region, kc_json_get_str(region, "name", "")) ||
	    !streq(c.owner, kc_json_get_str(spec_of(policy), "owner", "")))
		return kc_fail(err, KC_EINVAL, "it is of region %s of %s", c.region, c.owner);
	*ret = c;
	memset(&c, 0, sizeof(c));
	return 0;
}

json_t *kc_policy_claims(const json_t *policy, const json_t *rrsets, json_t *notes)
{
	_cleanup_free_ char *name = kc_policy_name(policy);
	json_t *claims = json_object();
	const json_t *region;
	size_t i;

	json_array_foreach(json_object_get(spec_of(policy), "regions"), i, region) {
		const char *id = kc_json_get_str(region, "name", "");
		_cleanup_free_ char *at = kc_claim_name(name, id), *note = NULL;
		const json_t *rrset = kc_dns_rrset_find(rrsets, at, "TXT");
		_cleanup_claim_ struct kc_claim c = { 0 };
		struct kc_err err;

		if (!rrset)
			continue;
		if (read_claim(policy, region, rrset, &c, &err) == 0) {
			json_object_set_new(claims, id,
					    kc_pack("{s:I, s:O, s:O*}", "epoch",
						    (json_int_t)c.epoch, "addresses", c.addresses,
						    "down", c.down));
			continue;
		}
		note = xasprintf("%s counts for nothing: %s", at, err.msg);
		json_array_append_new(notes, json_string(note));
	}
	return claims;
}

/*
 * One voice alone is not enough unless the policy says so: it cannot tell a dead peer from a path
 * that is cut between the two.
 */
static size_t quorum_of(const json_t *spec)
{
	size_t others = json_array_size(json_object_get(spec, "regions")), most;

	others -= others > 0;
	most = others / 2 + 1;
	return (size_t)kc_json_get_int(json_object_get(spec, "failover"), "quorum",
				       most < 2 ? 2 : (json_int_t)most);
}

/* How many say so of a region. Who serves nowhere itself may be the one who is cut off. */
static size_t voices(const json_t *claims, const char *region)
{
	const char *speaker;
	const json_t *claim;
	size_t n = 0;

	json_object_foreach((json_t *)claims, speaker, claim)
		n += !streq(speaker, region) &&
		     json_array_size(json_object_get(claim, "addresses")) &&
		     kc_json_has_str(json_object_get(claim, "down"), region);
	return n;
}

/* Is there anything left to answer that is not drained? */
static bool leads(const json_t *spec, const json_t *claims)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(spec, "endpoints"), i, one)
		if (!kc_json_get_bool(one, "drain", false))
			return true;
	json_array_foreach(json_object_get(spec, "regions"), i, one)
		if (!kc_json_get_bool(one, "drain", false) &&
		    json_array_size(
			    json_object_get(json_object_get(claims,
							    kc_json_get_str(one, "name", "")),
					    "addresses")))
			return true;
	return false;
}

json_t *kc_policy_up(const json_t *policy, const json_t *claims, json_t *notes)
{
	const json_t *spec = spec_of(policy);
	json_auto_t *up = json_object(), *said = json_array();
	size_t quorum = quorum_of(spec);
	const char *region;
	json_t *claim;

	json_object_foreach((json_t *)claims, region, claim) {
		size_t n = voices(claims, region);
		_cleanup_free_ char *note = NULL;

		if (n < quorum || !json_array_size(json_object_get(claim, "addresses"))) {
			json_object_set(up, region, claim);
			continue;
		}
		note = xasprintf("region %s is left out where nobody checks: %zu other regions "
				 "cannot reach it",
				 region, n);
		json_array_append_new(said, json_string(note));
	}
	if (!leads(spec, up)) {
		if (json_array_size(said))
			json_array_append_new(notes,
					      json_string("every region is called down by others: "
							  "all are answered, for the name is "
							  "never left empty"));
		return json_incref((json_t *)claims);
	}
	json_array_extend(notes, said);
	return TAKE(up);
}

int64_t kc_policy_mark_since(const char *data)
{
	const char *t = data ? strstr(data, " t=") : NULL;
	_cleanup_free_ char *digits = t ? xstrndup(t + 3, strcspn(t + 3, " \"")) : NULL;
	long since;

	return digits && kc_parse_long(digits, 1, LONG_MAX / 2, &since) ? since : 0;
}

json_t *kc_policy_mark(const json_t *policy, int64_t since)
{
	const char *owner = kc_json_get_str(spec_of(policy), "owner", "");
	_cleanup_free_ char *name = kc_policy_mark_name(policy),
			    *data = since ? xasprintf("\"" MARK_VERSION " o=%s t=%" PRId64 "\"",
						      owner, since)
					  : xasprintf("\"" MARK_VERSION " o=%s\"", owner);

	return kc_pack("{s:s, s:s, s:O, s:[s]}", "name", name, "type", "TXT", "ttl",
		       kc_json_at(spec_of(policy), "ttl.answer"), "data", data);
}
