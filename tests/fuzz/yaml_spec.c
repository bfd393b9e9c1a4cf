/*
 * Any bytes as a manifest: parsed, validated, reported. Beyond crashes this holds:
 * an error always has text, an accepted cluster is accepted again unchanged, and
 * what is written as YAML reads back equal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/schema.h"
#include "lib/base/mem.h"
#include "lib/codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

/* Reals are printed with 15 digits: compare what was printed once with what is printed again. */
static void round_trip(const json_t *v)
{
	_cleanup_free_ char *text = kc_yaml_text(v), *again = NULL;
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	struct kc_err err;
	int r;

	if (strlen(text) > KC_YAML_MAX)
		return;
	r = kc_yaml_parse("again", text, strlen(text), &y, &err);
	must(r == 0 && kc_yaml_count(y) == 1);
	again = kc_yaml_text(kc_yaml_value(y, 0));
	must(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kc_cluster_limits all = { 0 };
	json_auto_t *cluster = NULL, *same = NULL;
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };

	if (kc_yaml_parse("fuzz", (const char *)data, size, &y, &err) == 0)
		for (size_t i = 0; i < kc_yaml_count(y); i++)
			round_trip(kc_yaml_value(y, i));
	if (kc_cluster_load("fuzz", (const char *)data, size, &all, &cluster, &errors, &err) < 0) {
		must(errors.len > 0 && err.msg[0] && !cluster);
		return 0;
	}
	must(errors.len == 0);
	must(kc_cluster_check(cluster, &all, &same, &errors, &err) == 0);
	must(json_equal(cluster, same));
	return 0;
}
