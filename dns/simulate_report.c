/* What is said of who lands where: scenarios at every copy, the worst of them, and whether the
 * policy survives what it has to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/backend.h"
#include "dns/policy.h"
#include "dns/simulate.h"
#include "dns/simulate_priv.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* A copy in one scenario. */
struct scenario {
	const struct sim_copy *copy;
	const char *failed;
	bool *dead; /* by endpoint */
	bool gone;  /* its own DNS is dead */
	bool alone; /* and there is no other copy that answers */
	int64_t load;
};

/* --- one scenario */

static double weight_of(const struct sim_copy *c, size_t city)
{
	return c->cities[city].permille / 1000.0;
}

static const char *id_of(const struct sim_copy *c, size_t e)
{
	return kc_json_get_str(json_array_get(c->endpoints, e), "id", "");
}

/* How far a city's clients go on average; NULL: nobody knows where that is. */
static json_t *km_of(const struct sim_copy *c, size_t city, const double *shares)
{
	double km = 0, sum = 0;

	for (size_t e = 0; e < c->n; e++) {
		const json_t *endpoint = json_array_get(c->endpoints, e);
		struct kc_geo_point at = { .lat = (int32_t)kc_json_get_int(endpoint, "lat", 0),
					   .lon = (int32_t)kc_json_get_int(endpoint, "lon", 0) };

		if (shares[e] <= 0)
			continue;
		if (!json_object_get(endpoint, "lat"))
			return json_null();
		km += shares[e] * kc_geo_km(c->cities[city].at, at);
		sum += shares[e];
	}
	return sum > 0 ? json_integer(lround(km / sum)) : json_null();
}

static json_t *cell_of(const struct scenario *s, size_t city, const double *shares)
{
	const struct sim_copy *c = s->copy;
	_cleanup_free_ int *rounded = xcalloc(c->n + 1, sizeof(*rounded));
	json_t *to = json_object();
	int alive = 0;

	sim_permille(shares, c->n, rounded);
	for (size_t e = 0; e < c->n; e++) {
		if (shares[e] > 0)
			json_object_set_new(to, id_of(c, e), json_integer(rounded[e]));
		alive += s->dead[e] ? 0 : rounded[e];
	}
	return kc_pack("{s:s, s:o, s:o, s:i}", "client", c->cities[city].name, "to", to, "km",
		       km_of(c, city, shares), "dead", 1000 - alive);
}

static json_t *load_of(const struct scenario *s, const double *load)
{
	const struct sim_copy *c = s->copy;
	_cleanup_free_ int *rounded = xcalloc(c->n + 1, sizeof(*rounded));
	json_t *out = json_object();

	sim_permille(load, c->n, rounded);
	for (size_t e = 0; e < c->n; e++) {
		const json_t *endpoint = json_array_get(c->endpoints, e);
		int64_t capacity = kc_json_get_int(endpoint, "capacity", 0);
		/* A thousandth of a unit is no overload. */
		bool over = capacity && load[e] * (double)s->load > (double)capacity + 1e-3;

		json_object_set_new(out, id_of(c, e),
				    kc_pack("{s:i, s:O*, s:b}", "share", rounded[e], "capacity",
					    json_object_get(endpoint, "capacity"), "over",
					    (int)over));
	}
	return out;
}

/* By endpoint, over all cities. */
static double *sum_up(const struct sim_copy *c, const double *shares)
{
	double *load = xcalloc(c->n + 1, sizeof(*load));

	for (size_t i = 0; i < c->n_cities; i++)
		for (size_t e = 0; e < c->n; e++)
			load[e] += weight_of(c, i) * shares[i * c->n + e];
	return load;
}

static json_t *carries_of(const struct sim_copy *c, const double *load)
{
	double most = sim_carries(c, load);

	return isinf(most) ? json_null() : json_integer((json_int_t)floor(most + 1e-6));
}

/* Is anybody sent to a dead endpoint before it is noticed? */
static bool affects(const struct scenario *s)
{
	const struct sim_copy *c = s->copy;

	for (size_t i = 0; i < c->n_cities * c->n; i++)
		if (s->dead[i % c->n] && c->normal[i] > 0)
			return true;
	return false;
}

