#include "dns/agent.h"

#include "dns/claims.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct kc_agent {
	const json_t *policy; /* borrowed */
	char *region;
	bool at_once, probes;
	json_t *source; /* the last that was not empty, or NULL */
	int empty;	/* in a row */
	json_t *claims; /* NULL: not known yet */
	json_t *health; /* {address: {"up", "run": probes in a row that say otherwise}} */
};

struct kc_agent *kc_agent_new(const json_t *policy, const char *region, bool at_once)
{
	struct kc_agent *a = xcalloc(1, sizeof(*a));

	a->policy = policy;
	a->region = xstrdup(region);
	a->at_once = at_once;
	a->probes = kc_json_at(policy, "spec.health") != NULL;
	a->health = json_object();
	return a;
}

void kc_agent_free(struct kc_agent *a)
{
	if (!a)
		return;
	free(a->region);
	json_decref(a->source);
	json_decref(a->claims);
	json_decref(a->health);
	free(a);
}

void kc_agent_source(struct kc_agent *a, const json_t *addresses)
{
	if (!json_array_size(addresses)) {
		a->empty += a->empty < KC_AGENT_EMPTY;
		return;
	}
	a->empty = 0;
	json_decref(a->source);
	a->source = json_deep_copy(addresses);
}

void kc_agent_claims(struct kc_agent *a, const json_t *claims)
{
	json_decref(a->claims);
	a->claims = json_deep_copy(claims);
}

static const json_t *own_claim(const struct kc_agent *a)
{
	return json_object_get(a->claims, a->region);
}

/* The list counts as empty: seen that often, by an agent that stays to see. */
static bool is_empty(const struct kc_agent *a)
{
	return a->empty >= KC_AGENT_EMPTY && !a->at_once;
}

json_t *kc_agent_targets(const struct kc_agent *a)
{
	json_auto_t *out = json_array();
	const char *region;
	const json_t *claim, *address;
	size_t i;

	if (!a->probes || !a->claims)
		return TAKE(out);
	json_array_foreach(a->source, i, address)
		json_array_append(out, (json_t *)address);
	json_object_foreach(a->claims, region, claim) {
		if (streq(region, a->region))
			continue;
		json_array_foreach(json_object_get(claim, "addresses"), i, address)
			if (!kc_json_has_str(out, json_string_value(address)))
				json_array_append(out, (json_t *)address);
	}
	kc_json_sort(out);
	return TAKE(out);
}

/* --- verdicts */

static bool is_peers(const struct kc_agent *a, const char *address, bool *ret_down)
{
	const char *region;
	const json_t *claim;

	json_object_foreach(a->claims, region, claim)
		if (!streq(region, a->region) &&
		    kc_json_has_str(json_object_get(claim, "addresses"), address)) {
			*ret_down = kc_json_has_str(json_object_get(own_claim(a), "down"), region);
			return true;
		}
	return false;
}

/* What is thought of an address before its first probe. */
static bool presumed(const struct kc_agent *a, const char *address, bool first)
{
	bool down = false;

	if (a->at_once)
		return first;
	if (kc_json_has_str(a->source, address))
		return kc_json_has_str(json_object_get(own_claim(a), "addresses"), address) ||
		       first;
	return !is_peers(a, address, &down) || !down;
}

static json_t *turned(const struct kc_agent *a, const char *address, bool up)
{
	const json_t *was = json_object_get(a->health, address);
	bool is = was ? kc_json_get_bool(was, "up", true) : presumed(a, address, up);
	int64_t run = is == up ? 0 : kc_json_get_int(was, "run", 0) + 1;

	if (a->at_once || run >= (up ? KC_AGENT_RISE : KC_AGENT_FALL)) {
		is = up;
		run = 0;
	}
	return kc_pack("{s:b, s:I}", "up", (int)is, "run", (json_int_t)run);
}

