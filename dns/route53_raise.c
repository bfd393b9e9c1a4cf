/* Records of Route 53 as branches again (ir.h): what r53_lower() made of them. */
#include <string.h>

#include "dns/claims.h"
#include "dns/route53.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"
#include "lib/net/dns.h"

struct raising {
	const json_t *rrsets;
	const char *type;
};

static const json_t *items_at(const struct raising *r, const char *name)
{
	return json_object_get(kc_dns_rrset_find(r->rrsets, name, r->type), "items");
}

static const char *target_of(const json_t *item)
{
	return kc_json_get_str(json_object_get(item, "alias"), "name", NULL);
}

/* The addresses of items that have some; none if they lead elsewhere. */
static json_t *members_of(const json_t *items)
{
	json_t *members = json_array(), *item, *address;
	size_t i, k;

	json_array_foreach((json_t *)items, i, item)
		json_array_foreach(json_object_get(item, "data"), k, address)
			json_array_append_new(members,
					      kc_pack("{s:O, s:I}", "address", address, "weight",
						      (json_int_t)kc_json_get_int(item, "weight",
										  1)));
	return members;
}

static void add_group(json_t *groups, const char *code, json_t *members)
{
	const struct kc_region *region = kc_region_find("aws", code);

	json_array_append_new(groups,
			      kc_pack("{s:s, s:i, s:i, s:o}", "region", code, "lat",
				      region ? (int)region->at.lat : 0, "lon",
				      region ? (int)region->at.lon : 0, "members", members));
}

static json_t *groups_at(const struct raising *r, const char *name)
{
	const json_t *items = items_at(r, name), *item;
	json_t *groups = json_array(), *direct = members_of(items);
	size_t i;

	json_array_foreach((json_t *)items, i, item)
		if (json_object_get(item, "region") && target_of(item))
			add_group(groups, kc_json_get_str(item, "region", ""),
				  members_of(items_at(r, target_of(item))));
	if (json_array_size(direct))
		add_group(groups, "", direct);
	else
		json_decref(direct);
	return groups;
}

/* Continents with one target are one branch; who is not on any of them has the last. */
static void add_client(json_t *branches, const struct raising *r, const json_t *item)
{
	json_t *continent = json_object_get(item, "continent"), *b;
	const char *target = target_of(item);
	size_t i;

	json_array_foreach(branches, i, b)
		if (continent && streq(kc_json_get_str(b, "at", ""), target)) {
			json_array_append(json_object_get(b, "clients"), continent);
			return;
		}
	b = kc_pack("{s:s, s:o}", "at", target, "groups", groups_at(r, target));
	if (continent)
		json_object_set_new(b, "clients", kc_pack("[O]", continent));
	json_array_append_new(branches, b);
}

json_t *r53_raise(const json_t *rrsets, const char *name, const char *type)
{
	struct raising r = { .rrsets = rrsets, .type = type };
	const json_t *items = items_at(&r, name), *item;
	json_t *branches = json_array(), *b;
	size_t i;

	json_array_foreach((json_t *)items, i, item)
		if (json_object_get(item, "continent") && target_of(item))
			add_client(branches, &r, item);
	json_array_foreach((json_t *)items, i, item)
		if (json_object_get(item, "country") && target_of(item))
			add_client(branches, &r, item);
	if (!json_array_size(branches))
		json_array_append_new(branches, kc_pack("{s:o}", "groups", groups_at(&r, name)));
	json_array_foreach(branches, i, b)
		json_object_del(b, "at");
	return branches;
}
