/* Route 53's health checks and their tags. */
#include <string.h>

#include "clouds/aws/route53_impl.h"
#include "lib/base/buf.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

enum { TAGS_AT_ONCE = 10 /* ListTagsForResources */ };

/* In the order of the model, which Route 53's schema demands. inner: the name of a list's members.
 * fixed: not in an update. */
static const struct {
	const char *name, *inner;
	bool fixed;
} elements[] = {
	{ "IPAddress", NULL, false },
	{ "Port", NULL, false },
	{ "Type", NULL, true },
	{ "ResourcePath", NULL, false },
	{ "FullyQualifiedDomainName", NULL, false },
	{ "SearchString", NULL, false },
	{ "RequestInterval", NULL, true },
	{ "FailureThreshold", NULL, false },
	{ "MeasureLatency", NULL, true },
	{ "Inverted", NULL, false },
	{ "Disabled", NULL, false },
	{ "HealthThreshold", NULL, false },
	{ "ChildHealthChecks", "ChildHealthCheck", false },
	{ "EnableSNI", NULL, false },
	{ "Regions", "Region", false },
};

/* Puts config's elements into o, in order. */
static int put_config(json_t *o, const json_t *config, bool update, struct kc_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
		json_t *v = json_object_get(config, elements[i].name);

		if (!v || (update && elements[i].fixed))
			continue;
		if (elements[i].inner)
			json_object_set_new(o, elements[i].name,
					    kc_pack("{s:O}", elements[i].inner, v));
		else
			json_object_set(o, elements[i].name, v);
		n++;
	}
	if (n != json_object_size(config))
		return kc_fail(err, KC_EINVAL,
			       "a health check's configuration has a member that %s",
			       update ? "cannot be changed" : "is not known here");
	return 0;
}

static int read_health(const json_t *theirs, const char *what, json_t **ret, struct kc_err *err)
{
	const char *id, *reference;
	const json_t *config;
	int64_t version;
	int r;

	r = kc_json_str(theirs, what, "Id", &id, err);
	if (r == 0)
		r = kc_json_str(theirs, what, "CallerReference", &reference, err);
	if (r == 0)
		r = kc_json_int(theirs, what, "HealthCheckVersion", &version, err);
	if (r == 0)
		r = kc_json_obj(theirs, what, "HealthCheckConfig", &config, err);
	if (r == 0)
		*ret = kc_pack("{s:s, s:s, s:I, s:o}", "id", id, "reference", reference, "version",
			       (json_int_t)version, "config", json_deep_copy(config));
	return r;
}

static int read_one(const json_t *reply, const char *what, json_t **ret, struct kc_err *err)
{
	const json_t *one;
	int r;

	r = kc_json_obj(reply, what, "HealthCheck", &one, err);
	return r < 0 ? r : read_health(one, what, ret, err);
}

static char *path_of(const char *id)
{
	_cleanup_free_ char *escaped = kc_http_escape(id);

	return xasprintf(KC_ROUTE53_PATH "/healthcheck/%s", escaped);
}

int kc_route53_health_create(struct kc_aws *a, const char *reference, const json_t *config,
			     json_t **ret, struct kc_err *err)
{
	json_auto_t *inner = json_object(), *body = NULL, *reply = NULL;
	int r;

	r = put_config(inner, config, false, err);
	if (r < 0)
		return r;
	body = kc_pack("{s:s, s:O}", "CallerReference", reference, "HealthCheckConfig", inner);
	r = kc_route53_post(a, "CreateHealthCheck", KC_ROUTE53_PATH "/healthcheck", body, true,
			    &reply, NULL, err);
	return r < 0 ? r : read_one(reply, "CreateHealthCheck", ret, err);
}

int kc_route53_health_get(struct kc_aws *a, const char *id, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(id);
	json_auto_t *reply = NULL;
	int r;

	r = kc_route53_get(a, "GetHealthCheck", path, NULL, &reply, err);
	return r < 0 ? r : read_one(reply, "GetHealthCheck", ret, err);
}

/* Appends a page; ret_marker: of the next one, or NULL; borrowed from reply. */
static int take_page(const json_t *reply, json_t *all, const char **ret_marker, struct kc_err *err)
{
	static const char what[] = "ListHealthChecks";
	const json_t *list, *v, *more = json_object_get(reply, "IsTruncated");
	json_t *one;
	size_t i;
	int r;

	r = kc_json_arr(reply, what, "HealthChecks", &list, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)list, i, v) {
		r = read_health(v, what, &one, err);
		if (r < 0)
			return r;
		json_array_append_new(all, one);
	}
	if (!json_is_boolean(more))
		return kc_fail(err, KC_EFAIL, "%s: no boolean \"IsTruncated\"", what);
	*ret_marker = NULL;
	return json_is_true(more) ? kc_json_str(reply, what, "NextMarker", ret_marker, err) : 0;
}

