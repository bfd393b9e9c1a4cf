/* dns simulate: who lands where, with everything alive and with something dead. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "cli/page.h"
#include "dns/publish.h"
#include "dns/simulate.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* NAMED: so many of a list are named, and then how many more there are. */
enum { NAMED = 3 };

/* --- cells of the tables */

static json_t *percent(int64_t permille)
{
	_cleanup_free_ char *text =
		xasprintf("%lld.%lld %%", (long long)permille / 10, (long long)permille % 10);

	return json_string(text);
}

static json_t *percent_of(const json_t *permille)
{
	return json_is_integer(permille) ? percent(json_integer_value(permille)) : json_string("-");
}

static json_t *number_of(const json_t *v, const char *unit)
{
	_cleanup_free_ char *text =
		json_is_integer(v) ? xasprintf("%lld%s", (long long)json_integer_value(v), unit)
				   : xstrdup("-");

	return json_string(text);
}

static json_t *outage_of(const json_t *scenario)
{
	const json_t *v = json_object_get(scenario, "outage");

	return json_is_null(v) ? json_string("no end") : number_of(v, " s");
}

static json_t *names_of(const json_t *names)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	size_t n = json_array_size(names);

	for (size_t i = 0; i < n && i < NAMED; i++)
		kc_buf_printf(&out, "%s%s", i ? ", " : "",
			      json_string_value(json_array_get(names, i)));
	if (n > NAMED)
		kc_buf_printf(&out, " and %zu more", n - NAMED);
	return json_string(kc_buf_get(&out));
}

static json_t *overloaded_of(const json_t *scenario)
{
	const json_t *load = json_object_get(scenario, "load"), *one;
	json_auto_t *names = json_array();
	const char *id;

	json_object_foreach((json_t *)load, id, one)
		if (kc_json_get_bool(one, "over", false))
			json_array_append_new(names, json_string(id));
	return names_of(names);
}

/* "aws-fra 50.0 %, gcp-fra 50.0 %"; the share of a single one goes without saying. */
static json_t *where_to(const json_t *cell)
{
	const json_t *to = json_object_get(cell, "to");
	_cleanup_buf_ struct kc_buf out = { 0 };
	const char *id;
	json_t *share;
	size_t n = 0;

	json_object_foreach((json_t *)to, id, share) {
		json_auto_t *text = percent_of(share);

		if (n++ >= NAMED)
			continue;

		kc_buf_printf(&out, "%s%s", out.len ? ", " : "", id);
		if (json_object_size(to) > 1)
			kc_buf_printf(&out, " %s", json_string_value(text));
	}
	if (n > NAMED)
		kc_buf_printf(&out, " and %zu more", n - NAMED);
	return json_string(out.len ? kc_buf_get(&out) : "nowhere");
}

/* --- tables */

static void print_scenarios(const json_t *scenarios)
{
	static const struct kc_column columns[] = {
		{ "FAILED", "failed" },	   { "MOVED", "moved" },     { "ON DEAD ONES", "dead" },
		{ "OUTAGE", "outage" },	   { "CARRIES", "carries" }, { "OVERLOADED", "over" },
		{ "NOBODY FOR", "empty" }, { NULL, NULL },
	};
	json_auto_t *rows = json_array();
	const json_t *s;
	size_t i;

	json_array_foreach((json_t *)scenarios, i, s)
		json_array_append_new(rows,
				      kc_pack("{s:O, s:o, s:o, s:o, s:o, s:o, s:o}", "failed",
					      json_object_get(s, "failed"), "moved",
					      percent_of(json_object_get(s, "moved")), "dead",
					      percent_of(json_object_get(s, "dead")), "outage",
					      outage_of(s), "carries",
					      number_of(json_object_get(s, "carries"), ""), "over",
					      kc_json_get_bool(s, "gone", false)
						      ? json_string("this copy is gone")
						      : overloaded_of(s),
					      "empty", names_of(json_object_get(s, "empty"))));
	kc_cli_table(rows, columns);
}

