/* Reading what the lint looks at: the zone's servers, what leads elsewhere, at every copy. */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "dns/lint.h"
#include "dns/policy.h"
#include "dns/publish_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Does the copy have addresses, or something that gives some, at each of names? */
static int read_addresses(struct copy *c, const json_t *names, json_t *has, struct kc_err *err)
{
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name) {
		json_auto_t *which = json_array(), *rrsets = NULL;
		int r;

		for (const char *const *t = c->backend->types; *t; t++)
			json_array_append_new(which,
					      kc_pack("{s:O, s:s}", "name", name, "type", *t));
		r = c->backend->read(c->conn, which, &rrsets, err);
		if (r < 0)
			return r;
		json_object_set_new(has, json_string_value(name),
				    json_boolean(json_array_size(rrsets)));
	}
	return 0;
}

static void note_unread(const struct copy *c, const struct kc_err *why, json_t *one, json_t *notes)
{
	_cleanup_free_ char *text =
		xasprintf("whether something leads to another provider is not known: %s", why->msg);

	json_object_set_new(one, "unread", json_true());
	publish_warn(c, notes, text);
}

/* What one copy has. */
static json_t *read_copy(struct copy *c, const char *zone, bool whole, json_t *notes)
{
	json_t *one = kc_pack("{s:s, s:s, s:s*}", "provider", c->backend->name, "where",
			      c->backend->where(c->conn), "cloud", c->backend->cloud);
	json_auto_t *apex = NULL, *offered = NULL, *links = NULL;
	struct kc_err why;
	int r;

	/* Unreachable, which is said elsewhere. */
	if (!c->before && c->why.code != KC_ECONFLICT && c->why.code != KC_EINVAL) {
		json_object_set_new(one, "unread", json_true());
		return one;
	}
	r = publish_apex(c, zone, &apex, &offered, &why);

	whole = whole && c->backend->links;
	if (r == 0 && whole)
		r = c->backend->links(c->conn, &links, &why);
	if (r < 0) {
		note_unread(c, &why, one, notes);
		return one;
	}
	json_object_set(one, "apex", apex);
	json_object_set(one, "offered", offered);
	json_object_set_new(one, "own", json_boolean(!c->backend->cloud));
	json_object_set_new(one, "links", links ? json_incref(links) : json_array());
	json_object_set_new(one, "whole", json_boolean(whole));
	return one;
}

static json_t *names_of(const struct kc_publish *p)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy);
	json_t *out = kc_pack("[s]", name), *host;
	size_t i;

	json_array_foreach(kc_json_at(p->policy, "spec.hosts"), i, host) {
		_cleanup_free_ char *one = xasprintf("%s.", kc_json_get_str(host, "name", ""));

		json_array_append_new(out, json_string(one));
	}
	return out;
}

/* Have all copies that could be read addresses where they need some? */
static void read_needs(struct kc_publish *p, json_t *copies, const json_t *needs, json_t *notes)
{
	for (size_t i = 0; i < p->n; i++) {
		json_t *one = json_array_get(copies, i), *has = json_object();
		struct kc_err why;

		if (!json_object_get(one, "unread") &&
		    read_addresses(&p->copies[i], needs, has, &why) < 0)
			note_unread(&p->copies[i], &why, one, notes);
		json_object_set_new(one, "has", has);
	}
}

/* apex: as if every copy had these servers; NULL: as it is. */
static json_t *lint(struct kc_publish *p, bool whole, const json_t *apex)
{
	_cleanup_free_ char *zone = publish_zone(p);
	json_auto_t *copies = json_array(), *needs = NULL, *names = names_of(p),
		    *notes = json_array();
	json_t *found;

	for (size_t i = 0; i < p->n; i++) {
		json_t *one = read_copy(&p->copies[i], zone, whole, notes);

		if (apex)
			json_object_set(one, "apex", (json_t *)apex);
		json_array_append_new(copies, one);
	}
	publish_tell_apart(copies);
	needs = kc_lint_needs(zone, copies);
	read_needs(p, copies, needs, notes);
	found = kc_lint(zone, names, copies);
	json_array_extend(found, notes);
	return found;
}

json_t *kc_publish_lint(struct kc_publish *p, bool whole)
{
	return lint(p, whole, NULL);
}

json_t *publish_lint_with(struct kc_publish *p, const json_t *apex)
{
	return lint(p, false, apex);
}
