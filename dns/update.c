/* The primary server of a zone, which takes dynamic updates: RFC 2136 and RFC 8945. */
#include "dns/update.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

enum { SECRET_MAX = 4096 };

int primary_secret(const char *path, const char *what, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *full = kc_expand_home(path);
	_cleanup_wiped_ char *text = NULL;
	size_t len;
	int r = kc_file_read_private(full, SECRET_MAX, &text, &len, err);

	if (r < 0)
		return r;
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	if (!len || strpbrk(text, "\r\n"))
		return kc_fail(err, KC_EINVAL, "%s: no %s; it has to hold that and nothing else",
			       path, what);
	*ret = TAKE(text);
	return 0;
}

void primary_done(struct primary *p)
{
	free(p->where);
	free(p->zone);
	free(p->key_name);
	kc_free_wiped(p->secret);
}

int primary_open(const json_t *publish, const char *zone, struct primary *ret, struct kc_err *err)
{
	const json_t *tsig = json_object_get(publish, "tsig");
	const char *server = kc_json_get_str(publish, "server", "");
	int r;

	if (!kc_addr_parse(server, &ret->server.address))
		return kc_fail(err, KC_EINVAL, "no address: %s", server);
	r = primary_secret(kc_json_get_str(tsig, "secretFile", ""), "TSIG secret in base64",
			   &ret->secret, err);
	if (r < 0)
		return r;
	if (strspn(ret->secret, BASE64) < strlen(ret->secret))
		return kc_fail(err, KC_EINVAL,
			       "%s: no TSIG secret; it has to hold the key's secret in base64 and "
			       "nothing else",
			       kc_json_get_str(tsig, "secretFile", ""));
	ret->server.port = (int)kc_json_get_int(publish, "port", 53);
	ret->where = xasprintf("%s port %d", server, ret->server.port);
	ret->zone = xasprintf("%s.", zone);
	ret->key_name = xasprintf("%s.", kc_json_get_str(tsig, "name", ""));
	ret->key = (struct kc_dns_key){ .name = ret->key_name, .secret = ret->secret };
	ret->server.key = &ret->key;
	return 0;
}

json_t *primary_servers(const struct primary *p)
{
	char address[KC_ADDR_STRLEN];

	kc_addr_format(&p->server.address, address);
	return kc_pack("[{s:s, s:i}]", "address", address, "port", p->server.port);
}

static json_t *at(const json_t *index, const json_t *one)
{
	return kc_dns_rrset_at(index, kc_json_get_str(one, "name", ""),
			       kc_json_get_str(one, "type", ""));
}

/* What all of which is to be like, so that the change is made. */
static json_t *prerequisites_of(const json_t *which, const json_t *was)
{
	json_t *out = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one) {
		const json_t *there = at(was, one);

		json_array_append_new(out,
				      there ? kc_pack("{s:O, s:O, s:O}", "name",
						      json_object_get(one, "name"), "type",
						      json_object_get(one, "type"), "data",
						      json_object_get(there, "data"))
					    : kc_pack("{s:O, s:O*, s:b}", "name",
						      json_object_get(one, "name"), "type",
						      json_object_get(one, "type"), "absent", 1));
	}
	return out;
}

/*
 * All deletions before all additions: beside a CNAME nothing else can be added, and a server
 * ignores it without a word (RFC 2136, 3.4.2.2).
 */
static json_t *changes_of(const json_t *before, const json_t *was, const json_t *after,
			  const json_t *is)
{
	json_t *changes = json_array(), *one;
	size_t i;

	json_array_foreach((json_t *)before, i, one)
		if (!at(is, one) || !json_equal(at(is, one), one))
			json_array_append_new(changes, kc_pack("{s:{s:O, s:O}}", "delete", "name",
							       json_object_get(one, "name"), "type",
							       json_object_get(one, "type")));
	json_array_foreach((json_t *)after, i, one)
		if (!at(was, one) || !json_equal(at(was, one), one))
			json_array_append_new(changes, kc_pack("{s:O}", "add", one));
	return changes;
}

int primary_change(struct primary *p, const json_t *which, const json_t *before,
		   const json_t *after, struct kc_err *err)
{
	json_auto_t *was = kc_dns_rrset_index(before), *is = kc_dns_rrset_index(after),
		    *prerequisites = prerequisites_of(which, was),
		    *changes = changes_of(before, was, after, is);

	return kc_dns_update(&p->server, p->zone, prerequisites, changes, err);
}

/* An rrset at the apex cannot be deleted as a whole, nor the last of its records (RFC 2136, 3.4.2):
 * what is new is added first, then what is left over is taken out, value by value. */
int primary_set_ns(struct primary *p, const json_t *before, const json_t *after, struct kc_err *err)
{
	json_t *name = json_object_get(before, "name"), *was = json_object_get(before, "data"),
	       *is = json_object_get(after, "data"), *v;
	json_auto_t *gone = json_array(), *changes = kc_pack("[{s:O}]", "add", after),
		    *prerequisites =
			    kc_pack("[{s:O, s:s, s:O}]", "name", name, "type", "NS", "data", was);
	size_t i;

	json_array_foreach(was, i, v)
		if (!kc_json_has_str(is, json_string_value(v)))
			json_array_append(gone, v);
	if (json_array_size(gone))
		json_array_append_new(changes, kc_pack("{s:{s:O, s:s, s:O}}", "delete", "name",
						       name, "type", "NS", "data", gone));
	return kc_dns_update(&p->server, p->zone, prerequisites, changes, err);
}
