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

#endif
