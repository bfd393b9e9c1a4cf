/* Any bytes as what containerd says of its images. */
#include "bootstrap/node/kinds.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	json_auto_t *images = kc_node_images_parse(text);
	const char *ref;
	json_t *digest;

	must(json_is_object(images));
	json_object_foreach(images, ref, digest)
		must(*ref && kc_startswith(json_string_value(digest), "sha256:"));
	return 0;
}
