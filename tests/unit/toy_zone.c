#include "tests/unit/toy_zone.h"

#include "dns/route53.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

json_t *toy_find(const json_t *list, const json_t *one)
{
	return kc_dns_rrset_find(list, kc_json_get_str(one, "name", ""),
				 kc_json_get_str(one, "type", ""));
}

static bool same(const json_t *a, const json_t *b)
{
	return a == b || (a && b && json_equal(a, b));
}

void toy_put(json_t *zone, const json_t *key, const json_t *value)
{
	json_t *old = toy_find(zone, key), *one;
	size_t i;

	json_array_foreach(zone, i, one)
		if (one == old) {
			json_array_remove(zone, i);
			break;
		}
	if (value)
		json_array_append_new(zone, json_deep_copy(value));
}

bool toy_holds_whole(const json_t *zone, const json_t *which, const json_t *before)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one)
		if (!same(toy_find(zone, one), toy_find(before, one)))
			return false;
	return true;
}

/* --- records one by one, as Route 53 has them */

static json_t *item_of(const json_t *rrset, const json_t *item)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(rrset, "items"), i, one)
		if (same(json_object_get(one, "set"), json_object_get(item, "set")))
			return one;
	return NULL;
}

/* DELETE of an item must repeat it, CREATE must find none. */
static bool items_hold(const json_t *there, const json_t *was, const json_t *is)
{
	json_t *item;
	size_t i;

	if (there && !json_object_get(there, "items"))
		return !json_array_size(json_object_get(is, "items")) || same(there, was);
	json_array_foreach(json_object_get(was, "items"), i, item)
		if (!same(item_of(is, item), item) && !same(item_of(there, item), item))
			return false;
	json_array_foreach(json_object_get(is, "items"), i, item)
		if (!same(item_of(was, item), item) && item_of(there, item) && !item_of(was, item))
			return false;
	return true;
}

bool toy_holds_touched(const json_t *zone, const json_t *before, const json_t *after)
{
	json_auto_t *both = json_copy((json_t *)before);
	json_t *one;
	size_t i;

	json_array_extend(both, (json_t *)after);
	json_array_foreach(both, i, one) {
		const json_t *was = toy_find(before, one), *is = toy_find(after, one),
			     *there = toy_find(zone, one);
		bool routed = json_object_get(was, "items") || json_object_get(is, "items");

		if (same(was, is) && !streq(kc_json_get_str(one, "type", ""), "TXT"))
			continue;
		if (routed && !json_object_get(was, "data") && !json_object_get(is, "data")
			    ? !items_hold(there, was, is)
			    : !same(there, was))
			return false;
	}
	return true;
}

/* What a batch leaves of an rrset: the items of others stay. */
static void put_items(json_t *zone, const json_t *was, const json_t *is)
{
	const json_t *there = toy_find(zone, is ? is : was);
	json_auto_t *merged = json_deep_copy(is ? is : was);
	json_t *items = json_array(), *item;
	size_t i;

	json_array_foreach(json_object_get(there, "items"), i, item)
		if (!item_of(was, item) && !item_of(is, item))
			json_array_append(items, item);
	json_array_foreach(json_object_get(is, "items"), i, item)
		/* One that stays is not in the batch, and another may have taken it out. */
		if (!same(item_of(was, item), item) || item_of(there, item))
			json_array_append(items, item);
	r53_sort(items);
	json_object_set_new(merged, "items", items);
	toy_put(zone, merged, json_array_size(items) ? merged : NULL);
}

void toy_apply_touched(json_t *zone, const json_t *before, const json_t *after)
{
	json_auto_t *both = json_copy((json_t *)before);
	json_t *one;
	size_t i;

	json_array_extend(both, (json_t *)after);
	json_array_foreach(both, i, one) {
		const json_t *was = toy_find(before, one), *is = toy_find(after, one);

		if (same(was, is))
			continue;
		if ((json_object_get(was, "items") || !was) &&
		    (json_object_get(is, "items") || !is) && (was || is) &&
		    (json_object_get(was, "items") || json_object_get(is, "items")))
			put_items(zone, was, is);
		else
			toy_put(zone, one, is);
	}
}
