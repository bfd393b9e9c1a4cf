#include "bootstrap/model.h"

#include <string.h>

#include "addons/addon.h"
#include "bootstrap/nodespec.h"
#include "bootstrap/secrets.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

struct model {
	const struct kc_model_env *env;
	json_t *nodes, *tasks, *specs;
	json_t *control_planes; /* the nodes of that role; borrowed members */
	char *first_cp;		/* "node/cp1" */
	char service_ip[46];
};

static bool is_control_plane(const json_t *node)
{
	return streq(kc_json_get_str(node, "role", ""), "control-plane");
}

static const char *name_of(const json_t *node)
{
	return kc_json_get_str(node, "name", "");
}

static json_t *address_of(const json_t *node)
{
	return json_array_get(json_object_get(node, "addresses"), 0);
}

/* {"$cat": [prefix, the node's address, suffix]}: the address may be a reference. */
static json_t *with_address(const char *prefix, const json_t *node, const char *suffix)
{
	return kc_pack("{s:[s, O, s]}", "$cat", prefix, address_of(node), suffix);
}

/* "key=value:Effect" or "key:Effect" to the API's object. */
static json_t *taint(const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *effect = strrchr(copy, ':'), *value = strchr(copy, '=');
	json_t *t;

	if (effect)
		*effect++ = '\0';
	if (value && (!effect || value < effect))
		*value++ = '\0';
	t = kc_pack("{s:s, s:s}", "key", copy, "effect", effect ? effect : "NoSchedule");
	if (value && *value)
		json_object_set_new(t, "value", json_string(value));
	return t;
}

static json_t *taints_of(const json_t *node)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(json_object_get(node, "taints"), i, v)
		json_array_append_new(list, taint(json_string_value(v)));
	return list;
}

static json_t *api_sans(const struct model *m)
{
	static const char *const fixed[] = {
		"kubernetes",
		"kubernetes.default",
		"kubernetes.default.svc",
		("kubernetes.default.svc." KC_CLUSTER_DOMAIN),
		"localhost",
		"127.0.0.1",
		"::1",
	};
	const json_t *extra = kc_json_at(m->env->cluster, "spec.api.sans");
	const char *at = json_string_value(kc_json_at(m->env->cluster, "spec.api.endpoint"));
	/* A certificate holds no port; IPv6 has been refused. */
	_cleanup_free_ char *endpoint = at ? xstrndup(at, strcspn(at, ":")) : NULL;
	json_t *sans = json_array(), *node;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++)
		json_array_append_new(sans, json_string(fixed[i]));
	json_array_append_new(sans, json_string(m->service_ip));
	json_array_foreach(m->control_planes, i, node) {
		json_array_append_new(sans, json_string(name_of(node)));
		json_array_extend(sans, json_object_get(node, "addresses"));
	}
	if (endpoint && *endpoint && !kc_json_has_str(sans, endpoint))
		json_array_append_new(sans, json_string(endpoint));
	json_array_foreach((json_t *)extra, i, node)
		if (!kc_json_has_str(sans, json_string_value(node)))
			json_array_append(sans, node);
	return sans;
}

/* The facts that a control plane's spec relies on beyond a worker's. */
static void control_plane_facts(const struct model *m, const json_t *node, json_t *facts)
{
	json_t *members = json_array(), *sans, *cp;
	size_t i;

	json_array_foreach(m->control_planes, i, cp) {
		_cleanup_free_ char *prefix = xasprintf("%s=https://", name_of(cp));

		json_array_append_new(members, with_address(prefix, cp, ":2380"));
	}
	sans = kc_pack("[s, s, s, s]", name_of(node), "localhost", "127.0.0.1", "::1");
	json_array_extend(sans, json_object_get(node, "addresses"));
	json_object_set_new(facts, "etcdInitialCluster", members);
	json_object_set_new(facts, "etcdSANs", sans);
	json_object_set_new(facts, "apiSANs", api_sans(m));
	json_object_set_new(facts, "apiLocal", with_address("", node, ":6443"));
}

