/*
 * Azure DNS, with Traffic Manager behind alias records where it has to choose. Record sets have
 * etags, profiles have none, and there are no transactions: azure_change.c says how a change goes
 * through all the same. What was read is compared as values; etags only guard what is written.
 */
#include "dns/azure.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/backend.h"
#include "dns/lint.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/dns.h"

#define TAG_OWNER "kubecdn-owner"
#define TAG_NAME  "kubecdn-name"

static void az_close(void *conn)
{
	struct az_conn *c = conn;

	if (!c)
		return;
	kc_azure_close(c->azure);
	free(c->subscription);
	free(c->group);
	free(c->zone);
	free(c->owner);
	free(c->where);
	free(c->prefix);
	free(c);
}

static int az_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		   struct kc_err *err)
{
	struct kc_azure_conf conf = { .endpoint = kc_json_get_str(publish, "endpoint", NULL) };
	struct az_conn *c = xcalloc(1, sizeof(*c));
	int r = kc_azure_open(&conf, &c->azure, err);

	if (r < 0) {
		az_close(c);
		return r;
	}
	c->subscription = xstrdup(kc_json_get_str(publish, "subscription", ""));
	c->group = xstrdup(kc_json_get_str(publish, "resourceGroup", ""));
	c->at = (struct kc_azure_place){ .subscription = c->subscription, .group = c->group };
	c->zone = xstrdup(zone);
	c->owner = xstrdup(owner);
	c->where = xasprintf("zone %s in %s", zone, c->group);
	c->prefix = xasprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/"
			      "trafficManagerProfiles/",
			      c->subscription, c->group);
	*ret_conn = c;
	return 0;
}

static const char *az_where(const void *conn)
{
	return ((const struct az_conn *)conn)->where;
}

static int az_servers(void *conn, json_t **ret, struct kc_err *err)
{
	struct az_conn *c = conn;
	json_auto_t *zone = NULL, *out = json_array();
	const json_t *ns;
	size_t i;
	int r = kc_azure_zone(c->azure, &c->at, c->zone, &zone, err);

	if (r < 0)
		return r;
	json_array_foreach(kc_json_at(zone, "properties.nameServers"), i, ns) {
		if (!json_is_string(ns))
			return kc_fail(err, KC_EINVAL, "azure: zone %s: nameServers has no names",
				       c->zone);
		json_array_append_new(out, kc_pack("{s:O}", "name", ns));
	}
	*ret = TAKE(out);
	return 0;
}

/* --- names */

char *az_key(const char *type, const char *name)
{
	return xasprintf("%s %s", type, name);
}

char *az_relative(const struct az_conn *c, const char *name)
{
	_cleanup_free_ char *end = xasprintf(".%s.", c->zone);

	if (kc_endswith(name, end))
		return xstrndup(name, strlen(name) - strlen(end));
	return xstrdup("@");
}

/* A profile's name is one of the whole world's: whose it is and where is in it. */
char *az_profile_name(const struct az_conn *c, const char *name, const char *type)
{
	_cleanup_free_ char *text =
		xasprintf("%s\n%s\n%s\n%s", c->subscription, c->group, c->owner, name);
	char hash[KC_SHA256_HEX];

	kc_sha256(text, strlen(text), hash);
	return xasprintf("kc-%.16s-%s", hash, streq(type, "A") ? "a" : "aaaa");
}

json_t *az_tags(const struct az_conn *c, const char *name)
{
	return kc_pack("{s:s, s:s}", TAG_OWNER, c->owner, TAG_NAME, name);
}

bool az_is_ours(const struct az_conn *c, const json_t *raw, const char *name)
{
	const json_t *tags = json_object_get(raw, "tags");

	return streq(kc_json_get_str(tags, TAG_OWNER, ""), c->owner) &&
	       streq(kc_json_get_str(tags, TAG_NAME, ""), name);
}

/* --- record sets as rrsets */

