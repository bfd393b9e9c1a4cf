#include "lib/spec/internal.h"

#include "lib/base/str.h"
#include "lib/codec/json.h"

const struct kc_field *kc_field_find(const struct kc_field *table, const char *name)
{
	for (; table->name; table++)
		if (streq(table->name, name))
			return table;
	return NULL;
}

const char *kc_field_suggest(const struct kc_field *table, const char *name)
{
	const char *names[64];
	size_t n = 0;

	for (; table->name && n < ARRAY_SIZE(names); table++)
		names[n++] = table->name;
	return kc_nearest(name, names, n);
}

/* Defaults stand in const tables, so a malformed one is a bug that the first test finds. */
json_t *kc_field_default(const struct kc_field *f)
{
	json_t *v;

	if (!f->def)
		return NULL;
	v = json_loads(f->def, JSON_DECODE_ANY, NULL);
	if (!v)
		abort();
	return v;
}

static void object(const struct kc_field *table, const json_t *doc, const char *pointer,
		   struct kc_report *rep, json_t **ret);

static void value(const struct kc_field *f, const json_t *v, const char *pointer,
		  struct kc_report *rep, json_t **ret);

static void list(const struct kc_field *f, const json_t *v, const char *pointer,
		 struct kc_report *rep, json_t **ret)
{
	json_auto_t *out = json_array();
	size_t i, n = json_array_size(v);
	json_t *item;

	if (!json_is_array(v))
		return kc_field_wrong_type(f, v, pointer, rep);
	if (n < (size_t)f->min)
		kc_report_value(rep, pointer, "needs at least %lld", (long long)f->min);
	if (f->max && n > (size_t)f->max)
		return kc_report_value(rep, pointer, "has %zu items; at most %lld are allowed", n,
				       (long long)f->max);
	json_array_foreach((json_t *)v, i, item) {
		_cleanup_free_ char *at = xasprintf("%s/%zu", pointer, i);
		json_t *kept = NULL;

		value(f->item, item, at, rep, &kept);
		if (kept)
			json_array_append_new(out, kept);
	}
	*ret = TAKE(out);
}

static void value(const struct kc_field *f, const json_t *v, const char *pointer,
		  struct kc_report *rep, json_t **ret)
{
	switch (f->type) {
	case KC_FIELD_LIST:
		return list(f, v, pointer, rep, ret);
	case KC_FIELD_MAP:
		return kc_field_map(f, v, pointer, rep, ret);
	case KC_FIELD_OBJECT:
		if (!json_is_object(v))
			return kc_field_wrong_type(f, v, pointer, rep);
		return object(f->fields, v, pointer, rep, ret);
	default:
		return kc_field_scalar(f, v, pointer, rep, ret);
	}
}

static void unknown(const struct kc_field *table, const char *key, const char *pointer,
		    struct kc_report *rep)
{
	_cleanup_free_ char *at = kc_spec_join(pointer, key);
	_cleanup_buf_ struct kc_buf all = { 0 };
	const char *near = kc_field_suggest(table, key);
	_cleanup_free_ char *path = kc_spec_path(pointer);

	if (near)
		return kc_report_key(rep, at, "unknown field \"%.80s\"; did you mean \"%s\"?", key,
				     near);
	for (; table->name; table++)
		kc_buf_printf(&all, "%s%s", all.len ? ", " : "", table->name);
	kc_report_key(rep, at, "unknown field \"%.80s\"; %s has: %s", key,
		      *path ? path : "the document", kc_buf_get(&all));
}

static void object(const struct kc_field *table, const json_t *doc, const char *pointer,
		   struct kc_report *rep, json_t **ret)
{
	json_auto_t *out = json_object();
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)doc, key, v)
		if (!kc_field_find(table, key))
			unknown(table, key, pointer, rep);
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *at = kc_spec_join(pointer, f->name);
		json_auto_t *def = NULL;
		json_t *kept = NULL;

		v = json_object_get(doc, f->name);
		/* As in Kubernetes, `field:` with nothing behind it is as good as absent. */
		if (json_is_null(v))
			v = NULL;
		if (!v && f->required) {
			if (f->values && !f->values[1])
				kc_report_value(rep, at, "missing; write %s: %s", f->name,
						f->values[0]);
			else
				kc_report_value(rep, at, "missing; %s", f->doc);
			continue;
		}
		if (!v)
			v = def = kc_field_default(f);
		if (!v)
			continue;
		value(f, v, at, rep, &kept);
		if (kept)
			json_object_set_new(out, f->name, kept);
	}
	*ret = TAKE(out);
}

int kc_spec_validate(const struct kc_field *table, const json_t *doc, struct kc_report *rep,
		     json_t **ret, struct kc_err *err)
{
	json_auto_t *out = NULL;
	int r;

	if (json_is_object(doc))
		object(table, doc, "", rep, &out);
	else
		kc_report_value(rep, "", "expects a mapping with apiVersion, kind, metadata, spec");
	r = kc_report_result(rep, err);
	if (r < 0)
		return r;
	*ret = TAKE(out);
	return 0;
}
