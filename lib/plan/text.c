/* The plan for people. Values are the world's: control characters are never passed through. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

#define VALUE_MAX 60 /* bytes of one value in text */
#define UNKNOWN	  "(known after apply)"

struct look {
	const char *action, *sign, *color;
};

static const struct look looks[] = {
	{ "create", "+", "32" }, { "update", "~", "33" }, { "replace", "-/+", "35" },
	{ "delete", "-", "31" }, { "forget", "x", "36" }, { "keep", " ", "0" },
};

static const struct look *look_of(const char *action)
{
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
		if (streq(looks[i].action, action))
			return &looks[i];
	return &looks[ARRAY_SIZE(looks) - 1];
}

/* A copy in which references read as what they are to people. */
static json_t *spoken(const json_t *v)
{
	json_t *out, *m;
	const char *key;
	size_t i;

	if (kc_is_hole(v))
		return json_string(UNKNOWN);
	if (json_is_object(v)) {
		out = json_object();
		json_object_foreach((json_t *)v, key, m)
			json_object_set_new(out, key, spoken(m));
		return out;
	}
	if (json_is_array(v)) {
		out = json_array();
		json_array_foreach((json_t *)v, i, m)
			json_array_append_new(out, spoken(m));
		return out;
	}
	return json_deep_copy(v);
}

static size_t lines_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n + (n && s[-1] != '\n');
}

static bool is_text(const json_t *v)
{
	const char *s = json_string_value(v);
	const char *nl = s ? strchr(s, '\n') : NULL;

	return nl && nl[1];
}

/* JSON escapes C0; DEL and C1 (as UTF-8: c2 80..9f) are shown as question marks. */
static void defuse(char *s)
{
	for (; *s; s++) {
		if (*s == 0x7f)
			*s = '?';
		else if ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0 && s[1])
			s[0] = s[1] = '?';
	}
}

/* "version 2": never the HMAC, which says nothing to people. */
static void put_version(struct kc_buf *out, const json_t *ref)
{
	const json_t *version = json_object_get(ref, "version");

	if (version)
		kc_buf_printf(out, "version %" JSON_INTEGER_FORMAT, json_integer_value(version));
	else
		kc_buf_puts(out, "other bytes");
}

static void put_secret(struct kc_buf *out, const json_t *ref)
{
	_cleanup_free_ char *name = xstrdup(kc_json_get_str(ref, "secret", "?"));

	defuse(name);
	kc_buf_printf(out, "%s: ", name);
	put_version(out, ref);
}

static bool same_secret(const json_t *from, const json_t *to)
{
	return kc_is_secret_ref(from) && kc_is_secret_ref(to) &&
	       streq(kc_json_get_str(from, "secret", ""), kc_json_get_str(to, "secret", ""));
}

/* "pki/ca.crt: version 1 -> 2" */
static void put_new_version(struct kc_buf *out, const json_t *from, const json_t *to)
{
	const json_t *a = json_object_get(from, "version"), *b = json_object_get(to, "version");

	put_secret(out, from);
	if (a && b && !json_equal(a, b))
		kc_buf_printf(out, " -> %" JSON_INTEGER_FORMAT, json_integer_value(b));
	else if (b)
		kc_buf_printf(out, " -> %sversion %" JSON_INTEGER_FORMAT,
			      a ? "other bytes of " : "", json_integer_value(b));
}

static void put_value(struct kc_buf *out, const json_t *v)
{
	_cleanup_free_ char *s = NULL;
	json_auto_t *copy = NULL;
	size_t n;

	if (!v) {
		kc_buf_puts(out, "(none)");
		return;
	}
	if (kc_is_hole(v)) {
		kc_buf_puts(out, UNKNOWN);
		return;
	}
	if (kc_is_secret_ref(v)) {
		put_secret(out, v);
		return;
	}
	if (json_is_string(v) && streq(json_string_value(v), "(sensitive)")) {
		kc_buf_puts(out, "(sensitive)");
		return;
	}
	if (is_text(v)) {
		kc_buf_printf(out, "(%zu lines)", lines_of(json_string_value(v)));
		return;
	}
	copy = spoken(v);
	s = kc_json_text(copy);
	defuse(s);
	n = strlen(s);
	if (n <= VALUE_MAX) {
		kc_buf_puts(out, s);
		return;
	}
	n = VALUE_MAX - 16;
	while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--; /* not amid a character */
	kc_buf_putn(out, s, n);
	kc_buf_printf(out, "… (%zu bytes)", strlen(s));
}

