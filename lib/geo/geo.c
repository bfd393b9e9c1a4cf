#include "lib/geo/geo.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

#include "lib/base/str.h"

static double radians(int32_t microdegrees)
{
	return microdegrees * 1e-6 * M_PI / 180;
}

int32_t kc_geo_km(struct kc_geo_point a, struct kc_geo_point b)
{
	double dlat = sin((radians(b.lat) - radians(a.lat)) / 2),
	       dlon = sin((radians(b.lon) - radians(a.lon)) / 2);
	double h = dlat * dlat + cos(radians(a.lat)) * cos(radians(b.lat)) * dlon * dlon;

	return (int32_t)lround(2 * 6371 * asin(sqrt(h < 1 ? h : 1)));
}

const struct kc_region *kc_region_find(const char *provider, const char *code)
{
	size_t n;
	const struct kc_region *all = kc_regions(&n);

	for (size_t i = 0; i < n; i++)
		if (streq(all[i].provider, provider) && streq(all[i].code, code))
			return &all[i];
	return NULL;
}

static bool is_apart(const struct kc_region *r)
{
	return kc_startswith(r->code, "cn-") || kc_startswith(r->code, "us-gov-") ||
	       kc_startswith(r->code, "eusc-");
}

const struct kc_region *kc_region_nearest(const char *provider, struct kc_geo_point p,
					  int32_t *ret_km)
{
	size_t n;
	const struct kc_region *all = kc_regions(&n), *best = NULL;
	int32_t best_km = INT32_MAX;

	for (size_t i = 0; i < n; i++) {
		int32_t km;

		if (!streq(all[i].provider, provider) || is_apart(&all[i]))
			continue;
		km = kc_geo_km(p, all[i].at);
		if (km < best_km) {
			best = &all[i];
			best_km = km;
		}
	}
	if (best)
		*ret_km = best_km;
	return best;
}
