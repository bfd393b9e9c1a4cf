/*
 * Cities that stand for the Internet's users around them. Weights are rough: users of each country
 * (share of individuals that use the Internet, of ITU's statistics, by the UN's population, 2023),
 * rounded to five millions or so, at the largest city that has the country's exchange points, with
 * small countries added to a neighbour's. Continents are those of GeoIP databases.
 */
#include "lib/base/mem.h"
#include "lib/geo/geo.h"

#define AT(lat, lon)                                                                               \
	{                                                                                          \
		(lat) * 10000, (lon)*10000                                                         \
	}

static const struct kc_city cities[] = {
	{ "Cairo", "AF", AT(3004, 3124), 20 },
	{ "Casablanca", "AF", AT(3357, -759), 16 },
	{ "Johannesburg", "AF", AT(-2620, 2805), 13 },
	{ "Lagos", "AF", AT(652, 338), 36 },
	{ "Nairobi", "AF", AT(-129, 3682), 18 },
	{ "Almaty", "AS", AT(4324, 7689), 9 },
	{ "Bangalore", "AS", AT(1297, 7759), 45 },
	{ "Bangkok", "AS", AT(1376, 10050), 17 },
	{ "Beijing", "AS", AT(3990, 11641), 70 },
	{ "Delhi", "AS", AT(2861, 7721), 60 },
	{ "Dhaka", "AS", AT(2381, 9041), 18 },
	{ "Dubai", "AS", AT(2520, 5527), 10 },
	{ "Guangzhou", "AS", AT(2313, 11326), 60 },
	{ "Ho Chi Minh City", "AS", AT(1082, 10663), 16 },
	{ "Istanbul", "AS", AT(4101, 2898), 18 },
	{ "Jakarta", "AS", AT(-621, 10685), 42 },
	{ "Karachi", "AS", AT(2486, 6701), 20 },
	{ "Manila", "AS", AT(1460, 12098), 18 },
	{ "Mumbai", "AS", AT(1908, 7288), 55 },
	{ "Riyadh", "AS", AT(2471, 4668), 12 },
	{ "Seoul", "AS", AT(3757, 12698), 9 },
	{ "Shanghai", "AS", AT(3123, 12147), 75 },
	{ "Singapore", "AS", AT(135, 10382), 8 },
	{ "Taipei", "AS", AT(2503, 12157), 6 },
	{ "Tehran", "AS", AT(3569, 5139), 16 },
	{ "Tokyo", "AS", AT(3568, 13969), 20 },
	{ "Bucharest", "EU", AT(4443, 2610), 8 },
	{ "Dublin", "EU", AT(5335, -626), 1 },
	{ "Frankfurt", "EU", AT(5011, 868), 23 },
	{ "Kyiv", "EU", AT(5045, 3052), 6 },
	{ "London", "EU", AT(5151, -13), 12 },
	{ "Madrid", "EU", AT(4042, -370), 10 },
	{ "Milan", "EU", AT(4546, 919), 10 },
	{ "Moscow", "EU", AT(5576, 3762), 25 },
	{ "Paris", "EU", AT(4886, 235), 13 },
	{ "Stockholm", "EU", AT(5933, 1807), 5 },
	{ "Warsaw", "EU", AT(5223, 2101), 13 },
	{ "Chicago", "NA", AT(4188, -8763), 12 },
	{ "Dallas", "NA", AT(3278, -9680), 14 },
	{ "Mexico City", "NA", AT(1943, -9913), 30 },
	{ "New York", "NA", AT(4071, -7401), 19 },
	{ "San Francisco", "NA", AT(3777, -12242), 15 },
	{ "Toronto", "NA", AT(4365, -7938), 6 },
	{ "Sydney", "OC", AT(-3387, 15121), 6 },
	{ "Bogota", "SA", AT(471, -7407), 12 },
	{ "Buenos Aires", "SA", AT(-3460, -5838), 12 },
	{ "Lima", "SA", AT(-1205, -7704), 6 },
	{ "Sao Paulo", "SA", AT(-2355, -4663), 35 },
};

const struct kc_city *kc_cities(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(cities);
	return cities;
}
