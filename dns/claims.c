#include "dns/claims.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/sign.h"

#define CONTEXT "kubecdn claim 1\n"
#define NOWHERE "none"

enum { STRING_MAX = 255 };

void kc_claim_done(struct kc_claim *c)
{
	free(c->owner);
	free(c->region);
	json_decref(c->addresses);
	json_decref(c->down);
	memset(c, 0, sizeof(*c));
}

/* "*" is no wildcard below another label. Owned. */
static char *below(const char *labels, const char *name)
{
	bool wildcard = kc_startswith(name, "*.");

	return xasprintf("%s%s%s", labels, wildcard ? "._wildcard." : ".",
			 wildcard ? name + 2 : name);
}

char *kc_claim_name(const char *name, const char *region)
{
	_cleanup_free_ char *labels = xasprintf("_kc%s%s", region ? "." : "", region ? region : "");

	return below(labels, name);
}

char *kc_group_name(const char *name, const char *group)
{
	_cleanup_free_ char *label = xasprintf("_kc-%s", group);

	return below(label, name);
}

/* Sorted, each once, commas between. */
static char *list_text(const char **v, size_t n)
{
	_cleanup_buf_ struct kc_buf out = { 0 };

	kc_sort_text(v, n);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !streq(v[i], v[i - 1]))
			kc_buf_printf(&out, "%s%s", out.len ? "," : "", v[i]);
	return kc_buf_steal(&out);
}

/* In the one form that an address has. NULL: one of them is none. */
static char *addresses_text(const json_t *addresses, struct kc_err *err)
{
	size_t n = json_array_size(addresses);
	_cleanup_free_ const char **v = xcalloc(n + 1, sizeof(*v));

	if (n > KC_CLAIM_ADDRESSES) {
		kc_fail(err, KC_EINVAL, "a claim has at most %d addresses, not %zu",
			KC_CLAIM_ADDRESSES, n);
		return NULL;
	}
	if (n == 0)
		return xstrdup(NOWHERE);
	for (size_t i = 0; i < n; i++) {
		struct kc_addr a;
		char text[KC_ADDR_STRLEN];

		v[i] = json_string_value(json_array_get(addresses, i));
		if (!v[i] || !kc_addr_parse(v[i], &a)) {
			kc_fail(err, KC_EINVAL, "\"%.80s\" is not an address", v[i] ? v[i] : "");
			return NULL;
		}
		kc_addr_format(&a, text);
		if (!streq(text, v[i])) {
			kc_fail(err, KC_EINVAL, "\"%.80s\" is another way to write %s", v[i], text);
			return NULL;
		}
	}
	return list_text(v, n);
}

/* " d=ap,us", or "" without any. NULL: one of them is no other region's name. */
static char *down_text(const struct kc_claim *c, struct kc_err *err)
{
	size_t n = json_array_size(c->down);
	_cleanup_free_ const char **v = xcalloc(n + 1, sizeof(*v));
	_cleanup_free_ char *list = NULL;

	if (n > KC_CLAIM_DOWN) {
		kc_fail(err, KC_EINVAL, "a claim names at most %d other regions, not %zu",
			KC_CLAIM_DOWN, n);
		return NULL;
	}
	if (n == 0)
		return xstrdup("");
	for (size_t i = 0; i < n; i++) {
		v[i] = json_string_value(json_array_get(c->down, i));
		if (!v[i] || !kc_is_dns_label(v[i]) || streq(v[i], c->region)) {
			kc_fail(err, KC_EINVAL, "\"%.80s\" is not the name of another region",
				v[i] ? v[i] : "");
			return NULL;
		}
	}
	list = list_text(v, n);
	return xasprintf(" d=%s", list);
}

/* All but the signature. NULL: err says why. */
static char *body_of(const struct kc_claim *c, struct kc_err *err)
{
	_cleanup_free_ char *addresses = addresses_text(c->addresses, err), *down = NULL;

	if (addresses)
		down = down_text(c, err);
	if (!down)
		return NULL;
	return xasprintf("v=kc1 o=%s r=%s e=%" PRIu64 " ep=%s%s", c->owner, c->region, c->epoch,
			 addresses, down);
}

static char *signed_bytes(const char *name, const char *body)
{
	return xasprintf(CONTEXT "%s\n%s", name, body);
}

