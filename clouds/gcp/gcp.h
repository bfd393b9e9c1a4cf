/*
 * Google Cloud's REST APIs: one call, its errors, pages and operations.
 *
 *	path, query, body (json_t) -> token, bucket -> HTTP, again where that is safe -> json_t
 *
 * Used from any number of threads. What comes back is Google's JSON; results are owned. Paths begin
 * with "projects/"; their parts are escaped by the caller (kc_http_escape()).
 *
 *	KC_ENOTFOUND	404
 *	KC_ECONFLICT	409, 412
 *	KC_EAUTH	401, 403
 *	KC_EINVAL	400, 413, or something is missing in a reply
 *	KC_EFAIL	a reply that cannot be understood, an operation that failed
 *	KC_EAGAIN	throttled or unreachable in all attempts, or the reply was lost to a call
 *			that must not be made twice ("it may have happened")
 *	KC_ETIMEOUT	an operation did not end
 *
 * GET, PUT, DELETE, and whatever compute does (it gets a requestId) are made again after a lost
 * reply; a DELETE of Cloud DNS that had happened then says KC_ENOTFOUND.
 * Sources: discovery documents dns/v1 and compute/v1; "Compute Engine rate quotas"; AIP-193.
 */
#ifndef KC_CLOUDS_GCP_GCP_H
#define KC_CLOUDS_GCP_GCP_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_gcp;
enum kc_gcp_api { KC_GCP_DNS, KC_GCP_COMPUTE, KC_GCP_APIS };

struct kc_gcp_conf {
	/* NULL: CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS or _COMPUTE, else Google's. With or without
	 * the path ("/dns/v1"). */
	const char *endpoint[KC_GCP_APIS];
	const char *ca_pem;		/* see kc_http_conf; or NULL */
	bool (*canceled)(void *cookie); /* or NULL */
	void *cookie;
};

/* Finds the credentials (creds.h), and sends nothing yet. conf is copied. */
int kc_gcp_open(const struct kc_gcp_conf *conf, struct kc_gcp **ret, struct kc_err *err);
void kc_gcp_close(struct kc_gcp *g);
KC_DEFINE_CLEANUP(struct kc_gcp *, kc_gcp_close)
#define _cleanup_gcp_ _cleanup_(kc_gcp_closep)
/* GOOGLE_CLOUD_PROJECT, else what the credentials name; or NULL. Borrowed. */
const char *kc_gcp_project(const struct kc_gcp *g);

/* query: an object of strings, or NULL. body: or NULL. ret: an object, {} when the reply has no
 * body; may be NULL. */
int kc_gcp_call(struct kc_gcp *g, enum kc_gcp_api api, const char *method, const char *path,
		const json_t *query, const json_t *body, json_t **ret, struct kc_err *err);
/* GET all pages: an array of what they have under key, which only an empty page may lack. */
int kc_gcp_list(struct kc_gcp *g, enum kc_gcp_api api, const char *path, const json_t *query,
		const char *key, json_t **ret_items, struct kc_err *err);
/* Follow a global operation of compute to its end (five minutes at most: KC_ETIMEOUT). Its own
 * errors are told, with the code that its HTTP status stands for. */
int kc_gcp_wait(struct kc_gcp *g, const char *project, const json_t *operation, struct kc_err *err);

#endif
