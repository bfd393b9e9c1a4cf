/*
 * A node's block of pod addresses, given to it as soon as it joins. The controller
 * manager would do so, too, but only after it has waited for the API server's last
 * health check and started all of its controllers; until then no node is Ready.
 *
 * Both may be at it at the same time, for different nodes: the controller manager
 * takes the lowest free block (and leaves alone what it sees taken), so we take the
 * highest, out of the upper half only. What we leave out, it gives.
 */
#include <arpa/inet.h>
#include <pthread.h>

#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

enum { NODE_PREFIX = 24 }; /* kube-controller-manager's --node-cidr-mask-size for IPv4 */

/* One at a time: a block is free until the node that has it says so. */
static pthread_mutex_t choosing = PTHREAD_MUTEX_INITIALIZER;

static bool is_taken(const json_t *nodes, const struct kc_cidr *block)
{
	const json_t *node, *text;
	size_t i, j;

	json_array_foreach(nodes, i, node) {
		json_array_foreach(kc_json_at(node, "spec.podCIDRs"), j, text) {
			struct kc_cidr have;

			if (kc_cidr_parse(json_string_value(text), &have) &&
			    kc_cidr_overlap(&have, block))
				return true;
		}
	}
	return false;
}

/* The highest free block as text; NULL: none, or the range is no IPv4 range of several blocks. */
static char *choose(const char *range, const json_t *nodes)
{
	struct kc_cidr all, block = { .prefix = NODE_PREFIX };
	char text[KC_ADDR_STRLEN];
	uint32_t n, size = 1u << (32 - NODE_PREFIX);

	if (!kc_cidr_parse(range, &all) || all.base.family != AF_INET || all.prefix >= NODE_PREFIX)
		return NULL;
	n = 1u << (NODE_PREFIX - all.prefix);
	for (uint32_t i = n; i-- > n / 2;) {
		if (!kc_cidr_nth(&all, i * size, &block.base) || is_taken(nodes, &block))
			continue;
		kc_addr_format(&block.base, text);
		return xasprintf("%s/%d", text, NODE_PREFIX);
	}
	return NULL;
}

/* With the node's version: if somebody gave it one meanwhile, that one stands. */
static int give(struct kc_kube *k, const char *path, const json_t *node, const char *block,
		json_t **ret, struct kc_err *err)
{
	const char *version =
		kc_json_get_str(json_object_get(node, "metadata"), "resourceVersion", "");
	json_auto_t *patch = kc_pack("{s:{s:s}, s:{s:s, s:[s]}}", "metadata", "resourceVersion",
				     version, "spec", "podCIDR", block, "podCIDRs", block);

	return kc_kube_merge(k, path, patch, ret, err);
}

int kube_give_pod_cidr(struct kc_kube *k, const char *name, const char *range, json_t **live,
		       struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("/api/v1/nodes/%s", name);
	int r = 0;

	pthread_mutex_lock(&choosing);
	for (int i = 0; r == 0 && i < 10 && !kc_json_at(*live, "spec.podCIDR"); i++) {
		json_auto_t *nodes = NULL, *now = NULL;
		_cleanup_free_ char *block = NULL;

		r = kc_kube_list(k, "/api/v1/nodes", NULL, &nodes, err);
		block = r == 0 ? choose(range, nodes) : NULL;
		if (!block)
			break;
		r = give(k, path, *live, block, &now, err);
		if (r == KC_ECONFLICT) /* the kubelet writes to it, too: look again */
			r = kc_kube_get(k, path, &now, err);
		if (r == 0) {
			json_decref(*live);
			*live = TAKE(now);
		}
	}
	pthread_mutex_unlock(&choosing);
	return r;
}
