/* The share of clients that a change sends elsewhere. */
#include "dns/shift.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/geo/geo.h"

/* The groups that clients of a continent are sent to. */
static const json_t *groups_for(const json_t *branches, const char *continent)
{
	const json_t *b;
	size_t i;

	json_array_foreach((json_t *)branches, i, b) {
		const json_t *clients = json_object_get(b, "clients");

		if (!clients || kc_json_has_str(clients, continent))
			return json_object_get(b, "groups");
	}
	return NULL;
}

static const json_t *nearest(const json_t *groups, const struct kc_city *city)
{
	const json_t *best = NULL, *g;
	int32_t least = 0;
	size_t i;

	json_array_foreach((json_t *)groups, i, g) {
		struct kc_geo_point at = { (int32_t)kc_json_get_int(g, "lat", 0),
					   (int32_t)kc_json_get_int(g, "lon", 0) };
		int32_t km = kc_geo_km(at, city->at);

		if (!best || km < least) {
			best = g;
			least = km;
		}
	}
	return best;
}

/* {address: its share of a city's clients}. */
static json_t *shares(const json_t *branches, const struct kc_city *city)
{
	const json_t *members =
			     json_object_get(nearest(groups_for(branches, city->continent), city),
					     "members"),
		     *m;
	json_t *out = json_object();
	double sum = 0;
	size_t i;

	json_array_foreach((json_t *)members, i, m)
		sum += (double)kc_json_get_int(m, "weight", 1);
	json_array_foreach((json_t *)members, i, m)
		json_object_set_new(out, kc_json_get_str(m, "address", ""),
				    json_real((double)kc_json_get_int(m, "weight", 1) / sum));
	return out;
}

/* What two distributions have in common, of 1. */
static double overlap(const json_t *a, const json_t *b)
{
	const char *address;
	double sum = 0;
	json_t *v;

	json_object_foreach((json_t *)a, address, v) {
		double x = json_number_value(v), y = json_number_value(json_object_get(b, address));

		sum += x < y ? x : y;
	}
	return sum;
}

int kc_traffic_shift(const json_t *before, const json_t *after)
{
	double moved = 0;
	size_t n;
	const struct kc_city *cities = kc_cities(&n);

	for (size_t i = 0; i < n; i++) {
		json_auto_t *was = shares(before, &cities[i]), *is = shares(after, &cities[i]);

		moved += cities[i].permille * (1 - overlap(was, is));
	}
	return (int)(moved + 0.5);
}

size_t kc_branches_addresses(const json_t *branches)
{
	json_auto_t *seen = json_object();
	const json_t *b, *g, *m;
	size_t i, k, n;

	json_array_foreach((json_t *)branches, i, b)
		json_array_foreach(json_object_get(b, "groups"), k, g)
			json_array_foreach(json_object_get(g, "members"), n, m)
				json_object_set_new(seen, kc_json_get_str(m, "address", ""),
						    json_true());
	return json_object_size(seen);
}
