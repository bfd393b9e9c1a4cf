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
					    kc_pack("{s:I, s:O}", "epoch", (json_int_t)c.epoch,
						    "addresses", c.addresses));
			continue;
		}
		note = xasprintf("%s counts for nothing: %s", at, err.msg);
		json_array_append_new(notes, json_string(note));
	}
	return claims;
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
