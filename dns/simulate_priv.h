/* Between simulate.c (who lands where, in numbers) and simulate_report.c (what is said of it). */
#ifndef KC_DNS_SIMULATE_PRIV_H
#define KC_DNS_SIMULATE_PRIV_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/ir.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/geo/geo.h"

/* An address that a city may be given. */
struct sim_target {
	size_t rank, endpoint; /* rank: 0 is nearest; endpoint: its index in the IR */
	int64_t weight;
};

struct sim_view {
	struct sim_target *targets;
	size_t n;
};

/* One copy of the zone, for one family of addresses. */
struct sim_copy {
	json_t *ir;
	const json_t *endpoints; /* the IR's; borrowed */
	size_t n;
	const struct kc_dns_traits *traits;
	bool checks;
	int64_t notice_s; /* until no client has the address of a dead endpoint any more */
	const struct kc_city *cities;
	size_t n_cities;
	struct sim_view *views; /* by city */
	double *normal;		/* sim_land() with nobody dead */
};

/* KC_EINVAL: the provider's checks are not quick enough. */
int sim_copy_init(struct sim_copy *c, json_t *ir, const struct kc_dns_traits *traits, int family,
		  struct kc_err *err);
void sim_copy_done(struct sim_copy *c);

/* The share of every endpoint among the clients of every city, [city * n + endpoint]; 1 is all of
 * them. dead: by endpoint, or NULL: nobody. Owned. */
double *sim_land(const struct sim_copy *c, const bool *dead);
/* Of a city's shares, those that land on somebody alive. */
double sim_alive(const struct sim_copy *c, const double *of_city, const bool *dead);
/* Of a city's clients, those that are sent elsewhere than normally. */
double sim_moved(const struct sim_copy *c, size_t city, const double *of_city);
/* The greatest load of all clients that overloads nobody, with load by endpoint; INFINITY: there
 * are no capacities. */
double sim_carries(const struct sim_copy *c, const double *load);
/* Shares of 1 as integers per mille of the same sum. */
void sim_permille(const double *v, size_t n, int *out);

#endif
