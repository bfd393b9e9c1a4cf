/*
 * Any bytes as a JSON reply of Google's or Azure's: an error's body under every kind of status, an
 * operation that ended, a Traffic Manager profile. What is taken can be written again and read the
 * same.
 */
#include "clouds/azure/reply.h"
#include "clouds/gcp/reply.h"
#include "dns/azure.h"
#include "tests/fuzz/fuzz.h"

static void try_errors(const char *data, size_t size)
{
	static const long statuses[] = { 200, 400, 401, 403, 404, 409, 412, 429, 500, 503 };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		_cleanup_free_ char *body = xstrndup(data, size);
		struct kc_http_reply reply = { .status = statuses[i],
					       .body = body,
					       .len = strlen(body) };
		struct kc_err err = { 0 };

		if (gcp_judge(&reply, "who", "a role", &err) != KC_API_DONE)
			must(err.code < 0 && err.msg[0]);
		err = (struct kc_err){ 0 };
		if (azure_judge(&reply, "who", &err) != KC_API_DONE)
			must(err.code < 0 && err.msg[0]);
	}
}

static void try_operations(const json_t *v)
{
	struct kc_err err = { 0 };

	failed(gcp_operation_result(v, &err), &err);
	err = (struct kc_err){ 0 };
	must(failed(azure_operation_failed(v, "Failed", &err), &err));
}

static void try_profile(const json_t *raw)
{
	json_auto_t *profile = NULL, *raws = json_object(), *tree = NULL, *flat = NULL;
	struct kc_err err = { 0 };

	failed(az_profile_read(raw, &profile, &err), &err);
	must(!profile || json_is_object(profile));
	json_object_set(raws, "www", (json_t *)raw);
	err = (struct kc_err){ 0 };
	if (!failed(az_tree_read(raws, "www", &tree, &err), &err) && tree) {
		flat = az_flat(tree);
		must(json_is_object(flat));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *v = NULL;

	try_errors((const char *)data, size);
	if (kc_json_parse((const char *)data, size, "reply", &v, NULL) < 0)
		return 0;
	try_operations(v);
	try_profile(v);
	return 0;
}
