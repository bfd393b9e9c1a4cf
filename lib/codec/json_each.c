/* One list in a document, item by item. */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct reader {
	const char *text, *what;
	size_t len, at;
};

static int bad(const struct reader *in, const char *why, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "%s: not JSON: %s at byte %zu", in->what, why, in->at);
}

/* The next character that is no space, without taking it; 0: the end. */
static char peek(struct reader *in)
{
	while (in->at < in->len && strchr(" \t\r\n", in->text[in->at]) && in->text[in->at])
		in->at++;
	return in->at < in->len ? in->text[in->at] : '\0';
}

static bool take(struct reader *in, char c)
{
	if (peek(in) != c)
		return false;
	in->at++;
	return true;
}

/* A whole value. */
static int next(struct reader *in, json_t **ret, struct kc_err *err)
{
	json_error_t e;
	json_t *v =
		json_loadb(in->text + in->at, in->len - in->at,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &e);

	if (!v)
		return bad(in, e.text, err);
	in->at += (size_t)e.position;
	*ret = v;
	return 0;
}

static int each(struct reader *in, kc_json_item *item, void *cookie, struct kc_err *err)
{
	if (!take(in, '['))
		return bad(in, "no list", err);
	if (take(in, ']'))
		return 0;
	do {
		json_auto_t *v = NULL;
		int r = next(in, &v, err);

		if (r == 0)
			r = item(cookie, v, err);
		if (r < 0)
			return r;
	} while (take(in, ','));
	return take(in, ']') ? 0 : bad(in, "the list does not end", err);
}

/* "name": value */
static int member(struct reader *in, const char *key, kc_json_item *item, void *cookie,
		  size_t *ret_seen, struct kc_err *err)
{
	json_auto_t *name = NULL, *ignored = NULL;
	int r = next(in, &name, err);

	if (r < 0)
		return r;
	if (!json_is_string(name) || !take(in, ':'))
		return bad(in, "no member of an object", err);
	if (!streq(json_string_value(name), key))
		return next(in, &ignored, err);
	if ((*ret_seen)++)
		return kc_fail(err, KC_EINVAL, "%s: \"%s\" is there twice", in->what, key);
	return each(in, item, cookie, err);
}

int kc_json_each(const char *text, size_t len, const char *what, const char *key,
		 kc_json_item *item, void *cookie, struct kc_err *err)
{
	struct reader in = { .text = text, .what = what, .len = len };
	size_t seen = 0;
	int r;

	if (!take(&in, '{'))
		return bad(&in, "no object", err);
	if (!take(&in, '}')) {
		do {
			r = member(&in, key, item, cookie, &seen, err);
			if (r < 0)
				return r;
		} while (take(&in, ','));
		if (!take(&in, '}'))
			return bad(&in, "the object does not end", err);
	}
	if (peek(&in) || in.at < in.len)
		return bad(&in, "more after the end", err);
	return seen ? 0 : kc_fail(err, KC_EINVAL, "%s: no list \"%s\"", what, key);
}
