/* Reading the copies, whose they are, what is wanted there, and the plan. */
#include "dns/publish.h"

#include <stdlib.h>
#include <string.h>

#include "dns/claims.h"
#include "dns/hosts.h"
#include "dns/policy.h"
#include "dns/publish_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/sign.h"
#include "lib/net/dns.h"

/* The rrset of {"name", "type"}; borrowed, or NULL. */
static json_t *find(const json_t *rrsets, const json_t *one)
{
	return kc_dns_rrset_find(rrsets, kc_json_get_str(one, "name", ""),
				 kc_json_get_str(one, "type", ""));
}

bool publish_same(const json_t *a, const json_t *b)
{
	const json_t *one;
	size_t i;

	if (json_array_size(a) != json_array_size(b))
		return false;
	json_array_foreach((json_t *)a, i, one) {
		const json_t *other = find(b, one);

		if (!other || !json_equal(one, other))
			return false;
	}
	return true;
}

/* --- whose it is */

/* A claim is no record of others: it counts, or it does not. */
static bool is_claim(const json_t *policy, const json_t *rrset)
{
	_cleanup_free_ char *name = kc_policy_name(policy);

	return !streq(kc_json_get_str(rrset, "name", ""), name);
}

char *publish_refusal(const struct kc_publish *p, const char *name, const json_t *mark,
		      const char *type)
{
	const char *ours = kc_json_get_str(json_object_get(p->policy, "spec"), "owner", "");
	_cleanup_free_ char *at = kc_claim_name(name, NULL), *owner = NULL;

	if (json_array_size(mark)) {
		owner = kc_policy_mark_owner(json_string_value(json_array_get(mark, 0)));
		if (owner && json_array_size(mark) == 1 && streq(owner, ours))
			return NULL;
		return owner ? xasprintf("%s belongs to \"%s\" (TXT %s); choose another name, or "
					 "let that owner give it up",
					 name, owner, at)
			     : xasprintf("the TXT record %s is not by kubecdn; remove it", at);
	}
	if (!type || p->adopt)
		return NULL;
	return xasprintf("%s has a %s record that kubecdn did not make, and nothing is changed "
			 "that "
			 "it did not make; if it is yours, take it over with `kubecdn dns adopt`",
			 name, type);
}

/* Whose records are these? An error says so, and what to do. */
static int check_owner(const struct kc_publish *p, const json_t *before, struct kc_err *err)
{
	const json_t *policy = p->policy, *v;
	_cleanup_free_ char *name = kc_policy_name(policy), *at = kc_policy_mark_name(policy),
			    *why = NULL;
	const char *type = NULL;
	size_t i;

	json_array_foreach((json_t *)before, i, v)
		if (!type && !is_claim(policy, v))
			type = kc_json_get_str(v, "type", "?");
	why = publish_refusal(p, name,
			      json_object_get(kc_dns_rrset_find(before, at, "TXT"), "data"), type);
	return why ? kc_fail(err, KC_ECONFLICT, "%s", why) : 0;
}

/* --- what is wanted */

/* The claim's text at an epoch. */
static int own_text(const struct kc_publish *p, int64_t epoch, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy);
	struct kc_claim c = { .owner = (char *)kc_json_get_str(json_object_get(p->policy, "spec"),
							       "owner", ""),
			      .region = (char *)p->claim->region,
			      .epoch = (uint64_t)epoch,
			      .addresses = (json_t *)p->claim->addresses,
			      .down = (json_t *)p->claim->down };

	return kc_claim_write(&c, name, p->claim->key_pem, ret, err);
}

