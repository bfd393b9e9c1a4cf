/* Records as rrsets of JSON, and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns_impl.h"

/* PowerDNS' own, of which ldns knows nothing: a type that is answered, and a script as text. */
enum { TYPE_LUA = 65402, STRING_MAX = 255 };

int dns_type(const char *name, ldns_rr_type *ret, struct kc_err *err)
{
	ldns_rr_type type = streq(name, "LUA") ? TYPE_LUA : ldns_get_rr_type_by_name(name);

	if (type == 0)
		return kc_fail(err, KC_EINVAL, "no record type \"%.20s\"", name);
	*ret = type;
	return 0;
}

int dns_name(const char *name, ldns_rdf **ret, struct kc_err *err)
{
	ldns_rdf *rdf = NULL;

	if (ldns_str2rdf_dname(&rdf, name) != LDNS_STATUS_OK)
		return kc_fail(err, KC_EINVAL, "no DNS name: \"%.260s\"", name);
	ldns_dname2canonical(rdf);
	*ret = rdf;
	return 0;
}

int dns_bare_rr(const char *name, const char *type, ldns_rr_class klass, ldns_rr **ret,
		struct kc_err *err)
{
	ldns_rr_type number = LDNS_RR_TYPE_ANY;
	ldns_rdf *owner = NULL;
	ldns_rr *rr;
	int r = type ? dns_type(type, &number, err) : 0;

	if (r == 0)
		r = dns_name(name, &owner, err);
	if (r < 0)
		return r;
	rr = ldns_rr_new();
	if (!rr)
		abort();
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, number);
	ldns_rr_set_class(rr, klass);
	ldns_rr_set_ttl(rr, 0);
	*ret = rr;
	return 0;
}

/*
 * One quoted string, as master files have it (RFC 1035, 5.1), that *at stands on: its bytes with
 * their length before. *at is moved behind it. False: that is no string.
 */
static bool put_string(const char **at, struct kc_buf *wire)
{
	unsigned char bytes[STRING_MAX];
	const char *s = *at;
	size_t n = 0;

	if (*s++ != '"')
		return false;
	for (; *s && *s != '"' && n < sizeof(bytes); s++) {
		if (*s == '\\' && *++s == '\0')
			return false;
		bytes[n++] = (unsigned char)*s;
	}
	if (*s != '"')
		return false;
	*at = s + 1;
	kc_buf_printf(wire, "%02x", (unsigned)n);
	for (size_t i = 0; i < n; i++)
		kc_buf_printf(wire, "%02x", bytes[i]);
	return true;
}

/*
 * `A "script" "more of it"` as data of an unknown type (RFC 3597): the type's number, and the
 * strings. Owned; NULL if it is not that.
 */
static char *lua_data(const char *data)
{
	size_t n = strcspn(data, " ");
	_cleanup_free_ char *type = xstrndup(data, n);
	_cleanup_buf_ struct kc_buf wire = { 0 };
	ldns_rr_type number = ldns_get_rr_type_by_name(type);
	const char *at = data + n;

	if (!number || !*at)
		return NULL;
	kc_buf_printf(&wire, "%04x", (unsigned)number);
	while (*at) {
		if (*at++ != ' ' || !put_string(&at, &wire))
			return NULL;
	}
	return xasprintf("\\# %zu %s", wire.len / 2, kc_buf_get(&wire));
}

/* Data in presentation form is read by ldns as a line of a zone file; a line break in it is not. */
static int new_rr(const char *name, const char *type, const char *data, ldns_rr **ret,
		  struct kc_err *err)
{
	_cleanup_free_ char *lua = streq(type, "LUA") ? lua_data(data) : NULL,
			    *line = xasprintf("%s 0 IN %s %s", name, lua ? "TYPE65402" : type,
					      lua ? lua : data);
	ldns_rr_type number;
	ldns_rdf *owner = NULL;
	int r = dns_type(type, &number, err);

