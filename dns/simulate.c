#include "dns/simulate.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/backend.h"
#include "dns/simulate_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* --- what a copy can answer */

static void to_unit(double lat, double lon, double v[3])
{
	double k = acos(-1) / 180e6;

	v[0] = cos(lat * k) * cos(lon * k);
	v[1] = cos(lat * k) * sin(lon * k);
	v[2] = sin(lat * k);
}

/* The cosine of the angle between a city and a group: the greater the nearer. */
static double nearness(const struct kc_city *city, const json_t *group)
{
	double a[3], b[3];

	to_unit(city->at.lat, city->at.lon, a);
	to_unit((double)kc_json_get_int(group, "lat", 0), (double)kc_json_get_int(group, "lon", 0),
		b);
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static size_t endpoint_index(const json_t *endpoints, const char *id)
{
	const json_t *e;
	size_t i;

	json_array_foreach((json_t *)endpoints, i, e)
		if (streq(kc_json_get_str(e, "id", ""), id))
			return i;
	abort(); /* members are made of endpoints */
}

static const json_t *branch_of(const json_t *branches, const struct kc_city *city)
{
	const json_t *b;
	size_t i;

	json_array_foreach((json_t *)branches, i, b)
		if (!json_object_get(b, "clients") ||
		    kc_json_has_str(json_object_get(b, "clients"), city->continent))
			return b;
	abort(); /* the last branch is for all others */
}

/* How many groups are nearer than the n-th; of equally near ones the first counts as nearer. */
static size_t rank_of(const json_t *groups, const struct kc_city *city, size_t n)
{
	double own = nearness(city, json_array_get(groups, n));
	size_t rank = 0;

	for (size_t i = 0; i < json_array_size(groups); i++) {
		double other = nearness(city, json_array_get(groups, i));

		rank += other > own || (i < n && !(other < own));
	}
	return rank;
}

static void make_view(const struct sim_copy *c, const json_t *branches, const struct kc_city *city,
		      struct sim_view *view)
{
	const json_t *groups = json_object_get(branch_of(branches, city), "groups"), *g, *m;
	size_t i, k, n = 0;

	json_array_foreach((json_t *)groups, i, g)
		n += json_array_size(json_object_get(g, "members"));
	view->targets = xcalloc(n + 1, sizeof(*view->targets));
	json_array_foreach((json_t *)groups, i, g) {
		size_t rank = rank_of(groups, city, i);

		json_array_foreach(json_object_get(g, "members"), k, m)
			view->targets[view->n++] = (struct sim_target){
				.rank = rank,
				.endpoint =
					endpoint_index(c->endpoints, kc_json_get_str(m, "id", "")),
				.weight = c->traits->spreads ? kc_json_get_int(m, "weight", 1) : 1,
			};
	}
}

void sim_copy_done(struct sim_copy *c)
{
	for (size_t i = 0; c->views && i < c->n_cities; i++)
		free(c->views[i].targets);
	free(c->views);
	free(c->normal);
	json_decref(c->ir);
}

int sim_copy_init(struct sim_copy *c, json_t *ir, const struct kc_dns_traits *traits, int family,
		  struct kc_err *err)
{
	json_auto_t *health = NULL, *branches = NULL;
	int r = traits->checks ? kc_ir_health(ir, traits, &health, err) : 0;

	if (r < 0)
		return r;
	branches = kc_ir_branches(ir, traits, family, NULL);
	c->ir = json_incref(ir);
	c->endpoints = json_object_get(ir, "endpoints");
	c->n = json_array_size(c->endpoints);
	c->traits = traits;
	c->checks = traits->checks && health;
	if (c->checks)
		c->notice_s = kc_json_get_int(health, "interval", 0) *
				      kc_json_get_int(health, "failures", 0) +
			      traits->timeout + kc_json_get_int(ir, "ttl", 0);
	c->cities = kc_cities(&c->n_cities);
	c->views = xcalloc(c->n_cities, sizeof(*c->views));
	for (size_t i = 0; i < c->n_cities; i++)
		make_view(c, branches, &c->cities[i], &c->views[i]);
	c->normal = sim_land(c, NULL);
	return 0;
}

/* --- who lands where */

/* The rank that answers: the nearest one with somebody alive. All dead, or nobody looks: the
 * nearest. */
static size_t rank_alive(const struct sim_view *view, const bool *dead, bool checks, bool *ret_all)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; checks && i < view->n; i++)
		if (!dead[view->targets[i].endpoint] && view->targets[i].rank < best)
			best = view->targets[i].rank;
	*ret_all = best == SIZE_MAX;
	return *ret_all ? 0 : best;
}

static void choose(const struct sim_view *view, const bool *dead, bool checks, double *shares)
{
	bool all;
	size_t rank = rank_alive(view, dead, checks && dead, &all);
	double sum = 0;

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < view->n; i++) {
			const struct sim_target *t = &view->targets[i];

			if (t->rank != rank || (!all && dead[t->endpoint]))
				continue;
			if (pass == 0)
				sum += (double)t->weight;
			else
				shares[t->endpoint] += (double)t->weight / sum;
		}
}

double *sim_land(const struct sim_copy *c, const bool *dead)
{
	double *shares = xcalloc(c->n_cities * c->n + 1, sizeof(*shares));

	for (size_t i = 0; i < c->n_cities; i++)
		choose(&c->views[i], dead, c->checks, &shares[i * c->n]);
	return shares;
}

double sim_alive(const struct sim_copy *c, const double *of_city, const bool *dead)
{
	double sum = 0;

	for (size_t e = 0; e < c->n; e++)
		sum += dead && dead[e] ? 0 : of_city[e];
	return sum;
}

double sim_moved(const struct sim_copy *c, size_t city, const double *of_city)
{
	double same = 0, before = 0;

	for (size_t e = 0; e < c->n; e++) {
		double was = c->normal[city * c->n + e], is = of_city[e];

		before += was;
		same += was < is ? was : is;
	}
	return before - same;
}

double sim_carries(const struct sim_copy *c, const double *load)
{
	double least = INFINITY;

	for (size_t e = 0; e < c->n; e++) {
		double capacity =
			(double)kc_json_get_int(json_array_get(c->endpoints, e), "capacity", 0);

		if (capacity > 0 && load[e] > 0 && capacity / load[e] < least)
			least = capacity / load[e];
	}
	return least;
}

/* Rounded so that the sum stays what it was: what is cut off most gets what is left. */
void sim_permille(const double *v, size_t n, int *out)
{
	double sum = 0;
	long left;

	for (size_t i = 0; i < n; i++) {
		out[i] = (int)floor(v[i] * 1000 + 1e-6);
		sum += v[i];
	}
	left = lround(sum * 1000);
	for (size_t i = 0; i < n; i++)
		left -= out[i];
	for (; left > 0; left--) {
		size_t best = 0;

		for (size_t i = 1; i < n; i++)
			if (v[i] * 1000 - out[i] > v[best] * 1000 - out[best] + 1e-9)
				best = i;
		out[best]++;
	}
}