/* Nobody asks these servers any more; whoever did asks those of the other copies, if any. */
static json_t *gone(const struct scenario *s)
{
	json_t *empty = json_array();

	for (size_t i = 0; s->alone && i < s->copy->n_cities; i++)
		json_array_append_new(empty, json_string(s->copy->cities[i].name));
	return kc_pack("{s:s, s:b, s:[], s:{}, s:n, s:i, s:n, s:o, s:o}", "failed", s->failed,
		       "gone", 1, "cells", "load", "moved", "dead", s->alone ? 1000 : 0, "carries",
		       "empty", empty, "outage", s->alone ? json_null() : json_integer(0));
}

static json_t *scenario_of(const struct scenario *s)
{
	const struct sim_copy *c = s->copy;
	_cleanup_free_ double *shares = sim_land(c, s->dead), *load = sum_up(c, shares);
	json_t *cells = json_array(), *empty = json_array(), *outage;
	double moved = 0, lost = 0;

	for (size_t i = 0; i < c->n_cities; i++) {
		const double *of_city = &shares[i * c->n];
		double alive = sim_alive(c, of_city, s->dead);

		json_array_append_new(cells, cell_of(s, i, of_city));
		if (alive <= 0)
			json_array_append_new(empty, json_string(c->cities[i].name));
		moved += weight_of(c, i) * sim_moved(c, i, of_city);
		lost += weight_of(c, i) * (1 - alive);
	}
	outage = lost > 1e-9 ? json_null() : json_integer(affects(s) ? c->notice_s : 0);
	return kc_pack("{s:s, s:b, s:o, s:o, s:i, s:i, s:o, s:o, s:o}", "failed", s->failed, "gone",
		       0, "cells", cells, "load", load_of(s, load), "moved",
		       (int)lround(moved * 1000), "dead",
		       lost > 1e-9 && lost < 1e-3 ? 1 : (int)lround(lost * 1000), "carries",
		       carries_of(c, load), "empty", empty, "outage", outage);
}

/* --- all scenarios of a copy */

/* The clouds that endpoints run in, and that answer for the zone. */
static json_t *clouds_of(const json_t *policy)
{
	static const char *const lists[] = { "endpoints", "regions" };
	const json_t *spec = json_object_get(policy, "spec"), *one;
	json_t *out = json_array();
	size_t i;

	for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
		json_array_foreach(json_object_get(spec, lists[n]), i, one) {
			const char *at = kc_json_get_str(one, "at", "");
			_cleanup_free_ char *cloud = xstrndup(at, strcspn(at, "/"));

			if (*cloud && !kc_json_has_str(out, cloud))
				json_array_append_new(out, json_string(cloud));
		}
	json_array_foreach(json_object_get(spec, "publish"), i, one) {
		const struct kc_dns_backend *b =
			kc_dns_backend_find(kc_json_get_str(one, "provider", ""));

		if (b && b->cloud && !kc_json_has_str(out, b->cloud))
			json_array_append_new(out, json_string(b->cloud));
	}
	kc_json_sort(out);
	return out;
}

/* Is there a copy that does not go down with this cloud? */
static bool others_answer(const json_t *policy, const char *cloud)
{
	const json_t *one;
	size_t i;

	json_array_foreach(kc_json_at(policy, "spec.publish"), i, one) {
		const struct kc_dns_backend *b =
			kc_dns_backend_find(kc_json_get_str(one, "provider", ""));

		if (b && !strsame(b->cloud, cloud))
			return true;
	}
	return false;
}

/* Everything with key at value is dead; key NULL: nothing is. */
static void add_scenario(const json_t *policy, const struct kc_dns_backend *backend,
			 const struct sim_copy *c, const char *key, const char *value, int64_t load,
			 json_t *out)
{
	bool cloud = key && streq(key, "cloud");
	_cleanup_free_ char *failed =
		key ? xasprintf("%s %s", cloud ? "cloud" : "endpoint", value) : xstrdup("none");
	_cleanup_free_ bool *dead = xcalloc(c->n + 1, sizeof(*dead));
	struct scenario s = { .copy = c, .failed = failed, .dead = dead, .load = load };

	for (size_t e = 0; key && e < c->n; e++)
		dead[e] =
			strsame(kc_json_get_str(json_array_get(c->endpoints, e), key, NULL), value);
	s.gone = cloud && strsame(backend->cloud, value);
	s.alone = s.gone && !others_answer(policy, value);
	json_array_append_new(out, s.gone ? gone(&s) : scenario_of(&s));
}