/* The same again is the same text; anything else the next epoch. */
static int add_own_claim(const struct kc_publish *p, const json_t *before, json_t *claims,
			 json_t *rrsets, struct kc_err *err)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy), *text = NULL, *data = NULL,
			    *at = kc_claim_name(name, p->claim->region);
	json_t *was = kc_dns_rrset_find(before, at, "TXT");
	int64_t epoch = kc_json_get_int(json_object_get(claims, p->claim->region), "epoch", 0);
	int r = own_text(p, epoch + !epoch, &text, err);

	if (r < 0)
		return r;
	data = kc_claim_data(text);
	if (epoch && !kc_json_has_str(json_object_get(was, "data"), data)) {
		free(TAKE(text));
		free(TAKE(data));
		r = own_text(p, ++epoch, &text, err);
		if (r < 0)
			return r;
		data = kc_claim_data(text);
	}
	json_array_append_new(rrsets,
			      kc_pack("{s:s, s:s, s:O, s:[s]}", "name", at, "type", "TXT", "ttl",
				      kc_json_at(p->policy, "spec.ttl.answer"), "data", data));
	json_object_set_new(claims, p->claim->region,
			    kc_pack("{s:I, s:O, s:O*}", "epoch", (json_int_t)epoch, "addresses",
				    p->claim->addresses, "down", p->claim->down));
	return 0;
}

/* Claims of others stand as they are, also those that count for nothing: they are not ours. */
static void keep_claims(const struct kc_publish *p, const json_t *before, json_t *rrsets)
{
	_cleanup_free_ char *name = kc_policy_name(p->policy), *own = NULL;
	const json_t *region;
	size_t i;

	own = p->claim ? kc_claim_name(name, p->claim->region) : NULL;
	json_array_foreach(kc_json_at(p->policy, "spec.regions"), i, region) {
		_cleanup_free_ char *at = kc_claim_name(name, kc_json_get_str(region, "name", ""));
		json_t *rrset = kc_dns_rrset_find(before, at, "TXT");

		if (rrset && !strsame(at, own))
			json_array_append(rrsets, rrset);
	}
}

/* Does anything lead anywhere? */
static bool leads(const json_t *rrsets, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, one)
		if (streq(kc_json_get_str(one, "name", ""), name))
			return true;
	return false;
}

/* What the provider is to have of the policy, and what that loses. */
static int lower(const struct kc_publish *p, struct copy *c, const json_t *claims, json_t *notes,
		 json_t *rrsets, struct kc_err *err)
{
	/* Where the provider checks, it sees for itself. */
	json_auto_t *up = c->backend->traits->checks ? json_incref((json_t *)claims)
						     : kc_policy_up(p->policy, claims, notes),
		    *ir = kc_ir_make(p->policy, up, notes), *fidelity = json_array(),
		    *allowed = json_array();
	int r;

	if (!json_array_size(json_object_get(ir, "endpoints")))
		return 0;
	r = c->backend->lower(c->publish, ir, rrsets, fidelity, err);
	if (r < 0)
		return r;
	kc_ir_plain(ir, allowed);
	json_decref(c->allowed);
	c->allowed = TAKE(allowed);
	json_decref(c->fidelity);
	c->fidelity = TAKE(fidelity);
	return 0;
}

/* A region that speaks does not take back that the name is given up; an operator does. */
static json_t *wanted_mark(const struct kc_publish *p, const json_t *before)
{
	_cleanup_free_ char *at = kc_policy_mark_name(p->policy);
	const json_t *mark = kc_dns_rrset_find(before, at, "TXT");
	int64_t since = kc_policy_mark_since(
		json_string_value(json_array_get(json_object_get(mark, "data"), 0)));

	return kc_policy_mark(p->policy, p->claim ? since : 0);
}

static int make_wanted(const struct kc_publish *p, struct copy *c, const json_t *before,
		       json_t *notes, json_t **ret, struct kc_err *err)
{
	json_auto_t *claims = kc_policy_claims(p->policy, before, notes), *rrsets = json_array(),
		    *lowered = json_array();
	_cleanup_free_ char *name = kc_policy_name(p->policy);
	int r = 0;

	json_decref(c->claims);
	c->claims = json_incref(claims);
	keep_claims(p, before, rrsets);
	if (p->claim)
		r = add_own_claim(p, before, claims, rrsets, err);
	if (r == 0)
		r = lower(p, c, claims, notes, lowered, err);
	if (r < 0)
		return r;
	if (!json_array_size(lowered) && leads(before, name))
		return kc_fail(err, KC_ECONFLICT,
			       "nothing would be left of %s, and a name that was answered is never "
			       "left empty; let another region claim it first",
			       name);
	json_array_extend(rrsets, lowered);
	if (json_array_size(lowered))
		json_array_append_new(rrsets, wanted_mark(p, before));
	*ret = TAKE(rrsets);
	return 0;
}

