/* What is to be done with a policy's hosts, for people and for programs. */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* SHOWN: of many hosts that are refused; the rest is counted. */
enum { SHOWN = 20 };

/* What stands at the name itself, whatever its type. */
static json_t *data_of(const json_t *rrsets, const char *name)
{
	json_t *out = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)rrsets, i, one)
		if (streq(kc_json_get_str(one, "name", ""), name))
			json_array_extend(out, json_object_get(one, "data"));
	return out;
}

/* The first TTL of before that is not the one that is wanted; 0: all are. */
static int64_t other_ttl(const struct hosts *h, const json_t *before)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)before, i, one)
		if (kc_json_get_int(one, "ttl", 0) != h->ttl)
			return kc_json_get_int(one, "ttl", 0);
	return 0;
}

/* {"path": host, "from": [addresses], "to": [addresses]}; of one whose addresses stay its TTL, or
 * that its mark is made. */
static json_t *change_of(const struct hosts *h, const struct host *one)
{
	json_auto_t *before = NULL, *wanted = NULL, *from = NULL, *to = NULL;
	json_int_t ttl;

	if (!one->same && !one->other)
		return kc_pack("{s:s, s:O}", "path", one->name, "to", one->addresses);
	before = json_array();
	wanted = json_array();
	host_before(h, one, before);
	host_wanted(h, one, wanted);
	from = data_of(before, one->name);
	to = data_of(wanted, one->name);
	kc_json_sort(from);
	kc_json_sort(to);
	ttl = (json_int_t)other_ttl(h, before);
	if (!json_equal(from, to))
		return kc_pack("{s:s, s:o, s:O}", "path", one->name, "from", TAKE(from), "to",
			       one->addresses);
	if (ttl)
		return kc_pack("{s:s+, s:I, s:I}", "path", one->name, " TTL", "from", ttl, "to",
			       (json_int_t)h->ttl);
	return kc_pack("{s:s+, s:s}", "path", one->name, " mark", "to", h->mark);
}

/* An entry for all hosts with one action; changes: an item each, or none. Takes changes. */
static void add_entry(const struct hosts *h, const char *where, const char *action, size_t count,
		      json_t *changes, json_t *tasks)
{
	_cleanup_free_ char *id = xasprintf("dns/%s/%s/hosts/%s", h->backend->name, where, action);

	if (count)
		json_array_append_new(tasks, kc_pack("{s:s, s:s, s:s, s:O, s:s, s:I}", "id", id,
						     "kind", "dns/hosts", "action", action,
						     "changes", changes, "provider",
						     h->backend->name, "count", (json_int_t)count));
	json_decref(changes);
}

void hosts_plan(const struct hosts *h, const char *where, json_t *tasks)
{
	json_t *create = json_array(), *update = json_array();
	size_t kept = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct host *one = &h->v[i];

		kept += host_is_wanted(one);
		if (!host_is_wanted(one) && !one->why)
			json_array_append_new(one->same || one->other ? update : create,
					      change_of(h, one));
	}
	add_entry(h, where, "create", json_array_size(create), create, tasks);
	add_entry(h, where, "update", json_array_size(update), update, tasks);
	add_entry(h, where, "keep", kept, json_array(), tasks);
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