/* "a" "b", as zone files have a record of several strings. */
static int text_of(const json_t *record, char **ret, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	const json_t *strings, *s;
	size_t i;
	int r = kc_json_arr(record, "a TXT record", "value", &strings, err);

	if (r < 0)
		return r;
	json_array_foreach((json_t *)strings, i, s) {
		if (!json_is_string(s))
			return kc_fail(err, KC_EINVAL, "a TXT record: a string is none");
		kc_buf_puts(&out, i ? " \"" : "\"");
		for (const char *p = json_string_value(s); *p; p++)
			kc_buf_printf(&out, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
		kc_buf_puts(&out, "\"");
	}
	*ret = xstrdup(kc_buf_get(&out));
	return 0;
}

/* And back. */
static json_t *strings_of(const char *data)
{
	json_t *out = json_array();

	for (const char *p = strchr(data, '"'); p; p = strchr(p, '"')) {
		_cleanup_buf_ struct kc_buf text = { 0 };

		for (p++; *p && *p != '"'; p++) {
			p += *p == '\\' && p[1];
			kc_buf_printf(&text, "%c", *p);
		}
		p += *p == '"';
		json_array_append_new(out, json_string(kc_buf_get(&text)));
	}
	return out;
}

/* Records of one type: the member that has them, and that of each which has its data. */
static const struct kind {
	const char *type, *records, *field;
} kinds[] = {
	{ "A", "ARecords", "ipv4Address" },  { "AAAA", "AAAARecords", "ipv6Address" },
	{ "CNAME", "CNAMERecord", "cname" }, { "NS", "NSRecords", "nsdname" },
	{ "TXT", "TXTRecords", "value" },
};

static const struct kind *kind_of(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i].type, type))
			return &kinds[i];
	return NULL;
}

static int add_data(const struct kind *k, const json_t *record, json_t *data, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	const char *v;
	int r = streq(k->type, "TXT") ? text_of(record, &text, err)
				      : kc_json_str(record, k->records, k->field, &v, err);

	if (r < 0)
		return r;
	if (!text && (streq(k->type, "CNAME") || streq(k->type, "NS")))
		text = xasprintf("%s%s", v, kc_endswith(v, ".") ? "" : ".");
	json_array_append_new(data, json_string(text ? text : v));
	return 0;
}

/* What somebody else wrote beside the records, to be put back with them; or NULL. */
static json_t *metadata_of(const json_t *metadata)
{
	json_t *out = metadata ? json_deep_copy(metadata) : NULL;

	json_object_del(out, AZ_CHANGE);
	if (json_object_size(out))
		return out;
	json_decref(out);
	return NULL;
}

static int plain_of(const char *name, const struct kind *k, const json_t *properties,
		    json_t *rrsets, struct kc_err *err)
{
	const json_t *records = json_object_get(properties, k->records), *record;
	json_auto_t *data = json_array();
	int64_t ttl;
	size_t i;
	int r = kc_json_int(properties, "its properties", "TTL", &ttl, err);

	if (r == 0 && json_is_object(records))
		r = add_data(k, records, data, err);
	json_array_foreach((json_t *)records, i, record)
		if (r == 0)
			r = add_data(k, record, data, err);
	if (r < 0)
		return r;
	kc_json_sort(data);
	json_array_append_new(rrsets,
			      kc_pack("{s:s, s:s, s:I, s:O, s:o*}", "name", name, "type", k->type,
				      "ttl", (json_int_t)ttl, "data", data, "metadata",
				      metadata_of(json_object_get(properties, "metadata"))));
	return 0;
}