void kc_agent_probed(struct kc_agent *a, const json_t *results)
{
	json_auto_t *targets = kc_agent_targets(a), *health = json_object();
	const json_t *target;
	size_t i;

	/* What is no target any more is forgotten. */
	json_array_foreach(targets, i, target) {
		const char *address = json_string_value(target);
		const json_t *result = json_object_get(results, address);
		json_t *was = json_object_get(a->health, address);

		if (json_is_boolean(result))
			json_object_set_new(health, address,
					    turned(a, address, json_is_true(result)));
		else if (was)
			json_object_set(health, address, was);
	}
	json_decref(a->health);
	a->health = TAKE(health);
}

static bool is_up(const struct kc_agent *a, const char *address, bool unknown)
{
	return !a->probes || kc_json_get_bool(json_object_get(a->health, address), "up", unknown);
}

/* None of what it claims answers. */
static bool is_dead(const struct kc_agent *a, const json_t *claim)
{
	const json_t *addresses = json_object_get(claim, "addresses"), *address;
	size_t i;

	json_array_foreach((json_t *)addresses, i, address)
		if (is_up(a, json_string_value(address), true))
			return false;
	return json_array_size(addresses) > 0;
}

/* --- the decision */

/* Does anything but this region lead anywhere? */
static bool others_lead(const struct kc_agent *a)
{
	const char *region;
	const json_t *claim;

	json_object_foreach(a->claims, region, claim)
		if (!streq(region, a->region) &&
		    json_array_size(json_object_get(claim, "addresses")))
			return true;
	return json_array_size(kc_json_at(a->policy, "spec.endpoints")) > 0;
}

static json_t *working(const struct kc_agent *a)
{
	json_t *out = json_array();
	const json_t *address;
	size_t i;

	/* One that nobody probed yet stays as it is claimed. */
	if (!is_empty(a))
		json_array_foreach(a->source, i, address) {
			const char *s = json_string_value(address);
			bool claimed =
				kc_json_has_str(json_object_get(own_claim(a), "addresses"), s);

			if (is_up(a, s, claimed) && json_array_size(out) < KC_CLAIM_ADDRESSES)
				json_array_append(out, (json_t *)address);
		}
	return out;
}

static json_t *dead_peers(const struct kc_agent *a)
{
	json_t *out = json_array();
	const char *region;
	const json_t *claim;

	if (a->probes)
		json_object_foreach(a->claims, region, claim)
			if (!streq(region, a->region) && is_dead(a, claim))
				json_array_append_new(out, json_string(region));
	kc_json_sort(out);
	return out;
}

json_t *kc_agent_decide(struct kc_agent *a)
{
	json_t *claimed = json_object_get(own_claim(a), "addresses");
	json_auto_t *addresses = NULL, *down = NULL;

	if (!a->claims || (!a->source && !is_empty(a)))
		return NULL;
	addresses = working(a);
	if (json_array_size(addresses)) {
		down = dead_peers(a);
		return kc_pack("{s:O, s:O, s:b}", "addresses", addresses, "down", down, "held", 0);
	}
	if (!own_claim(a))
		return NULL;
	if (others_lead(a) || !json_array_size(claimed))
		return kc_pack("{s:[], s:[], s:b}", "addresses", "down", "held", 0);
	return kc_pack("{s:O, s:[], s:b}", "addresses", claimed, "down", "held", 1);
}

json_t *kc_agent_state(const struct kc_agent *a)
{
	json_t *out = json_object();
	const char *region;
	const json_t *address, *claim;
	size_t i;

	json_array_foreach(a->source, i, address) {
		const char *s = json_string_value(address);
		_cleanup_free_ char *key = xasprintf("address %s", s);

		json_object_set_new(out, key, json_string(is_up(a, s, false) ? "up" : "down"));
	}
	if (a->probes)
		json_object_foreach(a->claims, region, claim) {
			_cleanup_free_ char *key = xasprintf("region %s", region);

			if (!streq(region, a->region))
				json_object_set_new(out, key,
						    json_string(is_dead(a, claim) ? "down" : "up"));
		}
	if (a->empty)
		json_object_set_new(out, "the cluster's list", json_string("empty"));
	return out;
}
