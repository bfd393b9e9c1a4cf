/*
 * The address of a Service that was never made. Its create takes the address first, as an IPAddress
 * object, and writes the Service then; cut off in between, for example because we were killed, the
 * address stays taken until Kubernetes' own repair comes by, minutes later.
 */
#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

#define ADDRESSES "/apis/networking.k8s.io/v1/ipaddresses/"

static bool is_of(const json_t *address, const json_t *service)
{
	const json_t *parent = kc_json_at(address, "spec.parentRef"),
		     *meta = json_object_get(service, "metadata");

	return streq(kc_json_get_str(parent, "resource", ""), "services") &&
	       streq(kc_json_get_str(parent, "name", ""), kc_json_get_str(meta, "name", "?")) &&
	       streq(kc_json_get_str(parent, "namespace", ""),
		     kc_json_get_str(meta, "namespace", "default"));
}

bool kube_free_service_ip(struct kc_kube *k, const json_t *service, const char *path,
			  const struct kc_err *why)
{
	const char *ip = kc_json_get_str(json_object_get(service, "spec"), "clusterIP", "");
	_cleanup_free_ char *at = xasprintf(ADDRESSES "%s", ip);
	json_auto_t *address = NULL;

	if (!streq(kc_json_get_str(service, "kind", ""), "Service") || !*ip ||
	    !strstr(why->msg, "already allocated"))
		return false;
	if (kc_kube_get(k, at, &address, NULL) < 0 || !is_of(address, service) ||
	    kc_kube_get(k, path, NULL, NULL) != KC_ENOTFOUND)
		return false;
	return kc_kube_delete(k, at, NULL,
			      kc_json_get_str(json_object_get(address, "metadata"), "uid", NULL),
			      -1, NULL) == 0;
}
