/*
 * Where cloud regions are, where clients are, and how far two places are apart.
 *
 * One table of the regions of every provider whose DNS can answer by region:
 * code, place, continent, coordinates of the place (not of a building). A site
 * of any kind is mapped to the nearest region of a provider by great circle;
 * who knows better (a measured RTT) says so in the policy.
 *
 * Everything is integers: microdegrees in, so that two compilers of one claim
 * agree byte by byte; kilometres out, rounded. Nothing here allocates or fails.
 * Sources of the codes: botocore's endpoints and Route 53's
 * ResourceRecordSetRegion; Google's and Microsoft's lists of regions.
 */
#ifndef KC_GEO_GEO_H
#define KC_GEO_GEO_H

#include <stddef.h>
#include <stdint.h>

/* Microdegrees; north and east positive. */
struct kc_geo_point {
	int32_t lat, lon;
};

struct kc_region {
	const char *provider; /* "aws", "gcp", "azure" */
	const char *code;     /* as the provider's API spells it: "eu-central-1" */
	const char *place;    /* "Frankfurt" */
	char continent[3];    /* AF AS EU NA OC SA, as GeoIP databases say */
	struct kc_geo_point at;
};

/* Clients: a city, and how many of the Internet's users live nearer to it than to the others. */
struct kc_city {
	const char *name;
	char continent[3];
	struct kc_geo_point at;
	int permille; /* all are 1000 */
};

/* All of them, by provider. */
const struct kc_region *kc_regions(size_t *ret_n);
/* By continent and name. */
const struct kc_city *kc_cities(size_t *ret_n);
/* NULL: the provider has no such region, or the table is older than it. */
const struct kc_region *kc_region_find(const char *provider, const char *code);
/*
 * The provider's region that is nearest to a point, and its distance; of equally near ones the
 * first by code. NULL: no such provider. Regions apart from the provider's public cloud (China, US
 * government, sovereign clouds) are given only to sites that name them.
 */
const struct kc_region *kc_region_nearest(const char *provider, struct kc_geo_point p,
					  int32_t *ret_km);
/* Great circle on a sphere of 6371 km: within 0.6 % of the ellipsoid's. */
int32_t kc_geo_km(struct kc_geo_point a, struct kc_geo_point b);

#endif
