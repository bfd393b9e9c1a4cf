/* A file's name in the first line, then any text as the checksums that a project publishes. */
#include "bootstrap/bundle/upstream.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *all = xstrndup((const char *)data, size), *name = NULL;
	char out[KC_SHA256_HEX] = "";
	const char *text = strchr(all, '\n');
	int r;

	if (!text)
		return 0;
	name = xstrndup(all, (size_t)(text - all));
	r = kc_upstream_checksum(text + 1, name, out);
	must(r == 0 || r == KC_ENOTFOUND || r == KC_ECONFLICT);
	must(r != 0 || (kc_is_sha256(out) && strcasestr(text + 1, out)));
	return 0;
}
