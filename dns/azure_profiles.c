/*
 * Making and changing profiles of Traffic Manager, which have no etags: what differs is put one
 * endpoint at a time, new ones before old ones go, so that regions that change one profile at once
 * do not take out each other's, and it never is empty. Only what cannot be said so is put as a
 * whole, in one call.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/azure.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define UNUSED "kubecdn-unused-since"

/* KEEP_S: servers and caches of Azure may lead to a profile for a while after no record does. */
enum { KEEP_S = 600 };

int az_check_ours(const struct az_conn *c, const json_t *profiles, const char *name,
		  const json_t *list, struct kc_err *err)
{
	const json_t *one, *raw;
	size_t i;

	json_array_foreach((json_t *)list, i, one) {
		const char *at = kc_json_get_str(one, "name", "");

		raw = json_object_get(profiles, at);
		if (raw && !az_is_ours(c, raw, name))
			return kc_fail(err, KC_EFAIL,
				       "the Traffic Manager profile %s is there and not by kubecdn "
				       "for %s (see its tags); nothing is changed: remove it, or "
				       "choose another owner",
				       at, name);
	}
	return 0;
}

static int create(struct az_conn *c, json_t *profiles, const char *at, const json_t *body,
		  struct kc_err *err)
{
	json_auto_t *made = NULL, *found = NULL;
	int r = kc_azure_profile_put(c->azure, &c->at, at, true, body, &made, err), got = 0;

	if (r == KC_EAGAIN || r == KC_ECONFLICT)
		got = kc_azure_profile_get(c->azure, &c->at, at, &found, NULL);
	if (r == KC_ECONFLICT && got == KC_ENOTFOUND) {
		struct kc_err why = *err;

		return kc_fail(err, KC_EFAIL,
			       "the name of the Traffic Manager profile %s is taken elsewhere: "
			       "%.600s",
			       at, why.msg);
	}
	if (r < 0 && !(found && kc_json_within(body, found)))
		return r;
	json_object_set(profiles, at, found ? found : made);
	return 0;
}

static const json_t *named(const json_t *profile, const json_t *endpoint)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(profile, "endpoints"), i, e)
		if (json_equal(json_object_get(e, "name"), json_object_get(endpoint, "name")))
			return e;
	return NULL;
}

static const char *kind_of(const json_t *endpoint)
{
	return json_object_get(endpoint, "nested") ? "NestedEndpoints" : "ExternalEndpoints";
}

/* Would an endpoint be in the way of another one that is there? */
static bool collides(const json_t *is, const json_t *endpoint)
{
	const char *key = json_object_get(endpoint, "nested") ? "nested" : "target";
	const json_t *same = named(is, endpoint), *e;
	size_t i;

	if (same && !json_object_get(same, key))
		return true;
	json_array_foreach(json_object_get(is, "endpoints"), i, e)
		if (e != same &&
		    (json_object_get(e, "resource") ||
		     json_equal(json_object_get(e, key), json_object_get(endpoint, key))))
			return true;
	return false;
}

static bool needs_whole(const json_t *raw, const json_t *is, const json_t *want)
{
	json_auto_t *a = json_copy((json_t *)is), *b = json_copy((json_t *)want);
	const json_t *e;
	size_t i;

	json_object_del(a, "endpoints");
	json_object_del(b, "endpoints");
	/* A place can be mapped to one endpoint at a time. */
	if (!json_equal(a, b) || streq(kc_json_get_str(want, "method", ""), "Geographic") ||
	    kc_json_at(raw, "tags." UNUSED))
		return true;
	json_array_foreach(json_object_get(want, "endpoints"), i, e)
		if (collides(is, e))
			return true;
	return false;
}

static int put_whole(struct az_conn *c, json_t *profiles, const char *at, const json_t *body,
		     struct kc_err *err)
{
	json_t *now = NULL;
	int r = kc_azure_profile_put(c->azure, &c->at, at, false, body, &now, err);

	if (r == 0)
		json_object_set_new(profiles, at, now);
	return r;
}

static int put_parts(struct az_conn *c, json_t *profiles, const char *at, const json_t *is,
		     const json_t *want, struct kc_err *err)
{
	json_t *e, *now = NULL;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(want, "endpoints"), i, e) {
		const json_t *old = named(is, e);
		json_auto_t *body = az_endpoint_body(e, c->prefix);

		if (r < 0 || (old && json_equal(old, e)))
			continue;
		r = kc_azure_endpoint_put(c->azure, &c->at, at, kind_of(e),
					  kc_json_get_str(e, "name", ""), body, NULL, err);
	}
	json_array_foreach(json_object_get(is, "endpoints"), i, e)
		if (r == 0 && !named(want, e))
			r = kc_azure_endpoint_delete(c->azure, &c->at, at, kind_of(e),
						     kc_json_get_str(e, "name", ""), err);
	if (r == 0)
		r = kc_azure_profile_get(c->azure, &c->at, at, &now, err);
	if (r == 0)
		json_object_set_new(profiles, at, now);
	return r;
}

int az_ensure(struct az_conn *c, json_t *profiles, const char *name, const json_t *one,
	      struct kc_err *err)
{
	const char *at = kc_json_get_str(one, "name", "");
	const json_t *want = json_object_get(one, "profile"), *raw = json_object_get(profiles, at);
	json_auto_t *tags = az_tags(c, name), *is = NULL,
		    *body = az_profile_body(want, at, c->prefix, tags);
	bool whole;
	int r;

	if (!raw)
		return create(c, profiles, at, body, err);
	r = az_profile_read(raw, &is, err);
	if (r < 0)
		return r;
	whole = needs_whole(raw, is, want);
	if (json_equal(is, want) && !kc_json_at(raw, "tags." UNUSED))
		return 0;
	return whole ? put_whole(c, profiles, at, body, err)
		     : put_parts(c, profiles, at, is, want, err);
}

/* --- what is left over */

static int retire(struct az_conn *c, const char *at, const json_t *raw, int64_t now,
		  struct kc_err *err)
{
	_cleanup_free_ char *since = xasprintf("%" PRId64, now);
	json_auto_t *tags = json_deep_copy(json_object_get(raw, "tags"));

	json_object_set_new(tags, UNUSED, json_string(since));
	return kc_azure_profile_tag(c->azure, &c->at, at, tags, err);
}

int az_sweep(struct az_conn *c, const char *name, const json_t *keep, bool gone,
	     int (*alone)(void *cookie, struct kc_err *err), void *cookie, struct kc_err *err)
{
	int64_t now = (int64_t)time(NULL);
	json_auto_t *all = NULL;
	const char *at;
	json_t *raw;
	int r = az_load_profiles(c, &all, err);

	json_object_foreach(all, at, raw) {
		const char *since = json_string_value(kc_json_at(raw, "tags." UNUSED));
		long t = 0;

		if (r < 0 || !az_is_ours(c, raw, name) || json_object_get(keep, at))
			continue;
		if (!gone && (!since || !kc_parse_long(since, 1, INT32_MAX, &t)))
			r = retire(c, at, raw, now, err);
		else if (gone || now - t > KEEP_S) {
			r = alone(cookie, err);
			if (r == 0)
				r = kc_azure_profile_delete(c->azure, &c->at, at, err);
		}
	}
	return r;
}