int kc_route53_health_list(struct kc_aws *a, json_t **ret, struct kc_err *err)
{
	static const char what[] = "ListHealthChecks";
	_cleanup_api_pages_ struct kc_api_pages pages = { 0 };
	_cleanup_free_ char *query = xstrdup("maxitems=100");
	json_auto_t *all = json_array();
	const char *marker = NULL;
	int r;

	do {
		json_auto_t *reply = NULL;

		r = kc_api_pages_next(&pages, what, query, err);
		if (r == 0)
			r = kc_route53_get(a, what, KC_ROUTE53_PATH "/healthcheck", query, &reply,
					   err);
		if (r == 0)
			r = take_page(reply, all, &marker, err);
		if (r < 0)
			return r;
		if (marker) {
			_cleanup_free_ char *escaped = kc_http_escape(marker);

			free(query);
			query = xasprintf("marker=%s&maxitems=100", escaped);
		}
	} while (marker);
	*ret = TAKE(all);
	return 0;
}

int kc_route53_health_update(struct kc_aws *a, const char *id, int64_t version,
			     const json_t *config, json_t **ret, struct kc_err *err)
{
	json_auto_t *body = kc_pack("{s:I}", "HealthCheckVersion", (json_int_t)version);
	_cleanup_free_ char *path = path_of(id);
	json_auto_t *reply = NULL;
	int r;

	r = put_config(body, config, true, err);
	if (r == 0)
		r = kc_route53_post(a, "UpdateHealthCheck", path, body, false, &reply, NULL, err);
	return r < 0 ? r : read_one(reply, "UpdateHealthCheck", ret, err);
}

int kc_route53_health_delete(struct kc_aws *a, const char *id, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(id);

	return kc_route53_delete(a, "DeleteHealthCheck", path, err);
}

int kc_route53_health_tag(struct kc_aws *a, const char *id, const json_t *tags, struct kc_err *err)
{
	_cleanup_free_ char *escaped = kc_http_escape(id), *path = NULL;
	json_auto_t *list = json_array(), *body = NULL, *reply = NULL;
	const char *key;
	json_t *v;

	path = xasprintf(KC_ROUTE53_PATH "/tags/healthcheck/%s", escaped);
	json_object_foreach((json_t *)tags, key, v)
		json_array_append_new(list, kc_pack("{s:s, s:O}", "Key", key, "Value", v));
	body = kc_pack("{s:{s:O}}", "AddTags", "Tag", list);
	return kc_route53_post(a, "ChangeTagsForResource", path, body, true, &reply, NULL, err);
}

static int take_tags(const json_t *reply, json_t *all, struct kc_err *err)
{
	static const char what[] = "ListTagsForResources";
	const json_t *sets, *set, *tags, *tag;
	const char *id, *key, *value;
	size_t i, k;
	int r;

	r = kc_json_arr(reply, what, "ResourceTagSets", &sets, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)sets, i, set) {
		json_t *o;

		r = kc_json_str(set, what, "ResourceId", &id, err);
		if (r == 0)
			r = kc_json_arr(set, what, "Tags", &tags, err);
		if (r < 0)
			return r;
		o = json_object();
		json_object_set_new(all, id, o);
		json_array_foreach((json_t *)tags, k, tag) {
			r = kc_json_str(tag, what, "Key", &key, err);
			if (r == 0)
				r = kc_json_str(tag, what, "Value", &value, err);
			if (r < 0)
				return r;
			json_object_set_new(o, key, json_string(value));
		}
	}
	return 0;
}

int kc_route53_health_tags(struct kc_aws *a, const json_t *ids, json_t **ret, struct kc_err *err)
{
	json_auto_t *all = json_object();
	size_t n = json_array_size(ids);
	int r;

	for (size_t at = 0; at < n; at += TAGS_AT_ONCE) {
		json_auto_t *some = json_array(), *body = NULL, *reply = NULL;

		for (size_t i = at; i < n && i < at + TAGS_AT_ONCE; i++)
			json_array_append(some, json_array_get(ids, i));
		body = kc_pack("{s:{s:O}}", "ResourceIds", "ResourceId", some);
		r = kc_route53_post(a, "ListTagsForResources", KC_ROUTE53_PATH "/tags/healthcheck",
				    body, true, &reply, NULL, err);
		if (r == 0)
			r = take_tags(reply, all, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE(all);
	return 0;
}
