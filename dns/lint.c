/* Which names of one copy of a zone need another provider. */
#include "dns/lint.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* HOPS: from CNAME to CNAME. MOST: findings that anybody reads. */
enum { HOPS = 8, MOST = 50 };

/* Domains that only one provider's DNS answers, as its documentation has them. */
static const struct domain {
	const char *suffix, *cloud;
} domains[] = {
	{ ".amazonaws.com.", "aws" },
	{ ".cloudfront.net.", "aws" },
	{ ".awsglobalaccelerator.com.", "aws" },
	{ ".elasticbeanstalk.com.", "aws" },
	{ ".awsapprunner.com.", "aws" },
	{ ".trafficmanager.net.", "azure" },
	{ ".azurewebsites.net.", "azure" },
	{ ".azureedge.net.", "azure" },
	{ ".azurefd.net.", "azure" },
	{ ".cloudapp.net.", "azure" },
	{ ".azure.com.", "azure" },
	{ ".windows.net.", "azure" },
	{ ".azure-dns.com.", "azure" },
	{ ".azure-dns.net.", "azure" },
	{ ".azure-dns.org.", "azure" },
	{ ".azure-dns.info.", "azure" },
	{ ".googledomains.com.", "gcp" },
	{ ".googlehosted.com.", "gcp" },
	{ ".googleapis.com.", "gcp" },
	{ ".run.app.", "gcp" },
	{ ".appspot.com.", "gcp" },
	{ ".cloudfunctions.net.", "gcp" },
};

static const char *const clouds[][2] = {
	{ "aws", "AWS" },
	{ "azure", "Azure" },
	{ "gcp", "Google" },
};

struct lint {
	const char *zone;
	const json_t *copies;
	json_t *names; /* {name: true} */
	json_t *out;
	size_t more;
};

/* --- names */

bool kc_lint_is_link(const char *type)
{
	return streq(type, "NS") || streq(type, "CNAME") || streq(type, "DNAME") ||
	       streq(type, "ALIAS");
}

char *kc_lint_name(const char *name)
{
	char *out = xasprintf("%s%s", name, kc_endswith(name, ".") ? "" : ".");

	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

/* Is name the other, or below it? */
static bool within(const char *name, const char *above)
{
	size_t n = strlen(name), m = strlen(above);

	return n >= m && streq(name + n - m, above) && (n == m || name[n - m - 1] == '.');
}

static const char *label_of(const char *cloud)
{
	for (size_t i = 0; i < ARRAY_SIZE(clouds); i++)
		if (strsame(clouds[i][0], cloud))
			return clouds[i][1];
	return cloud;
}

static bool offers(const json_t *copy, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(copy, "offered"), i, one) {
		_cleanup_free_ char *other = kc_lint_name(json_string_value(one));

		if (streq(other, name))
			return true;
	}
	return false;
}

const char *kc_lint_cloud(const char *name)
{
	_cleanup_free_ char *whole = kc_lint_name(name);

	if (strstr(whole, ".awsdns-"))
		return "aws";
	for (size_t i = 0; i < ARRAY_SIZE(domains); i++)
		if (kc_endswith(whole, domains[i].suffix))
			return domains[i].cloud;
	return NULL;
}

/* Whose servers answer for it: "aws"; NULL: nobody's that is known. */
static const char *cloud_of(const struct lint *l, const char *name)
{
	const json_t *copy;
	size_t i;

	json_array_foreach((json_t *)l->copies, i, copy)
		if (json_object_get(copy, "cloud") && offers(copy, name))
			return kc_json_get_str(copy, "cloud", NULL);
	return kc_lint_cloud(name);
}

/* --- findings */

static void add(struct lint *l, const char *level, const json_t *copy, char *text)
{
	_cleanup_free_ char *mine = text;

	if (json_array_size(l->out) >= MOST) {
		l->more++;
		return;
	}
	json_array_append_new(l->out, kc_pack("{s:s, s:O, s:O, s:s}", "level", level, "provider",
					      json_object_get(copy, "provider"), "where",
					      json_object_get(copy, "where"), "text", mine));
}

static bool is_read(const json_t *copy)
{
	return !kc_json_get_bool(copy, "unread", false);
}

/* The one cloud whose servers all of them are; NULL: there are several, or it is not known. */
static const char *only_cloud(const struct lint *l, const json_t *data)
{
	const char *only = NULL;
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)data, i, one) {
		_cleanup_free_ char *name = kc_lint_name(json_string_value(one));
		const char *cloud = cloud_of(l, name);

		if (!cloud || (only && !streq(only, cloud)))
			return NULL;
		only = cloud;
	}
	return only;
}

/* --- the zone's own name servers */

/* Does the apex of a copy name a server of the other's? */
static bool names_any(const struct lint *l, const json_t *copy, const json_t *other)
{
	const char *cloud = kc_json_get_str(other, "cloud", NULL);
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(copy, "apex"), i, one) {
		_cleanup_free_ char *name = kc_lint_name(json_string_value(one));

		if (offers(other, name) || (cloud && strsame(cloud_of(l, name), cloud)))
			return true;
	}
	return false;
}