static void add_note(json_t *notes, const char *text)
{
	if (!kc_json_has_str(notes, text))
		json_array_append_new(notes, json_string(text));
}

/* What a copy loses, for people; what it does exactly goes without saying. */
static void note_fidelity(struct kc_publish *p, const struct copy *c)
{
	const json_t *one;
	size_t i;

	json_array_foreach(c->fidelity, i, one) {
		_cleanup_free_ char *text =
			xasprintf("%s: %s %s: %s", c->backend->name,
				  kc_json_get_str(one, "stage", ""),
				  kc_json_get_str(one, "how", ""), kc_json_get_str(one, "why", ""));

		if (!streq(kc_json_get_str(one, "how", ""), "exact"))
			add_note(p->notes, text);
	}
}

int publish_read(struct kc_publish *p, struct copy *c, struct kc_err *err)
{
	json_auto_t *before = NULL, *wanted = NULL, *notes = json_array();
	const json_t *note;
	size_t i;
	int r = c->backend->read(c->conn, c->which, &before, err);

	if (r == 0)
		r = check_owner(p, before, err);
	if (r == 0 && p->remove)
		wanted = publish_gone(p, before, notes);
	else if (r == 0)
		r = make_wanted(p, c, before, notes, &wanted, err);
	if (r < 0)
		return r;
	json_array_foreach(notes, i, note)
		add_note(p->notes, json_string_value(note));
	note_fidelity(p, c);
	json_decref(c->before);
	json_decref(c->wanted);
	c->before = TAKE(before);
	c->wanted = TAKE(wanted);
	return 0;
}

/* --- the plan */

static const char *action_of(const json_t *was, const json_t *is)
{
	if (!was)
		return "create";
	if (!is)
		return "delete";
	return json_equal(was, is) ? "keep" : "update";
}

static json_t *item_of(const json_t *items, const char *set)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)items, i, item)
		if (streq(kc_json_get_str(item, "set", ""), set))
			return item;
	return NULL;
}

static void add_change(json_t *out, const char *path, json_t *from, json_t *to)
{
	if (!from || !to || !json_equal(from, to))
		json_array_append_new(out, kc_pack("{s:s, s:O*, s:O*}", "path", path, "from", from,
						   "to", to));
}

/* Of records that stand beside each other at one name each that differs, "items[SET]". */
static void add_items(json_t *out, const json_t *was, const json_t *is)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)is, i, item) {
		const char *set = kc_json_get_str(item, "set", "");
		_cleanup_free_ char *path = xasprintf("items[%s]", set);

		add_change(out, path, item_of(was, set), (json_t *)item);
	}
	json_array_foreach((json_t *)was, i, item) {
		const char *set = kc_json_get_str(item, "set", "");
		_cleanup_free_ char *path = xasprintf("items[%s]", set);

		if (!item_of(is, set))
			add_change(out, path, (json_t *)item, NULL);
	}
}

/* Every member of the two that differs, but what names them. */
static json_t *changes_of(const json_t *was, const json_t *is)
{
	json_auto_t *both = json_object();
	json_t *out = json_array();
	_cleanup_free_ const char **keys = NULL;
	size_t n;

	json_object_update(both, (json_t *)was);
	json_object_update(both, (json_t *)is);
	keys = kc_json_keys(both, &n);
	for (size_t i = 0; i < n; i++) {
		json_t *a = json_object_get(was, keys[i]), *b = json_object_get(is, keys[i]);

		if (streq(keys[i], "items"))
			add_items(out, a, b);
		else if (!streq(keys[i], "name") && !streq(keys[i], "type"))
			add_change(out, keys[i], a, b);
	}
	return out;
}

