/* The same table as JSON Schema, for editors and other checkers. */
#include "lib/spec/internal.h"

#include <string.h>

#include "lib/codec/json.h"

#define DRAFT "https://json-schema.org/draft/2020-12/schema"

static json_t *table_schema(const struct kc_field *table);

static void put_string(json_t *o, const struct kc_field *f)
{
	json_object_set_new(o, "type", json_string("string"));
	if (f->values) {
		json_t *all = json_array();

		for (size_t i = 0; f->values[i]; i++)
			json_array_append_new(all, json_string(f->values[i]));
		json_object_set_new(o, "enum", all);
	}
	if (f->example)
		json_object_set_new(o, "examples", kc_pack("[s]", f->example));
	if (f->pattern)
		json_object_set_new(o, "pattern", json_string(f->pattern));
	if (f->required)
		json_object_set_new(o, "minLength", json_integer(1));
}

static void put_number(json_t *o, const struct kc_field *f)
{
	json_object_set_new(o, "type", json_string(f->type == KC_FIELD_INT ? "integer" : "number"));
	if (f->min == f->max)
		return;
	json_object_set_new(o, "minimum", json_integer(f->min));
	json_object_set_new(o, "maximum", json_integer(f->max));
}

static json_t *field_schema(const struct kc_field *f);

static void put_list(json_t *o, const struct kc_field *f)
{
	json_object_set_new(o, "type", json_string("array"));
	json_object_set_new(o, "items", field_schema(f->item));
	if (f->min)
		json_object_set_new(o, "minItems", json_integer(f->min));
	if (f->max)
		json_object_set_new(o, "maxItems", json_integer(f->max));
}

static json_t *field_schema(const struct kc_field *f)
{
	json_t *o = f->type == KC_FIELD_OBJECT ? table_schema(f->fields) : json_object();

	switch (f->type) {
	case KC_FIELD_STRING:
		put_string(o, f);
		break;
	case KC_FIELD_INT:
	case KC_FIELD_NUMBER:
		put_number(o, f);
		break;
	case KC_FIELD_BOOL:
		json_object_set_new(o, "type", json_string("boolean"));
		break;
	case KC_FIELD_LIST:
		put_list(o, f);
		break;
	case KC_FIELD_MAP:
		json_object_set_new(o, "type", json_string("object"));
		json_object_set_new(o, "additionalProperties", kc_pack("{s:s}", "type", "string"));
		break;
	case KC_FIELD_OBJECT:
		break;
	}
	if (f->doc)
		json_object_set_new(o, "description", json_string(f->doc));
	if (f->def)
		json_object_set_new(o, "default", kc_field_default(f));
	return o;
}

static json_t *table_schema(const struct kc_field *table)
{
	json_t *o = kc_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
	json_t *properties = json_object(), *required = json_array();

	for (const struct kc_field *f = table; f->name; f++) {
		json_object_set_new(properties, f->name, field_schema(f));
		if (f->required)
			json_array_append_new(required, json_string(f->name));
	}
	json_object_set_new(o, "properties", properties);
	if (json_array_size(required))
		json_object_set(o, "required", required);
	json_decref(required);
	return o;
}

json_t *kc_spec_json_schema(const struct kc_spec_kind *kind)
{
	json_t *o = table_schema(kind->fields);
	const char *version = kind->api_version ? strchr(kind->api_version, '/') : "";
	_cleanup_free_ char *id =
		xasprintf("https://kubecdn.io/schema%s/%s.json", version, kind->name);

	json_object_set_new(o, "$schema", json_string(DRAFT));
	json_object_set_new(o, "$id", json_string(id));
	json_object_set_new(o, "title", json_string(kind->name));
	json_object_set_new(o, "description", json_string(kind->doc));
	return o;
}
