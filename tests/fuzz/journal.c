/* Any bytes as a segment of the engine's journal. */
#include "tests/fuzz/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_state("s/journal/0000000001-0000000001.json", data, size);
	return 0;
}