static void plan_rrset(const struct copy *c, const json_t *one, json_t *tasks)
{
	const json_t *was = find(c->before, one), *is = find(c->wanted, one);
	_cleanup_free_ char *id =
		xasprintf("dns/%s/%s/%s %s", c->backend->name, c->backend->where(c->conn),
			  kc_json_get_str(one, "name", ""), kc_json_get_str(one, "type", ""));

	json_array_append_new(tasks, kc_pack("{s:s, s:s, s:s, s:o, s:s}", "id", id, "kind",
					     "dns/rrset", "action", action_of(was, is), "changes",
					     changes_of(was, is), "provider", c->backend->name));
}

static void plan_copy(const struct copy *c, json_t *tasks)
{
	const json_t *one;
	size_t i;

	json_array_foreach(c->wanted, i, one)
		plan_rrset(c, one, tasks);
	json_array_foreach(c->before, i, one)
		if (!find(c->wanted, one))
			plan_rrset(c, one, tasks);
	if (c->hosts)
		hosts_plan(c->hosts, c->backend->where(c->conn), tasks);
}

static void make_plan(struct kc_publish *p)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].why.code)
			plan_copy(&p->copies[i], tasks);
	p->plan = kc_pack("{s:i, s:o}", "format", 1, "tasks", tasks);
}

const json_t *kc_publish_plan(const struct kc_publish *p)
{
	return p->plan;
}

json_t *kc_publish_fidelity(const struct kc_publish *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(out,
				      kc_pack("{s:s, s:s, s:i, s:o}", "provider",
					      p->copies[i].backend->name, "where",
					      p->copies[i].backend->where(p->copies[i].conn),
					      "moved", publish_shift(p, &p->copies[i]), "stages",
					      p->copies[i].fidelity
						      ? json_incref(p->copies[i].fidelity)
						      : json_array()));
	return out;
}

json_t *kc_publish_newest(const struct kc_publish *p)
{
	json_t *newest = NULL, *claim;
	const char *region;

	for (size_t i = 0; i < p->n; i++) {
		json_auto_t *notes = json_array(), *claims = NULL;

		if (!p->copies[i].before)
			continue;
		newest = newest ? newest : json_object();
		claims = kc_policy_claims(p->policy, p->copies[i].before, notes);
		json_object_foreach(claims, region, claim)
			if (kc_json_get_int(claim, "epoch", 0) >
			    kc_json_get_int(json_object_get(newest, region), "epoch", 0))
				json_object_set(newest, region, claim);
	}
	return newest;
}

const json_t *kc_publish_notes(const struct kc_publish *p)
{
	return p->notes;
}

json_t *kc_publish_refused(const struct kc_publish *p)
{
	json_t *out = json_array();

	for (size_t i = 0; i < p->n; i++) {
		const struct copy *c = &p->copies[i];

		if (c->why.code)
			json_array_append_new(out, kc_pack("{s:s, s:s, s:s}", "provider",
							   c->backend->name, "where",
							   c->backend->where(c->conn), "why",
							   c->why.msg));
		else if (c->hosts)
			hosts_refused(c->hosts, c->backend->where(c->conn), out);
	}
	return out;
}

/* --- opening */

/* A region speaks for itself and not for them, and who gives the name up keeps them. */
static int read_hosts(struct kc_publish *p, struct copy *c, struct kc_err *err)
{
	int r;

	if (p->claim || !json_array_size(kc_json_at(p->policy, "spec.hosts")))
		return 0;
	if (p->remove) {
		add_note(p->notes, "spec.hosts stay as they are");
		return 0;
	}
	r = hosts_read(p, c, &c->hosts, err);
	if (r == 0)
		hosts_notes(c->hosts, c->backend->where(c->conn), p->notes);
	return r;
}

