#include "dns/policy.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

#define MARK_LABEL "_kc."
#define WILDCARD   "*."
/* A name that begins with "*" is no wildcard below another label, so its mark gets a word. */
#define MARK_WILDCARD "_wildcard."
#define MARK_VERSION  "v=kc1"

enum { NAME_MAX_LEN = 253 };

static const char *name_of(const json_t *policy)
{
	return kc_json_get_str(json_object_get(policy, "metadata"), "name", "");
}

static const json_t *spec_of(const json_t *policy)
{
	return json_object_get(policy, "spec");
}

/* --- loading */

static void check_name_in_zone(const json_t *doc, struct kc_report *rep)
{
	const char *name = name_of(doc), *zone = kc_json_get_str(spec_of(doc), "zone", "");
	_cleanup_free_ char *below = xasprintf(".%s", zone), *mark = kc_policy_mark_name(doc);

	if (!streq(name, zone) && !kc_endswith(name, below))
		kc_report_value(rep, "/metadata/name",
				"%s is not in the zone %s; name it in full, as www.%s", name, zone,
				zone);
	else if (strlen(mark) > NAME_MAX_LEN + 1)
		kc_report_value(rep, "/metadata/name",
				"with the owner's mark, %s, it is longer than the %d that DNS "
				"takes; use a shorter name",
				mark, NAME_MAX_LEN);
}

/* The index of an earlier endpoint with the same id or address, or -1. */
static int earlier(const json_t *endpoints, size_t n, const char *id, const char *address)
{
	const json_t *e;
	size_t i;

	json_array_foreach((json_t *)endpoints, i, e) {
		if (i == n)
			break;
		if ((id && streq(kc_json_get_str(e, "id", ""), id)) ||
		    (address && kc_json_has_str(json_object_get(e, "addresses"), address)))
			return (int)i;
	}
	return -1;
}

static void check_endpoints(const json_t *doc, struct kc_report *rep)
{
	const json_t *list = json_object_get(spec_of(doc), "endpoints"), *e, *a;
	size_t i, k;

	json_array_foreach((json_t *)list, i, e) {
		const char *id = kc_json_get_str(e, "id", "");
		_cleanup_free_ char *at = xasprintf("/spec/endpoints/%zu/id", i);
		int first = earlier(list, i, id, NULL);

		if (first >= 0)
			kc_report_value(rep, at,
					"spec.endpoints[%d] is named \"%s\", too; give each its "
					"own id",
					first, id);
		json_array_foreach(json_object_get(e, "addresses"), k, a) {
			_cleanup_free_ char *where =
				xasprintf("/spec/endpoints/%zu/addresses/%zu", i, k);

			first = earlier(list, i, NULL, json_string_value(a));
			if (first >= 0)
				kc_report_value(rep, where,
						"spec.endpoints[%d] has %s, too; take it out of "
						"one of them",
						first, json_string_value(a));
		}
	}
}

/* Two entries for one server would write each other's records. */
static void check_copies(const json_t *doc, struct kc_report *rep)
{
	const json_t *list = json_object_get(spec_of(doc), "publish"), *a, *b;
	size_t i, k;

	json_array_foreach((json_t *)list, i, a)
		json_array_foreach((json_t *)list, k, b) {
			_cleanup_free_ char *at = xasprintf("/spec/publish/%zu/server", i);

			if (k >= i)
				break;
			if (json_equal(json_object_get(a, "server"),
				       json_object_get(b, "server")) &&
			    json_equal(json_object_get(a, "port"), json_object_get(b, "port")))
				kc_report_value(rep, at,
						"spec.publish[%zu] is this server, too; take one "
						"of them out",
						k);
		}
}

static int check(const json_t *doc, struct kc_report *rep, json_t **ret, struct kc_err *err)
{
	json_auto_t *full = NULL;
	int r = kc_spec_validate(kc_traffic_kind.fields, doc, rep, &full, err);

	if (r < 0)
		return r;
	check_name_in_zone(full, rep);
	check_endpoints(full, rep);
	check_copies(full, rep);
	r = kc_report_result(rep, err);
	if (r == 0)
		*ret = TAKE(full);
	return r;
}

/* Find the one TrafficPolicy; everything else in the stream is an error. */
static int choose(const struct kc_yaml *y, struct kc_report *rep, json_t **ret, struct kc_err *err)
{
	json_t *found = NULL;
	size_t at = 0;
	int r;

	for (size_t i = 0; i < kc_yaml_count(y); i++) {
		json_t *doc = kc_yaml_value(y, i);
		const char *kind = json_string_value(json_object_get(doc, "kind"));

		rep->doc = i;
		if (json_is_null(doc))
			continue;
		if (kind && !streq(kind, kc_traffic_kind.name))
			kc_report_value(rep, "/kind", "a %.60s is not a TrafficPolicy", kind);
		else if (found)
			kc_report_value(rep, "",
					"a second TrafficPolicy; put each one into its own file");
		else
			at = i;
		found = doc;
	}
	r = kc_report_result(rep, err);
	rep->doc = at;
	if (r == 0 && !found) {
		kc_report_value(rep, "",
				"no TrafficPolicy in this file; give one with kind: "
				"TrafficPolicy");
		r = kc_report_result(rep, err);
	}
	if (r == 0)
		*ret = found;
	return r;
}