static void print_cells(const json_t *clients, const json_t *scenario)
{
	static const struct kc_column columns[] = {
		{ "CLIENTS", "client" },    { "SHARE", "share" }, { "KM", "km" },
		{ "ON DEAD ONES", "dead" }, { "LAND AT", "to" },  { NULL, NULL }
	};
	json_auto_t *rows = json_array();
	const json_t *cell;
	size_t i;

	json_array_foreach(json_object_get(scenario, "cells"), i, cell)
		json_array_append_new(rows,
				      kc_pack("{s:O, s:o, s:o, s:o, s:o}", "client",
					      json_object_get(cell, "client"), "share",
					      percent_of(json_object_get(json_array_get(clients, i),
									 "share")),
					      "km", number_of(json_object_get(cell, "km"), ""),
					      "dead", percent_of(json_object_get(cell, "dead")),
					      "to", where_to(cell)));
	kc_cli_table(rows, columns);
}

static void print_load(const json_t *scenario)
{
	static const struct kc_column columns[] = { { "ENDPOINT", "id" },
						    { "SHARE", "share" },
						    { "CAPACITY", "capacity" },
						    { "OVERLOADED", "over" },
						    { NULL, NULL } };
	json_auto_t *rows = json_array();
	const char *id;
	json_t *one;

	json_object_foreach(json_object_get(scenario, "load"), id, one)
		json_array_append_new(rows,
				      kc_pack("{s:s, s:o, s:o, s:s}", "id", id, "share",
					      percent_of(json_object_get(one, "share")), "capacity",
					      number_of(json_object_get(one, "capacity"), ""),
					      "over",
					      kc_json_get_bool(one, "over", false) ? "yes" : ""));
	kc_cli_table(rows, columns);
}

static void print_copy(const json_t *clients, const json_t *copy)
{
	const json_t *scenarios = json_object_get(copy, "scenarios"),
		     *first = json_array_get(scenarios, 0), *load = json_object_get(copy, "load");
	const char *why = kc_json_get_str(copy, "refused", NULL),
		   *failed = kc_json_get_str(first, "failed", "");

	printf("\n%s, spec.publish[%lld]%s%s\n", kc_json_get_str(copy, "provider", "?"),
	       (long long)kc_json_get_int(copy, "index", 0), why ? " is refused: " : "",
	       why ? why : "");
	if (why)
		return;
	if (json_is_integer(load))
		printf("Overloaded are those that a load of %lld in all is too much for.\n",
		       (long long)json_integer_value(load));
	putchar('\n');
	print_scenarios(scenarios);
	if (kc_json_get_bool(first, "gone", false))
		return;
	printf("\nWith %s dead:\n\n", streq(failed, "none") ? "nothing" : failed);
	print_cells(clients, first);
	putchar('\n');
	print_load(first);
}

static void print_report(const json_t *report)
{
	const json_t *clients = json_object_get(report, "clients"), *copy;
	size_t i;

	printf("%s %s: %zu cities stand for all clients.\n", kc_json_get_str(report, "name", "?"),
	       kc_json_get_str(report, "type", "?"), json_array_size(clients));
	json_array_foreach(json_object_get(report, "copies"), i, copy)
		print_copy(clients, copy);
}

/* --- one scenario of all */

static int not_there(const json_t *report, const char *failed, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf known = { 0 };
	json_auto_t *seen = json_array();
	const json_t *copy, *s;
	size_t i, k;

	json_array_foreach(json_object_get(report, "copies"), i, copy)
		json_array_foreach(json_object_get(copy, "scenarios"), k, s) {
			const char *name = kc_json_get_str(s, "failed", "");

			if (streq(name, "none") || kc_json_has_str(seen, name))
				continue;
			json_array_append_new(seen, json_string(name));
			kc_buf_printf(&known, "%s%s", known.len ? ", " : "", name);
		}
	return kc_fail(err, KC_EINVAL, "there is no %.80s that could fail here; there is %.700s",
		       failed, kc_buf_get(&known));
}

