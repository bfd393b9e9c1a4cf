/*
 * Any bytes as a server's reply: an error with text, or rrsets whose names are absolute and whose
 * data is sorted, which can be put into an update again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check(const json_t *rrsets)
{
	const json_t *set, *datum;
	size_t i, k;

	json_array_foreach((json_t *)rrsets, i, set) {
		const char *last = "", *name = kc_json_get_str(set, "name", "");

		must(kc_endswith(name, "."));
		must(json_array_size(json_object_get(set, "data")) > 0);
		json_array_foreach(json_object_get(set, "data"), k, datum) {
			must(strcmp(last, json_string_value(datum)) <= 0);
			last = json_string_value(datum);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *reply = NULL;
	struct kc_err err = { 0 };

	if (kc_dns_parse(data, size, &reply, &err) < 0) {
		must(err.msg[0] && !reply);
		return 0;
	}
	check(json_object_get(reply, "answer"));
	check(json_object_get(reply, "authority"));
	return 0;
}
