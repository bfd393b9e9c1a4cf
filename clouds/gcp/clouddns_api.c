#include "clouds/gcp/clouddns_api.h"

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/http.h"

enum { TRIES = 3, TRY_MS = 60000 }; /* of what may have happened: no new try later than that */
#define LATEST "20"		    /* changes to look through for one of ours */
#define PAGE   "1000"		    /* of all rrsets of a zone; fewer if Google says so */

static char *zone_path(const char *project, const char *zone, const char *rest)
{
	_cleanup_free_ char *p = kc_http_escape(project), *z = kc_http_escape(zone);

	return xasprintf("projects/%s/managedZones/%s%s", p, z, rest);
}

int kc_clouddns_zone(struct kc_gcp *g, const char *project, const char *zone, json_t **ret,
		     struct kc_err *err)
{
	_cleanup_free_ char *path = zone_path(project, zone, "");
	json_auto_t *v = NULL;
	const json_t *servers;
	const char *name;
	int r = kc_gcp_call(g, KC_GCP_DNS, "GET", path, NULL, NULL, &v, err);

	if (r == 0)
		r = kc_json_str(v, path, "dnsName", &name, err);
	if (r == 0)
		r = kc_json_arr(v, path, "nameServers", &servers, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

int kc_clouddns_quota(struct kc_gcp *g, const char *project, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *p = kc_http_escape(project), *path = xasprintf("projects/%s", p);
	json_auto_t *v = NULL;
	const json_t *quota;
	int r = kc_gcp_call(g, KC_GCP_DNS, "GET", path, NULL, NULL, &v, err);

	if (r == 0)
		r = kc_json_obj(v, path, "quota", &quota, err);
	if (r == 0)
		*ret = json_incref((json_t *)quota);
	return r;
}

/* All of a list of rrsets can be told apart: each has name and type. */
static int check_rrsets(const json_t *rrsets, const char *path, struct kc_err *err)
{
	const json_t *v;
	const char *s;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)rrsets, i, v) {
		r = kc_json_str(v, path, "name", &s, err);
		if (r == 0)
			r = kc_json_str(v, path, "type", &s, err);
		if (r < 0)
			return r;
	}
	return r;
}

int kc_clouddns_rrsets(struct kc_gcp *g, const char *project, const char *zone, const char *name,
		       const char *type, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = zone_path(project, zone, "/rrsets");
	json_auto_t *query = json_object(), *all = NULL;
	int r;

	if (name)
		json_object_set_new(query, "name", json_string(name));
	else
		json_object_set_new(query, "maxResults", json_string(PAGE));
	if (type)
		json_object_set_new(query, "type", json_string(type));
	r = kc_gcp_list(g, KC_GCP_DNS, path, query, "rrsets", &all, err);
	if (r == 0)
		r = check_rrsets(all, path, err);
	if (r == 0)
		*ret = TAKE(all);
	return r;
}

static int check_change(json_t *v, const char *path, struct kc_err *err)
{
	const char *id, *status;
	int r = kc_json_str(v, path, "id", &id, err);

	if (r == 0)
		r = kc_json_str(v, path, "status", &status, err);
	if (r == 0 && !streq(status, "pending") && !streq(status, "done"))
		r = kc_fail(err, KC_EFAIL, "%s: change %.60s has the status \"%.60s\"", path, id,
			    status);
	return r;
}

static bool has_rrset(const json_t *list, const json_t *rrset)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (json_equal(json_object_get(v, "name"), json_object_get(rrset, "name")) &&
		    json_equal(json_object_get(v, "type"), json_object_get(rrset, "type")))
			return true;
	return false;
}

/* Do two changes have an rrset in common? */
static bool touches(const json_t *a, const json_t *b)
{
	static const char *const parts[] = { "additions", "deletions" };
	const json_t *v;
	size_t i;

	for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
		json_array_foreach(json_object_get(a, parts[p]), i, v)
			if (has_rrset(json_object_get(b, "additions"), v) ||
			    has_rrset(json_object_get(b, "deletions"), v))
				return true;
	return false;
}

/*
 * Was this change made? It was if the latest one of its rrsets has its content; an older one with
 * the same content does not count. *ret stays NULL if it was not.
 */
static int find_change(struct kc_gcp *g, const char *path, const json_t *body, json_t **ret,
		       struct kc_err *err)
{
	json_auto_t *query = kc_pack("{s:s, s:s, s:s}", "sortBy", "changeSequence", "sortOrder",
				     "descending", "maxResults", LATEST),
		    *page = NULL;
	const json_t *changes, *v;
	size_t i;
	int r = kc_gcp_call(g, KC_GCP_DNS, "GET", path, query, NULL, &page, err);

	if (r == 0)
		r = kc_json_arr(page, path, "changes", &changes, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)changes, i, v) {
		if (!touches(body, v))
			continue;
		if (kc_json_within(body, v))
			*ret = json_incref((json_t *)v);
		break;
	}
	return 0;
}

static json_t *change_body(const json_t *deletions, const json_t *additions)
{
	json_t *body = json_object();

	if (json_array_size(deletions))
		json_object_set(body, "deletions", (json_t *)deletions);
	if (json_array_size(additions))
		json_object_set(body, "additions", (json_t *)additions);
	return body;
}

