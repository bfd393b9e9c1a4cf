#include "clouds/aws/route53.h"

#include <stdio.h>
#include <string.h>

#include "clouds/aws/route53_impl.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

#define XMLNS " xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\""

/* After Route 53's model, version 2013-04-01. */
static const struct kc_xml_shapes shapes = {
	.lists = (const char *const[]){ "ResourceRecordSets", "ResourceRecords", "HealthChecks",
					"ChildHealthChecks", "Regions", "Dimensions", "Tags",
					"ResourceTagSets", "HostedZones", "NameServers", "VPCs",
					"ChangeGuardrails", "RecordData", NULL },
	.integers = (const char *const[]){ "Weight", "TTL", "Port", "RequestInterval",
					   "FailureThreshold", "HealthThreshold",
					   "HealthCheckVersion", "ResourceRecordSetCount", NULL },
	.booleans = (const char *const[]){ "MultiValueAnswer", "EvaluateTargetHealth",
					   "IsTruncated", "MeasureLatency", "Inverted", "Disabled",
					   "EnableSNI", "PrivateZone", NULL },
};

static int call(struct kc_aws *a, const struct kc_aws_call *c, json_t **ret,
		struct kc_aws_error *error, struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%sResponse", c->action);
	json_auto_t *reply = NULL;
	int r;

	r = kc_aws_do(a, c, &reply, error, err);
	if (r == 0)
		*ret = json_incref(json_object_get(reply, root));
	return r;
}

int kc_route53_get(struct kc_aws *a, const char *action, const char *path, const char *query,
		   json_t **ret, struct kc_err *err)
{
	return call(a,
		    &(struct kc_aws_call){ .action = action,
					   .method = "GET",
					   .path = path,
					   .query = query,
					   .idempotent = true,
					   .shapes = &shapes },
		    ret, NULL, err);
}

int kc_route53_post(struct kc_aws *a, const char *action, const char *path, const json_t *body,
		    bool idempotent, json_t **ret, struct kc_aws_error *error, struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%sRequest", action), *text = NULL;
	_cleanup_buf_ struct kc_buf b = { 0 };
	int r;

	r = kc_xml_write(&b, root, body, err);
	if (r < 0)
		return kc_wrap(err, "%s", action);
	text = xasprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s" XMLNS "%s", root,
			 b.data + 1 + strlen(root));
	return call(a,
		    &(struct kc_aws_call){ .action = action,
					   .method = "POST",
					   .path = path,
					   .body = text,
					   .idempotent = idempotent,
					   .shapes = &shapes },
		    ret, error, err);
}

int kc_route53_delete(struct kc_aws *a, const char *action, const char *path, struct kc_err *err)
{
	json_auto_t *reply = NULL;

	return call(a,
		    &(struct kc_aws_call){ .action = action,
					   .method = "DELETE",
					   .path = path,
					   .idempotent = true,
					   .shapes = &shapes },
		    &reply, NULL, err);
}

/* "/hostedzone/Z1" and "Z1" are the same. */
static const char *bare(const char *id)
{
	const char *slash = strrchr(id, '/');

	return slash ? slash + 1 : id;
}

static char *path_of(const char *collection, const char *id, const char *rest)
{
	_cleanup_free_ char *escaped = kc_http_escape(bare(id));

	return xasprintf(KC_ROUTE53_PATH "/%s/%s%s", collection, escaped, rest);
}

/* "" or "&key=value". */
static void add_query(struct kc_buf *b, const char *key, const char *value)
{
	_cleanup_free_ char *escaped = value ? kc_http_escape(value) : NULL;

	if (value)
		kc_buf_printf(b, "%s%s=%s", b->len ? "&" : "", key, escaped);
}

static int truncated(const json_t *reply, const char *what, bool *ret, struct kc_err *err)
{
	const json_t *v = json_object_get(reply, "IsTruncated");

	if (!json_is_boolean(v))
		return kc_fail(err, KC_EFAIL, "%s: no boolean \"IsTruncated\"", what);
	*ret = json_is_true(v);
	return 0;
}

/* The name itself, or one below it: in the zone's order they stand together. */
static bool is_within(const char *at, const char *name)
{
	size_t n = strlen(at), m = strlen(name);

	return n >= m && streq(at + n - m, name) && (n == m || at[n - m - 1] == '.');
}

/* Of a name: NULL, all of the zone. */
struct range {
	const char *name;
	bool alone; /* and nothing below it */
};

static bool is_in(const struct range *range, const char *at)
{
	return !range->name || (range->alone ? streq(at, range->name) : is_within(at, range->name));
}

/* Appends a page's rrsets; *ret_more: go on at what reply says. */
static int take_rrsets(const json_t *reply, const struct range *range, json_t *all, bool *ret_more,
		       struct kc_err *err)
{
	const json_t *sets, *v;
	json_t *set;
	size_t i;
	int r;

