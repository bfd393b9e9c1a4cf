/* From a TrafficPolicy's text to a checked document with its defaults. */
#include "dns/policy.h"

#include <stdlib.h>
#include <string.h>

#include "dns/claims.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

enum { NAME_MAX_LEN = 253 };

static const char *name_of(const json_t *policy)
{
	return kc_json_get_str(json_object_get(policy, "metadata"), "name", "");
}

static const json_t *spec_of(const json_t *policy)
{
	return json_object_get(policy, "spec");
}

/* Of the records beside the name. Owned. */
static char *longest_name(const json_t *doc)
{
	_cleanup_free_ char *name = kc_policy_name(doc);
	char *longest = kc_policy_mark_name(doc);
	const json_t *region;
	size_t i;

	json_array_foreach(json_object_get(spec_of(doc), "regions"), i, region) {
		char *claim = kc_claim_name(name, kc_json_get_str(region, "name", ""));

		if (strlen(claim) > strlen(longest)) {
			free(longest);
			longest = claim;
		} else {
			free(claim);
		}
	}
	return longest;
}

static void check_name_in_zone(const json_t *doc, struct kc_report *rep)
{
	const char *name = name_of(doc), *zone = kc_json_get_str(spec_of(doc), "zone", "");
	_cleanup_free_ char *below = xasprintf(".%s", zone), *mark = longest_name(doc);

	if (!streq(name, zone) && !kc_endswith(name, below))
		kc_report_value(rep, "/metadata/name",
				"%s is not in the zone %s; name it in full, as www.%s", name, zone,
				zone);
	else if (strlen(mark) > NAME_MAX_LEN + 1)
		kc_report_value(rep, "/metadata/name",
				"the record beside it, %s, has a longer name than the %d bytes "
				"that DNS takes; use a shorter name",
				mark, NAME_MAX_LEN);
}

/* One key for two regions would let each write the other's claims. */
static void check_regions(const json_t *doc, struct kc_report *rep)
{
	static const char *const keys[] = { "name", "publicKey" };
	const json_t *list = json_object_get(spec_of(doc), "regions"), *a, *b;
	size_t i, k;

	json_array_foreach((json_t *)list, i, a)
		json_array_foreach((json_t *)list, k, b) {
			if (k >= i)
				break;
			for (size_t n = 0; n < ARRAY_SIZE(keys); n++) {
				_cleanup_free_ char *at =
					xasprintf("/spec/regions/%zu/%s", i, keys[n]);

				if (json_equal(json_object_get(a, keys[n]),
					       json_object_get(b, keys[n])))
					kc_report_value(rep, at,
							"spec.regions[%zu] has this %s, too; give "
							"each its own",
							k, keys[n]);
			}
		}
}

static void check_some_source(const json_t *doc, struct kc_report *rep)
{
	if (!json_array_size(json_object_get(spec_of(doc), "endpoints")) &&
	    !json_array_size(json_object_get(spec_of(doc), "regions")))
		kc_report_value(rep, "/spec",
				"neither endpoints nor regions, so the name leads nowhere; give "
				"one of them");
}

/* The index of an earlier endpoint with the same id or address, or -1. */
static int earlier(const json_t *endpoints, size_t n, const char *id, const char *address)
{
	const json_t *e;
	size_t i;

	json_array_foreach((json_t *)endpoints, i, e) {
		if (i == n)
			break;
		if ((id && streq(kc_json_get_str(e, "id", ""), id)) ||
		    (address && kc_json_has_str(json_object_get(e, "addresses"), address)))
			return (int)i;
	}
	return -1;
}

static void check_endpoints(const json_t *doc, struct kc_report *rep)
{
	const json_t *list = json_object_get(spec_of(doc), "endpoints"), *e, *a;
	size_t i, k;

	json_array_foreach((json_t *)list, i, e) {
		const char *id = kc_json_get_str(e, "id", "");
		_cleanup_free_ char *at = xasprintf("/spec/endpoints/%zu/id", i);
		int first = earlier(list, i, id, NULL);

		if (first >= 0)
			kc_report_value(rep, at,
					"spec.endpoints[%d] is named \"%s\", too; give each its "
					"own id",
					first, id);
		json_array_foreach(json_object_get(e, "addresses"), k, a) {
			_cleanup_free_ char *where =
				xasprintf("/spec/endpoints/%zu/addresses/%zu", i, k);

			first = earlier(list, i, NULL, json_string_value(a));
			if (first >= 0)
				kc_report_value(rep, where,
						"spec.endpoints[%d] has %s, too; take it out of "
						"one of them",
						first, json_string_value(a));
		}
	}
}

/* Two entries for one server would write each other's records. */
static void check_copies(const json_t *doc, struct kc_report *rep)
{
	const json_t *list = json_object_get(spec_of(doc), "publish"), *a, *b;
	size_t i, k;

	json_array_foreach((json_t *)list, i, a)
		json_array_foreach((json_t *)list, k, b) {
			_cleanup_free_ char *at = xasprintf("/spec/publish/%zu/server", i);

			if (k >= i)
				break;
			if (json_equal(json_object_get(a, "server"),
				       json_object_get(b, "server")) &&
			    json_equal(json_object_get(a, "port"), json_object_get(b, "port")))
				kc_report_value(rep, at,
						"spec.publish[%zu] is this server, too; take one "
						"of them out",
						k);
		}
}

static int check(const json_t *doc, struct kc_report *rep, json_t **ret, struct kc_err *err)
{
	json_auto_t *full = NULL;
	int r = kc_spec_validate(kc_traffic_kind.fields, doc, rep, &full, err);

	if (r < 0)
		return r;
	check_name_in_zone(full, rep);
	check_some_source(full, rep);
	check_endpoints(full, rep);
	check_regions(full, rep);
	check_copies(full, rep);
	r = kc_report_result(rep, err);
	if (r == 0)
		*ret = TAKE(full);
	return r;
}

/* One without a kind counts as a policy, so that validation says what is missing. */
static bool is_policy(const json_t *doc, struct kc_report *rep)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));

	if (!kind || streq(kind, kc_traffic_kind.name))
		return true;
	kc_report_value(rep, "/kind", "a %.60s is not a TrafficPolicy", kind);
	return false;
}

int kc_policy_load(const char *file, const char *text, size_t len, json_t **ret_policy,
		   struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	json_t *doc = NULL;
	int r = kc_yaml_parse(file, text, len, &y, err);

	if (r == 0) {
		rep.yaml = y;
		r = kc_spec_choose(y, &kc_traffic_kind, is_policy, &rep, &doc, err);
	}
	if (r == 0)
		r = check(doc, &rep, ret_policy, err);
	if (r < 0)
		kc_report_lines(&rep, err, errors);
	return r;
}