int kc_claim_write(const struct kc_claim *c, const char *name, const char *key_pem, char **ret_text,
		   struct kc_err *err)
{
	_cleanup_free_ char *body = body_of(c, err), *bytes = NULL, *signature = NULL;
	int r;

	if (!body)
		return KC_EINVAL;
	bytes = signed_bytes(name, body);
	r = kc_sign(key_pem, bytes, strlen(bytes), &signature, err);
	if (r == 0)
		*ret_text = xasprintf("%s s=%s", body, signature);
	return r;
}

/* The value of the field that *at stands on, which it is moved behind. Owned, or NULL. */
static char *take_field(const char **at, const char *key)
{
	const char *value;
	size_t n;

	if (!kc_startswith(*at, key))
		return NULL;
	value = *at + strlen(key);
	n = strcspn(value, " ");
	*at = value + n + (value[n] == ' ');
	return n ? xstrndup(value, n) : NULL;
}

static bool parse_epoch(const char *text, uint64_t *ret)
{
	int end = 0;

	/* At most 18 digits, which cannot overflow. */
	return text && *text != '0' && strspn(text, "0123456789") == strlen(text) &&
	       sscanf(text, "%18" SCNu64 "%n", ret, &end) == 1 && !text[end];
}

/* Fields into c; what is signed by *ret_signature, both owned. */
static bool parse(const char *text, struct kc_claim *c, char **ret_signature)
{
	_cleanup_free_ char *version = NULL, *epoch = NULL, *addresses = NULL, *down = NULL;
	const char *at = text;

	version = take_field(&at, "v=");
	c->owner = take_field(&at, "o=");
	c->region = take_field(&at, "r=");
	epoch = take_field(&at, "e=");
	addresses = take_field(&at, "ep=");
	down = take_field(&at, "d=");
	*ret_signature = take_field(&at, "s=");
	if (!version || !streq(version, "kc1") || !c->owner || !kc_is_dns_label(c->owner) ||
	    !c->region || !kc_is_dns_label(c->region) || !parse_epoch(epoch, &c->epoch) ||
	    !addresses || !*ret_signature || *at)
		return false;
	c->addresses = streq(addresses, NOWHERE) ? json_array() : kc_json_split(addresses, ',');
	c->down = down ? kc_json_split(down, ',') : NULL;
	return true;
}

int kc_claim_read(const char *text, const char *name, const char *public_key, struct kc_claim *ret,
		  struct kc_err *err)
{
	_cleanup_claim_ struct kc_claim c = { 0 };
	_cleanup_free_ char *signature = NULL, *body = NULL, *again = NULL, *bytes = NULL;
	int r;

	if (strlen(text) > KC_CLAIM_MAX || !parse(text, &c, &signature))
		return kc_fail(err, KC_EINVAL, "not a claim: \"%.100s\"", text);
	body = body_of(&c, err);
	again = body ? xasprintf("%s s=%s", body, signature) : NULL;
	if (!again || !streq(again, text))
		return kc_fail(err, KC_EINVAL,
			       "a claim in another form than the one it has: "
			       "\"%.100s\"",
			       text);
	bytes = signed_bytes(name, body);
	r = kc_sign_verify(public_key, bytes, strlen(bytes), signature, err);
	if (r < 0)
		return kc_wrap(err, "the claim of region %s", c.region);
	*ret = c;
	memset(&c, 0, sizeof(c));
	return 0;
}

/* Nothing in a claim needs an escape. */
char *kc_claim_data(const char *text)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	size_t len = strlen(text);

	for (size_t at = 0; at < len || at == 0; at += STRING_MAX)
		kc_buf_printf(&out, "%s\"%.*s\"", at ? " " : "", STRING_MAX, text + at);
	return kc_buf_steal(&out);
}

char *kc_claim_text(const char *data)
{
	_cleanup_buf_ struct kc_buf out = { 0 };

	kc_buf_puts(&out, "");
	for (const char *p = data; *p;) {
		size_t n;

		if (*p++ != '"')
			return NULL;
		n = strcspn(p, "\"\\");
		if (p[n] != '"')
			return NULL;
		kc_buf_printf(&out, "%.*s", (int)n, p);
		p += n + 1;
		if (*p == ' ' && p[1])
			p++;
		else if (*p)
			return NULL;
	}
	return kc_buf_steal(&out);
}
