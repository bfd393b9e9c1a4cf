#include "clouds/onprem/onprem.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static int onprem_defaults(const char *region, int workers, json_t **ret_spec, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL,
		       "cloud onprem needs to know its hosts: write spec.hosts and pass -f FILE");
}

/* An unset string is "" in a defaulted document and absent in a hand-made one. */
static const char *nonempty(const json_t *o, const char *key, const char *fallback)
{
	const char *s = kc_json_get_str(o, key, "");

	return *s ? s : fallback;
}

static json_t *ssh_of(const json_t *host, const char *first_address)
{
	const json_t *ssh = json_object_get(host, "ssh");
	_cleanup_free_ char *identity = kc_expand_home(kc_json_get_str(ssh, "identityFile", ""));
	json_t *ret;

	ret = kc_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "host",
		      nonempty(ssh, "host", first_address), "user", nonempty(ssh, "user", "root"),
		      "port", (json_int_t)kc_json_get_int(ssh, "port", 22), "identityFile",
		      identity, "hostKey", kc_json_get_str(ssh, "hostKey", ""), "bastion",
		      kc_json_get_str(ssh, "bastion", ""));
	if (*nonempty(ssh, "transport", ""))
		json_object_set(ret, "transport", json_object_get(ssh, "transport"));
	return ret;
}

static int node_of(const json_t *host, json_t **ret, struct kc_err *err)
{
	const char *name, *role = kc_json_get_str(host, "role", "worker");
	const json_t *addresses;
	int r;

	r = kc_json_str(host, "spec.hosts", "name", &name, err);
	if (r == 0)
		r = kc_json_arr(host, name, "addresses", &addresses, err);
	if (r < 0)
		return r;
	if (!json_is_string(json_array_get(addresses, 0)))
		return kc_fail(err, KC_EINVAL,
			       "host %s has no address: give it one in spec.hosts[].addresses",
			       name);
	*ret = kc_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:[]}", "name", name, "role", role,
		       "group", streq(role, "control-plane") ? "control-plane" : "workers",
		       "addresses", json_deep_copy(addresses), "labels",
		       kc_json_copy_or(host, "labels", json_object()), "taints",
		       kc_json_copy_or(host, "taints", json_array()), "ssh",
		       ssh_of(host, json_string_value(json_array_get(addresses, 0))), "after");
	return 0;
}

static int onprem_model(const struct kc_cloud_env *env, const json_t *cluster, json_t **ret_tasks,
			json_t **ret_nodes, struct kc_err *err)
{
	json_auto_t *nodes = json_array();
	const json_t *hosts = kc_json_at(cluster, "spec.hosts"), *host;
	size_t i;
	int r;

	json_array_foreach(hosts, i, host) {
		json_t *node;

		r = node_of(host, &node, err);
		if (r < 0)
			return r;
		json_array_append_new(nodes, node);
	}
	if (!json_array_size(nodes))
		return kc_fail(err, KC_EINVAL, "spec.hosts is empty: cloud onprem needs hosts");
	*ret_tasks = json_array();
	*ret_nodes = TAKE(nodes);
	return 0;
}

static const char *const honours[] = {
	"hosts.name",
	"hosts.addresses",
	"hosts.role",
	"hosts.labels",
	"hosts.taints",
	"hosts.ssh.host",
	"hosts.ssh.user",
	"hosts.ssh.port",
	"hosts.ssh.identityFile",
	"hosts.ssh.hostKey",
	"hosts.ssh.bastion",
	"hosts.ssh.transport",
	NULL,
};

const struct kc_cloud kc_cloud_onprem = {
	.name = "onprem",
	.summary = "your own Debian hosts, reached over SSH",
	.honours = honours,
	.defaults = onprem_defaults,
	.model = onprem_model,
};
