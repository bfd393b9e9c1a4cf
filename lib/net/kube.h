/*
 * A client of the Kubernetes API, over net-http.
 *
 *	conf -> kc_kube_new -> kc_kube_path(apiVersion, kind, namespace, name) -> get, apply, …
 *
 * Objects are JSON as the API gives them. A path comes from a table of the
 * kinds that every cluster has and, for others, from the API's discovery
 * (cached; asked again once when a kind is missing, since CRDs arrive late).
 * Thread-safe. Results through ret are owned. A Status reply becomes one line
 * and a code: 404 KC_ENOTFOUND, 409 KC_ECONFLICT, 401 and 403 KC_EAUTH, 400
 * and 422 KC_EINVAL, 429 and 5xx KC_EAGAIN; an API that cannot be reached is
 * KC_EAGAIN, too, and so is one that is silent (10 s for a GET) except to a
 * create. A reply that is not JSON of the right shape is KC_EFAIL.
 */
#ifndef KC_NET_KUBE_H
#define KC_NET_KUBE_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define KC_KUBE_MANAGER "kubecdn" /* our field manager */

struct kc_kube;

/* Owned strings; key and token are wiped by _done. */
struct kc_kube_conf {
	char *server; /* "https://10.0.0.1:6443" */
	char *ca_pem;
	char *cert_pem, *key_pem; /* client certificate, or NULL */
	char *token;		  /* bearer token, or NULL */
	/* How to connect to it, as in struct kc_http_conf; the cookie must outlive the client. */
	int (*dial)(void *cookie, int *ret_fd, struct sockaddr_in *ret_to, struct kc_err *err);
	void *dial_cookie;
};
void kc_kube_conf_done(struct kc_kube_conf *c);
#define _cleanup_kube_conf_ _cleanup_(kc_kube_conf_done)

/* conf is copied. Nothing is connected yet. */
int kc_kube_new(const struct kc_kube_conf *conf, struct kc_kube **ret, struct kc_err *err);
void kc_kube_free(struct kc_kube *k);
KC_DEFINE_CLEANUP(struct kc_kube *, kc_kube_free)
#define _cleanup_kube_ _cleanup_(kc_kube_freep)

/*
 * "/apis/apps/v1/namespaces/kube-system/deployments/coredns". name NULL: the
 * collection; namespace NULL: all of them, or for a named object of a
 * namespaced kind "default". A kind that the API lacks is KC_ENOTFOUND.
 */
int kc_kube_path(struct kc_kube *k, const char *api_version, const char *kind,
		 const char *namespace, const char *name, char **ret, struct kc_err *err);
/* The same for a manifest. */
int kc_kube_object_path(struct kc_kube *k, const json_t *object, char **ret, struct kc_err *err);

/* ret may be NULL in all of these. */
int kc_kube_get(struct kc_kube *k, const char *path, json_t **ret, struct kc_err *err);
/* All items, page by page. query: "labelSelector=…&fieldSelector=…", escaped; or NULL. */
int kc_kube_list(struct kc_kube *k, const char *path, const char *query, json_t **ret_items,
		 struct kc_err *err);
/* Server-side apply as KC_KUBE_MANAGER, forced. */
int kc_kube_apply(struct kc_kube *k, const char *path, const json_t *object, json_t **ret,
		  struct kc_err *err);
/* RFC 7386; a metadata.resourceVersion in it makes it conditional (KC_ECONFLICT). */
int kc_kube_merge(struct kc_kube *k, const char *path, const json_t *patch, json_t **ret,
		  struct kc_err *err);
int kc_kube_create(struct kc_kube *k, const char *collection, const json_t *object, json_t **ret,
		   struct kc_err *err);
/* policy: "Background", "Foreground", "Orphan" or NULL; uid: only that incarnation, or NULL;
 * grace: seconds, or -1 for the object's own. KC_ENOTFOUND when it is gone. */
int kc_kube_delete(struct kc_kube *k, const char *path, const char *policy, const char *uid,
		   int grace, struct kc_err *err);
/* GET of any path as text, e.g. /readyz; a status other than 2xx is an error as above. */
int kc_kube_raw(struct kc_kube *k, const char *path, char **ret_text, struct kc_err *err);

#endif