	r = kc_json_arr(reply, "ListResourceRecordSets", "ResourceRecordSets", &sets, err);
	if (r == 0)
		r = truncated(reply, "ListResourceRecordSets", ret_more, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)sets, i, v) {
		r = kc_route53_rrset_read(v, &set, err);
		if (r < 0)
			return kc_wrap(err, "ListResourceRecordSets");
		if (!is_in(range, kc_json_get_str(set, "name", ""))) {
			json_decref(set);
			*ret_more = false;
			return 0;
		}
		json_array_append_new(all, set);
	}
	return 0;
}

static int list_rrsets(struct kc_aws *a, const char *zone, const struct range *range, json_t **ret,
		       struct kc_err *err)
{
	_cleanup_free_ char *path = path_of("hostedzone", zone, "/rrset");
	_cleanup_api_pages_ struct kc_api_pages pages = { 0 };
	json_auto_t *all = json_array(), *reply = NULL;
	bool more = true;
	int r;

	while (more) {
		_cleanup_buf_ struct kc_buf query = { 0 };
		const char *at = kc_json_get_str(reply, "NextRecordName", range->name);

		kc_buf_puts(&query, "maxitems=300");
		add_query(&query, "name", at);
		add_query(&query, "type", kc_json_get_str(reply, "NextRecordType", NULL));
		add_query(&query, "identifier",
			  kc_json_get_str(reply, "NextRecordIdentifier", NULL));
		if (reply && !json_object_get(reply, "NextRecordName"))
			return kc_fail(err, KC_EFAIL,
				       "ListResourceRecordSets: truncated, but no NextRecordName");
		r = kc_api_pages_next(&pages, "ListResourceRecordSets", query.data, err);
		if (r < 0)
			return r;
		json_decref(reply);
		reply = NULL;
		r = kc_route53_get(a, "ListResourceRecordSets", path, query.data, &reply, err);
		if (r == 0)
			r = take_rrsets(reply, range, all, &more, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE(all);
	return 0;
}

int kc_route53_rrsets(struct kc_aws *a, const char *zone, const char *name, json_t **ret,
		      struct kc_err *err)
{
	_cleanup_free_ char *at = name ? kc_route53_name(name) : NULL;

	return list_rrsets(a, zone, &(struct range){ .name = at }, ret, err);
}

int kc_route53_rrsets_at(struct kc_aws *a, const char *zone, const char *name, json_t **ret,
			 struct kc_err *err)
{
	_cleanup_free_ char *at = kc_route53_name(name);

	return list_rrsets(a, zone, &(struct range){ .name = at, .alone = true }, ret, err);
}

int kc_route53_change(struct kc_aws *a, const char *zone, const char *comment,
		      const json_t *changes, char **ret_change, struct kc_aws_error *error,
		      struct kc_err *err)
{
	_cleanup_free_ char *path = path_of("hostedzone", zone, "/rrset/");
	json_auto_t *list = json_array(), *body = NULL, *reply = NULL;
	const json_t *v, *info;
	const char *id;
	json_t *set;
	size_t i;
	int r;

	json_array_foreach((json_t *)changes, i, v) {
		const char *action = kc_json_get_str(v, "action", "");

		if (!streq(action, "CREATE") && !streq(action, "DELETE"))
			return kc_fail(err, KC_EINVAL, "\"%s\" is neither CREATE nor DELETE",
				       action);
		r = kc_route53_rrset_write(json_object_get(v, "rrset"), &set, err);
		if (r < 0)
			return r;
		json_array_append_new(list, kc_pack("{s:s, s:o}", "Action", action,
						    "ResourceRecordSet", set));
	}
	body = kc_pack("{s:{s:s*, s:{s:O}}}", "ChangeBatch", "Comment", comment, "Changes",
		       "Change", list);
	r = kc_route53_post(a, "ChangeResourceRecordSets", path, body, false, &reply, error, err);
	if (r == 0)
		r = kc_json_obj(reply, "ChangeResourceRecordSets", "ChangeInfo", &info, err);
	if (r == 0)
		r = kc_json_str(info, "ChangeResourceRecordSets", "Id", &id, err);
	if (r == 0)
		*ret_change = xstrdup(bare(id));
	return r;
}

int kc_route53_change_done(struct kc_aws *a, const char *change, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of("change", change, "");
	json_auto_t *reply = NULL;
	const json_t *info;
	const char *status;
	int r;

	r = kc_route53_get(a, "GetChange", path, NULL, &reply, err);
	if (r == 0)
		r = kc_json_obj(reply, "GetChange", "ChangeInfo", &info, err);
	if (r == 0)
		r = kc_json_str(info, "GetChange", "Status", &status, err);
	if (r < 0)
		return r;
	if (streq(status, "INSYNC"))
		return 0;
	if (streq(status, "PENDING"))
		return kc_fail(err, KC_EAGAIN, "change %s is on its way to Route 53's servers",
			       bare(change));
	return kc_fail(err, KC_EFAIL, "GetChange: \"%.60s\" is no status", status);
}

int kc_route53_zone_find(struct kc_aws *a, const char *name, char **ret_zone, struct kc_err *err)
{
	static const char what[] = "ListHostedZonesByName";
	_cleanup_free_ char *want = kc_route53_name(name), *found = NULL;
	_cleanup_buf_ struct kc_buf query = { 0 };
	json_auto_t *reply = NULL;
	const json_t *zones, *v;
	size_t i;
	int r;

	/* Sorted from that name on, so all of its zones are on the first page. */
	add_query(&query, "dnsname", want);
	add_query(&query, "maxitems", "100");
	r = kc_route53_get(a, what, KC_ROUTE53_PATH "/hostedzonesbyname", query.data, &reply, err);
	if (r == 0)
		r = kc_json_arr(reply, what, "HostedZones", &zones, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)zones, i, v) {
		_cleanup_free_ char *its = NULL;
		const char *id, *text;

		r = kc_json_str(v, what, "Name", &text, err);
		if (r == 0)
			r = kc_json_str(v, what, "Id", &id, err);
		if (r < 0)
			return r;
		its = kc_route53_name(text);
		if (!streq(its, want) ||
		    kc_json_get_bool(json_object_get(v, "Config"), "PrivateZone", false))
			continue;
		if (found)
			return kc_fail(err, KC_ECONFLICT,
				       "several public hosted zones are named %s (%s, %s): say "
				       "which by its id",
				       want, found, bare(id));
		found = xstrdup(bare(id));
	}
	if (!found)
		return kc_fail(err, KC_ENOTFOUND, "Route 53 has no public hosted zone %s", want);
	*ret_zone = TAKE(found);
	return 0;
}

int kc_route53_zone(struct kc_aws *a, const char *zone, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of("hostedzone", zone, ""), *own = NULL;
	json_auto_t *reply = NULL, *ns = json_array();
	const json_t *z, *list, *v;
	const char *name, *id;
	bool private;
	size_t i;
	int r;

	r = kc_route53_get(a, "GetHostedZone", path, NULL, &reply, err);
	if (r == 0)
		r = kc_json_obj(reply, "GetHostedZone", "HostedZone", &z, err);
	if (r == 0)
		r = kc_json_str(z, "GetHostedZone", "Name", &name, err);
	if (r == 0)
		r = kc_json_str(z, "GetHostedZone", "Id", &id, err);
	if (r < 0)
		return r;
	private = kc_json_get_bool(json_object_get(z, "Config"), "PrivateZone", false);
	list = kc_json_at(reply, "DelegationSet.NameServers");
	if (!private && !json_array_size(list))
		return kc_fail(err, KC_EFAIL, "GetHostedZone: a public zone without name servers");
	json_array_foreach((json_t *)list, i, v) {
		_cleanup_free_ char *s = NULL;

		if (!json_is_string(v))
			return kc_fail(err, KC_EFAIL, "GetHostedZone: a name server is no text");
		s = kc_route53_name(json_string_value(v));
		json_array_append_new(ns, json_string(s));
	}
	kc_json_sort(ns);
	own = kc_route53_name(name);
	*ret = kc_pack("{s:s, s:s, s:b, s:O}", "id", bare(id), "name", own, "private", private,
		       "ns", ns);
	return 0;
}

int kc_route53_test(struct kc_aws *a, const struct kc_route53_question *q, json_t **ret,
		    struct kc_err *err)
{
	static const char what[] = "TestDNSAnswer";
	_cleanup_buf_ struct kc_buf query = { 0 };
	json_auto_t *reply = NULL, *copy = NULL;
	const json_t *data, *v;
	const char *rcode;
	char bits[12];
	size_t i;
	int r;

	snprintf(bits, sizeof(bits), "%d", q->bits);
	add_query(&query, "hostedzoneid", bare(q->zone));
	add_query(&query, "recordname", q->name);
	add_query(&query, "recordtype", q->type);
	add_query(&query, "resolverip", q->resolver);
	add_query(&query, "edns0clientsubnetip", q->subnet);
	add_query(&query, "edns0clientsubnetmask", q->subnet ? bits : NULL);
	r = kc_route53_get(a, what, KC_ROUTE53_PATH "/testdnsanswer", query.data, &reply, err);
	if (r == 0)
		r = kc_json_str(reply, what, "ResponseCode", &rcode, err);
	if (r == 0)
		r = kc_json_arr(reply, what, "RecordData", &data, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)data, i, v)
		if (!json_is_string(v))
			return kc_fail(err, KC_EFAIL, "%s: a record is no text", what);
	copy = json_deep_copy(data);
	kc_json_sort(copy);
	*ret = kc_pack("{s:s, s:O}", "rcode", rcode, "data", copy);
	return 0;
}