/* Of a profile's id, if it is in our place: its name in lower case; owned. */
static char *named_by(const struct az_conn *c, const char *id)
{
	size_t n = strlen(c->prefix);
	char *out;

	if (strncasecmp(id, c->prefix, n) != 0 || strchr(id + n, '/'))
		return NULL;
	out = xstrdup(id + n);
	for (char *p = out; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return out;
}

/* An alias of our own profile is told by what that does. */
static int alias_of(struct az_conn *c, const json_t *one, const char *id, struct az_state *s,
		    struct kc_err *err)
{
	const char *name = kc_json_get_str(one, "name", ""),
		   *type = kc_json_get_str(one, "type", "");
	_cleanup_free_ char *target = named_by(c, id), *own = az_profile_name(c, name, type);
	json_t *rrset = kc_pack("{s:s, s:s}", "name", name, "type", type), *tree = NULL;
	const json_t *raw = target ? json_object_get(s->profiles, target) : NULL;
	int r = 0;

	if (!target || !streq(target, own) || !raw)
		json_object_set_new(rrset, "alias", json_string(id));
	else if (!az_is_ours(c, raw, name))
		r = kc_fail(err, KC_ECONFLICT,
			    "the Traffic Manager profile %s, which %s leads to, is not by kubecdn "
			    "(tags " TAG_OWNER " and " TAG_NAME "); nothing is changed",
			    own, name);
	else
		r = az_tree_read(s->profiles, own, &tree, err);
	if (tree)
		json_object_set_new(rrset, "profile", tree);
	if (r == 0)
		json_array_append(s->rrsets, rrset);
	json_decref(rrset);
	return r;
}

static const char *target_of(const json_t *raw)
{
	return json_string_value(kc_json_at(raw, "properties.targetResource.id"));
}

static int add_rrset(struct az_conn *c, const json_t *one, const json_t *raw, struct az_state *s,
		     struct kc_err *err)
{
	const char *name = kc_json_get_str(one, "name", ""),
		   *type = kc_json_get_str(one, "type", ""), *id = target_of(raw);
	int r = id ? alias_of(c, one, id, s, err)
		   : plain_of(name, kind_of(type), json_object_get(raw, "properties"), s->rrsets,
			      err);

	return r < 0 ? kc_wrap(err, "azure: %s %s", name, type) : 0;
}

json_t *az_properties(const struct az_conn *c, const json_t *rrset)
{
	const char *name = kc_json_get_str(rrset, "name", ""),
		   *type = kc_json_get_str(rrset, "type", ""),
		   *alias = kc_json_get_str(rrset, "alias", NULL);
	const struct kind *k = kind_of(type);
	const json_t *tree = json_object_get(rrset, "profile"), *v;
	json_t *p = kc_pack("{s:O*, s:O*}", "TTL", json_object_get(tree ? tree : rrset, "ttl"),
			    "metadata", json_object_get(rrset, "metadata")),
	       *records;
	size_t i;

	if (tree || alias) {
		_cleanup_free_ char *own = az_profile_name(c, name, type),
				    *id = alias ? xstrdup(alias)
						: xasprintf("%s%s", c->prefix, own);

		json_object_set_new(p, "targetResource", kc_pack("{s:s}", "id", id));
		return p;
	}
	records = json_array();
	json_array_foreach(json_object_get(rrset, "data"), i, v) {
		if (streq(type, "TXT"))
			json_array_append_new(records, kc_pack("{s:o}", k->field,
							       strings_of(json_string_value(v))));
		else
			json_array_append_new(records, kc_pack("{s:O}", k->field, v));
	}
	if (streq(type, "CNAME"))
		json_object_set(p, k->records, json_array_get(records, 0));
	else
		json_object_set(p, k->records, records);
	json_decref(records);
	return p;
}

/* --- reading */

void az_state_done(struct az_state *s)
{
	json_decref(s->sets);
	json_decref(s->profiles);
	json_decref(s->rrsets);
}

/* A zone that is not there is told apart from a record that is not. */
static int check_zone(struct az_conn *c, struct kc_err *err)
{
	json_auto_t *zone = NULL;
	int r = c->seen ? 0 : kc_azure_zone(c->azure, &c->at, c->zone, &zone, err);

	c->seen = c->seen || r == 0;
	return r;
}

static int load_sets(struct az_conn *c, const json_t *which, json_t *sets, struct kc_err *err)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one) {
		const char *name = kc_json_get_str(one, "name", ""),
			   *type = kc_json_get_str(one, "type", "");
		_cleanup_free_ char *relative = az_relative(c, name), *key = az_key(type, name);
		json_t *raw = NULL;
		int r = kc_azure_rrset_get(c->azure, &c->at, c->zone, type, relative, &raw, err);

		if (r == 0)
			json_object_set_new(sets, key, raw);
		else if (r != KC_ENOTFOUND)
			return r;
	}
	return 0;
}

int az_load_profiles(struct az_conn *c, json_t **ret, struct kc_err *err)
{
	json_auto_t *all = NULL, *by_name = json_object();
	const json_t *raw;
	size_t i;
	int r = kc_azure_profiles(c->azure, &c->at, &all, err);

	if (r < 0)
		return r;
	json_array_foreach(all, i, raw) {
		_cleanup_free_ char *id = xasprintf("%s%s", c->prefix,
						    kc_json_get_str(raw, "name", "")),
				    *name = named_by(c, id);

		if (name)
			json_object_set(by_name, name, (json_t *)raw);
	}
	*ret = TAKE(by_name);
	return 0;
}