static char **split(char *s, size_t *ret_n)
{
	char **v = xcalloc(lines_of(s) + 2, sizeof(*v)), *save = NULL;
	size_t n = 0;

	for (char *l = strtok_r(s, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		v[n++] = l;
	kc_sort_text((const char **)v, n);
	*ret_n = n;
	return v;
}

/* How many lines came and went, wherever they stand: enough to see what kind of change it is. */
static void put_line_counts(struct kc_buf *out, const char *from, const char *to)
{
	_cleanup_free_ char *a = xstrdup(from), *b = xstrdup(to);
	size_t na, nb, i = 0, k = 0, added = 0, removed = 0;
	_cleanup_free_ char **va = split(a, &na), **vb = split(b, &nb);

	while (i < na || k < nb) {
		int c = i == na ? 1 : k == nb ? -1 : strcmp(va[i], vb[k]);

		if (c < 0)
			removed++;
		else if (c > 0)
			added++;
		i += c <= 0;
		k += c >= 0;
	}
	if (added || removed)
		kc_buf_printf(out, "(+%zu -%zu lines)", added, removed);
	else
		kc_buf_puts(out, "(lines moved)");
}

static void put_change(struct kc_buf *out, int indent, const json_t *c, bool creating)
{
	const json_t *from = json_object_get(c, "from"), *to = json_object_get(c, "to");

	kc_buf_printf(out, "%*s%s: ", indent, "", kc_json_get_str(c, "path", "?"));
	if (creating && !from) {
		put_value(out, to);
	} else if (same_secret(from, to)) {
		put_new_version(out, from, to);
	} else if (is_text(from) && is_text(to)) {
		put_line_counts(out, json_string_value(from), json_string_value(to));
	} else {
		put_value(out, from);
		kc_buf_puts(out, " -> ");
		put_value(out, to);
	}
	kc_buf_puts(out, "\n");
}

static const json_t *entries_of(const json_t *plan)
{
	return json_is_array(plan) ? plan : json_object_get(plan, "tasks");
}

static void put_entries(struct kc_buf *out, int indent, const json_t *entries, bool color)
{
	const json_t *t, *c;
	size_t i, k;

	json_array_foreach((json_t *)entries, i, t) {
		const char *action = kc_json_get_str(t, "action", "keep");
		const char *warning = kc_json_get_str(t, "warning", NULL);
		const char *id = kc_json_get_str(t, "id", "?");
		const struct look *l = look_of(action);

		if (warning)
			kc_buf_printf(out, "%*s! %s: %s\n", indent, "", id, warning);
		if (streq(action, "keep"))
			continue;
		kc_buf_printf(out, "%*s", indent, "");
		if (color)
			kc_buf_printf(out, "\033[%sm%s %s\033[0m %s\n", l->color, l->sign, action,
				      id);
		else
			kc_buf_printf(out, "%s %s %s\n", l->sign, action, id);
		json_array_foreach(json_object_get(t, "changes"), k, c)
			put_change(out, indent + 4, c, streq(action, "create"));
		if (json_object_get(t, "more"))
			kc_buf_printf(out, "%*s… and %lld more\n", indent + 4, "",
				      (long long)kc_json_get_int(t, "more", 0));
		put_entries(out, indent + 4, entries_of(json_object_get(t, "children")), color);
	}
}

void kc_plan_text(const json_t *plan, bool color, struct kc_buf *out)
{
	const json_t *entries = entries_of(plan), *t;
	size_t i, n[ARRAY_SIZE(looks)] = { 0 };

	put_entries(out, 0, entries, color);
	json_array_foreach((json_t *)entries, i, t)
		n[look_of(kc_json_get_str(t, "action", "keep")) - looks] +=
			(size_t)kc_json_get_int(t, "count", 1);
	if (out->len)
		kc_buf_puts(out, "\n");
	kc_buf_printf(out, "Plan: %zu to create, %zu to update, ", n[0], n[1]);
	if (n[2])
		kc_buf_printf(out, "%zu to replace, ", n[2]);
	kc_buf_printf(out, "%zu to delete, ", n[3]);
	if (n[4])
		kc_buf_printf(out, "%zu to forget, ", n[4]);
	kc_buf_printf(out, "%zu unchanged.\n", n[5]);
}
