/*
 * Any bytes as an API's XML: an error with text, or a value that can be written and read again.
 * What is read again lacks shapes, so only strings and elements are compared.
 */
#include "lib/codec/xml.h"
#include "tests/fuzz/fuzz.h"

static const struct kc_xml_shapes shapes = {
	.lists = (const char *const[]){ "L", "Tags", "ResourceRecordSets", NULL },
	.integers = (const char *const[]){ "TTL", "N", NULL },
	.booleans = (const char *const[]){ "IsTruncated", "B", NULL },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kc_xml_shapes none = { 0 };
	json_auto_t *shaped = NULL, *plain = NULL, *again = NULL;
	_cleanup_buf_ struct kc_buf b = { 0 };
	struct kc_err err = { 0 };
	const char *root;
	json_t *value;

	if (!failed(kc_xml_parse((const char *)data, size, &shapes, "fuzz", &shaped, &err), &err))
		must(json_object_size(shaped) == 1);
	if (failed(kc_xml_parse((const char *)data, size, &none, "fuzz", &plain, &err), &err)) {
		must(!plain);
		return 0;
	}
	json_object_foreach(plain, root, value) {
		must(kc_xml_write(&b, root, value, &err) == 0);
		must(kc_xml_parse(b.data, b.len, &none, "ours", &again, &err) == 0);
		must(json_equal(plain, again));
	}
	return 0;
}
