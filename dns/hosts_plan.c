/* What is to be done with a policy's hosts, for people and for programs. */
#include <stdlib.h>
#include <string.h>

#include "dns/claims.h"
#include "dns/hosts.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* SHOWN: of many hosts that are refused; the rest is counted. */
enum { SHOWN = 20 };

/* The two states of one type: {"path": "A", "from": [data], "to": [data]}, and of the TTL. */
static void add_change(const char *path, const json_t *was, const json_t *is, json_t *changes)
{
	json_t *from = json_object_get(was, "data"), *to = json_object_get(is, "data");
	json_t *old = json_object_get(was, "ttl"), *new = json_object_get(is, "ttl");

	if (!from != !to || !json_equal(from, to))
		json_array_append_new(changes, kc_pack("{s:s, s:O*, s:O*}", "path", path, "from",
						       from, "to", to));
	else if (!json_equal(old, new))
		json_array_append_new(changes, kc_pack("{s:s+, s:O*, s:O*}", "path", path, " ttl",
						       "from", old, "to", new));
}

/* The mark goes without saying where the host is made; where it alone changes it is told. */
static json_t *changes_of(const struct hosts *h, const struct host *one)
{
	json_auto_t *before = json_array(), *wanted = json_array();
	_cleanup_free_ char *mark = kc_claim_name(one->name, NULL);
	json_t *changes = json_array();

	host_before(h, one, before);
	host_wanted(h, one, wanted);
	for (const char *const *t = h->backend->types; *t; t++)
		add_change(*t, kc_dns_rrset_find(before, one->name, *t),
			   kc_dns_rrset_find(wanted, one->name, *t), changes);
	if (!json_array_size(changes))
		add_change("mark", kc_dns_rrset_find(before, mark, "TXT"),
			   kc_dns_rrset_find(wanted, mark, "TXT"), changes);
	return changes;
}

void hosts_plan(const struct hosts *h, const char *where, json_t *tasks)
{
	json_auto_t *kind = json_string("dns/host"), *create = json_string("create"),
		    *update = json_string("update"), *provider = json_string(h->backend->name);
	size_t kept = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct host *one = &h->v[i];
		_cleanup_free_ char *id = NULL;

		kept += host_is_wanted(one);
		if (host_is_wanted(one) || one->why)
			continue;
		id = xasprintf("dns/%s/%s/%s", h->backend->name, where, one->name);
		json_array_append_new(tasks,
				      kc_pack("{s:s, s:O, s:O, s:o, s:O}", "id", id, "kind", kind,
					      "action", one->same || one->other ? update : create,
					      "changes", changes_of(h, one), "provider", provider));
	}
	if (kept) {
		_cleanup_free_ char *id = xasprintf("dns/%s/%s/hosts", h->backend->name, where);

		json_array_append_new(tasks,
				      kc_pack("{s:s, s:s, s:s, s:[], s:O, s:I}", "id", id, "kind",
					      "dns/hosts", "action", "keep", "changes", "provider",
					      provider, "count", (json_int_t)kept));
	}
}

void hosts_refused(const struct hosts *h, const char *where, json_t *refused)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct host *one = &h->v[i];

		if (!one->why || ++n > SHOWN)
			continue;
		json_array_append_new(refused,
				      kc_pack("{s:s, s:s, s:s, s:s}", "provider", h->backend->name,
					      "where", where, "name", one->name, "why", one->why));
	}
	if (n > SHOWN) {
		_cleanup_free_ char *why = xasprintf("so it is with %zu more hosts", n - SHOWN);

		json_array_append_new(refused,
				      kc_pack("{s:s, s:s, s:s, s:s}", "provider", h->backend->name,
					      "where", where, "name", "", "why", why));
	}
}

size_t hosts_count_refused(const struct hosts *h)
{
	size_t n = 0;

	for (size_t i = 0; h && i < h->n; i++)
		n += h->v[i].why != NULL;
	return n;
}

size_t hosts_count_changes(const struct hosts *h)
{
	size_t n = 0;

	for (size_t i = 0; h && i < h->n; i++)
		n += !host_is_wanted(&h->v[i]);
	return n;
}

void hosts_notes(const struct hosts *h, const char *where, json_t *notes)
{
	const char *owner = kc_json_get_str(kc_json_at(h->p->policy, "spec"), "owner", "");
	_cleanup_free_ char *note = NULL;

	if (!h->strangers)
		return;
	note = xasprintf("%s: %zu more name%s marked as %s's there and not in this manifest; "
			 "what no other manifest has either `kubecdn dns delete` takes out, given "
			 "one "
			 "that has it as its name",
			 where, h->strangers, h->strangers == 1 ? " is" : "s are", owner);
	json_array_append_new(notes, json_string(note));
}