static json_t *scenarios_of(const json_t *policy, const struct kc_dns_backend *backend,
			    const struct sim_copy *c, int64_t load)
{
	json_auto_t *clouds = clouds_of(policy);
	json_t *out = json_array(), *cloud;
	size_t i;

	add_scenario(policy, backend, c, NULL, NULL, load, out);
	for (size_t e = 0; e < c->n; e++)
		add_scenario(policy, backend, c, "id", id_of(c, e), load, out);
	json_array_foreach(clouds, i, cloud)
		add_scenario(policy, backend, c, "cloud", json_string_value(cloud), load, out);
	return out;
}

/* What the policy's author has to have planned for, if nobody says: what is carried normally. */
static int64_t default_load(const struct sim_copy *c)
{
	_cleanup_free_ double *load = sum_up(c, c->normal);
	double most = sim_carries(c, load);

	return isinf(most) ? 0 : (int64_t)floor(most + 1e-6);
}

static json_t *endpoints_of(const struct sim_copy *c)
{
	static const char *const members[] = { "id", "cloud", "lat", "lon", "capacity" };
	json_t *out = json_array(), *e;
	size_t i;

	json_array_foreach((json_t *)c->endpoints, i, e) {
		json_t *one = json_object();

		for (size_t n = 0; n < ARRAY_SIZE(members); n++)
			if (json_object_get(e, members[n]))
				json_object_set(one, members[n], json_object_get(e, members[n]));
		json_array_append_new(out, one);
	}
	return out;
}

/* --- the report */

static json_t *refused(const char *provider, size_t index, const char *why)
{
	return kc_pack("{s:s, s:i, s:s}", "provider", provider, "index", (int)index, "refused",
		       why);
}

static json_t *copy_of(const json_t *policy, size_t index, const json_t *claims, int family,
		       int64_t load)
{
	const json_t *publish = json_array_get(kc_json_at(policy, "spec.publish"), index);
	const char *provider = kc_json_get_str(publish, "provider", "");
	const struct kc_dns_backend *b = kc_dns_backend_find(provider);
	json_auto_t *notes = json_array(), *rrsets = json_array(), *fidelity = json_array(),
		    *ir = NULL;
	_cleanup_(sim_copy_done) struct sim_copy c = { 0 };
	struct kc_err why;
	int r = 0;

	if (!b)
		return refused(provider, index, "there is no such provider");
	if (claims && json_is_null(claims))
		return refused(provider, index, "what regions claim there could not be read");
	ir = kc_ir_make(policy, claims, notes);
	if (json_array_size(json_object_get(ir, "endpoints")))
		r = b->lower(publish, ir, rrsets, fidelity, &why);
	if (r == 0)
		r = sim_copy_init(&c, ir, b->traits, family, &why);
	if (r < 0)
		return refused(provider, index, why.msg);
	load = load ? load : default_load(&c);
	return kc_pack("{s:s, s:i, s:o, s:o, s:o}", "provider", provider, "index", (int)index,
		       "load", load ? json_integer(load) : json_null(), "endpoints",
		       endpoints_of(&c), "scenarios", scenarios_of(policy, b, &c, load));
}

static json_t *clients_of(void)
{
	json_t *out = json_array();
	size_t n;
	const struct kc_city *all = kc_cities(&n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, kc_pack("{s:s, s:s, s:i, s:i, s:i}", "name", all[i].name,
						   "continent", all[i].continent, "lat",
						   (int)all[i].at.lat, "lon", (int)all[i].at.lon,
						   "share", all[i].permille));
	return out;
}

/* An outage that nobody ends is longer than any other. */
static int64_t outage_of(const json_t *scenario)
{
	return kc_json_get_int(scenario, "outage", INT64_MAX);
}

static bool is_worse(const json_t *a, const json_t *b)
{
	int64_t dead = kc_json_get_int(a, "dead", 0) - kc_json_get_int(b, "dead", 0),
		moved = kc_json_get_int(a, "moved", 0) - kc_json_get_int(b, "moved", 0);

	if (dead)
		return dead > 0;
	if (outage_of(a) != outage_of(b))
		return outage_of(a) > outage_of(b);
	return moved > 0;
}

