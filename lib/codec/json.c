#include "lib/codec/json.h"

#include <stdarg.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

static void free_wiped(void *p)
{
	if (p)
		kc_wipe(p, malloc_usable_size(p));
	free(p);
}

void kc_json_init(void)
{
	json_set_alloc_funcs(xmalloc, free_wiped);
	json_object_seed(0);
}

int kc_json_parse(const char *text, size_t len, const char *what, json_t **ret, struct kc_err *err)
{
	json_error_t e;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

	if (!v)
		return kc_fail(err, KC_EINVAL, "%s:%d:%d: not JSON: %s", what, e.line, e.column,
			       e.text);
	*ret = v;
	return 0;
}

char *kc_json_text(const json_t *v)
{
	char *s = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	if (!s)
		abort(); /* only NULL or invalid values that the program itself made */
	return s;
}

static int missing(struct kc_err *err, const char *what, const char *type, const char *key)
{
	return kc_fail(err, KC_EINVAL, "%s: no %s \"%s\"", what, type, key);
}

int kc_json_str(const json_t *o, const char *what, const char *key, const char **ret,
		struct kc_err *err)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s)
		return missing(err, what, "string", key);
	*ret = s;
	return 0;
}

int kc_json_int(const json_t *o, const char *what, const char *key, int64_t *ret,
		struct kc_err *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v))
		return missing(err, what, "integer", key);
	*ret = json_integer_value(v);
	return 0;
}

int kc_json_arr(const json_t *o, const char *what, const char *key, const json_t **ret,
		struct kc_err *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_array(v))
		return missing(err, what, "list", key);
	*ret = v;
	return 0;
}

int kc_json_obj(const json_t *o, const char *what, const char *key, const json_t **ret,
		struct kc_err *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_object(v))
		return missing(err, what, "object", key);
	*ret = v;
	return 0;
}

const char *kc_json_get_str(const json_t *o, const char *key, const char *fallback)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : fallback;
}

int64_t kc_json_get_int(const json_t *o, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

bool kc_json_get_bool(const json_t *o, const char *key, bool fallback)
{
	const json_t *v = json_object_get(o, key);

	return json_is_boolean(v) ? json_is_true(v) : fallback;
}

void kc_json_wipe(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	if (json_is_string(v))
		kc_wipe((char *)json_string_value(v), json_string_length(v));
}

json_t *kc_json_at(const json_t *o, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path);
	char *save = NULL;

	for (char *s = strtok_r(copy, ".", &save); s && o; s = strtok_r(NULL, ".", &save))
		o = json_object_get(o, s);
	return (json_t *)o;
}

json_t *kc_pack(const char *fmt, ...)
{
	va_list ap;
	json_t *v;

	va_start(ap, fmt);
	v = json_vpack_ex(NULL, 0, fmt, ap);
	va_end(ap);
	if (!v)
		abort();
	return v;
}

json_t *kc_json_copy_or(const json_t *o, const char *key, json_t *fallback)
{
	const json_t *v = json_object_get(o, key);

	if (!v || json_is_null(v))
		return fallback;
	json_decref(fallback);
	return json_deep_copy(v);
}

bool kc_json_within(const json_t *ours, const json_t *theirs)
{
	const char *key;
	const json_t *v;
	size_t i;

	if (json_is_object(ours)) {
		json_object_foreach((json_t *)ours, key, v)
			if (!kc_json_within(v, json_object_get(theirs, key)))
				return false;
		return json_is_object(theirs);
	}
	if (json_is_array(ours)) {
		json_array_foreach((json_t *)ours, i, v)
			if (!kc_json_within(v, json_array_get(theirs, i)))
				return false;
		return json_is_array(theirs) && json_array_size(ours) == json_array_size(theirs);
	}
	return json_equal(ours, theirs);
}

json_t *kc_json_find(const json_t *list, const char *key, const char *value)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) {
		const char *have = json_string_value(json_object_get(item, key));

		if (have && streq(have, value))
			return item;
	}
	return NULL;
}

char *kc_json_join(const json_t *list, const char *between)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		kc_buf_printf(&out, "%s%s", i ? between : "", json_string_value(v));
	return kc_buf_steal(&out);
}

bool kc_json_has_str(const json_t *array, const char *s)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)array, i, v)
		if (json_is_string(v) && streq(json_string_value(v), s))
			return true;
	return false;
}

const char **kc_json_keys(const json_t *o, size_t *ret_n)
{
	const char **keys = xcalloc(json_object_size(o) + 1, sizeof(*keys)), *key;
	size_t n = 0;
	json_t *v;

	json_object_foreach((json_t *)o, key, v)
		keys[n++] = key;
	kc_sort_text(keys, n);
	*ret_n = n;
	return keys;
}

static int by_string(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

void kc_json_sort(json_t *array)
{
	size_t n = json_array_size(array);
	_cleanup_free_ json_t **items = xcalloc(n + 1, sizeof(*items));

	for (size_t i = 0; i < n; i++)
		items[i] = json_incref(json_array_get(array, i));
	if (n)
		qsort(items, n, sizeof(*items), by_string);
	for (size_t i = 0; i < n; i++)
		json_array_set_new(array, i, items[i]);
}

json_t *kc_json_split(const char *list, char separator)
{
	const char stop[] = { separator, '\0' };
	json_t *out = json_array();

	for (const char *p = list;; p++) {
		size_t n = strcspn(p, stop);

		json_array_append_new(out, json_stringn(p, n));
		p += n;
		if (!*p)
			return out;
	}
}
