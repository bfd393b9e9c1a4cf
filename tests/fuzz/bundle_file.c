/* Any bytes as a bundle in one file: what is accepted lies within it, and is no more than a bundle.
 */
#include "bootstrap/bundle/internal.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK = 512, SUM = 148 };

/* A sum that is right, wherever there is something like a header: else little else is looked at. */
static void mend(uint8_t *data, size_t size)
{
	for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
		uint8_t *h = data + at;
		unsigned sum = 0;
		char text[9];

		if (memcmp(h + 257, "ustar", 5) != 0)
			continue;
		memset(h + SUM, ' ', 8);
		for (size_t i = 0; i < BLOCK; i++)
			sum += h[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(h + SUM, text, 7);
	}
}

static void check(const json_t *index, const char *text, size_t len, size_t size)
{
	const json_t *v;
	const char *hash;

	must(text != NULL && text[len] == '\0');
	json_object_foreach((json_t *)index, hash, v) {
		json_int_t at = json_integer_value(json_array_get(v, 0));
		json_int_t n = json_integer_value(json_array_get(v, 1));

		must(kc_is_sha256(hash));
		must(at >= BLOCK && n >= 0 && (size_t)(at + n) <= size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL, *path = NULL;
	uint8_t *copy = xmemdup(data, size);
	json_auto_t *index = NULL;
	_cleanup_close_ int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct kc_err err = { 0 };
	size_t len;

	mend(copy, size);
	must(fd >= 0 && write(fd, copy, size) == (ssize_t)size);
	free(copy);
	path = xasprintf("/proc/self/fd/%d", fd);
	if (!failed(kc_bundle_tar_open(path, &index, &text, &len, &err), &err))
		check(index, text, len, size);
	return 0;
}
