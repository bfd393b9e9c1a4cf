/* What the hosts of a policy are to have, and what a copy of the zone has of it. */
#include "dns/hosts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/claims.h"
#include "dns/policy.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

static const struct kind {
	unsigned char bit;
	int family;
	const char *type;
} kinds[] = { { HOST_A, AF_INET, "A" }, { HOST_AAAA, AF_INET6, "AAAA" } };

static int family_of(const char *address)
{
	return strchr(address, ':') ? AF_INET6 : AF_INET;
}

/* --- one host's rrsets */

static void add_rrset(const struct hosts *h, const char *name, const char *type, json_t *data,
		      json_t *rrsets)
{
	json_array_append_new(rrsets, kc_pack("{s:s, s:s, s:I, s:o}", "name", name, "type", type,
					      "ttl", (json_int_t)h->ttl, "data", data));
}

/* Those of the bits, as they are wanted. */
static void add_rrsets(const struct hosts *h, const struct host *one, unsigned char bits,
		       json_t *rrsets)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		json_t *data, *a;
		size_t i;

		if (!(bits & kinds[k].bit))
			continue;
		data = json_array();
		json_array_foreach((json_t *)one->addresses, i, a)
			if (family_of(json_string_value(a)) == kinds[k].family)
				json_array_append(data, a);
		kc_json_sort(data);
		add_rrset(h, one->name, kinds[k].type, data, rrsets);
	}
	if (bits & HOST_MARK) {
		_cleanup_free_ char *at = kc_claim_name(one->name, NULL);

		add_rrset(h, at, "TXT", kc_pack("[s]", h->mark), rrsets);
	}
}

void host_wanted(const struct hosts *h, const struct host *one, json_t *rrsets)
{
	add_rrsets(h, one, one->wants, rrsets);
}

void host_before(const struct hosts *h, const struct host *one, json_t *rrsets)
{
	add_rrsets(h, one, one->same, rrsets);
	if (one->other)
		json_array_extend(rrsets, one->other);
}

void host_which(const struct hosts *h, const struct host *one, json_t *which)
{
	_cleanup_free_ char *at = kc_claim_name(one->name, NULL);

	if (h->backend->scans_all && !one->in_use)
		json_array_append_new(which, kc_pack("{s:s}", "name", one->name));
	else
		for (const char *const *t = h->backend->types; *t; t++)
			json_array_append_new(which,
					      kc_pack("{s:s, s:s}", "name", one->name, "type", *t));
	json_array_append_new(which, kc_pack("{s:s, s:s}", "name", at, "type", "TXT"));
}

bool host_is_wanted(const struct host *one)
{
	return one->same == one->wants && !one->other;
}

/* --- reading */

static bool has_address(const struct host *one, const char *address)
{
	return kc_json_has_str(one->addresses, address);
}

bool host_serves(const struct hosts *h, const struct host *one, const struct kc_dns_found *f)
{
	int family = streq(f->type, "AAAA") ? AF_INET6 : AF_INET;
	size_t count = 0, i;
	const json_t *a;

	json_array_foreach((json_t *)one->addresses, i, a)
		count += family_of(json_string_value(a)) == family;
	if (f->n != count || f->ttl != h->ttl)
		return false;
	for (i = 0; i < f->n; i++)
		if (!has_address(one, f->data[i]))
			return false;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct host *)a)->name, ((const struct host *)b)->name);
}

static struct host *find(const struct hosts *h, const char *name)
{
	struct host key = { .name = (char *)name };

	return h->n ? bsearch(&key, h->v, h->n, sizeof(*h->v), by_name) : NULL;
}

/* The host that a mark's name stands beside; the inverse of kc_claim_name(). */
static struct host *find_marked(const struct hosts *h, const char *at)
{
	_cleanup_free_ char *wildcard = NULL;

	at += strlen("_kc.");
	if (!kc_startswith(at, "_wildcard."))
		return find(h, at);
	wildcard = xasprintf("*.%s", at + strlen("_wildcard."));
	return find(h, wildcard);
}

static json_t *rrset_of(const struct kc_dns_found *f)
{
	json_auto_t *data = f->data ? json_array() : NULL;

	for (size_t i = 0; f->data && i < f->n; i++)
		json_array_append_new(data, json_string(f->data[i]));
	kc_json_sort(data);
	return kc_pack("{s:s, s:s, s:I, s:O*}", "name", f->name, "type", f->type, "ttl",
		       (json_int_t)f->ttl, "data", data);
}

static void keep(struct host *one, const struct kc_dns_found *f)
{
	if (!one->other)
		one->other = json_array();
	json_array_append_new(one->other, rrset_of(f));
}

static void add_mark(struct hosts *h, const struct kc_dns_found *f)
{
	struct host *one = find_marked(h, f->name);
	bool ours = f->n == 1 && streq(f->data[0], h->mark);

	if (!one)
		h->strangers += ours && !streq(f->name, h->steered);
	else if (!one->asked)
		return;
	else if (ours && f->ttl == h->ttl)
		one->same |= HOST_MARK;
	else
		keep(one, f);
}

static bool matters(const struct hosts *h, const char *type)
{
	for (const char *const *t = h->backend->types; *t; t++)
		if (streq(*t, type))
			return true;
	return false;
}

static int found(void *cookie, const struct kc_dns_found *f, struct kc_err *err)
{
	struct hosts *h = cookie;
	struct host *one;

	if (kc_startswith(f->name, "_kc.")) {
		if (streq(f->type, "TXT"))
			add_mark(h, f);
		return 0;
	}
	one = find(h, f->name);
	if (!one || !one->asked)
		return 0;
	one->in_use = true;
	if (!matters(h, f->type))
		return 0;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (streq(f->type, kinds[k].type) && (one->wants & kinds[k].bit) &&
		    host_serves(h, one, f)) {
			one->same |= kinds[k].bit;
			return 0;
		}
	keep(one, f);
	return 0;
}

