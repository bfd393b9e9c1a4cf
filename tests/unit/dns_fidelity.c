/*
 * What every provider makes of every kind of policy: lowered, or refused with a reason; no stage is
 * dropped without a word. The table of it, docs/reference/dns-fidelity.md, is made here:
 * KC_GOLDEN_UPDATE=1 writes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "dns/backend.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define TABLE KC_SOURCE_DIR "/docs/reference/dns-fidelity.md"

enum { HEALTHY = 1, FENCE = 2, RANK = 4, SPREAD = 8, TAKE = 16, WITHIN = 32, ALL = 64 };

static const struct {
	int bit;
	const char *stage, *policy;
} rows[] = {
	{ HEALTHY, "healthy", "`health`" },
	{ HEALTHY | WITHIN, "healthy", "`health`, `failover.within: 90s`" },
	{ RANK, "rank", "`route: latency`" },
	{ FENCE, "fence", "`fence`" },
	{ SPREAD, "spread", "different `weight`" },
	{ TAKE, "take", "`answers: 2`" },
};

/* Two clouds near Frankfurt, one site elsewhere; both families. */
static json_t *endpoint(const char *id, const char *v4, const char *v6, int weight, int lat,
			int lon)
{
	return kc_pack("{s:s, s:[s, s], s:i, s:i, s:i}", "id", id, "addresses", v4, v6, "weight",
		       weight, "lat", lat, "lon", lon);
}

static json_t *new_ir(int what)
{
	json_t *ir = kc_pack("{s:s, s:i, s:s, s:s, s:[], s:[o, o, o]}", "name", "www.example.com.",
			     "ttl", 30, "owner", "prod", "route", what & RANK ? "latency" : "any",
			     "fence", "endpoints",
			     endpoint("fra", "192.0.2.1", "2001:db8::1", 1, 50110000, 8680000),
			     endpoint("fra2", "192.0.2.2", "2001:db8::2", what & SPREAD ? 3 : 1,
				      50110000, 8680000),
			     endpoint("tyo", "192.0.2.3", "2001:db8::3", 1, 35680000, 139690000));

	if (what & HEALTHY)
		json_object_set_new(ir, "health",
				    kc_pack("{s:s, s:i, s:s, s:s}", "protocol", "https", "port",
					    443, "path", "/healthz", "host", "www.example.com"));
	if (what & WITHIN)
		json_object_set_new(ir, "within", json_integer(90));
	if (what & FENCE)
		json_object_set_new(ir, "fence",
				    kc_pack("[{s:[s], s:[s]}]", "clients", "EU", "only", "fra"));
	if (what & TAKE)
		json_object_set_new(ir, "answers", json_integer(2));
	return ir;
}

/* Entries of publish that differ in what the provider's side has. */
static json_t *publish_of(const struct kc_dns_backend *b)
{
	return kc_pack("{s:s, s:b}", "provider", b->name, "locations", 1);
}

static int lower(const struct kc_dns_backend *b, int what, json_t **rrsets, json_t **fidelity,
		 struct kc_err *err)
{
	json_auto_t *ir = new_ir(what), *publish = publish_of(b);

	*rrsets = json_array();
	*fidelity = json_array();
	return b->lower(publish, ir, *rrsets, *fidelity, err);
}

static void test_no_silent_drop(void **state)
{
	size_t lowered = 0, refused = 0;

	for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++)
		for (int what = 0; what < ALL; what++) {
			json_auto_t *ir = new_ir(what), *stages = kc_ir_stages(ir), *rrsets = NULL,
				    *fidelity = NULL;
			const json_t *stage;
			struct kc_err err = { 0 };
			size_t i;

			if ((what & WITHIN) && !(what & HEALTHY))
				continue;
			if (lower(*b, what, &rrsets, &fidelity, &err) < 0) {
				assert_int_equal(err.code, KC_EINVAL);
				assert_true(strlen(err.msg) > 20);
				refused++;
				continue;
			}
			lowered++;
			assert_true(json_array_size(rrsets) > 0);
			json_array_foreach(stages, i, stage) {
				if (!kc_fidelity_has(fidelity, json_string_value(stage)))
					fail_msg("%s says nothing of %s (%d)", (*b)->name,
						 json_string_value(stage), what);
			}
		}
	print_message("%zu lowered, %zu refused\n", lowered, refused);
}

/* The same input gives the same bytes. */
static void test_pure(void **state)
{
	for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++)
		for (int what = 0; what < ALL; what++) {
			json_auto_t *a = NULL, *c = NULL, *fa = NULL, *fc = NULL;
			struct kc_err err;

			if (lower(*b, what, &a, &fa, &err) < 0)
				continue;
			assert_int_equal(lower(*b, what, &c, &fc, &err), 0);
			assert_true(json_equal(a, c));
			assert_true(json_equal(fa, fc));
		}
}

static bool same_number(const json_t *a, const json_t *b, const char *key)
{
	/* Places are rounded where they are kept as sines. */
	return llabs((long long)(kc_json_get_int(a, key, 0) - kc_json_get_int(b, key, 0))) < 2000;
}

