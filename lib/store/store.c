#include "lib/store/store.h"

#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/store/format.h"
#include "lib/store/type.h"

static const struct kc_store_type *const types[] = { &kc_store_dir };

int kc_store_open(const char *url, struct kc_store **ret, struct kc_err *err)
{
	const char *sep = strstr(url, "://");

	if (!*url)
		return kc_fail(err, KC_EINVAL, "the state store's URL is empty; give a directory");
	if (!sep)
		return kc_store_dir.open(url, ret, err);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i]->scheme) == (size_t)(sep - url) &&
		    kc_startswith(url, types[i]->scheme))
			return types[i]->open(sep + 3, ret, err);
	return kc_fail(err, KC_EINVAL, "%s: unknown kind of state store; known: dir:///path", url);
}

void kc_store_close(struct kc_store *s)
{
	if (s)
		s->type->close(s);
}

/* One segment of a key or prefix. A leading dot is the back ends' own (temporary files, locks). */
static bool segment_ok(const char *s, size_t len)
{
	if (!len || len > 200 || s[0] == '.')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") >= len;
}

static int key_check(const char *key, bool prefix, struct kc_err *err)
{
	const char *p = key;

	if (strlen(key) > 900)
		return kc_fail(err, KC_EINVAL, "the key is longer than 900 bytes");
	while (*p || !prefix) {
		size_t n = strcspn(p, "/");

		if (!segment_ok(p, n))
			return kc_fail(err, KC_EINVAL,
				       "not a key: relative, of a-z 0-9 . _ - and no dot first");
		p += n;
		if (!*p)
			return 0;
		p++;
	}
	return 0;
}

int kc_store_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		 char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	char etag[KC_STORE_ETAG];
	size_t len;
	int r = key_check(key, false, err);

	if (r == 0)
		r = s->type->get(s, key, ret_data, ret_len ? ret_len : &len,
				 ret_etag ? ret_etag : etag, err);
	if (r < 0)
		kc_wrap(err, "%s", key);
	return r;
}

int kc_store_put(struct kc_store *s, const char *key, const void *data, size_t len,
		 const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	char etag[KC_STORE_ETAG];
	int r = key_check(key, false, err);

	if (r == 0 && len > KC_STORE_MAX)
		r = kc_fail(err, KC_EINVAL, "%zu bytes are more than a store takes (%u)", len,
			    KC_STORE_MAX);
	if (r == 0)
		r = s->type->put(s, key, data, len, if_match, ret_etag ? ret_etag : etag, err);
	if (r < 0)
		kc_wrap(err, "%s", key);
	return r;
}

int kc_store_list(struct kc_store *s, const char *prefix, json_t **ret_keys, struct kc_err *err)
{
	int r = key_check(prefix, true, err);

	if (r == 0)
		r = s->type->list(s, prefix, ret_keys, err);
	if (r < 0)
		kc_wrap(err, "listing \"%s\"", prefix);
	return r;
}

int kc_store_remove(struct kc_store *s, const char *key, const char *if_match, struct kc_err *err)
{
	int r = key_check(key, false, err);

	if (r == 0 && if_match && !*if_match)
		r = kc_fail(err, KC_EINVAL, "removing what must not exist");
	if (r == 0)
		r = s->type->remove(s, key, if_match, err);
	if (r < 0)
		kc_wrap(err, "%s", key);
	return r;
}

int kc_store_conflict(const char *if_match, bool exists, struct kc_err *err)
{
	if (!exists)
		return kc_fail(err, KC_ECONFLICT, "it is gone: somebody else removed it");
	return kc_fail(err, KC_ECONFLICT,
		       *if_match ? "somebody else changed it meanwhile" : "it exists already");
}

int kc_store_get_json(struct kc_store *s, const char *key, const struct kc_format *format,
		      json_t **ret, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *v = NULL;
	char etag[KC_STORE_ETAG];
	size_t len;
	int r;

	r = kc_store_get(s, key, &text, &len, etag, err);
	if (r == 0)
		r = (format->parse ? format->parse : kc_json_parse)(text, len, key, &v, err);
	if (r == 0)
		r = kc_format_migrate(format, key, v, NULL, err);
	if (r < 0)
		return r;
	if (ret_etag)
		memcpy(ret_etag, etag, sizeof(etag));
	*ret = TAKE(v);
	return 0;
}

int kc_store_put_json(struct kc_store *s, const char *key, const struct kc_format *format,
		      const json_t *value, const char *if_match, char ret_etag[KC_STORE_ETAG],
		      struct kc_err *err)
{
	json_auto_t *v = json_copy((json_t *)value);
	_cleanup_wiped_ char *text = NULL;

	json_object_set_new(v, "format", json_integer(format->current));
	json_object_set_new(v, "writtenBy", json_string(KC_STORE_WRITER));
	/* Unsorted: nobody compares texts, and sorting is half of what a journal's entry costs. */
	text = format->print ? format->print(v) : json_dumps(v, JSON_COMPACT);
	if (!text)
		abort(); /* only invalid values that the program itself made */
	return kc_store_put(s, key, text, strlen(text), if_match, ret_etag, err);
}
