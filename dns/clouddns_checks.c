/*
 * Global health checks of Compute Engine, as Cloud DNS takes them: from three regions, every 30 s
 * or more. Ours are found by their name, which is made of owner, name and configuration, so that
 * two who make the same check at once get one.
 *
 * Google documents no refusal to delete a check that a routing policy uses, and between looking and
 * deleting another region may begin to use it. So one that is not in use is marked in its
 * description first, marked ones are never taken into use, and only what has been marked for long
 * is deleted.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/clouddns.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define UNUSED "kubecdn: not used since "

enum { NAMES = 20, KEEP_S = 600, RISE = 2 };

/* One on each side of the oceans, so that a cut between two continents is no death. Always the
 * same: a check that moves with the endpoints would begin anew with each of them. */
static const char *const regions[] = { "asia-southeast1", "europe-west1", "us-central1" };

static const struct {
	const char *protocol, *type, *block;
} kinds[] = { { "http", "HTTP", "httpHealthCheck" },
	      { "https", "HTTPS", "httpsHealthCheck" },
	      { "tcp", "TCP", "tcpHealthCheck" } };

void cdns_checks_done(struct cdns_checks *c)
{
	free(c->prefix);
	free(c->about);
	json_decref(c->all);
}

/* The resource that a check asks for, without its name; NULL: of no kind that we make. */
static json_t *resource_of(const json_t *check)
{
	const char *protocol = kc_json_get_str(check, "protocol", "");
	json_t *out, *block;
	size_t k = 0;

	while (k < ARRAY_SIZE(kinds) && !streq(kinds[k].protocol, protocol))
		k++;
	if (k == ARRAY_SIZE(kinds))
		return NULL;
	block = kc_pack("{s:O, s:O*, s:O*}", "port", json_object_get(check, "port"), "requestPath",
			json_object_get(check, "path"), "host", json_object_get(check, "host"));
	out = kc_pack("{s:s, s:o, s:O, s:O, s:i, s:i, s:[]}", "type", kinds[k].type, kinds[k].block,
		      block, "checkIntervalSec", json_object_get(check, "interval"),
		      "unhealthyThreshold", json_object_get(check, "failures"), "healthyThreshold",
		      RISE, "timeoutSec", cdns_traits.timeout, "sourceRegions");
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		json_array_append_new(json_object_get(out, "sourceRegions"),
				      json_string(regions[i]));
	return out;
}

/* And back; NULL: somebody made something else of it. */
static json_t *check_of(const json_t *resource)
{
	const char *type = kc_json_get_str(resource, "type", "");
	json_auto_t *now = json_deep_copy(resource), *ours = NULL, *check = NULL;
	const json_t *block;

	kc_json_sort(json_object_get(now, "sourceRegions"));
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		if (!streq(kinds[k].type, type))
			continue;
		block = json_object_get(resource, kinds[k].block);
		check = kc_pack("{s:s, s:O*, s:O*, s:O*, s:O*, s:O*}", "protocol",
				kinds[k].protocol, "port", json_object_get(block, "port"), "path",
				json_object_get(block, "requestPath"), "host",
				json_object_get(block, "host"), "interval",
				json_object_get(resource, "checkIntervalSec"), "failures",
				json_object_get(resource, "unhealthyThreshold"));
	}
	if (!json_object_get(check, "port") || !json_object_get(check, "interval") ||
	    !json_object_get(check, "failures"))
		return NULL;
	ours = resource_of(check);
	return kc_json_within(ours, now) ? TAKE(check) : NULL;
}

/* Since when a check is marked, or 0. */
static int64_t unused_since(const json_t *resource)
{
	const char *text = kc_json_get_str(resource, "description", "");
	long since = 0;

	if (kc_startswith(text, UNUSED))
		kc_parse_long(text + strlen(UNUSED), 1, INT32_MAX, &since);
	return since;
}

static int load(struct cdns_checks *c, struct kc_err *err)
{
	json_auto_t *list = NULL;
	json_t *one;
	size_t i;
	int r;

	if (c->all)
		return 0;
	r = kc_gcp_health_checks(c->gcp, c->project, c->prefix, &list, err);
	if (r < 0)
		return r;
	c->all = json_object();
	json_array_foreach(list, i, one)
		json_object_set(c->all, kc_json_get_str(one, "name", ""), one);
	return 0;
}

/* The name in the URL of a check of ours; NULL: it is not. A project also has a number. */
static const char *own_name(const struct cdns_checks *c, const char *url)
{
	static const char before[] = "/projects/", after[] = "/global/healthChecks/";
	const char *project = strstr(url, before), *end;
	size_t n;

	project = project ? project + strlen(before) : "";
	n = strcspn(project, "/");
	end = project + n;
	if (!kc_startswith(end, after) || !kc_startswith(end + strlen(after), c->prefix))
		return NULL;
	if ((n != strlen(c->project) || memcmp(project, c->project, n) != 0) &&
	    strspn(project, "0123456789") != n)
		return NULL;
	return end + strlen(after);
}