static void lint_apex(struct lint *l, const json_t *copy)
{
	const json_t *apex = json_object_get(copy, "apex"), *other;
	const char *cloud = only_cloud(l, apex);
	_cleanup_buf_ struct kc_buf missing = { 0 };
	_cleanup_free_ char *servers = kc_json_join(apex, ", ");
	size_t i;

	if (!json_array_size(apex))
		return;
	if (cloud && !strsame(cloud, kc_json_get_str(copy, "cloud", NULL))) {
		add(l, "error", copy,
		    xasprintf("all name servers at its apex are %s's (%s): who has learned them "
			      "here does not ask this copy, also when %s is down; `kubecdn dns ns "
			      "--yes` sets them",
			      label_of(cloud), servers, label_of(cloud)));
		return;
	}
	json_array_foreach((json_t *)l->copies, i, other)
		if (other != copy && is_read(other) &&
		    json_array_size(json_object_get(other, "offered")) &&
		    !names_any(l, copy, other))
			kc_buf_printf(&missing, "%s%s", missing.len ? ", " : "",
				      kc_json_get_str(other, "provider", "?"));
	if (missing.len)
		add(l, "warning", copy,
		    xasprintf("its apex names no server of %s: resolvers that go by it never ask "
			      "there; `kubecdn dns ns` shows which to add",
			      kc_buf_get(&missing)));
}

/* A server with a name in the zone is found by its address there, and every copy has to have it. */
static void lint_glue(struct lint *l, const json_t *copy)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(copy, "apex"), i, one) {
		_cleanup_free_ char *name = kc_lint_name(json_string_value(one));
		const json_t *has = json_object_get(json_object_get(copy, "has"), name);

		if (json_is_false(has))
			add(l, "error", copy,
			    xasprintf("NS %s at its apex is a name of the zone, and this copy has "
				      "no address of it, so that only another copy answers where "
				      "that server is; add its A or AAAA record here",
				      name));
	}
}

/* --- names that lead elsewhere */

static const json_t *link_at(const json_t *copy, const char *name, const char *type)
{
	return kc_dns_rrset_find(json_object_get(copy, "links"), name, type);
}

/* Where a name leads in the end, as far as this copy tells. Owned. */
static char *end_of(const json_t *copy, const char *target)
{
	char *at = kc_lint_name(target);

	for (int i = 0; i < HOPS; i++) {
		const json_t *next = json_object_get(link_at(copy, at, "CNAME"), "data");

		if (!json_array_size(next))
			break;
		free(at);
		at = kc_lint_name(json_string_value(json_array_get(next, 0)));
	}
	return at;
}

/* Is it a name of the policy's, or is one below it? Borrowed. */
static const char *needed_by(const struct lint *l, const char *name, const char *type)
{
	const char *one;
	json_t *v;

	if (json_object_get(l->names, name) && !streq(type, "DNAME"))
		return name;
	if (!streq(type, "NS") && !streq(type, "DNAME"))
		return NULL;
	json_object_foreach(l->names, one, v)
		if (within(one, name) && !streq(one, name))
			return one;
	return NULL;
}

static void lint_alias(struct lint *l, const json_t *copy, const json_t *link)
{
	const char *name = kc_json_get_str(link, "name", ""),
		   *type = kc_json_get_str(link, "type", ""),
		   *target = json_string_value(json_array_get(json_object_get(link, "data"), 0));
	_cleanup_free_ char *end = end_of(copy, target ? target : "");
	const char *cloud = cloud_of(l, end), *needs = needed_by(l, name, type);

	if (!cloud || strsame(cloud, kc_json_get_str(copy, "cloud", NULL)))
		return;
	add(l, needs ? "error" : "warning", copy,
	    xasprintf("%s leads to %s, which only %s answers: when that is down it is not answered "
		      "from this copy either; let it have addresses of its own",
		      needs ? needs : name, end, label_of(cloud)));
}

static void lint_delegation(struct lint *l, const json_t *copy, const json_t *link)
{
	const json_t *data = json_object_get(link, "data");
	const char *name = kc_json_get_str(link, "name", ""), *needs = needed_by(l, name, "NS"),
		   *cloud = only_cloud(l, data);
	_cleanup_free_ char *servers = kc_json_join(data, ", ");

	if (needs)
		add(l, "error", copy,
		    xasprintf("%s is in %s, which is delegated to %s: this copy refers clients "
			      "there and answers nothing itself; publish it in that zone, or "
			      "remove the delegation",
			      needs, name, servers));
	else if (cloud && (json_array_size(l->copies) > 1 ||
			   !strsame(cloud, kc_json_get_str(copy, "cloud", NULL))))
		add(l, "warning", copy,
		    xasprintf("%s is delegated to servers of %s alone (%s): when that is down "
			      "nothing in it is answered, whoever answers for this zone",
			      name, label_of(cloud), servers));
}

