#include "lib/spec/internal.h"

#include <strings.h>

#include "lib/base/str.h"

#define WIDTH 78

const struct kc_spec_kind *kc_spec_kind_find(const struct kc_spec_kind *const *kinds,
					     const char *name)
{
	for (; *kinds; kinds++)
		if (strcasecmp((*kinds)->name, name) == 0)
			return *kinds;
	return NULL;
}

char *kc_spec_type_name(const struct kc_field *f)
{
	static const char *const names[] = {
		[KC_FIELD_STRING] = "string",	      [KC_FIELD_INT] = "integer",
		[KC_FIELD_NUMBER] = "number",	      [KC_FIELD_BOOL] = "boolean",
		[KC_FIELD_MAP] = "map[string]string", [KC_FIELD_OBJECT] = "object",
	};
	_cleanup_free_ char *item = NULL;

	if (f->type != KC_FIELD_LIST)
		return xstrdup(names[f->type]);
	item = kc_spec_type_name(f->item);
	return xasprintf("[]%s", item);
}

/* Fill paragraphs to the width, each line behind an indent. */
static void put_text(struct kc_buf *b, int indent, const char *text)
{
	int column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column && column + 1 + (int)n > WIDTH - indent) {
			kc_buf_puts(b, "\n");
			column = 0;
		}
		if (!column)
			kc_buf_printf(b, "%*s", indent, "");
		else
			kc_buf_puts(b, " ");
		kc_buf_putn(b, text, n);
		column += (int)n + (column ? 1 : 0);
		text += n;
		text += strspn(text, " ");
	}
	kc_buf_puts(b, "\n");
}

static void put_range(struct kc_buf *b, const struct kc_field *f)
{
	if (f->min == f->max)
		return;
	if (f->type == KC_FIELD_LIST && !f->max)
		kc_buf_printf(b, ", at least %lld", (long long)f->min);
	else
		kc_buf_printf(b, ", %lld to %lld", (long long)f->min, (long long)f->max);
}

/* "<[]string> required, default [...], one of …" */
static void put_facts(struct kc_buf *b, const struct kc_field *f)
{
	_cleanup_free_ char *type = kc_spec_type_name(f);
	const char *const *values = f->item ? f->item->values : f->values;
	const char *example = f->item ? f->item->example : f->example;

	kc_buf_printf(b, "<%s>", type);
	if (f->required)
		kc_buf_puts(b, ", required");
	if (f->def && f->type != KC_FIELD_OBJECT)
		kc_buf_printf(b, ", default %s", f->def);
	if (values) {
		_cleanup_free_ char *all = kc_field_values(values);

		kc_buf_printf(b, ", one of %s", all);
	}
	put_range(b, f);
	if (example && (!f->def || strlen(f->def) == 2)) /* "" and [] are no example */
		kc_buf_printf(b, ", for example %s", example);
	if (f->immutable)
		kc_buf_puts(b, ", fixed after creation");
	if (f->since)
		kc_buf_printf(b, ", since %s", f->since);
	kc_buf_puts(b, "\n");
}

static const struct kc_field *sub_fields(const struct kc_field *f)
{
	if (f->type == KC_FIELD_LIST)
		f = f->item;
	return f->type == KC_FIELD_OBJECT ? f->fields : NULL;
}

static void put_fields(struct kc_buf *b, const struct kc_field *table)
{
	kc_buf_puts(b, "\nFIELDS:\n");
	for (const struct kc_field *f = table; f->name; f++) {
		kc_buf_printf(b, "  %s ", f->name);
		put_facts(b, f);
		put_text(b, 6, f->doc);
	}
}

/* Walk one step of "cluster.spec.hosts" down; "hosts[]" and "hosts[0]" mean hosts. */
static int step(const struct kc_spec_kind *kind, const struct kc_field *table, const char *at,
		const char *name, const struct kc_field **ret, struct kc_err *err)
{
	_cleanup_free_ char *plain = xstrndup(name, strcspn(name, "["));
	const struct kc_field *f = table ? kc_field_find(table, plain) : NULL;
	const char *near;

	if (f) {
		*ret = f;
		return 0;
	}
	if (!table)
		return kc_fail(err, KC_EINVAL, "%s%s has no fields of its own; leave out \"%s\"",
			       kind->name, at, plain);
	near = kc_field_suggest(table, plain);
	if (near)
		return kc_fail(err, KC_EINVAL, "%s%s has no field \"%s\"; did you mean \"%s\"?",
			       kind->name, at, plain, near);
	return kc_fail(err, KC_EINVAL,
		       "%s%s has no field \"%s\"; `kubecdn explain %s%s` lists them", kind->name,
		       at, plain, kind->name, at);
}

static int kind_unknown(const struct kc_spec_kind *const *kinds, const char *name,
			struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf all = { 0 };
	const char *names[32], *near;
	size_t n = 0;

	for (; kinds[n] && n < ARRAY_SIZE(names); n++) {
		names[n] = kinds[n]->name;
		kc_buf_printf(&all, "%s%s", n ? ", " : "", names[n]);
	}
	near = kc_nearest(name, names, n);
	if (near)
		return kc_fail(err, KC_EINVAL, "no kind \"%s\"; did you mean \"%s\"?", name, near);
	return kc_fail(err, KC_EINVAL, "no kind \"%s\"; this version has: %s", name,
		       kc_buf_get(&all));
}

int kc_spec_explain(const struct kc_spec_kind *const *kinds, const char *path, char **ret,
		    struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	_cleanup_buf_ struct kc_buf out = { 0 }, at = { 0 };
	const struct kc_spec_kind *kind;
	const struct kc_field *f = NULL, *table;
	char *save = NULL, *name = strtok_r(copy, ".", &save);
	int r;

	kind = name ? kc_spec_kind_find(kinds, name) : NULL;
	if (!kind)
		return kind_unknown(kinds, name ? name : path, err);
	table = kind->fields;
	while ((name = strtok_r(NULL, ".", &save))) {
		r = step(kind, table, kc_buf_get(&at), name, &f, err);
		if (r < 0)
			return r;
		kc_buf_printf(&at, ".%s", f->name);
		table = sub_fields(f);
	}
	kc_buf_printf(&out, "KIND:     %s\n", kind->name);
	if (kind->api_version)
		kc_buf_printf(&out, "VERSION:  %s\n", kind->api_version);
	if (f) {
		kc_buf_printf(&out, "FIELD:    %s\nTYPE:     ", kc_buf_get(&at) + 1);
		put_facts(&out, f);
	}
	kc_buf_puts(&out, "\nDESCRIPTION:\n");
	put_text(&out, 2, f ? f->doc : kind->doc);
	if (table)
		put_fields(&out, table);
	*ret = kc_buf_steal(&out);
	return 0;
}
