#include "clouds/azure/dns_api.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/http.h"

#define DNS_VERSION	"2018-05-01"
#define TRAFFIC_VERSION "2022-04-01"
enum { TRIES = 3, TRY_MS = 60000 }; /* of what may have happened: no new try later than that */

/* ".../providers/Microsoft.Network/KIND/NAME[/SUB[/CHILD]]" */
static char *path_of(const struct kc_azure_place *at, const char *kind, const char *name,
		     const char *sub, const char *child)
{
	_cleanup_free_ char *s = kc_http_escape(at->subscription), *g = kc_http_escape(at->group),
			    *n = kc_http_escape(name), *c = child ? kc_http_escape(child) : NULL;

	return xasprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/%s/%s"
			 "%s%s%s%s",
			 s, g, kind, n, sub ? "/" : "", sub ? sub : "", c ? "/" : "", c ? c : "");
}

int kc_azure_zone(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		  json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(at, "dnsZones", zone, NULL, NULL);
	struct kc_azure_req req = { .method = "GET", .path = path, .api_version = DNS_VERSION };
	const json_t *properties, *servers;
	json_auto_t *v = NULL;
	int r = kc_azure_call(a, &req, &v, NULL, err);

	if (r == 0)
		r = kc_json_obj(v, path, "properties", &properties, err);
	if (r == 0)
		r = kc_json_arr(properties, path, "nameServers", &servers, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

static int check_rrset(const json_t *v, const char *path, struct kc_err *err)
{
	const json_t *properties;
	const char *s;
	int r = kc_json_str(v, path, "name", &s, err);

	if (r == 0)
		r = kc_json_str(v, path, "type", &s, err);
	if (r == 0)
		r = kc_json_str(v, path, "etag", &s, err);
	if (r == 0)
		r = kc_json_obj(v, path, "properties", &properties, err);
	return r;
}

int kc_azure_rrsets(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		    const char *suffix, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(at, "dnsZones", zone, "recordsets", NULL);
	json_auto_t *query = json_object(), *all = NULL;
	struct kc_azure_req req = { .path = path, .api_version = DNS_VERSION, .query = query };
	const json_t *v;
	size_t i;
	int r;

	if (suffix)
		json_object_set_new(query, "$recordsetnamesuffix", json_string(suffix));
	r = kc_azure_list(a, &req, &all, err);
	if (r < 0)
		return r;
	json_array_foreach(all, i, v) {
		r = check_rrset(v, path, err);
		if (r < 0)
			return r;
	}
	*ret = TAKE(all);
	return 0;
}

static int get_rrset(struct kc_azure *a, const char *path, json_t **ret, struct kc_err *err)
{
	struct kc_azure_req req = { .method = "GET", .path = path, .api_version = DNS_VERSION };
	json_auto_t *v = NULL;
	int r = kc_azure_call(a, &req, &v, NULL, err);

	if (r == 0)
		r = check_rrset(v, path, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

int kc_azure_rrset_get(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		       const char *type, const char *name, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(at, "dnsZones", zone, type, name);

	return get_rrset(a, path, ret, err);
}

static bool is_lost(int r)
{
	return r == KC_EAGAIN || r == KC_ETIMEOUT;
}

/*
 * Send it once. *lost is set if it may have happened; a conflict may then be with ourselves: what
 * is there now tells. A body of another's that is equal to ours is as good as ours.
 */
static int put_once(struct kc_azure *a, const struct kc_azure_req *req, bool *lost, json_t **ret,
		    struct kc_err *err)
{
	json_auto_t *now = NULL;
	struct kc_err why;
	int r = kc_azure_call(a, req, ret, NULL, &why);

	if (r == 0)
		return 0;
	*lost |= is_lost(r);
	if (*lost && (is_lost(r) || r == KC_ECONFLICT) &&
	    get_rrset(a, req->path, &now, NULL) == 0 && kc_json_within(req->body, now)) {
		*ret = TAKE(now);
		return 0;
	}
	return kc_fail(err, r, "%s", why.msg);
}

int kc_azure_rrset_put(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
		       const char *type, const char *name, const char *etag, const json_t *body,
		       json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(at, "dnsZones", zone, type, name);
	struct kc_azure_req req = { .method = "PUT",
				    .path = path,
				    .api_version = DNS_VERSION,
				    .if_match = etag,
				    .if_none_match = etag ? NULL : "*",
				    .body = body };
	json_auto_t *v = NULL;
	bool lost = false;
	int64_t end = kc_now_ms() + TRY_MS;
	int r = KC_EAGAIN;

	for (int i = 0; i < TRIES && r == KC_EAGAIN && kc_now_ms() < end; i++)
		r = put_once(a, &req, &lost, &v, err);
	if (r == 0)
		r = check_rrset(v, path, err);
	if (r == 0)
		*ret = TAKE(v);
	return r;
}

/* A lost DELETE, sent again: the set is not there, or has another's etag. */
int kc_azure_rrset_delete(struct kc_azure *a, const struct kc_azure_place *at, const char *zone,
			  const char *type, const char *name, const char *etag, struct kc_err *err)
{
	_cleanup_free_ char *path = path_of(at, "dnsZones", zone, type, name);
	struct kc_azure_req req = {
		.method = "DELETE", .path = path, .api_version = DNS_VERSION, .if_match = etag
	};
	int64_t end = kc_now_ms() + TRY_MS;
	int r = KC_EAGAIN;

	for (int i = 0; i < TRIES && r == KC_EAGAIN && kc_now_ms() < end; i++)
		r = kc_azure_call(a, &req, NULL, NULL, err);
	return r == KC_ENOTFOUND ? 0 : r;
}

static int traffic(struct kc_azure *a, const char *method, const char *path, bool only_if_absent,
		   const json_t *body, json_t **ret, struct kc_err *err)
{
	struct kc_azure_req req = { .method = method,
				    .path = path,
				    .api_version = TRAFFIC_VERSION,
				    .if_none_match = only_if_absent ? "*" : NULL,
				    .body = body };
	const json_t *properties;
	json_auto_t *v = NULL;
	int r = kc_azure_call(a, &req, &v, NULL, err);

	if (streq(method, "DELETE"))
		return r == KC_ENOTFOUND ? 0 : r;
	if (r == 0)
		r = kc_json_obj(v, path, "properties", &properties, err);
	if (r == 0 && ret)
		*ret = TAKE(v);
	return r;
}

static char *profile_path(const struct kc_azure_place *at, const char *name, const char *kind,
			  const char *endpoint)
{
	return path_of(at, "trafficmanagerprofiles", name, kind, endpoint);
}

int kc_azure_profile_get(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, name, NULL, NULL);

	return traffic(a, "GET", path, false, NULL, ret, err);
}

int kc_azure_profiles(struct kc_azure *a, const struct kc_azure_place *at, json_t **ret,
		      struct kc_err *err)
{
	_cleanup_free_ char *s = kc_http_escape(at->subscription), *g = kc_http_escape(at->group),
			    *path = xasprintf("/subscriptions/%s/resourceGroups/%s/providers/"
					      "Microsoft.Network/trafficmanagerprofiles",
					      s, g);
	struct kc_azure_req req = { .path = path, .api_version = TRAFFIC_VERSION };
	json_auto_t *all = NULL;
	const json_t *v, *properties;
	const char *name;
	size_t i;
	int r = kc_azure_list(a, &req, &all, err);

	json_array_foreach(all, i, v) {
		if (r == 0)
			r = kc_json_str(v, path, "name", &name, err);
		if (r == 0)
			r = kc_json_obj(v, path, "properties", &properties, err);
	}
	if (r == 0)
		*ret = TAKE(all);
	return r;
}

int kc_azure_profile_put(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 bool only_if_absent, const json_t *body, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, name, NULL, NULL);

	return traffic(a, "PUT", path, only_if_absent, body, ret, err);
}

int kc_azure_profile_tag(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			 const json_t *tags, struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, name, NULL, NULL);
	json_auto_t *body = kc_pack("{s:O}", "tags", tags);

	return traffic(a, "PATCH", path, false, body, NULL, err);
}

int kc_azure_profile_delete(struct kc_azure *a, const struct kc_azure_place *at, const char *name,
			    struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, name, NULL, NULL);

	return traffic(a, "DELETE", path, false, NULL, NULL, err);
}

int kc_azure_endpoint_put(struct kc_azure *a, const struct kc_azure_place *at, const char *profile,
			  const char *kind, const char *name, const json_t *body, json_t **ret,
			  struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, profile, kind, name);

	return traffic(a, "PUT", path, false, body, ret, err);
}

int kc_azure_endpoint_delete(struct kc_azure *a, const struct kc_azure_place *at,
			     const char *profile, const char *kind, const char *name,
			     struct kc_err *err)
{
	_cleanup_free_ char *path = profile_path(at, profile, kind, name);

	return traffic(a, "DELETE", path, false, NULL, NULL, err);
}
