/* What the files of net-kube share; nobody else includes this. */
#ifndef KC_NET_KUBE_IMPL_H
#define KC_NET_KUBE_IMPL_H

#include <pthread.h>

#include "lib/net/http.h"
#include "lib/net/kube.h"

struct kc_kube {
	struct kc_http *http;
	char *server;
	char *authorization; /* header, or NULL */
	pthread_mutex_t lock;
	json_t *groups; /* discovered: {apiVersion: {kind: {"plural", "namespaced"}}} */
};

/* kube.c: the error for a status other than 2xx, in one line. */
int kube_bad_status(const char *method, const char *path, const struct kc_http_reply *reply,
		    struct kc_err *err);
/* kube_path.c: {kind: {plural, namespaced}} of one group and version, from its discovery. */
int kube_kinds_of(const json_t *reply, const char *path, json_t **ret, struct kc_err *err);

#endif
