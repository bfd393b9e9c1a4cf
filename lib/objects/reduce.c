/*
 * The part of a live object that is ours to compare.
 *
 * Servers fill in defaults, controllers and people add fields. What counts is
 * what want has, plus what our field manager owns although want lacks it any
 * more (it shows as a removal). Lists that the API merges by key come in want's
 * order; the keys are read from managedFields ("k:{\"name\":…}"), otherwise
 * elements are matched by name, else by position.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

static json_t *reduce(const json_t *want, const json_t *live, const json_t *owned, bool quantity);

const json_t *kube_owned_fields(const json_t *live)
{
	json_t *entry;
	size_t i;

	json_array_foreach(kc_json_at(live, "metadata.managedFields"), i, entry)
		if (streq(kc_json_get_str(entry, "manager", ""), KC_KUBE_MANAGER) &&
		    streq(kc_json_get_str(entry, "operation", ""), "Apply") &&
		    !kc_json_get_str(entry, "subresource", NULL))
			return json_object_get(entry, "fieldsV1");
	return NULL;
}

/* "100m", "1Gi", "0.5", 2: a number, or NAN. Source: apimachinery's resource.Quantity. */
static double quantity_of(const json_t *v)
{
	static const struct {
		const char *suffix;
		double factor;
	} units[] = { { "", 1 },	{ "m", 1e-3 },	  { "u", 1e-6 },    { "n", 1e-9 },
		      { "k", 1e3 },	{ "M", 1e6 },	  { "G", 1e9 },	    { "T", 1e12 },
		      { "P", 1e15 },	{ "E", 1e18 },	  { "Ki", 0x1p10 }, { "Mi", 0x1p20 },
		      { "Gi", 0x1p30 }, { "Ti", 0x1p40 }, { "Pi", 0x1p50 }, { "Ei", 0x1p60 } };
	char *end;
	double d;

	if (json_is_number(v))
		return json_number_value(v);
	if (!json_is_string(v) || !*json_string_value(v))
		return NAN;
	d = strtod(json_string_value(v), &end);
	for (size_t i = 0; end != json_string_value(v) && i < ARRAY_SIZE(units); i++)
		if (streq(end, units[i].suffix))
			return d * units[i].factor;
	return NAN;
}

static bool same_quantity(const json_t *a, const json_t *b)
{
	double x = quantity_of(a), y = quantity_of(b);

	return !isnan(x) && !isnan(y) && fabs(x - y) <= 1e-12 * fmax(fabs(x), fabs(y));
}

/* Objects whose members are quantities, which the server rewrites ("0.1" to "100m"). */
static bool holds_quantities(const char *key)
{
	static const char *const keys[] = { "limits",	 "requests", "hard",	       "capacity",
					    "sizeLimit", "default",  "defaultRequest", "min",
					    "max",	 "podFixed" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(key, keys[i]))
			return true;
	return false;
}

/* What a server that omits empty fields does not send back: null, "", 0, false, [] and {}. */
static bool is_empty(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_STRING:
		return !*json_string_value(v);
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_ARRAY:
		return !json_array_size(v);
	case JSON_OBJECT:
		return !json_object_size(v);
	default:
		return false;
	}
}

/* Maps that are replaced as a whole and get no defaults: every key in them is ours. */
static bool is_whole(const char *key, const json_t *owned)
{
	return json_is_object(owned) && !json_object_size(owned) &&
	       (streq(key, "selector") || streq(key, "nodeSelector"));
}

static json_t *reduce_object(const json_t *want, const json_t *live, const json_t *owned,
			     bool quantity)
{
	json_t *out = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)live, key, v) {
		_cleanup_free_ char *field = xasprintf("f:%s", key);
		const json_t *w = json_object_get(want, key), *o = json_object_get(owned, field);

		if (w && is_whole(key, o))
			json_object_set(out, key, v);
		else if (w || o)
			json_object_set_new(out, key,
					    reduce(w, v, o, quantity || holds_quantities(key)));
	}
	json_object_foreach((json_t *)want, key, v)
		if (!json_object_get(live, key) && is_empty(v))
			json_object_set(out, key, v);
	return out;
}

/* "k:{\"containerPort\":53,\"protocol\":\"UDP\"}" as an object, or NULL. Owned. */
static json_t *merge_key(const char *field)
{
	return kc_startswith(field, "k:") ? json_loads(field + 2, 0, NULL) : NULL;
}

