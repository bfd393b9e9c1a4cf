#include "lib/plan/resolve.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

struct resolving {
	kc_resolve_fn *fn;
	void *cookie;
	int unknown;
};

static const char *hole_name(const json_t *v)
{
	static const char *const names[] = { "$ref", "$cat", "$join", "$json", "$fact", "$secret" };
	const char *key;

	if (!json_is_object(v) || json_object_size(v) != 1)
		return NULL;
	key = json_object_iter_key(json_object_iter((json_t *)v));
	for (size_t i = 0; *key == '$' && i < ARRAY_SIZE(names); i++)
		if (streq(key, names[i]))
			return names[i];
	return NULL;
}

bool kc_is_hole(const json_t *v)
{
	return hole_name(v) != NULL;
}

bool kc_is_secret_ref(const json_t *v)
{
	const json_t *version = json_object_get(v, "version"), *hmac = json_object_get(v, "hmac");

	return json_is_string(json_object_get(v, "secret")) &&
	       (!version || json_is_integer(version)) && (!hmac || json_is_string(hmac)) &&
	       (version || hmac) && json_object_size(v) == 1u + !!version + !!hmac;
}

static json_t *resolve(struct resolving *r, const json_t *v, struct kc_err *err);

static int add_text(struct kc_buf *b, const json_t *v, const char *what, struct kc_err *err)
{
	if (json_is_string(v))
		return kc_buf_add(b, json_string_value(v), json_string_length(v), err);
	if (!json_is_integer(v))
		return kc_fail(err, KC_EINVAL, "%s takes strings and integers only", what);
	kc_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return 0;
}

/* The strings of a list, with sep (may be NULL) between them; *ret NULL while one is unknown. */
static int join(struct resolving *r, const char *what, const json_t *sep, const json_t *list,
		json_t **ret, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	json_auto_t *parts = NULL;
	int before = r->unknown, rc = 0;
	json_t *part;
	size_t i;

	parts = resolve(r, list, err);
	if (!parts)
		return err ? err->code : KC_EINVAL;
	if (r->unknown > before)
		return 0;
	if (!json_is_array(parts))
		return kc_fail(err, KC_EINVAL, "%s takes a list", what);
	json_array_foreach(parts, i, part) {
		if (i && sep)
			rc = add_text(&b, sep, what, err);
		if (rc == 0)
			rc = add_text(&b, part, what, err);
		if (rc < 0)
			return rc;
	}
	*ret = json_stringn(kc_buf_get(&b), b.len);
	return *ret ? 0 : kc_fail(err, KC_EINVAL, "%s does not give UTF-8", what);
}

static int join_pair(struct resolving *r, const json_t *arg, json_t **ret, struct kc_err *err)
{
	if (!json_is_array(arg) || json_array_size(arg) != 2 ||
	    !json_is_string(json_array_get(arg, 0)))
		return kc_fail(err, KC_EINVAL, "$join takes [separator, list]");
	return join(r, "$join", json_array_get(arg, 0), json_array_get(arg, 1), ret, err);
}

static int to_text(struct resolving *r, const json_t *arg, json_t **ret, struct kc_err *err)
{
	int before = r->unknown;
	json_auto_t *v = resolve(r, arg, err);
	_cleanup_free_ char *text = NULL;

	if (!v)
		return err ? err->code : KC_EINVAL;
	if (r->unknown > before)
		return 0;
	text = kc_json_text(v);
	*ret = json_string(text);
	return 0;
}

static int fill(struct resolving *r, const char *name, const json_t *arg, json_t **ret,
		struct kc_err *err)
{
	int rc;

	if (streq(name, "$cat"))
		return join(r, name, NULL, arg, ret, err);
	if (streq(name, "$join"))
		return join_pair(r, arg, ret, err);
	if (streq(name, "$json"))
		return to_text(r, arg, ret, err);
	rc = r->fn ? r->fn(r->cookie, name, arg, ret, err) : KC_EAGAIN;
	if (rc == KC_EAGAIN) {
		r->unknown++;
		return 0;
	}
	return rc;
}

static json_t *resolve_members(struct resolving *r, const json_t *v, struct kc_err *err)
{
	json_t *out = json_is_object(v) ? json_object() : json_array(), *m;
	const char *key;
	size_t i;

	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, m) {
			if (json_object_set_new(out, key, resolve(r, m, err)) < 0)
				goto failed;
		}
	} else {
		json_array_foreach((json_t *)v, i, m) {
			if (json_array_append_new(out, resolve(r, m, err)) < 0)
				goto failed;
		}
	}
	return out;
failed:
	json_decref(out);
	return NULL;
}

/* NULL on failure. */
static json_t *resolve(struct resolving *r, const json_t *v, struct kc_err *err)
{
	const char *name = hole_name(v);
	json_t *out = NULL;

	if (name) {
		if (fill(r, name, json_object_get(v, name), &out, err) < 0)
			return NULL;
		return out ? out : json_deep_copy(v);
	}
	if (json_is_object(v) || json_is_array(v))
		return resolve_members(r, v, err);
	return json_deep_copy(v);
}

int kc_resolve(const json_t *value, kc_resolve_fn *fn, void *cookie, json_t **ret, int *ret_unknown,
	       struct kc_err *err)
{
	struct resolving r = { .fn = fn, .cookie = cookie };
	struct kc_err local = { .code = KC_EFAIL };
	json_t *out = resolve(&r, value, &local);

	if (!out)
		return kc_fail(err, local.code, "%s", local.msg);
	*ret = out;
	if (ret_unknown)
		*ret_unknown = r.unknown;
	return 0;
}

void kc_refs_set(const json_t *v, json_t *set)
{
	const char *name = hole_name(v), *key;
	json_t *m;
	size_t i;

	if (name && streq(name, "$ref")) {
		const char *ref = json_string_value(json_object_get(v, name));

		if (ref) {
			_cleanup_free_ char *id = xstrndup(ref, strcspn(ref, "#"));

			json_object_set_new(set, id, json_true());
		}
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, m)
			kc_refs_set(m, set);
	} else if (json_is_array(v)) {
		json_array_foreach((json_t *)v, i, m)
			kc_refs_set(m, set);
	}
}

void kc_refs(const json_t *value, json_t *ids)
{
	json_auto_t *set = json_object();
	const char *id;
	json_t *m;

	kc_refs_set(value, set);
	json_object_foreach(set, id, m)
		if (!kc_json_has_str(ids, id))
			json_array_append_new(ids, json_string(id));
}

const json_t *kc_output_at(const json_t *output, const char *key)
{
	_cleanup_free_ char *path = NULL;
	char *save = NULL;
	const json_t *v;

	if (!key || !output)
		return output;
	v = json_object_get(output, key);
	if (v)
		return v;
	path = xstrdup(key);
	v = output;
	for (char *s = strtok_r(path, ".", &save); s && v; s = strtok_r(NULL, ".", &save)) {
		long i;

		if (json_is_array(v))
			v = kc_parse_long(s, 0, 1 << 20, &i) ? json_array_get(v, (size_t)i) : NULL;
		else
			v = json_object_get(v, s);
	}
	return v;
}
