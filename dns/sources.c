#include "dns/sources.h"

#include <ctype.h>

#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define DNS	    "kubecdn.io/dns"
#define EDGE	    "kubecdn.io/edge"
#define EXTERNAL_IP "kubecdn.io/external-ip"

static const char *annotation(const json_t *o, const char *key)
{
	return kc_json_get_str(kc_json_at(o, "metadata.annotations"), key, NULL);
}

static const char *name_of(const json_t *o)
{
	return kc_json_get_str(json_object_get(o, "metadata"), "name", "?");
}

/* Names are equal in whatever case, and with a dot at the end or without. */
static bool is_named(const json_t *o, const char *name)
{
	const char *list = annotation(o, DNS);
	size_t len = strlen(name);

	while (list && *list) {
		size_t n = strcspn(list, ","), from = 0, to = n;

		while (from < to && isspace((unsigned char)list[from]))
			from++;
		while (to > from && isspace((unsigned char)list[to - 1]))
			to--;
		if (to > from && list[to - 1] == '.')
			to--;
		if (to - from == len && strncasecmp(list + from, name, len) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static int add(json_t *out, const char *text, const json_t *of, struct kc_err *err)
{
	struct kc_addr a;
	char canonical[KC_ADDR_STRLEN];

	if (!text || !kc_addr_parse(text, &a))
		return kc_fail(err, KC_EINVAL, "%s: \"%.80s\" is not an address", name_of(of),
			       text ? text : "");
	kc_addr_format(&a, canonical);
	if (!kc_json_has_str(out, canonical))
		json_array_append_new(out, json_string(canonical));
	return 0;
}

/* A list that may be absent, but is nothing else. */
static int list_at(const json_t *o, const char *path, const json_t **ret, struct kc_err *err)
{
	const json_t *v = kc_json_at(o, path);

	if (v && !json_is_null(v) && !json_is_array(v))
		return kc_fail(err, KC_EINVAL, "%s: %s is no list", name_of(o), path);
	*ret = json_is_array(v) ? v : NULL;
	return 0;
}

/* --- nodes */

static bool is_edge(const json_t *node)
{
	const char *label = kc_json_get_str(kc_json_at(node, "metadata.labels"), EDGE, NULL),
		   *note = annotation(node, EDGE);

	return (label && !streq(label, "false")) || (note && !streq(note, "false"));
}

static int is_ready(const json_t *node, bool *ret, struct kc_err *err)
{
	const json_t *conditions, *c;
	size_t i;
	int r = list_at(node, "status.conditions", &conditions, err);

	*ret = false;
	json_array_foreach((json_t *)conditions, i, c)
		if (streq(kc_json_get_str(c, "type", ""), "Ready"))
			*ret = streq(kc_json_get_str(c, "status", ""), "True");
	return r;
}

static int add_of_type(json_t *out, const json_t *node, const char *type, struct kc_err *err)
{
	const json_t *addresses, *a;
	size_t i;
	int r = list_at(node, "status.addresses", &addresses, err);

	json_array_foreach((json_t *)addresses, i, a)
		if (r == 0 && streq(kc_json_get_str(a, "type", ""), type))
			r = add(out, kc_json_get_str(a, "address", NULL), node, err);
	return r;
}

/* The addresses of an edge node that is ready; none of any other. */
static int add_node(json_t *out, const json_t *node, struct kc_err *err)
{
	json_auto_t *own = json_array();
	const char *external = annotation(node, EXTERNAL_IP);
	const json_t *a;
	bool ready;
	size_t i;
	int r = is_ready(node, &ready, err);

	if (r < 0 || !ready || !is_edge(node))
		return r;
	if (external)
		return add(out, external, node, err);
	r = add_of_type(own, node, "ExternalIP", err);
	if (r == 0 && !json_array_size(own))
		r = add_of_type(own, node, "InternalIP", err);
	json_array_foreach(own, i, a)
		if (r == 0)
			r = add(out, json_string_value(a), node, err);
	return r;
}

/* --- services */

static int add_load_balancer(json_t *out, const json_t *service, size_t *ret_n, json_t *notes,
			     struct kc_err *err)
{
	const json_t *ingress, *one;
	size_t i;
	int r = list_at(service, "status.loadBalancer.ingress", &ingress, err);

	*ret_n = json_array_size(ingress);
	json_array_foreach((json_t *)ingress, i, one) {
		const char *ip = kc_json_get_str(one, "ip", NULL),
			   *host = kc_json_get_str(one, "hostname", NULL);
		_cleanup_free_ char *note = NULL;

		if (r == 0 && (ip || !host))
			r = add(out, ip, service, err);
		if (ip || !host)
			continue;
		note = xasprintf("Service %s: its load balancer has a host name (%.200s) and no "
				 "address, so it cannot be claimed",
				 name_of(service), host);
		json_array_append_new(notes, json_string(note));
	}
	return r;
}

static int add_service(json_t *out, const json_t *service, const json_t *nodes, json_t *notes,
		       struct kc_err *err)
{
	const char *type = kc_json_get_str(json_object_get(service, "spec"), "type", "");
	const json_t *ips, *one;
	size_t i, n;
	int r = add_load_balancer(out, service, &n, notes, err);

	if (r < 0 || n)
		return r;
	r = list_at(service, "spec.externalIPs", &ips, err);
	if (r == 0 && !json_array_size(ips) && streq(type, "NodePort")) {
		json_array_foreach((json_t *)nodes, i, one)
			if (r == 0)
				r = add_node(out, one, err);
		return r;
	}
	json_array_foreach((json_t *)ips, i, one)
		if (r == 0)
			r = add(out, json_string_value(one), service, err);
	return r;
}

int kc_sources(const json_t *services, const json_t *nodes, const char *name, json_t **ret,
	       json_t *notes, struct kc_err *err)
{
	json_auto_t *out = json_array();
	const json_t *one;
	size_t i;
	int r = 0;

	if (!json_is_array(services) || !json_is_array(nodes))
		return kc_fail(err, KC_EINVAL, "no list of Services or Nodes");
	json_array_foreach((json_t *)services, i, one)
		if (r == 0 && is_named(one, name)) {
			r = add_service(out, one, nodes, notes, err);
			r = r < 0 ? kc_wrap(err, "Service") : 0;
		}
	json_array_foreach((json_t *)nodes, i, one)
		if (r == 0 && is_named(one, name)) {
			r = add_node(out, one, err);
			r = r < 0 ? kc_wrap(err, "Node") : 0;
		}
	if (r < 0)
		return r;
	kc_json_sort(out);
	*ret = TAKE(out);
	return 0;
}
