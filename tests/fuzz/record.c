/* Any bytes as the engine's record. */
#include "tests/fuzz/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_state("s/record.json", data, size);
	return 0;
}