/* Of those that read() gives. */
static int found_all(struct hosts *h, const json_t *rrsets, struct kc_err *err)
{
	const json_t *rrset;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)rrsets, i, rrset) {
		const json_t *data = json_object_get(rrset, "data");
		struct kc_dns_found f = { .name = kc_json_get_str(rrset, "name", ""),
					  .type = kc_json_get_str(rrset, "type", ""),
					  .ttl = kc_json_get_int(rrset, "ttl", 0),
					  .n = json_array_size(data) };
		_cleanup_free_ const char **text = xcalloc(f.n + 1, sizeof(*text));

		for (size_t k = 0; k < f.n; k++)
			text[k] = json_string_value(json_array_get(data, k));
		f.data = data ? text : NULL;
		if (r == 0)
			r = found(h, &f, err);
	}
	return r;
}

static int read_each(struct hosts *h, struct host *const *v, size_t n, struct kc_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		json_auto_t *which = json_array(), *rrsets = NULL;

		host_which(h, v[i], which);
		r = h->backend->read(h->conn, which, &rrsets, err);
		if (r == 0)
			r = found_all(h, rrsets, err);
	}
	return r;
}

int hosts_scan(struct hosts *h, struct host *const *v, size_t n, struct kc_err *err)
{
	_cleanup_free_ const char **names = xcalloc(n + 1, sizeof(*names));
	int r;

	h->strangers = 0;
	for (size_t i = 0; i < n; i++) {
		v[i]->same = 0;
		v[i]->in_use = false;
		v[i]->asked = true;
		json_decref(TAKE(v[i]->other));
		names[i] = v[i]->name;
	}
	r = h->backend->scan ? h->backend->scan(h->conn, names, n, found, h, err)
			     : read_each(h, v, n, err);
	for (size_t i = 0; i < n; i++)
		v[i]->asked = false;
	return r;
}

/* --- whose they are */

static const json_t *mark_of(const struct host *one)
{
	_cleanup_free_ char *at = kc_claim_name(one->name, NULL);

	return json_object_get(kc_dns_rrset_find(one->other, at, "TXT"), "data");
}

/* Why a host is not changed; NULL: it may be. Owned. */
static char *refusal(const struct hosts *h, const struct host *one)
{
	const char *type = NULL;
	const json_t *rrset;
	size_t i;

	json_array_foreach((json_t *)one->other, i, rrset)
		if (!json_object_get(rrset, "data"))
			return xasprintf("%s has a %s record that is routed, and hosts are plain; "
					 "remove it",
					 one->name, kc_json_get_str(rrset, "type", "?"));
	if (one->same & HOST_MARK)
		return NULL;
	json_array_foreach((json_t *)one->other, i, rrset)
		if (streq(kc_json_get_str(rrset, "name", ""), one->name))
			type = kc_json_get_str(rrset, "type", "?");
	if (one->same)
		type = one->same & HOST_A ? "A" : "AAAA";
	return publish_refusal(h->p, one->name, mark_of(one), type);
}

static void judge(struct hosts *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!host_is_wanted(&h->v[i]))
			h->v[i].why = refusal(h, &h->v[i]);
}

/* --- all of them */

static void add_host(struct hosts *h, const json_t *from)
{
	struct host *one = &h->v[h->n++];
	const json_t *a;
	size_t i;

	one->name = xasprintf("%s.", kc_json_get_str(from, "name", ""));
	one->addresses = json_object_get(from, "addresses");
	one->wants = HOST_MARK;
	json_array_foreach((json_t *)one->addresses, i, a)
		one->wants |= family_of(json_string_value(a)) == AF_INET6 ? HOST_AAAA : HOST_A;
}

struct hosts *hosts_new(const json_t *policy)
{
	const json_t *list = kc_json_at(policy, "spec.hosts"), *one;
	json_auto_t *mark = kc_policy_mark(policy, 0);
	struct hosts *h = xcalloc(1, sizeof(*h));
	size_t i;

	h->ttl = kc_json_get_int(kc_json_at(policy, "spec.ttl"), "answer", 0);
	h->mark = xstrdup(json_string_value(json_array_get(json_object_get(mark, "data"), 0)));
	h->steered = kc_policy_mark_name(policy);
	h->v = xcalloc(json_array_size(list) + 1, sizeof(*h->v));
	json_array_foreach((json_t *)list, i, one)
		add_host(h, one);
	qsort(h->v, h->n, sizeof(*h->v), by_name);
	return h;
}

int hosts_read(struct kc_publish *p, struct copy *c, struct hosts **ret, struct kc_err *err)
{
	struct hosts *h = hosts_new(p->policy);
	_cleanup_free_ struct host **all = xcalloc(h->n + 1, sizeof(*all));
	int r;

	h->p = p;
	h->backend = c->backend;
	h->conn = c->conn;
	for (size_t i = 0; i < h->n; i++)
		all[i] = &h->v[i];
	r = hosts_scan(h, all, h->n, err);
	if (r < 0) {
		hosts_free(h);
		return r;
	}
	judge(h);
	*ret = h;
	return 0;
}

void hosts_free(struct hosts *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++) {
		free(h->v[i].name);
		json_decref(h->v[i].other);
		json_decref(h->v[i].was);
		free(h->v[i].why);
		free(h->v[i].unseen);
	}
	free(h->v);
	free(h->mark);
	free(h->steered);
	free(h);
}
