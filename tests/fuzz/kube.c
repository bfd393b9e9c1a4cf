/*
 * Any bytes as a reply of the Kubernetes API: an error's Status, a discovery, an
 * object. {"want": …, "live": …} is an object and what we want of it.
 */
#include "lib/net/kube_impl.h"
#include "lib/objects/impl.h"
#include "tests/fuzz/fuzz.h"

static void object(const json_t *want, const json_t *live)
{
	_cleanup_free_ char *waits = kube_waits_for(live);
	json_auto_t *reduced = kube_reduce(want, live), *again = kube_reduce(want, live);

	must(!waits || *waits);
	kube_owned_fields(live);
	must(reduced && json_equal(reduced, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmalloc(size + 1);
	struct kc_http_reply reply = { .status = 409, .body = text, .len = size };
	json_auto_t *v = NULL, *kinds = NULL;
	struct kc_err err = { 0 };

	memcpy(text, data, size);
	text[size] = '\0';
	must(kube_bad_status("GET", "/api", &reply, &err) == KC_ECONFLICT && err.msg[0]);
	must(!strchr(err.msg, '\n'));
	err = (struct kc_err){ 0 };
	if (failed(kc_json_parse(text, size, "reply", &v, &err), &err) || !json_is_object(v))
		return 0;
	if (!failed(kube_kinds_of(v, "/api", &kinds, &err), &err))
		must(json_is_object(kinds));
	if (json_is_object(json_object_get(v, "want")) &&
	    json_is_object(json_object_get(v, "live")))
		object(json_object_get(v, "want"), json_object_get(v, "live"));
	object(v, v);
	return 0;
}
