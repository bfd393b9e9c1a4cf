/* Any bytes as the envelope of a node's agent: its spec is planned as on a host without anything.
 */
#include "bootstrap/node/agent.h"
#include "bootstrap/node/kinds.h"
#include "lib/base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kc_agent agent = { 0 };
	struct kc_provider host;
	struct fuzz_kinds kinds;
	json_t *envelope = NULL;
	struct kc_err err = { 0 };
	struct kc_engine e = { .owner = "uid", .resolve = kc_agent_resolve, .cookie = &agent };
	json_auto_t *none = json_array();
	const json_t *tasks;

	if (failed(kc_json_parse((const char *)data, size, "envelope", &envelope, &err), &err))
		return 0;
	agent.envelope = envelope;
	agent.facts = kc_pack("{s:s, s:{s:s}}", "hostname", "h", "cgroup", "version", "v1");
	agent.host.secrets = json_object_get(envelope, "secrets");
	kc_node_provider(&agent.host, &host);
	fuzz_kinds_init(&kinds, host.kinds);
	e.providers = kinds.providers;
	tasks = kc_json_at(envelope, "spec.tasks");
	fuzz_plan(&e, tasks ? tasks : none);
	kc_agent_done(&agent);
	return 0;
}
