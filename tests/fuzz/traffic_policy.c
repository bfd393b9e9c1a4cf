/*
 * Any bytes as a TrafficPolicy. An error always has text; one that is taken is lowered by every
 * provider, or refused with a reason, and what was lowered can be raised again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns/backend.h"
#include "dns/policy.h"
#include "lib/codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void try_backend(const struct kc_dns_backend *b, const json_t *policy, const json_t *ir)
{
	const json_t *publish = json_array_get(kc_json_at(policy, "spec.publish"), 0);
	json_auto_t *rrsets = json_array(), *fidelity = json_array(), *stages = kc_ir_stages(ir),
		    *raised = NULL;
	const json_t *stage;
	struct kc_err err = { 0 };
	size_t i;

	if (b->lower(publish, ir, rrsets, fidelity, &err) < 0) {
		must(err.msg[0]);
		return;
	}
	json_array_foreach(stages, i, stage)
		must(kc_fidelity_has(fidelity, json_string_value(stage)));
	if (b->raise)
		raised = b->raise(rrsets, kc_json_get_str(ir, "name", ""), "A");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *policy = NULL, *claims = json_object(), *notes = json_array(), *ir = NULL;
	_cleanup_buf_ struct kc_buf errors = { 0 };
	struct kc_err err = { 0 };

	if (kc_policy_load("fuzz", (const char *)data, size, &policy, &errors, &err) < 0) {
		must(errors.len > 0 && err.msg[0] && !policy);
		return 0;
	}
	ir = kc_ir_make(policy, claims, notes);
	if (json_array_size(json_object_get(ir, "endpoints")))
		for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++)
			try_backend(*b, policy, ir);
	return 0;
}
