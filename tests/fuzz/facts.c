/* Any bytes as an agent's answer to "plan": facts, checks and a nested plan, judged and shown. */
#include "bootstrap/preflight.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kinds.h"

static int answer(void *ctx, const struct kc_task *task, json_t **ret, struct kc_err *err)
{
	*ret = json_incref(ctx);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kc_kind node = { .name = "node", .nested = true, .find = answer };
	static const struct kc_kind *const kinds[] = { &node, NULL };
	json_auto_t *reply = NULL, *tasks = NULL;
	struct kc_provider provider = { .name = "ssh", .kinds = kinds };
	const struct kc_provider *const providers[] = { &provider, NULL };
	struct kc_engine e = { .providers = providers, .owner = "uid", .threads = 1 };
	_cleanup_buf_ struct kc_buf text = { 0 };
	_cleanup_plan_ struct kc_plan *plan = NULL;
	struct kc_err err = { 0 };

	if (failed(kc_json_parse((const char *)data, size, "agent", &reply, &err), &err) ||
	    !json_is_object(reply))
		return 0;
	provider.ctx = reply;
	tasks = kc_pack("[{s:s, s:s, s:{}}, {s:s, s:s, s:{}}]", "id", "node/a", "kind", "node",
			"want", "id", "node/b", "kind", "node", "want");
	if (failed(kc_plan_make(&e, tasks, &plan, &err), &err))
		return 0;
	kc_plan_text(kc_plan_json(plan), true, &text);
	failed(kc_preflight(plan, tasks, &err), &err);
	return 0;
}