int az_load(struct az_conn *c, const json_t *which, bool profiles, struct az_state *ret,
	    struct kc_err *err)
{
	struct az_state s = { .sets = json_object(), .rrsets = json_array() };
	const json_t *one, *raw;
	const char *key;
	size_t i;
	int r = check_zone(c, err);

	if (r == 0)
		r = load_sets(c, which, s.sets, err);
	json_object_foreach(s.sets, key, raw) {
		_cleanup_free_ char *name = target_of(raw) ? named_by(c, target_of(raw)) : NULL;

		profiles = profiles || name;
	}
	if (r == 0 && profiles)
		r = az_load_profiles(c, &s.profiles, err);
	json_array_foreach((json_t *)which, i, one) {
		_cleanup_free_ char *k =
			az_key(kc_json_get_str(one, "type", ""), kc_json_get_str(one, "name", ""));

		if (r == 0 && json_object_get(s.sets, k))
			r = add_rrset(c, one, json_object_get(s.sets, k), &s, err);
	}
	if (r < 0) {
		az_state_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

static int az_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	_cleanup_(az_state_done) struct az_state s = { 0 };
	int r = az_load(conn, which, false, &s, err);

	if (r == 0)
		*ret_rrsets = TAKE(s.rrsets);
	return r;
}

/* By the etag that it has while it still is as before. */
static int az_set_ns(void *conn, const json_t *before, const json_t *after, struct kc_err *err)
{
	struct az_conn *c = conn;
	json_auto_t *raw = NULL, *done = NULL, *found = json_array(),
		    *body = kc_pack("{s:o}", "properties", az_properties(c, after));
	int r = kc_azure_rrset_get(c->azure, &c->at, c->zone, "NS", "@", &raw, err);

	if (r == 0)
		r = plain_of(kc_json_get_str(before, "name", ""), kind_of("NS"),
			     json_object_get(raw, "properties"), found, err);
	if (r < 0)
		return r;
	if (!json_equal(json_array_get(found, 0), before))
		return kc_fail(err, KC_ECONFLICT, "the NS records were changed meanwhile");
	return kc_azure_rrset_put(c->azure, &c->at, c->zone, "NS", "@",
				  kc_json_get_str(raw, "etag", ""), body, &done, err);
}

/* A record set of a listing, if it leads elsewhere. */
static int add_link(const struct az_conn *c, const json_t *raw, json_t *out, struct kc_err *err)
{
	const char *full = strrchr(kc_json_get_str(raw, "type", ""), '/'),
		   *relative = kc_json_get_str(raw, "name", "");
	const char *type = full ? full + 1 : "";
	_cleanup_free_ char *name = streq(relative, "@") ? xasprintf("%s.", c->zone)
							 : xasprintf("%s.%s.", relative, c->zone);

	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (target_of(raw)) {
		json_array_append_new(out, kc_pack("{s:s, s:s, s:b}", "name", name, "type", type,
						   "alias", 1));
		return 0;
	}
	if (!kc_lint_is_link(type) || !kind_of(type))
		return 0;
	return plain_of(name, kind_of(type), json_object_get(raw, "properties"), out, err);
}

static int az_links(void *conn, json_t **ret, struct kc_err *err)
{
	struct az_conn *c = conn;
	json_auto_t *raws = NULL, *out = json_array();
	const json_t *raw;
	size_t i;
	int r = kc_azure_rrsets(c->azure, &c->at, c->zone, NULL, &raws, err);

	json_array_foreach(raws, i, raw)
		if (r == 0)
			r = add_link(c, raw, out, err);
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

static const char *const needs[] = { "subscription", "resourceGroup", NULL };
static const char *const takes[] = { "endpoint", NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", NULL };

const struct kc_dns_backend kc_dns_azure = {
	.name = "azure",
	.cloud = "azure",
	.needs = needs,
	.takes = takes,
	.types = types,
	.traits = &az_traits,
	/* Its own four cannot be taken out of the apex. */
	.ns_fixed = true,
	.lower = az_lower,
	.raise = az_raise,
	.open = az_open,
	.close = az_close,
	.where = az_where,
	.servers = az_servers,
	.read = az_read,
	.links = az_links,
	.change = az_change,
	.set_ns = az_set_ns,
};