int cdns_check_of(struct cdns_checks *c, const char *url, json_t **ret, struct kc_err *err)
{
	const char *name = own_name(c, url);
	json_t *check;
	int r = name ? load(c, err) : 0;

	if (r < 0)
		return r;
	check = name ? check_of(json_object_get(c->all, name)) : NULL;
	*ret = check ? check : kc_pack("{s:s}", "url", url);
	return 0;
}

/* The URL of a check that does this and is not marked. */
static bool known_url(const struct cdns_checks *c, const json_t *check, char **ret)
{
	const char *name;
	json_t *one;

	json_object_foreach(c->all, name, one) {
		json_auto_t *does = unused_since(one) ? NULL : check_of(one);

		if (does && json_equal(does, check)) {
			*ret = xstrdup(kc_json_get_str(one, "selfLink", ""));
			return true;
		}
	}
	return false;
}

/* A check under this name. If somebody has just made it, theirs. */
static int create(struct cdns_checks *c, const char *name, const json_t *resource,
		  struct kc_err *err)
{
	json_auto_t *body = json_deep_copy(resource);
	json_t *made = NULL;
	int r;

	json_object_set_new(body, "name", json_string(name));
	json_object_set_new(body, "description", json_string(c->about));
	r = kc_gcp_health_check_insert(c->gcp, c->project, body, err);
	if (r == 0 || r == KC_ECONFLICT)
		r = kc_gcp_health_check(c->gcp, c->project, name, &made, err);
	if (r < 0)
		return kc_wrap(err, "health check %s", name);
	json_object_set_new(c->all, name, made);
	return 0;
}

int cdns_check_url(struct cdns_checks *c, const json_t *check, char **ret, struct kc_err *err)
{
	const char *url = kc_json_get_str(check, "url", NULL);
	json_auto_t *resource = NULL;
	char hash[KC_SHA256_HEX];
	int r;

	if (url) {
		*ret = xstrdup(url);
		return 0;
	}
	r = load(c, err);
	if (r < 0 || known_url(c, check, ret))
		return r;
	resource = resource_of(check);
	if (!resource)
		return kc_fail(err, KC_EINVAL, "no health check of Google's does \"%s\"",
			       kc_json_get_str(check, "protocol", ""));
	kc_sha256_json(resource, hash);
	for (int n = 1; n <= NAMES; n++) {
		_cleanup_free_ char *name = xasprintf("%s%.16s-%d", c->prefix, hash, n);

		if (json_object_get(c->all, name))
			continue;
		r = create(c, name, resource, err);
		if (r < 0 || known_url(c, check, ret))
			return r;
	}
	return kc_fail(err, KC_ECONFLICT,
		       "%d health checks %s%.16s-… are marked as not used or were changed by "
		       "somebody; delete those",
		       NAMES, c->prefix, hash);
}

/* --- those that nothing uses any more */

static bool in_use(const struct cdns_checks *c, const json_t *used, const char *name)
{
	const json_t *url;
	size_t i;

	json_array_foreach((json_t *)used, i, url) {
		const char *other = own_name(c, json_string_value(url));

		if (other && streq(other, name))
			return true;
	}
	return false;
}

static int mark(struct cdns_checks *c, const json_t *resource, int64_t now, struct kc_err *err)
{
	/* What Google adds to a resource and takes from nobody. */
	static const char *const theirs[] = { "kind", "id", "creationTimestamp", "selfLink",
					      "selfLinkWithId" };
	_cleanup_free_ char *text = xasprintf(UNUSED "%" PRId64, now);
	json_auto_t *body = json_deep_copy(resource);

	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		json_object_del(body, theirs[i]);
	json_object_set_new(body, "description", json_string(text));
	return kc_gcp_health_check_update(c->gcp, c->project, body, err);
}

int cdns_checks_sweep(struct cdns_checks *c, const json_t *used, bool all, struct kc_err *err)
{
	int64_t now = (int64_t)time(NULL);
	const char *name;
	json_t *one;
	int r;

	/* What others did meanwhile counts. */
	json_decref(TAKE(c->all));
	r = load(c, err);
	if (r < 0)
		return r;
	json_object_foreach(c->all, name, one) {
		int64_t since = unused_since(one);

		if (in_use(c, used, name))
			continue;
		if (!since && !all)
			r = mark(c, one, now, err);
		else if (all || now - since > KEEP_S)
			r = kc_gcp_health_check_delete(c->gcp, c->project, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}