static void lint_links(struct lint *l, const json_t *copy)
{
	const json_t *link;
	size_t i;

	json_array_foreach(json_object_get(copy, "links"), i, link) {
		const char *name = kc_json_get_str(link, "name", "");

		if (kc_json_get_bool(link, "alias", false))
			continue;
		if (!streq(kc_json_get_str(link, "type", ""), "NS"))
			lint_alias(l, copy, link);
		else if (!streq(name, l->zone))
			lint_delegation(l, copy, link);
	}
}

/* --- copies that are none of each other */

/* Values of two links, whatever their order and case. */
static bool same_data(const json_t *a, const json_t *b)
{
	json_auto_t *left = json_array(), *right = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(a, "data"), i, one) {
		_cleanup_free_ char *name = kc_lint_name(json_string_value(one));

		json_array_append_new(left, json_string(name));
	}
	json_array_foreach(json_object_get(b, "data"), i, one) {
		_cleanup_free_ char *name = kc_lint_name(json_string_value(one));

		json_array_append_new(right, json_string(name));
	}
	kc_json_sort(left);
	kc_json_sort(right);
	return json_equal(left, right);
}

/* An alias is one provider's own; that the others answer the name, too, is all that can be asked.
 */
static void lint_pair(struct lint *l, const json_t *copy, const json_t *other, const json_t *link)
{
	const char *name = kc_json_get_str(link, "name", ""),
		   *type = kc_json_get_str(link, "type", ""),
		   *there = kc_json_get_str(other, "provider", "?"),
		   *place = kc_json_get_str(other, "where", "?");
	bool alias = kc_json_get_bool(link, "alias", false);
	const json_t *same = alias ? NULL : link_at(other, name, type);

	if (alias && !json_object_get(l->names, name) &&
	    json_is_false(json_object_get(json_object_get(other, "has"), name)))
		add(l, "warning", copy,
		    xasprintf("%s %s is an alias that only this provider has, and %s (%s) answers "
			      "nothing there; add addresses of it",
			      name, type, there, place));
	else if (!alias && !streq(name, l->zone) && (!same || !same_data(link, same)))
		add(l, "warning", copy,
		    xasprintf("%s %s is %s at %s (%s): who asks one copy gets another answer than "
			      "who asks the other; make them the same",
			      name, type, same ? "another one" : "missing", there, place));
}

static void lint_difference(struct lint *l, size_t at)
{
	const json_t *copy = json_array_get(l->copies, at), *other, *link;
	size_t i, k;

	if (!kc_json_get_bool(copy, "whole", false))
		return;
	json_array_foreach((json_t *)l->copies, i, other) {
		if (i == at || !is_read(other) || !kc_json_get_bool(other, "whole", false))
			continue;
		json_array_foreach(json_object_get(copy, "links"), k, link) {
			bool both = !!link_at(other, kc_json_get_str(link, "name", ""),
					      kc_json_get_str(link, "type", ""));

			/* Of two that differ one line is enough. */
			if (i > at || !both || kc_json_get_bool(link, "alias", false))
				lint_pair(l, copy, other, link);
		}
	}
}

json_t *kc_lint(const char *zone, const json_t *names, const json_t *copies)
{
	struct lint l = {
		.zone = zone, .copies = copies, .names = json_object(), .out = json_array()
	};
	const json_t *copy, *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name)
		json_object_set_new(l.names, json_string_value(name), json_true());
	json_array_foreach((json_t *)copies, i, copy) {
		if (!is_read(copy))
			continue;
		lint_apex(&l, copy);
		lint_glue(&l, copy);
		lint_links(&l, copy);
		lint_difference(&l, i);
	}
	if (l.more)
		json_array_append_new(l.out, kc_pack("{s:s, s:s, s:s, s:s}", "level", "warning",
						     "provider", "dns", "where", zone, "text",
						     "there is more of that kind"));
	json_decref(l.names);
	return l.out;
}

json_t *kc_lint_needs(const char *zone, const json_t *copies)
{
	json_auto_t *set = json_object();
	const json_t *copy, *one;
	json_t *out = json_array();
	_cleanup_free_ const char **keys = NULL;
	size_t i, k, n;

	json_array_foreach((json_t *)copies, i, copy) {
		json_array_foreach(json_object_get(copy, "apex"), k, one) {
			_cleanup_free_ char *name = kc_lint_name(json_string_value(one));

			if (within(name, zone))
				json_object_set_new(set, name, json_true());
		}
		json_array_foreach(json_object_get(copy, "links"), k, one)
			if (kc_json_get_bool(one, "alias", false))
				json_object_set(set, kc_json_get_str(one, "name", ""), json_true());
	}
	keys = kc_json_keys(set, &n);
	for (i = 0; i < n && i < MOST; i++)
		json_array_append_new(out, json_string(keys[i]));
	return out;
}
