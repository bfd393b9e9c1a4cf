/* What a policy makes of its name: pure functions, the same bytes for everybody. */
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

json_t *kc_policy_which(const json_t *policy)
{
	/* A CNAME beside anything else is not allowed, so one that is there counts, too. */
	static const char *const types[] = { "A", "AAAA", "CNAME" };
	_cleanup_free_ char *name = kc_policy_name(policy), *mark = kc_policy_mark_name(policy);
	const json_t *region;
	json_t *which = json_array();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		json_array_append_new(which, kc_pack("{s:s, s:s}", "name", name, "type", types[i]));
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

/* Claims, and the endpoints that are not drained, or those too when there is nothing else. */
static json_t *answered(const json_t *policy, const json_t *claims, json_t *notes)
{
	const json_t *all = json_object_get(spec_of(policy), "endpoints"), *e;
	json_t *left = json_array(), *claim;
	const char *region;
	size_t i;

	json_object_foreach((json_t *)claims, region, claim)
		if (json_array_size(json_object_get(claim, "addresses")))
			json_array_append(left, claim);
	json_array_foreach((json_t *)all, i, e)
		if (!kc_json_get_bool(e, "drain", false))
			json_array_append(left, (json_t *)e);
	if (json_array_size(left) || !json_array_size(all))
		return left;
	json_decref(left);
	json_array_append_new(notes, json_string("all endpoints are drained: all are answered, for "
						 "the name is never left empty"));
	return json_incref((json_t *)all);
}

/* The addresses of one family, sorted: equal policies make equal bytes. */
static void add_rrset(const json_t *policy, const json_t *endpoints, int family, const char *type,
		      json_t *out)
{
	_cleanup_free_ const char **found = NULL;
	_cleanup_free_ char *name = kc_policy_name(policy);
	const json_t *e, *a;
	json_t *data;
	size_t i, k, n = 0, all = 0;

	json_array_foreach((json_t *)endpoints, i, e)
		all += json_array_size(json_object_get(e, "addresses"));
	found = xcalloc(all + 1, sizeof(*found));
	json_array_foreach((json_t *)endpoints, i, e)
		json_array_foreach(json_object_get(e, "addresses"), k, a) {
			struct kc_addr addr;

			if (kc_addr_parse(json_string_value(a), &addr) && addr.family == family)
				found[n++] = json_string_value(a);
		}
	if (!n)
		return;
	kc_sort_text(found, n);
	data = json_array();
	for (i = 0; i < n; i++)
		if (i == 0 || !streq(found[i], found[i - 1]))
			json_array_append_new(data, json_string(found[i]));
	json_array_append_new(out,
			      kc_pack("{s:s, s:s, s:O, s:o}", "name", name, "type", type, "ttl",
				      kc_json_at(spec_of(policy), "ttl.answer"), "data", data));
}

static json_t *make_mark(const json_t *policy)
{
	_cleanup_free_ char *name = kc_policy_mark_name(policy),
			    *data = xasprintf("\"" MARK_VERSION " o=%s\"",
					      kc_json_get_str(spec_of(policy), "owner", ""));

	return kc_pack("{s:s, s:s, s:O, s:[s]}", "name", name, "type", "TXT", "ttl",
		       kc_json_at(spec_of(policy), "ttl.answer"), "data", data);
}

json_t *kc_policy_lower(const json_t *policy, const json_t *claims, json_t *notes)
{
	json_auto_t *endpoints = answered(policy, claims, notes);
	json_t *out = json_array();

	add_rrset(policy, endpoints, AF_INET, "A", out);
	add_rrset(policy, endpoints, AF_INET6, "AAAA", out);
	if (!json_array_size(out))
		return out;
	json_array_append_new(out, make_mark(policy));
	if (json_array_size(endpoints) > 1)
		json_array_append_new(notes,
				      json_string("plain records: every client gets all addresses "
						  "and takes any, near or far"));
	return out;
}
