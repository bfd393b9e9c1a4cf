/* Any bytes as bundle.json: what is accepted leads nowhere but below the bundle's folders. */
#include "bootstrap/bundle/internal.h"
#include "tests/fuzz/fuzz.h"

static void is_safe(const char *path)
{
	must(path && path[0] && path[0] != '/' && !strstr(path, "..") && strlen(path) < 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *bundle = NULL;
	const json_t *c, *b, *target;
	struct kc_err err = { 0 };
	const char *link;
	size_t i, k;

	if (failed(kc_bundle_parse((const char *)data, size, "bundle.json", &bundle, &err), &err))
		return 0;
	json_array_foreach(json_object_get(bundle, "components"), i, c) {
		json_array_foreach(json_object_get(c, "blobs"), k, b) {
			is_safe(kc_json_get_str(b, "path", NULL));
			must(strspn(kc_json_get_str(b, "blob", ""), "0123456789abcdef") == 64);
			must(kc_json_get_int(b, "size", -1) >= 0);
		}
		json_object_foreach(json_object_get(c, "links"), link, target) {
			is_safe(link);
			is_safe(json_string_value(target));
		}
	}
	return 0;
}