/* "endpoint=fra" as scenarios have it. */
static int parse_fail(const char *text, char **ret, struct kc_err *err)
{
	const char *equal = strchr(text, '=');

	if (!equal || !equal[1] ||
	    !(kc_startswith(text, "endpoint=") || kc_startswith(text, "cloud=")))
		return kc_cli_usage(err, "--fail %.80s: it is endpoint=ID or cloud=NAME", text);
	*ret = xasprintf("%.*s %s", (int)(equal - text), text, equal + 1);
	return 0;
}

/* Every copy keeps that scenario only. */
static int keep_only(json_t *report, const char *failed, struct kc_err *err)
{
	json_t *copy, *s;
	size_t i, k, found = 0;

	json_array_foreach(json_object_get(report, "copies"), i, copy)
		json_array_foreach(json_object_get(copy, "scenarios"), k, s)
			found += streq(kc_json_get_str(s, "failed", ""), failed);
	if (!found)
		return not_there(report, failed, err);
	json_array_foreach(json_object_get(report, "copies"), i, copy) {
		json_t *scenarios = json_object_get(copy, "scenarios");

		for (k = json_array_size(scenarios); k > 0; k--)
			if (!streq(kc_json_get_str(json_array_get(scenarios, k - 1), "failed", ""),
				   failed))
				json_array_remove(scenarios, k - 1);
	}
	return 0;
}

/* --- the verb */

/* Only regions' claims have to be read; all else stands in the policy. */
static int read_claims(const json_t *policy, json_t **ret, struct kc_err *err)
{
	_cleanup_publish_ struct kc_publish *p = NULL;
	int r;

	if (!json_array_size(kc_json_at(policy, "spec.regions")))
		return 0;
	r = kc_publish_open(policy, &(struct kc_publish_opts){ 0 }, &p, err);
	if (r == 0)
		*ret = kc_publish_claims(p);
	return r;
}

/* Nothing was simulated, and why. */
static int check_some(const json_t *report, struct kc_err *err)
{
	const json_t *copies = json_object_get(report, "copies"), *copy;
	size_t i;

	json_array_foreach((json_t *)copies, i, copy)
		if (!json_object_get(copy, "refused"))
			return 0;
	copy = json_array_get(copies, 0);
	return kc_fail(err, KC_EINVAL, "%s, spec.publish[0]: %s",
		       kc_json_get_str(copy, "provider", "?"),
		       kc_json_get_str(copy, "refused", "?"));
}

static int write_page(const json_t *report, const char *failed, const char *file,
		      struct kc_err *err)
{
	json_auto_t *data =
		kc_pack("{s:O, s:s}", "report", report, "failed", failed ? failed : "none");

	return kc_cli_page_write(kc_simulate_html, data, file, err);
}

static int simulate(const struct kc_args *args, json_t **ret, struct kc_err *err)
{
	struct kc_simulate_opts opts = { .load = kc_args_long(args, "load", 0),
					 .family = kc_args_bool(args, "ipv6") ? AF_INET6 : 0 };
	json_auto_t *policy = NULL, *claims = NULL, *report = NULL;
	int r = kc_cli_dns_policy(args, &policy, err);

	if (r == 0)
		r = read_claims(policy, &claims, err);
	if (r != 0)
		return r;
	report = kc_simulate(policy, claims, &opts);
	r = check_some(report, err);
	if (r == 0)
		*ret = TAKE(report);
	return r;
}

int kc_cli_dns_simulate(const struct kc_args *args, struct kc_err *err)
{
	const char *fail = kc_args_str(args, "fail"), *html = kc_args_str(args, "html");
	_cleanup_free_ char *failed = NULL;
	json_auto_t *report = NULL, *shown = NULL;
	int r = fail ? parse_fail(fail, &failed, err) : 0;

	if (r == 0)
		r = simulate(args, &report, err);
	if (r != 0)
		return r;
	shown = json_deep_copy(report);
	if (failed)
		r = keep_only(shown, failed, err);
	if (r == 0 && html)
		r = write_page(report, failed, html, err);
	if (r < 0)
		return r;
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, shown, err);
	print_report(shown);
	return 0;
}