/* Does element have all members of key? missing_ok: absent ones count as equal (defaults). */
static bool has_key(const json_t *element, const json_t *key, bool missing_ok)
{
	const char *k;
	json_t *v;

	json_object_foreach((json_t *)key, k, v) {
		const json_t *have = json_object_get(element, k);

		if (have ? !json_equal(have, v) : !missing_ok)
			return false;
	}
	return true;
}

/* Our fields of one element of a list that is merged by key, or NULL. Borrowed. */
static const json_t *owned_element(const json_t *owned, const json_t *element)
{
	const char *field;
	json_t *v;

	json_object_foreach((json_t *)owned, field, v) {
		json_auto_t *key = merge_key(field);

		if (key && has_key(element, key, false))
			return v;
	}
	return NULL;
}

/* The members that identify an element: those of a merge key, else its name. Owned, or NULL. */
static json_t *identity_of(const json_t *element, const json_t *owned)
{
	json_t *id = json_object(), *v, *shape = NULL;
	const char *field;

	json_object_foreach((json_t *)owned, field, v) {
		shape = merge_key(field);
		if (shape)
			break;
	}
	if (!shape)
		shape = kc_pack("{s:n}", "name");
	json_object_foreach(shape, field, v)
		if (json_object_get(element, field))
			json_object_set(id, field, json_object_get(element, field));
	json_decref(shape);
	if (json_object_size(id))
		return id;
	json_decref(id);
	return NULL;
}

static bool is_keyed(const json_t *want, const json_t *owned)
{
	json_t *v;
	size_t i;

	if (!json_array_size(want))
		return json_object_size(owned) > 0;
	json_array_foreach((json_t *)want, i, v) {
		json_auto_t *id = json_is_object(v) ? identity_of(v, owned) : NULL;

		if (!id)
			return false;
	}
	return true;
}

static json_t *reduce_keyed(const json_t *want, const json_t *live, const json_t *owned,
			    bool quantity)
{
	_cleanup_free_ bool *used = xcalloc(json_array_size(live) + 1, sizeof(*used));
	json_t *out = json_array(), *w, *l;
	size_t i, k;

	json_array_foreach((json_t *)want, i, w) {
		json_auto_t *id = identity_of(w, owned);

		json_array_foreach((json_t *)live, k, l) {
			if (used[k] || !has_key(l, id, false))
				continue;
			used[k] = true;
			json_array_append_new(out, reduce(w, l, owned_element(owned, l), quantity));
			break;
		}
	}
	json_array_foreach((json_t *)live, k, l) {
		const json_t *o = owned_element(owned, l);

		if (!used[k] && o)
			json_array_append_new(out, reduce(NULL, l, o, quantity));
	}
	return out;
}

/* A list of scalars that the API merges as a set: ours has "v:\"x\"" for each. */
static bool is_set(const json_t *owned)
{
	const char *field;
	json_t *v;

	json_object_foreach((json_t *)owned, field, v)
		if (kc_startswith(field, "v:"))
			return true;
	return false;
}

static bool contains(const json_t *list, const json_t *value)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (json_equal(v, value))
			return true;
	return false;
}

static json_t *reduce_set(const json_t *want, const json_t *live, const json_t *owned)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)want, i, v)
		if (contains(live, v))
			json_array_append(out, v);
	json_array_foreach((json_t *)live, i, v) {
		_cleanup_free_ char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
		_cleanup_free_ char *field = xasprintf("v:%s", text ? text : "");

		if (!contains(want, v) && json_object_get(owned, field))
			json_array_append(out, v);
	}
	return out;
}

static json_t *reduce_list(const json_t *want, const json_t *live, const json_t *owned,
			   bool quantity)
{
	json_t *out, *l;
	size_t i;

	if (is_set(owned))
		return reduce_set(want, live, owned);
	if (is_keyed(want, owned))
		return reduce_keyed(want, live, owned, quantity);
	out = json_array();
	json_array_foreach((json_t *)live, i, l)
		json_array_append_new(out, reduce(json_array_get(want, i), l, NULL, quantity));
	return out;
}

static json_t *reduce(const json_t *want, const json_t *live, const json_t *owned, bool quantity)
{
	bool some = json_object_size(owned) > 0; /* {}: ours as a whole */

	if (json_is_object(live) && (json_is_object(want) || (!want && some)))
		return reduce_object(want, live, owned, quantity);
	if (json_is_array(live) && (json_is_array(want) || (!want && some)))
		return reduce_list(want, live, owned, quantity);
	if (want && quantity && same_quantity(want, live))
		return json_deep_copy(want);
	return json_deep_copy(live);
}

json_t *kube_reduce(const json_t *want, const json_t *live)
{
	return reduce_object(want, live, kube_owned_fields(live), false);
}