/* The members of two groups, without ids; those of weights only where they are said. */
static bool same_group(const json_t *a, const json_t *b, bool weights)
{
	const json_t *x = json_object_get(a, "members"), *y = json_object_get(b, "members");

	if (json_array_size(x) != json_array_size(y))
		return false;
	for (size_t i = 0; i < json_array_size(x); i++) {
		const json_t *m = json_array_get(x, i), *n = json_array_get(y, i);

		if (!json_equal(json_object_get(m, "address"), json_object_get(n, "address")) ||
		    (weights && kc_json_get_int(m, "weight", 0) != kc_json_get_int(n, "weight", 0)))
			return false;
	}
	return true;
}

/* Does the report say that a stage is as the policy has it? */
static bool is_exact(const json_t *fidelity, const char *stage)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)fidelity, i, one)
		if (streq(kc_json_get_str(one, "stage", ""), stage) &&
		    !streq(kc_json_get_str(one, "how", ""), "exact"))
			return false;
	return true;
}

static bool same_branch(const json_t *a, const json_t *b, bool ranked, bool weights)
{
	const json_t *x = json_object_get(a, "groups"), *y = json_object_get(b, "groups");

	if (json_array_size(x) != json_array_size(y))
		return false;
	for (size_t i = 0; i < json_array_size(x); i++) {
		const json_t *g = json_array_get(x, i), *h = json_array_get(y, i);

		if (!same_group(g, h, weights) ||
		    (ranked && (!same_number(g, h, "lat") || !same_number(g, h, "lon"))))
			return false;
	}
	return true;
}

/* What was lowered says what the policy said: raised again, it is the IR's branches. */
static void test_there_and_back(void **state)
{
	for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++)
		for (int what = 0; what < ALL; what++) {
			json_auto_t *ir = new_ir(what), *rrsets = NULL, *fidelity = NULL,
				    *stages = kc_ir_stages(ir), *was = NULL, *is = NULL;
			struct kc_err err;

			if (!(*b)->raise || !json_array_size(stages) ||
			    lower(*b, what, &rrsets, &fidelity, &err) < 0 ||
			    json_object_get(json_array_get(rrsets, 0), "data"))
				continue;
			was = kc_ir_branches(ir, (*b)->traits, AF_INET6, NULL);
			/* A fence without an address there: no such records, as the report says. */
			is = (*b)->raise(rrsets, "www.example.com.", "AAAA");
			assert_non_null(is);
			assert_int_equal(json_array_size(was), json_array_size(is));
			for (size_t i = 0; i < json_array_size(was); i++) {
				const json_t *x = json_array_get(was, i),
					     *y = json_array_get(is, i);

				if (!same_branch(x, y, what & RANK,
						 (what & SPREAD) && is_exact(fidelity, "spread")))
					fail_msg("%s, policy %d, branch %zu", (*b)->name, what, i);
				assert_true(json_equal(json_object_get(x, "clients"),
						       json_object_get(y, "clients")) ||
					    !json_object_get(x, "clients"));
			}
		}
}

static void put_cell(struct kc_buf *out, const struct kc_dns_backend *b, int what,
		     const char *stage)
{
	json_auto_t *rrsets = NULL, *fidelity = NULL;
	const json_t *one;
	struct kc_err err;
	bool first = true;
	size_t i;

	if (lower(b, what, &rrsets, &fidelity, &err) < 0) {
		kc_buf_printf(out, "refused: %s", err.msg);
		return;
	}
	json_array_foreach(fidelity, i, one) {
		if (!streq(kc_json_get_str(one, "stage", ""), stage))
			continue;
		kc_buf_printf(out, "%s%s: %s", first ? "" : "; ", kc_json_get_str(one, "how", ""),
			      kc_json_get_str(one, "why", ""));
		first = false;
	}
}

static char *table(void)
{
	struct kc_buf out = { 0 };

	kc_buf_puts(&out, "# What each provider makes of a policy\n\n"
			  "Made by tests/unit/dns_fidelity.c from what the program does; `kubecdn "
			  "dns plan` says\n"
			  "the same of your own policy. exact: as the policy says; approximated: "
			  "nearly, and how;\n"
			  "refused: the copy is not published, and nothing there is changed. The "
			  "example has two\n"
			  "endpoints in Frankfurt and one in Tokyo, each with an IPv4 and an IPv6 "
			  "address.\n");
	for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++) {
		kc_buf_printf(&out,
			      "\n## %s\n\n| policy has | stage | what becomes of it "
			      "|\n|---|---|---|\n",
			      (*b)->name);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			kc_buf_printf(&out, "| %s | %s | ", rows[i].policy, rows[i].stage);
			put_cell(&out, *b, rows[i].bit, rows[i].stage);
			kc_buf_puts(&out, " |\n");
		}
	}
	return kc_buf_steal(&out);
}

static void test_table(void **state)
{
	_cleanup_free_ char *is = table(), *was = NULL;
	struct kc_err err;

	if (getenv("KC_GOLDEN_UPDATE"))
		assert_int_equal(kc_file_write(TABLE, is, strlen(is), 0644, &err), 0);
	assert_int_equal(kc_file_read(TABLE, 1 << 20, &was, NULL, &err), 0);
	if (!streq(was, is))
		fail_msg("%s is not up to date; KC_GOLDEN_UPDATE=1 writes it", TABLE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_silent_drop),
		cmocka_unit_test(test_pure),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
