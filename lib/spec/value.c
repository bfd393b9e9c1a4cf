/* Single values: type, range, allowed values, and messages that say what to write instead. */
#include "lib/spec/internal.h"

#include "lib/base/str.h"

/* Longer strings are mistakes, except the multi-line ones (PEM). */
#define LINE_MAX_BYTES 1024
#define TEXT_MAX_BYTES (64 * 1024)

static const char *have(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "a mapping";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "text";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_NULL:
		return "nothing";
	default:
		return "true or false";
	}
}

static const char *want(const struct kc_field *f)
{
	switch (f->type) {
	case KC_FIELD_STRING:
		return "text";
	case KC_FIELD_INT:
		return "a whole number";
	case KC_FIELD_NUMBER:
		return "a number";
	case KC_FIELD_BOOL:
		return "true or false";
	case KC_FIELD_LIST:
		return "a list ([a, b])";
	default:
		return "a mapping (key: value)";
	}
}

/* The scalar as the user wrote it: 1.40 is not 1.4. Owned. */
static char *written(const struct kc_report *rep, const json_t *v, const char *pointer)
{
	const char *raw = rep->yaml ? kc_yaml_raw(rep->yaml, rep->doc, pointer) : NULL;
	char *s;

	if (raw)
		return xstrdup(raw);
	if (json_is_string(v))
		return xstrdup(json_string_value(v));
	s = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (!s)
		abort();
	return s;
}

void kc_field_wrong_type(const struct kc_field *f, const json_t *v, const char *pointer,
			 struct kc_report *rep)
{
	_cleanup_free_ char *text = NULL;
	struct kc_err why;

	if (json_is_object(v) || json_is_array(v) || json_is_null(v))
		return kc_report_value(rep, pointer, "expects %s, not %s", want(f), have(v));
	text = written(rep, v, pointer);
	if (f->type != KC_FIELD_STRING && f->type != KC_FIELD_MAP)
		return kc_report_value(rep, pointer, "expects %s, not \"%s\"", want(f), text);
	/* Quoting would not help a value that is wrong in itself: say that instead. */
	if (f->type == KC_FIELD_STRING && f->check && f->check(text, &why) < 0)
		return kc_report_value(rep, pointer, "%s", why.msg);
	if (f->type == KC_FIELD_STRING)
		return kc_report_value(rep, pointer,
				       "expects text, and %s is %s to YAML; put it in quotes: "
				       "\"%s\"",
				       text, have(v), text);
	kc_report_value(rep, pointer, "expects %s, not \"%s\"", want(f), text);
}

char *kc_field_values(const char *const *values)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	for (size_t i = 0; values[i]; i++)
		kc_buf_printf(&b, "%s%s", i ? ", " : "", values[i]);
	return kc_buf_steal(&b);
}

static bool in_values(const char *const *values, const char *s, size_t *ret_n)
{
	bool found = false;
	size_t n = 0;

	for (; values[n]; n++)
		found |= streq(values[n], s);
	*ret_n = n;
	return found;
}

static bool has_control(const char *s, bool multiline)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && !(multiline && (*s == '\n' || *s == '\t'))) ||
		    *s == 0x7f)
			return true;
	return false;
}

static bool string_ok(const struct kc_field *f, const char *s, const char *pointer,
		      struct kc_report *rep)
{
	size_t n, max = f->multiline ? TEXT_MAX_BYTES : LINE_MAX_BYTES;
	struct kc_err why;

	if (strlen(s) > max) {
		kc_report_value(rep, pointer, "longer than %zu bytes", max);
	} else if (has_control(s, f->multiline)) {
		kc_report_value(rep, pointer,
				"contains a line break or control character; write it on one line");
	} else if (f->required && !*s) {
		kc_report_value(rep, pointer, "must not be empty");
	} else if (f->values && !in_values(f->values, s, &n)) {
		_cleanup_free_ char *all = kc_field_values(f->values);
		const char *near = kc_nearest(s, f->values, n);

		if (near)
			kc_report_value(rep, pointer, "\"%s\" is none of %s; did you mean \"%s\"?",
					s, all, near);
		else
			kc_report_value(rep, pointer, "\"%s\" is none of %s", s, all);
	} else if (f->check && f->check(s, &why) < 0) {
		kc_report_value(rep, pointer, "%s", why.msg);
	} else {
		return true;
	}
	return false;
}

static bool number_ok(const struct kc_field *f, const json_t *v, const char *pointer,
		      struct kc_report *rep)
{
	double x = json_number_value(v);
	_cleanup_free_ char *text = NULL;

	if (f->min == f->max || (x >= (double)f->min && x <= (double)f->max))
		return true;
	text = written(rep, v, pointer);
	kc_report_value(rep, pointer, "%s is out of range; use %lld to %lld", text,
			(long long)f->min, (long long)f->max);
	return false;
}

void kc_field_scalar(const struct kc_field *f, const json_t *v, const char *pointer,
		     struct kc_report *rep, json_t **ret)
{
	if (f->type == KC_FIELD_STRING && json_is_string(v)) {
		if (string_ok(f, json_string_value(v), pointer, rep))
			*ret = json_incref((json_t *)v);
	} else if (f->type == KC_FIELD_BOOL && json_is_boolean(v)) {
		*ret = json_incref((json_t *)v);
	} else if (f->type == KC_FIELD_INT && json_is_integer(v)) {
		if (number_ok(f, v, pointer, rep))
			*ret = json_incref((json_t *)v);
	} else if (f->type == KC_FIELD_NUMBER && json_is_number(v)) {
		if (number_ok(f, v, pointer, rep))
			*ret = json_real(json_number_value(v));
	} else {
		kc_field_wrong_type(f, v, pointer, rep);
	}
}

void kc_field_map(const struct kc_field *f, const json_t *v, const char *pointer,
		  struct kc_report *rep, json_t **ret)
{
	const struct kc_field item = { .type = KC_FIELD_STRING, .check = f->check };
	json_auto_t *map = json_object();
	const char *key;
	json_t *value;

	if (!json_is_object(v))
		return kc_field_wrong_type(f, v, pointer, rep);
	json_object_foreach((json_t *)v, key, value) {
		_cleanup_free_ char *at = kc_spec_join(pointer, key);
		json_t *kept = NULL;
		struct kc_err why;

		if (f->check_key && f->check_key(key, &why) < 0) {
			kc_report_key(rep, at, "%s", why.msg);
			continue;
		}
		/* `key:` with nothing behind it means the empty string in a map of strings. */
		if (json_is_null(value))
			kept = json_string("");
		else
			kc_field_scalar(&item, value, at, rep, &kept);
		if (kept)
			json_object_set_new(map, key, kept);
	}
	*ret = TAKE(map);
}