static json_t *node_facts(const struct model *m, const json_t *node)
{
	json_t *backends = json_array(), *sans = kc_pack("[s]", name_of(node)), *facts, *cp;
	size_t i;

	json_array_foreach(m->control_planes, i, cp)
		json_array_append_new(backends, with_address("", cp, ":6443"));
	json_array_extend(sans, json_object_get(node, "addresses"));
	facts = kc_pack("{s:s, s:s, s:O, s:O, s:o, s:o, s:o, s:s}", "name", name_of(node), "role",
			kc_json_get_str(node, "role", ""), "address", address_of(node), "addresses",
			json_object_get(node, "addresses"), "taints", taints_of(node),
			"apiBackends", backends, "nodeSANs", sans, "apiLocal", "");
	if (is_control_plane(node))
		control_plane_facts(m, node, facts);
	return facts;
}

/* The NodeSpec of a role, made once; its hash. */
static int spec_for(struct model *m, const char *role, char hash[KC_SHA256_HEX], struct kc_err *err)
{
	const struct kc_nodespec_env env = {
		.cluster = m->env->cluster,
		.bundle = m->env->bundle,
		.agent = m->env->agent,
		.control_planes = (int)json_array_size(m->control_planes),
	};
	json_t *spec;
	int r = kc_nodespec(&env, role, &spec, err);

	if (r < 0)
		return r;
	kc_sha256_json(spec, hash);
	json_object_set_new(m->specs, hash, spec);
	return 0;
}

static int add_node(struct model *m, const json_t *node, struct kc_err *err)
{
	json_t *after = json_array(), *cloud_after = json_object_get(node, "after"), *secret;
	json_auto_t *secrets = kc_secret_tasks();
	char hash[KC_SHA256_HEX];
	size_t i;
	int r;

	r = spec_for(m, kc_json_get_str(node, "role", ""), hash, err);
	if (r < 0) {
		json_decref(after);
		return r;
	}
	json_array_foreach(secrets, i, secret)
		json_array_append(after, json_object_get(secret, "id"));
	if (cloud_after)
		json_array_extend(after, cloud_after);
	json_array_append_new(m->tasks,
			      kc_pack("{s:o, s:s, s:{s:s, s:o, s:O}, s:o, s:O, s:O*}", "id",
				      json_sprintf("node/%s", name_of(node)), "kind", "node",
				      "want", "spec", hash, "node", node_facts(m, node), "ssh",
				      json_object_get(node, "ssh"), "after", after, "via",
				      json_object_get(node, "ssh"), "within",
				      json_object_get(node, "within")));
	return 0;
}

static void add_kube_node(struct model *m, const json_t *node)
{
	json_t *labels = json_object_get(node, "labels");
	const json_t *pods = kc_json_at(m->env->cluster, "spec.networking.podCIDRs");

	json_array_append_new(m->tasks,
			      kc_pack("{s:o, s:s, s:{s:s, s:s, s:o, s:o, s:O}, s:[s, o], "
				      "s:s}",
				      "id", json_sprintf("kube/node/%s", name_of(node)), "kind",
				      "kube/node", "want", "name", name_of(node), "role",
				      kc_json_get_str(node, "role", ""), "labels",
				      labels ? json_deep_copy(labels) : json_object(), "taints",
				      taints_of(node), "podRange", json_array_get(pods, 0), "after",
				      "kube/api", json_sprintf("node/%s", name_of(node)), "within",
				      m->first_cp));
}

/* "Deployment.apps", "Service": how an ApplySet names a kind. */
static json_t *group_kind(const json_t *object)
{
	const char *version = kc_json_get_str(object, "apiVersion", ""),
		   *slash = strchr(version, '/');

	if (!slash)
		return json_string(kc_json_get_str(object, "kind", ""));
	return json_sprintf("%s.%.*s", kc_json_get_str(object, "kind", ""), (int)(slash - version),
			    version);
}