static json_t *worst_of(const json_t *copies)
{
	const json_t *copy, *s, *worst = NULL;
	size_t i, k;
	int of = 0;

	json_array_foreach((json_t *)copies, i, copy)
		json_array_foreach(json_object_get(copy, "scenarios"), k, s)
			if (!worst || is_worse(s, worst)) {
				worst = s;
				of = (int)i;
			}
	if (!worst)
		return json_null();
	return kc_pack("{s:i, s:O, s:O, s:O}", "copy", of, "failed",
		       json_object_get(worst, "failed"), "dead", json_object_get(worst, "dead"),
		       "outage", json_object_get(worst, "outage"));
}

static bool has_family(const json_t *policy, const json_t *claims, int family)
{
	const json_t *endpoint, *a;
	size_t i, k, n;

	for (n = 0; n < json_array_size(kc_json_at(policy, "spec.publish")); n++) {
		json_auto_t *notes = json_array(),
			    *ir = kc_ir_make(policy, json_array_get(claims, n), notes);

		json_array_foreach(json_object_get(ir, "endpoints"), i, endpoint)
			json_array_foreach(json_object_get(endpoint, "addresses"), k, a) {
				struct kc_addr addr;

				if (kc_addr_parse(json_string_value(a), &addr) &&
				    addr.family == family)
					return true;
			}
	}
	return false;
}

json_t *kc_simulate(const json_t *policy, const json_t *claims, const struct kc_simulate_opts *opts)
{
	size_t n = json_array_size(kc_json_at(policy, "spec.publish"));
	int family = opts->family;
	json_auto_t *report = NULL, *copies = json_array();
	_cleanup_free_ char *text = NULL;

	if (!family)
		family = has_family(policy, claims, AF_INET) ? AF_INET : AF_INET6;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(copies, copy_of(policy, i, json_array_get(claims, i), family,
						      opts->load));
	report = kc_pack("{s:O, s:s, s:o, s:O, s:o}", "name", kc_json_at(policy, "metadata.name"),
			 "type", family == AF_INET ? "A" : "AAAA", "clients", clients_of(),
			 "copies", copies, "worst", worst_of(copies));
	/* Whoever prints it keeps the order of members. */
	text = kc_json_text(report);
	return json_loads(text, 0, NULL);
}

/* --- what must be survived */

static int check_scenario(const json_t *policy, const json_t *copy, const json_t *s,
			  const char *type, struct kc_err *err)
{
	const char *survive = kc_json_get_str(kc_json_at(policy, "spec.safety"), "survive", "none"),
		   *failed = kc_json_get_str(s, "failed", "");
	const json_t *empty = json_object_get(s, "empty");
	size_t more = json_array_size(empty);

	if (!more || (kc_startswith(failed, "cloud ") && !streq(survive, "cloud")))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "spec.safety.survive is %s, and with %s dead nobody alive answers %s%s "
		       "(%s, %s of spec.publish[%lld]); see `kubecdn dns simulate`; add an "
		       "endpoint or a copy of the zone elsewhere, widen the fence, or ask for less",
		       survive, streq(failed, "none") ? "nothing" : failed,
		       json_string_value(json_array_get(empty, 0)), more > 1 ? " and others" : "",
		       type, kc_json_get_str(copy, "provider", ""),
		       (long long)kc_json_get_int(copy, "index", 0));
}

static int check_family(const json_t *policy, const json_t *claims, int family, struct kc_err *err)
{
	json_auto_t *report =
		kc_simulate(policy, claims, &(struct kc_simulate_opts){ .family = family });
	const json_t *copy, *s;
	size_t i, k;
	int r = 0;

	json_array_foreach(json_object_get(report, "copies"), i, copy)
		json_array_foreach(json_object_get(copy, "scenarios"), k, s) {
			r = check_scenario(policy, copy, s, kc_json_get_str(report, "type", ""),
					   err);
			if (r < 0)
				return r;
		}
	return 0;
}

int kc_simulate_check(const json_t *policy, const json_t *claims, struct kc_err *err)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int r = 0;

	if (streq(kc_json_get_str(kc_json_at(policy, "spec.safety"), "survive", "none"), "none"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++)
		if (has_family(policy, claims, families[i]))
			r = check_family(policy, claims, families[i], err);
	return r;
}