static int open_copy(struct kc_publish *p, const json_t *publish, struct kc_err *err)
{
	const json_t *spec = json_object_get(p->policy, "spec");
	const char *provider = kc_json_get_str(publish, "provider", "");
	struct copy *c = &p->copies[p->n];
	struct kc_err why;
	int r;

	c->backend = kc_dns_backend_find(provider);
	if (!c->backend)
		return kc_fail(err, KC_EINVAL, "no DNS provider \"%s\"", provider);
	r = c->backend->open(publish, kc_json_get_str(spec, "zone", ""),
			     kc_json_get_str(spec, "owner", ""), &c->conn, err);
	if (r < 0)
		return kc_wrap(err, "spec.publish[%zu]", p->n);
	p->n++;
	c->publish = publish;
	c->which = kc_policy_which(p->policy, c->backend->types);
	if (publish_read(p, c, &why) < 0 || read_hosts(p, c, &why) < 0)
		c->why = why;
	return 0;
}

/* A claim signed with another key than the policy's would count for nothing. */
static int check_claim(const struct kc_publish *p, struct kc_err *err)
{
	const struct kc_publish_claim *claim = p->claim;
	_cleanup_free_ char *public = NULL, *text = NULL;
	const json_t *region;
	size_t i;
	int r = kc_sign_public(claim->key_pem, &public, err);

	if (r == 0)
		r = own_text(p, 1, &text, err);
	if (r < 0)
		return r;
	json_array_foreach(kc_json_at(p->policy, "spec.regions"), i, region) {
		if (!streq(kc_json_get_str(region, "name", ""), claim->region))
			continue;
		if (streq(kc_json_get_str(region, "publicKey", ""), public))
			return 0;
		return kc_fail(err, KC_EINVAL,
			       "this is not the key of region %s: spec.regions[%zu].publicKey is "
			       "of another one, not %s",
			       claim->region, i, public);
	}
	return kc_fail(err, KC_EINVAL, "the policy has no region \"%s\" in spec.regions",
		       claim->region);
}

int kc_publish_check(const json_t *policy, const char *region, const char *key_pem,
		     struct kc_err *err)
{
	const struct kc_publish_claim claim = { .region = region, .key_pem = key_pem };

	return check_claim(&(struct kc_publish){ .policy = policy, .claim = &claim }, err);
}

int kc_publish_open(const json_t *policy, const struct kc_publish_opts *opts,
		    struct kc_publish **ret, struct kc_err *err)
{
	const json_t *spec = json_object_get(policy, "spec"), *publish;
	struct kc_publish *p = xcalloc(1, sizeof(*p));
	size_t i;
	int r;

	p->policy = policy;
	p->claim = opts->claim;
	p->adopt = opts->adopt;
	p->remove = opts->remove;
	p->allow_shift = opts->allow_shift;
	r = p->claim ? check_claim(p, err) : 0;
	p->notes = json_array();
	p->copies =
		xcalloc(json_array_size(json_object_get(spec, "publish")) + 1, sizeof(*p->copies));
	if (r == 0 &&
	    !kc_parse_duration(json_string_value(kc_json_at(spec, "verify.within")), &p->within_ms))
		r = kc_fail(err, KC_EINVAL, "spec.verify.within is no time");
	json_array_foreach(json_object_get(spec, "publish"), i, publish)
		if (r == 0)
			r = open_copy(p, publish, err);
	if (r < 0) {
		kc_publish_close(p);
		return r;
	}
	publish_check_safety(p);
	make_plan(p);
	*ret = p;
	return 0;
}

void kc_publish_close(struct kc_publish *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		hosts_free(p->copies[i].hosts);
		p->copies[i].backend->close(p->copies[i].conn);
		json_decref(p->copies[i].which);
		json_decref(p->copies[i].before);
		json_decref(p->copies[i].wanted);
		json_decref(p->copies[i].allowed);
		json_decref(p->copies[i].fidelity);
		json_decref(p->copies[i].claims);
	}
	free(p->copies);
	json_decref(p->notes);
	json_decref(p->plan);
	json_decref(p->findings);
	free(p);
}
