/*
 * Azure Resource Manager: one call, its errors, pages and long-running operations.
 *
 *	path, api-version, conditions, body (json_t) -> token, bucket -> HTTP, again where that is
 *	safe -> the operation to its end -> json_t, etag
 *
 * Used from any number of threads. What comes back is Azure's JSON; results are owned. Paths begin
 * with "/subscriptions/"; their parts are escaped by the caller (kc_http_escape()).
 *
 *	KC_ENOTFOUND	404
 *	KC_ECONFLICT	409, 412
 *	KC_EAUTH	401, 403, with the action that is not allowed
 *	KC_EINVAL	400, or something is missing in a reply
 *	KC_EFAIL	a reply that cannot be understood, an operation that failed
 *	KC_EAGAIN	throttled or unreachable in all attempts, or the reply was lost to a call
 *			that must not be made twice: POST, PATCH, and what has a condition ("it may
 *			have happened")
 *	KC_ETIMEOUT	an operation did not end
 *
 * Sources: Azure/azure-resource-manager-rpc (async, common API details); "Understand how Azure
 * Resource Manager throttles requests".
 */
#ifndef KC_CLOUDS_AZURE_AZURE_H
#define KC_CLOUDS_AZURE_AZURE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_azure;

struct kc_azure_conf {
	/* NULL: AZURE_RESOURCE_MANAGER_ENDPOINT, else https://management.azure.com. */
	const char *endpoint;
	/* NULL: AZURE_RESOURCE_MANAGER_AUDIENCE, else https://management.azure.com. */
	const char *audience;
	const char *ca_pem;		/* see kc_http_conf; also for Entra; or NULL */
	bool (*canceled)(void *cookie); /* or NULL */
	void *cookie;
};

/* Finds the credentials (creds.h), and sends nothing yet. conf is copied. */
int kc_azure_open(const struct kc_azure_conf *conf, struct kc_azure **ret, struct kc_err *err);
void kc_azure_close(struct kc_azure *a);
KC_DEFINE_CLEANUP(struct kc_azure *, kc_azure_close)
#define _cleanup_azure_ _cleanup_(kc_azure_closep)

struct kc_azure_req {
	const char *method, *path, *api_version;
	const json_t *query;		      /* an object of strings, or NULL */
	const char *if_match, *if_none_match; /* or NULL */
	const json_t *body;		      /* or NULL */
};
/* ret: an object, {} when the reply has no body. ret_etag: "etag" of the body, else of the header,
 * else NULL. Both may be NULL. */
int kc_azure_call(struct kc_azure *a, const struct kc_azure_req *req, json_t **ret, char **ret_etag,
		  struct kc_err *err);
/* GET all pages: an array of what their "value" has. nextLink must lead to the same server. */
int kc_azure_list(struct kc_azure *a, const struct kc_azure_req *req, json_t **ret_values,
		  struct kc_err *err);

#endif
