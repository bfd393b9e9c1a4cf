#include "lib/spec/internal.h"

#include "lib/codec/json.h"

static void compare(const struct kc_field *table, const json_t *old, const json_t *new,
		    const char *pointer, struct kc_report *rep)
{
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *at = kc_spec_join(pointer, f->name);
		/* A field that is younger than the document had its default all along. */
		json_auto_t *def = json_object_get(old, f->name) ? NULL : kc_field_default(f);
		json_t *a = def ? def : json_object_get(old, f->name);
		json_t *b = json_object_get(new, f->name);
		_cleanup_free_ char *was = NULL, *becomes = NULL;

		if (a == b || (a && b && json_equal(a, b)))
			continue;
		if (!f->immutable) {
			if (f->type == KC_FIELD_OBJECT)
				compare(f->fields, a, b, at, rep);
			continue;
		}
		was = a ? kc_json_text(a) : xstrdup("not set");
		becomes = b ? kc_json_text(b) : xstrdup("not set");
		kc_report_value(rep, at,
				"cannot change once the object exists (it is %s, and would be %s); "
				"set it back, or make a new one under another name",
				was, becomes);
	}
}

void kc_spec_check_update(const struct kc_field *table, const json_t *old, const json_t *new,
			  struct kc_report *rep)
{
	compare(table, old, new, "", rep);
}
