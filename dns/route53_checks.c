/*
 * Health checks of Route 53: ours are found by their CallerReference, which is made of owner, name
 * and configuration, so that whoever makes a check twice gets one. A deleted check's reference is
 * never taken again, hence the number at its end.
 *
 * Nothing tells whether a record still uses a check, and between looking and deleting another
 * region may begin to. So one that is not in use is tagged first, tagged ones are never taken into
 * use, and only what has been tagged for long is deleted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dns/route53.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define UNUSED "kubecdn.io/unused-since"

enum { REFERENCES = 20, KEEP_S = 600 };

void r53_checks_done(struct r53_checks *c)
{
	free(c->prefix);
	json_decref(c->by_id);
	json_decref(c->retired);
}

/* What we set of a configuration, or somebody else has switched on. */
static json_t *known_part(const json_t *config)
{
	static const char *const set[] = { "IPAddress",
					   "Port",
					   "Type",
					   "ResourcePath",
					   "FullyQualifiedDomainName",
					   "RequestInterval",
					   "FailureThreshold" };
	static const char *const on[] = { "EnableSNI", "Inverted", "Disabled" };
	json_t *out = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		if (json_object_get(config, set[i]))
			json_object_set(out, set[i], json_object_get(config, set[i]));
	for (size_t i = 0; i < ARRAY_SIZE(on); i++)
		if (json_is_true(json_object_get(config, on[i])))
			json_object_set_new(out, on[i], json_true());
	return out;
}

static int load_tags(struct r53_checks *c, const json_t *ids, json_t *retired, struct kc_err *err)
{
	json_auto_t *tags = NULL;
	const char *id;
	json_t *of;
	int r = json_array_size(ids) ? kc_route53_health_tags(c->aws, ids, &tags, err) : 0;

	if (r < 0)
		return r;
	json_object_foreach(tags, id, of) {
		const char *since = kc_json_get_str(of, UNUSED, "0");
		long t = 0;

		if (kc_parse_long(since, 1, INT32_MAX, &t))
			json_object_set_new(retired, id, json_integer(t));
	}
	return 0;
}

static int load(struct r53_checks *c, struct kc_err *err)
{
	json_auto_t *all = NULL, *by_id = json_object(), *retired = json_object(),
		    *ids = json_array();
	const json_t *one;
	size_t i;
	int r;

	if (c->by_id)
		return 0;
	r = kc_route53_health_list(c->aws, &all, err);
	if (r < 0)
		return r;
	json_array_foreach(all, i, one) {
		json_t *config;

		if (!kc_startswith(kc_json_get_str(one, "reference", ""), c->prefix))
			continue;
		config = known_part(json_object_get(one, "config"));
		json_object_set_new(by_id, kc_json_get_str(one, "id", ""), config);
		json_array_append(ids, json_object_get(one, "id"));
	}
	r = load_tags(c, ids, retired, err);
	if (r < 0)
		return r;
	c->by_id = TAKE(by_id);
	c->retired = TAKE(retired);
	return 0;
}

int r53_check_config(struct r53_checks *c, const char *id, const json_t **ret, struct kc_err *err)
{
	int r = load(c, err);

	if (r < 0)
		return r;
	if (!json_object_get(c->by_id, id))
		json_object_set_new(c->by_id, id, kc_pack("{s:s}", "id", id));
	*ret = json_object_get(c->by_id, id);
	return 0;
}

/* A new one, under the first reference that was never used. */
static int create(struct r53_checks *c, const json_t *config, json_t **ret, struct kc_err *err)
{
	char hash[KC_SHA256_HEX];
	int r = KC_ECONFLICT;

	kc_sha256_json(config, hash);
	for (int n = 1; n <= REFERENCES && r == KC_ECONFLICT; n++) {
		_cleanup_free_ char *reference = xasprintf("%s%.16s-%d", c->prefix, hash, n);
		json_auto_t *made = NULL;

		r = kc_route53_health_create(c->aws, reference, config, &made, err);
		if (r == 0 && json_object_get(c->retired, kc_json_get_str(made, "id", "")))
			r = KC_ECONFLICT;
		else if (r == 0)
			*ret = TAKE(made);
	}
	return r;
}

int r53_check_id(struct r53_checks *c, const json_t *config, char **ret, struct kc_err *err)
{
	json_auto_t *made = NULL, *tags = NULL;
	const char *id = kc_json_get_str(config, "id", NULL);
	json_t *known;
	int r = load(c, err);

	if (r < 0)
		return r;
	if (id) {
		*ret = xstrdup(id);
		return 0;
	}
	json_object_foreach(c->by_id, id, known)
		if (json_equal(known, config) && !json_object_get(c->retired, id)) {
			*ret = xstrdup(id);
			return 0;
		}
	r = create(c, config, &made, err);
	if (r < 0)
		return kc_wrap(err, "a health check");
	id = kc_json_get_str(made, "id", "");
	tags = kc_pack("{s:s, s:s}", "kubecdn.io/checks", c->prefix, "Name",
		       kc_json_get_str(config, "IPAddress", "kubecdn"));
	r = kc_route53_health_tag(c->aws, id, tags, err);
	if (r < 0)
		return r;
	json_object_set_new(c->by_id, id, known_part(config));
	*ret = xstrdup(id);
	return 0;
}

static bool in_use(const json_t *rrsets, const json_t *config)
{
	const json_t *rrset, *item;
	size_t i, k;

	json_array_foreach((json_t *)rrsets, i, rrset)
		json_array_foreach(json_object_get(rrset, "items"), k, item) {
			const json_t *health = json_object_get(item, "health");

			if (health && json_equal(health, config))
				return true;
		}
	return false;
}

static int tag(struct r53_checks *c, const char *id, int64_t since, struct kc_err *err)
{
	_cleanup_free_ char *text = xasprintf("%" PRId64, since);
	json_auto_t *tags = kc_pack("{s:s}", UNUSED, text);

	return kc_route53_health_tag(c->aws, id, tags, err);
}

int r53_checks_sweep(struct r53_checks *c, const json_t *rrsets, bool all, struct kc_err *err)
{
	int64_t now = (int64_t)time(NULL);
	const char *id;
	json_t *config;
	int r;

	/* What others did meanwhile counts. */
	json_decref(TAKE(c->by_id));
	json_decref(TAKE(c->retired));
	r = load(c, err);
	if (r < 0)
		return r;
	json_object_foreach(c->by_id, id, config) {
		int64_t since = kc_json_get_int(c->retired, id, 0);
		bool used = in_use(rrsets, config);

		if (!used && !since && !all)
			r = tag(c, id, now, err);
		else if (!used && (all || now - since > KEEP_S))
			r = kc_route53_health_delete(c->aws, id, err);
		if (r < 0)
			return r;
	}
	return 0;
}
