#include "bootstrap/status.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define NODES_SHOWN 20 /* in an error */

const char *status_state(const struct session *s)
{
	const json_t *task;
	bool any = false;
	const char *id;

	json_object_foreach((json_t *)(s->state ? kc_state_tasks(s->state) : NULL), id, task) {
		if (kc_json_get_bool(task, "pending", false) || json_object_get(task, "old"))
			return "incomplete";
		any |= streq(kc_json_get_str(task, "kind", ""), "node");
	}
	return any ? "ready" : "incomplete";
}

/* As wanted; of a machine that was made with the cluster, as found. */
static json_t *addresses_of(const json_t *task)
{
	const json_t *found = kc_json_at(task, "outputs.address"), *a;
	json_t *out = json_array();
	size_t i;

	json_array_foreach(kc_json_at(task, "want.node.addresses"), i, a)
		if (json_is_string(a))
			json_array_append(out, (json_t *)a);
	if (!json_array_size(out) && json_is_string(found))
		json_array_append(out, (json_t *)found);
	return out;
}

static json_t *nodes_of(const struct session *s)
{
	json_t *nodes = json_array();
	const json_t *task;
	const char *id;

	json_object_foreach((json_t *)(s->state ? kc_state_tasks(s->state) : NULL), id, task) {
		const json_t *node = kc_json_at(task, "want.node");

		if (streq(kc_json_get_str(task, "kind", ""), "node"))
			json_array_append_new(nodes,
					      kc_pack("{s:s, s:s, s:o}", "name",
						      kc_json_get_str(node, "name", ""), "role",
						      kc_json_get_str(node, "role", ""),
						      "addresses", addresses_of(task)));
	}
	return nodes;
}

static int no_such_host(const struct session *s, const char *node, struct kc_err *err)
{
	json_auto_t *nodes = nodes_of(s);
	_cleanup_buf_ struct kc_buf list = { 0 };
	size_t all = json_array_size(nodes), n = 0;

	for (; n < all && n < NODES_SHOWN; n++)
		kc_buf_printf(&list, "%s%s", n ? ", " : "",
			      kc_json_get_str(json_array_get(nodes, n), "name", ""));
	if (!node || !n)
		return kc_fail(err, KC_ENOTFOUND,
			       "cluster %s has no %s yet; finish `kubecdn cluster create`", s->name,
			       n ? "control plane" : "host");
	return kc_fail(err, KC_ENOTFOUND, "cluster %s has no host \"%s\"; there are %s%s", s->name,
		       node, kc_buf_get(&list), n < all ? ", ..." : "");
}

int status_ssh(const struct session *s, const char *node, const json_t **ret, struct kc_err *err)
{
	const json_t *task, *ssh;
	const char *id;

	json_object_foreach((json_t *)(s->state ? kc_state_tasks(s->state) : NULL), id, task) {
		const json_t *want = kc_json_at(task, "want.node");
		bool this = node ? streq(kc_json_get_str(want, "name", ""), node)
				 : streq(kc_json_get_str(want, "role", ""), "control-plane");

		if (!this || !streq(kc_json_get_str(task, "kind", ""), "node"))
			continue;
		ssh = kc_json_at(task, "outputs.ssh");
		/* Before it was reached for the first time: as wanted, if that is known. */
		*ret = ssh ? ssh : json_object_get(task, "via");
		return 0;
	}
	return no_such_host(s, node, err);
}

char *status_endpoint(struct session *s)
{
	const char *set = json_string_value(kc_json_at(s->cluster, "spec.api.endpoint"));
	_cleanup_free_ char *address = set && *set ? xstrdup(set) : session_api_address(s);

	if (!address)
		return NULL;
	/* spec.api.endpoint may have a port */
	return xasprintf("https://%s%s", address, strchr(address, ':') ? "" : ":6443");
}

json_t *status_make(struct session *s)
{
	_cleanup_free_ char *url = status_endpoint(s);
	json_t *endpoint = url ? json_string(url) : json_null();

	return kc_pack("{s:s, s:s, s:o, s:o, s:I}", "state", status_state(s), "uid", s->uid,
		       "endpoint", endpoint, "nodes", nodes_of(s), "tasks",
		       (json_int_t)(s->state ? json_object_size(kc_state_tasks(s->state)) : 0));
}
