/*
 * Kubernetes objects as kinds of the engine (lib/plan/kind.h):
 *
 *   kube/api      {}                                  a gate: ready once the API has kube-system
 *   kube/object   {"object": manifest, "wait"?, "adopt"?}  by server-side apply
 *   kube/node     {"name", "role"?, "labels"?: {}, "taints"?: [{key, value?, effect}]}
 *   kube/applyset {"groupKinds": ["Deployment.apps", …], "namespaces"?: […]}
 *
 * kube/object: every object is stamped with the annotation kubecdn.io/owner
 * (the cluster's uid) and the label applyset.kubernetes.io/part-of. One that
 * exists without our mark is KC_ECONFLICT unless want has "adopt": true, and is
 * never removed. What find reports is the live object reduced to the fields
 * that want has or that our field manager owns, with lists in want's order, so
 * server defaults are quiet and drift shows. Ready: Deployments, DaemonSets and
 * StatefulSets rolled out, CRDs established, others at once ("wait": false: all
 * at once). A Secret with values is refused: wants stand in plans and records.
 *
 * kube/node: the kubelet makes the Node; apply waits for it (two minutes), then
 * sets labels (the role as node-role.kubernetes.io/ROLE) and taints; other
 * people's labels and taints stay. One that somebody deleted comes back without the pods it had, as
 * after Kubernetes' own clean-up (kc_kube_ctx_on_lost). remove cordons, evicts for up to 30 s
 * (PodDisruptionBudgets are respected that long), deletes what is left, then
 * the Node.
 *
 * The connection is made at the first use through a callback, because address
 * and credentials exist only after earlier tasks. While the callback says
 * KC_EAGAIN, or the API has not yet answered since start, find says absent (a
 * plan before the first bootstrap shows creations); once it has answered, an
 * API that is away is an error.
 */
#ifndef KC_OBJECTS_OBJECTS_H
#define KC_OBJECTS_OBJECTS_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/net/kube.h"
#include "lib/plan/kind.h"

#define KC_OWNER_ANNOTATION "kubecdn.io/owner"
#define KC_PART_OF_LABEL    "applyset.kubernetes.io/part-of"

/* Fill ret (owned by the caller); KC_EAGAIN: not known yet. May be called again after failures,
 * from any thread, one at a time. */
typedef int kc_kube_conf_fn(void *cookie, struct kc_kube_conf *ret, struct kc_err *err);

struct kc_kube_ctx;
struct kc_kube_ctx *kc_kube_ctx_new(kc_kube_conf_fn *conf, void *cookie);
void kc_kube_ctx_free(struct kc_kube_ctx *c);
KC_DEFINE_CLEANUP(struct kc_kube_ctx *, kc_kube_ctx_free)
#define _cleanup_kube_ctx_ _cleanup_(kc_kube_ctx_freep)

/* Before the first change: from now on an API that does not answer is an error, not an empty one.
 */
void kc_kube_ctx_expect(struct kc_kube_ctx *c);

/*
 * Whoever reaches the hosts: let the kubelet of the Node that a kube/node task (want.name) is about
 * register it anew, which it does by itself only once. From any thread.
 */
typedef int kc_kube_rejoin_fn(void *cookie, const struct kc_task *task, struct kc_err *err);
void kc_kube_ctx_on_lost(struct kc_kube_ctx *c, kc_kube_rejoin_fn *rejoin);

/* The connection, for validation and the like; borrowed. */
int kc_kube_ctx_get(struct kc_kube_ctx *c, struct kc_kube **ret, struct kc_err *err);

extern const struct kc_kind kc_kube_api, kc_kube_object, kc_kube_node, kc_kube_applyset;

/* The provider "kube" with these four kinds, 16 calls at a time. ctx must outlive it. */
struct kc_provider kc_kube_provider(struct kc_kube_ctx *ctx);

/* KEP-3659 id of the parent ConfigMap kube-system/kubecdn-addons. out holds 64 bytes. */
void kc_applyset_id(char out[64]);

#endif