int kc_policy_load(const char *file, const char *text, size_t len, json_t **ret_policy,
		   struct kc_buf *errors, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	json_t *doc = NULL;
	int r = kc_yaml_parse(file, text, len, &y, err);

	if (r == 0) {
		rep.yaml = y;
		r = choose(y, &rep, &doc, err);
	}
	if (r == 0)
		r = check(doc, &rep, ret_policy, err);
	if (r < 0 && errors)
		kc_buf_printf(errors, "%s%s", rep.n ? kc_buf_get(&rep.lines) : err->msg,
			      rep.n ? "" : "\n");
	return r;
}

/* --- what it makes */

char *kc_policy_name(const json_t *policy)
{
	return xasprintf("%s.", name_of(policy));
}

char *kc_policy_mark_name(const json_t *policy)
{
	const char *name = name_of(policy);
	bool wildcard = kc_startswith(name, WILDCARD);

	return xasprintf(MARK_LABEL "%s%s.", wildcard ? MARK_WILDCARD : "",
			 wildcard ? name + strlen(WILDCARD) : name);
}

json_t *kc_policy_mark(const json_t *policy)
{
	_cleanup_free_ char *name = kc_policy_mark_name(policy),
			    *data = xasprintf("\"" MARK_VERSION " o=%s\"",
					      kc_json_get_str(spec_of(policy), "owner", ""));

	return kc_pack("{s:s, s:s, s:O, s:[s]}", "name", name, "type", "TXT", "ttl",
		       kc_json_at(spec_of(policy), "ttl.answer"), "data", data);
}

char *kc_policy_mark_owner(const char *data)
{
	static const char before[] = "\"" MARK_VERSION " o=";
	_cleanup_free_ char *owner = NULL;
	const char *end;

	if (!kc_startswith(data, before))
		return NULL;
	data += strlen(before);
	end = data + strcspn(data, " \"");
	owner = xstrndup(data, (size_t)(end - data));
	return kc_is_dns_label(owner) ? TAKE(owner) : NULL;
}

/* Those that are to be answered: not drained, or all when none would be left. */
static json_t *answered(const json_t *policy, json_t *notes)
{
	const json_t *all = json_object_get(spec_of(policy), "endpoints"), *e;
	json_t *left = json_array();
	size_t i;

	json_array_foreach((json_t *)all, i, e)
		if (!kc_json_get_bool(e, "drain", false))
			json_array_append(left, (json_t *)e);
	if (json_array_size(left))
		return left;
	json_decref(left);
	json_array_append_new(notes, json_string("all endpoints are drained: all are answered, for "
						 "the name is never left empty"));
	return json_incref((json_t *)all);
}

/* The addresses of one family, sorted: equal policies make equal bytes. */
static void add_rrset(const json_t *policy, const json_t *endpoints, int family, const char *type,
		      json_t *out)
{
	_cleanup_free_ const char **found = NULL;
	_cleanup_free_ char *name = kc_policy_name(policy);
	const json_t *e, *a;
	json_t *data;
	size_t i, k, n = 0, all = 0;

	json_array_foreach((json_t *)endpoints, i, e)
		all += json_array_size(json_object_get(e, "addresses"));
	found = xcalloc(all + 1, sizeof(*found));
	json_array_foreach((json_t *)endpoints, i, e)
		json_array_foreach(json_object_get(e, "addresses"), k, a) {
			struct kc_addr addr;

			if (kc_addr_parse(json_string_value(a), &addr) && addr.family == family)
				found[n++] = json_string_value(a);
		}
	if (!n)
		return;
	kc_sort_text(found, n);
	data = json_array();
	for (i = 0; i < n; i++)
		json_array_append_new(data, json_string(found[i]));
	json_array_append_new(out,
			      kc_pack("{s:s, s:s, s:O, s:o}", "name", name, "type", type, "ttl",
				      kc_json_at(spec_of(policy), "ttl.answer"), "data", data));
}

json_t *kc_policy_lower(const json_t *policy, json_t *notes)
{
	json_auto_t *endpoints = answered(policy, notes);
	json_t *out = json_array();

	add_rrset(policy, endpoints, AF_INET, "A", out);
	add_rrset(policy, endpoints, AF_INET6, "AAAA", out);
	json_array_append_new(out, kc_policy_mark(policy));
	if (json_array_size(endpoints) > 1)
		json_array_append_new(notes,
				      json_string("plain records: every client gets all addresses "
						  "and takes any, near or far"));
	return out;
}