	if (r == 0)
		r = dns_name(name, &owner, err);
	ldns_rdf_deep_free(owner);
	if (r < 0)
		return r;
	if (strpbrk(data, "\r\n") ||
	    ldns_rr_new_frm_str(ret, line, 0, NULL, NULL) != LDNS_STATUS_OK)
		return kc_fail(err, KC_EINVAL, "%s: no data of a %s record: \"%.200s\"", name, type,
			       data);
	ldns_dname2canonical(ldns_rr_owner(*ret));
	return 0;
}

int dns_push_rrset(ldns_pkt *pkt, ldns_pkt_section section, const json_t *rrset,
		   ldns_rr_class klass, uint32_t ttl, struct kc_err *err)
{
	const char *name = kc_json_get_str(rrset, "name", ""),
		   *type = kc_json_get_str(rrset, "type", "");
	const json_t *datum;
	size_t i;

	json_array_foreach(json_object_get(rrset, "data"), i, datum) {
		ldns_rr *rr = NULL;
		int r;

		if (!json_is_string(datum))
			return kc_fail(err, KC_EINVAL, "%s %s: data is text", name, type);
		r = new_rr(name, type, json_string_value(datum), &rr, err);
		if (r < 0)
			return r;
		ldns_rr_set_class(rr, klass);
		ldns_rr_set_ttl(rr, ttl);
		if (!ldns_pkt_push_rr(pkt, section, rr))
			abort();
	}
	return 0;
}

/* ldns' own text, of which the caller gets a copy that free() frees. */
static char *text_of(char *s)
{
	char *copy = xstrdup(s ? s : "");

	LDNS_FREE(s);
	return copy;
}

/* All of its rdata, with a space between. Owned. */
static char *data_of(const ldns_rr *rr)
{
	char *out = xstrdup("");

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		_cleanup_free_ char *part = text_of(ldns_rdf2str(ldns_rr_rdf(rr, i))), *old = out;

		out = xasprintf("%s%s%s", old, *old ? " " : "", part);
	}
	return out;
}

json_t *kc_dns_rrset_find(const json_t *sets, const char *name, const char *type)
{
	json_t *set;
	size_t i;

	json_array_foreach((json_t *)sets, i, set)
		if (streq(kc_json_get_str(set, "name", ""), name) &&
		    streq(kc_json_get_str(set, "type", ""), type))
			return set;
	return NULL;
}

enum { INDEX_KEY = 1024 + 32 };

/* False: longer than any name and type. */
static bool index_key(const char *name, const char *type, char out[INDEX_KEY])
{
	int n = snprintf(out, INDEX_KEY, "%s %s", name, type);

	return n > 0 && n < INDEX_KEY;
}

json_t *kc_dns_rrset_index(const json_t *rrsets)
{
	json_t *index = json_object(), *set;
	char key[INDEX_KEY];
	size_t i;

	json_array_foreach((json_t *)rrsets, i, set)
		if (index_key(kc_json_get_str(set, "name", ""), kc_json_get_str(set, "type", ""),
			      key))
			json_object_set(index, key, set);
	return index;
}

json_t *kc_dns_rrset_at(const json_t *index, const char *name, const char *type)
{
	char key[INDEX_KEY];

	return index_key(name, type, key) ? json_object_get(index, key) : NULL;
}

json_t *dns_rrsets(const ldns_rr_list *rrs)
{
	json_t *sets = json_array(), *set;
	size_t i;

	for (i = 0; rrs && i < ldns_rr_list_rr_count(rrs); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(rrs, i);
		_cleanup_free_ char *name = NULL, *type = NULL, *data = data_of(rr);

		ldns_dname2canonical(ldns_rr_owner(rr));
		name = text_of(ldns_rdf2str(ldns_rr_owner(rr)));
		type = text_of(ldns_rr_type2str(ldns_rr_get_type(rr)));
		set = kc_dns_rrset_find(sets, name, type);
		if (!set) {
			set = kc_pack("{s:s, s:s, s:I, s:[]}", "name", name, "type", type, "ttl",
				      (json_int_t)ldns_rr_ttl(rr), "data");
			json_array_append_new(sets, set);
		}
		json_array_append_new(json_object_get(set, "data"), json_string(data));
	}
	json_array_foreach(sets, i, set)
		kc_json_sort(json_object_get(set, "data"));
	return sets;
}
