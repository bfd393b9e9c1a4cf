/*
 * How to reach a cluster's API: by a kubeconfig, or from inside of a pod.
 *
 *	kubeconfig (YAML) --current-context--> server, CA, client certificate or token
 *	KUBERNETES_SERVICE_HOST, the mounted service account --> the same
 *
 * Read anew each time: a pod's token is replaced every hour or so. Plugins (exec, auth-provider),
 * passwords and insecure-skip-tls-verify are refused by name. A file with a key must be closed to
 * others, as everywhere here; a token that the kubelet mounts is the pod's own.
 */
#ifndef KC_NET_KUBECONFIG_H
#define KC_NET_KUBECONFIG_H

#include "lib/net/kube.h"

/* path NULL: from inside of a pod. Fills ret, the caller's. KC_EINVAL says what is missing. */
int kc_kubeconfig_read(const char *path, struct kc_kube_conf *ret, struct kc_err *err);

#endif
