/* Any JSON as what hosts and the API say: agents are not trusted with more than a wrong cause. */
#include "bootstrap/why.h"
#include "lib/codec/redact.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *evidence = NULL, *found = NULL, *safe = NULL;
	const json_t *f;
	size_t i;

	if (kc_json_parse((const char *)data, size, "evidence", &evidence, NULL) < 0)
		return 0;
	found = kc_why_judge(evidence);
	must(json_is_array(found));
	json_array_foreach(found, i, f) {
		must(*kc_json_get_str(f, "id", "") != '\0');
		must(json_is_string(json_object_get(f, "text")));
	}
	safe = kc_redact(evidence);
	must(safe && json_typeof(safe) == json_typeof(evidence));
	return 0;
}