/* The inventory that kubectl and others read: which kinds, in which namespaces, are ours. */
static void add_applyset(struct model *m)
{
	json_t *kinds = json_array(), *spaces = json_array(), *task;
	size_t i;

	json_array_foreach(m->tasks, i, task) {
		const json_t *object = kc_json_at(task, "want.object");
		json_auto_t *kind = NULL;
		const char *space;

		if (!streq(kc_json_get_str(task, "kind", ""), "kube/object"))
			continue;
		kind = group_kind(object);
		if (!kc_json_has_str(kinds, json_string_value(kind)))
			json_array_append(kinds, kind);
		space = json_string_value(kc_json_at(object, "metadata.namespace"));
		if (space && !kc_json_has_str(spaces, space))
			json_array_append_new(spaces, json_string(space));
	}
	json_array_append_new(m->tasks, kc_pack("{s:s, s:s, s:{s:o, s:o}, s:[s], s:s}", "id",
						"kube/applyset", "kind", "kube/applyset", "want",
						"groupKinds", kinds, "namespaces", spaces, "after",
						"kube/api", "within", m->first_cp));
}

static int add_addons(struct model *m, struct kc_err *err)
{
	const json_t *pods = kc_json_at(m->env->cluster, "spec.networking.podCIDRs");
	json_auto_t *facts = NULL, *after = kc_pack("[s]", "kube/api");
	struct kc_addon_env env = { .within = m->first_cp, .after = after };
	const json_t *name;
	char dns[46];
	size_t i;
	int r;

	r = kc_service_address(m->env->cluster, 10, dns, err);
	if (r < 0)
		return r;
	facts = kc_pack("{s:O, s:s, s:s}", "podCIDR", json_array_get(pods, 0), "clusterDNS", dns,
			"clusterDomain", KC_CLUSTER_DOMAIN);
	env.facts = facts;
	env.images = json_object_get(m->env->bundle, "images");
	r = kc_addon_tasks("rbac", &env, m->tasks, err);
	json_array_foreach(kc_json_at(m->env->cluster, "spec.addons"), i, name)
		if (r == 0)
			r = kc_addon_tasks(json_string_value(name), &env, m->tasks, err);
	if (r == 0)
		add_applyset(m);
	return r;
}

static int fill(struct model *m, struct kc_err *err)
{
	json_auto_t *secrets = kc_secret_tasks();
	json_t *node;
	size_t i;
	int r;

	r = kc_service_address(m->env->cluster, 1, m->service_ip, err);
	json_array_foreach(m->nodes, i, node)
		if (is_control_plane(node))
			json_array_append(m->control_planes, node);
	if (r == 0 && json_array_size(m->control_planes) == 0)
		r = kc_fail(err, KC_EINVAL, "the cluster has no control plane");
	if (r < 0)
		return r;
	m->first_cp = xasprintf("node/%s", name_of(json_array_get(m->control_planes, 0)));
	json_array_extend(m->tasks, secrets);
	json_array_foreach(m->nodes, i, node) {
		r = add_node(m, node, err);
		if (r < 0)
			return r;
	}
	json_array_append_new(m->tasks, kc_pack("{s:s, s:s, s:{}, s:[s], s:s}", "id", "kube/api",
						"kind", "kube/api", "want", "after", m->first_cp,
						"within", m->first_cp));
	json_array_foreach(m->nodes, i, node)
		add_kube_node(m, node);
	return add_addons(m, err);
}

int kc_cluster_model(const struct kc_model_env *env, json_t **ret_tasks, json_t **ret_specs,
		     struct kc_err *err)
{
	struct model m = { .env = env };
	int r;

	r = env->cloud->model(&env->cloud_env, env->cluster, &m.tasks, &m.nodes, err);
	if (r < 0)
		return r;
	m.specs = json_object();
	m.control_planes = json_array();
	r = fill(&m, err);
	if (r == 0) {
		*ret_tasks = TAKE(m.tasks);
		*ret_specs = TAKE(m.specs);
	}
	json_decref(m.tasks);
	json_decref(m.specs);
	json_decref(m.nodes);
	json_decref(m.control_planes);
	free(m.first_cp);
	return r;
}
