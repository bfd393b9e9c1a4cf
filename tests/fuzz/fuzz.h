/* What harnesses have in common. */
#ifndef KC_TESTS_FUZZ_H
#define KC_TESTS_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What holds for every input; also in a build without assertions. */
static inline void must(int condition)
{
	if (!condition)
		abort();
}

/* A failure says why, in text that can be shown. */
static inline int failed(int r, const struct kc_err *err)
{
	must(r <= 0 && (r == 0 || (err->code == r && err->msg[0])));
	return r < 0;
}

#endif
