/* etcd and kube-apiserver on loopback, for tests that need the real API. */
#ifndef KC_TEST_KUBE_LAB_H
#define KC_TEST_KUBE_LAB_H

#include <sys/types.h>

#include "lib/net/kube.h"

struct kube_lab {
	char dir[32];
	int port;
	pid_t etcd, api;
	char *ca, *ca_key, *cert, *key;
};

/* Make keys and directories and choose ports; nothing runs yet. False without KC_BUNDLE_BIN. */
bool kube_lab_init(struct kube_lab *lab);
void kube_lab_start(struct kube_lab *lab);
void kube_lab_stop(struct kube_lab *lab);
/* From here on etcd, and so most of the API, answers nothing, until it is thawed. */
void kube_lab_freeze(const struct kube_lab *lab);
void kube_lab_thaw(const struct kube_lab *lab);
/* As a cluster's administrator; owned strings. */
struct kc_kube_conf kube_lab_conf(const struct kube_lab *lab);

#endif