/* Send it once. *lost is set if it may have happened; a conflict may then be with ourselves. */
static int send_change(struct kc_gcp *g, const char *path, const json_t *query, const json_t *body,
		       bool *lost, json_t **ret, struct kc_err *err)
{
	struct kc_err why, ignored;
	int r = kc_gcp_call(g, KC_GCP_DNS, "POST", path, query, body, ret, &why);

	if (r == 0)
		return 0;
	/* "The 'entity.change.deletions[0]' resource named ... does not exist." A missing zone is
	 * another 404. */
	if (r == KC_ENOTFOUND && strstr(why.msg, "entity.change"))
		r = KC_ECONFLICT;
	*lost |= r == KC_EAGAIN || r == KC_ETIMEOUT;
	if (*lost && (r == KC_EAGAIN || r == KC_ETIMEOUT || r == KC_ECONFLICT) &&
	    find_change(g, path, body, ret, &ignored) == 0 && *ret)
		return 0;
	return kc_fail(err, r, "%s", why.msg);
}

int kc_clouddns_change(struct kc_gcp *g, const char *project, const char *zone,
		       const json_t *deletions, const json_t *additions, json_t **ret,
		       struct kc_err *err)
{
	_cleanup_free_ char *path = zone_path(project, zone, "/changes");
	json_auto_t *body = change_body(deletions, additions), *v = NULL, *query = NULL;
	unsigned char random[16];
	bool lost = false;
	char id[33];
	int64_t end = kc_now_ms() + TRY_MS;
	int r = KC_EAGAIN;

	kc_random(random, sizeof(random));
	kc_hex(random, sizeof(random), id);
	query = kc_pack("{s:s+}", "clientOperationId", "kc-", id);
	for (int i = 0; i < TRIES && r == KC_EAGAIN && kc_now_ms() < end; i++)
		r = send_change(g, path, query, body, &lost, &v, err);
	if (r == 0)
		r = check_change(v, path, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

int kc_clouddns_change_get(struct kc_gcp *g, const char *project, const char *zone, const char *id,
			   json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *escaped = kc_http_escape(id),
			    *rest = xasprintf("/changes/%s", escaped),
			    *path = zone_path(project, zone, rest);
	json_auto_t *v = NULL;
	int r = kc_gcp_call(g, KC_GCP_DNS, "GET", path, NULL, NULL, &v, err);

	if (r == 0)
		r = check_change(v, path, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

static char *check_path(const char *project, const char *name)
{
	_cleanup_free_ char *p = kc_http_escape(project), *n = kc_http_escape(name);

	return xasprintf("projects/%s/global/healthChecks%s%s", p, *n ? "/" : "", n);
}

int kc_gcp_health_checks(struct kc_gcp *g, const char *project, const char *prefix, json_t **ret,
			 struct kc_err *err)
{
	_cleanup_free_ char *path = check_path(project, "");
	json_auto_t *query = json_object(), *all = NULL, *found = json_array();
	const json_t *v;
	const char *name;
	size_t i;
	int r;

	if (prefix && *prefix)
		json_object_set_new(query, "filter", json_sprintf("name eq %s.*", prefix));
	r = kc_gcp_list(g, KC_GCP_COMPUTE, path, query, "items", &all, err);
	if (r < 0)
		return r;
	json_array_foreach(all, i, v) {
		r = kc_json_str(v, path, "name", &name, err);
		if (r < 0)
			return r;
		if (!prefix || kc_startswith(name, prefix)) /* whatever the filter understood */
			json_array_append(found, (json_t *)v);
	}
	*ret = TAKE(found);
	return 0;
}

int kc_gcp_health_check(struct kc_gcp *g, const char *project, const char *name, json_t **ret,
			struct kc_err *err)
{
	_cleanup_free_ char *path = check_path(project, name);
	json_auto_t *v = NULL;
	const char *link;
	int r = kc_gcp_call(g, KC_GCP_COMPUTE, "GET", path, NULL, NULL, &v, err);

	if (r == 0)
		r = kc_json_str(v, path, "selfLink", &link, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

static int change_check(struct kc_gcp *g, const char *project, const char *method, const char *name,
			const json_t *body, struct kc_err *err)
{
	_cleanup_free_ char *path = check_path(project, name);
	json_auto_t *operation = NULL;
	int r = kc_gcp_call(g, KC_GCP_COMPUTE, method, path, NULL, body, &operation, err);

	return r < 0 ? r : kc_gcp_wait(g, project, operation, err);
}

int kc_gcp_health_check_insert(struct kc_gcp *g, const char *project, const json_t *check,
			       struct kc_err *err)
{
	return change_check(g, project, "POST", "", check, err);
}

int kc_gcp_health_check_update(struct kc_gcp *g, const char *project, const json_t *check,
			       struct kc_err *err)
{
	const char *name;
	int r = kc_json_str(check, "a health check", "name", &name, err);

	return r < 0 ? r : change_check(g, project, "PUT", name, check, err);
}

int kc_gcp_health_check_delete(struct kc_gcp *g, const char *project, const char *name,
			       struct kc_err *err)
{
	return change_check(g, project, "DELETE", name, NULL, err);
}
