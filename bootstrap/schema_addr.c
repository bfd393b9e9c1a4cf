/* The addresses of a Cluster: hosts, pods and Services must stay out of each other's way. */
#include "bootstrap/schema_priv.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct block {
	struct kc_cidr cidr;
	const char *text; /* borrowed from the document */
	const char *list; /* "podCIDRs" */
	size_t index;
};

struct blocks {
	struct block b[4]; /* two lists of at most two: the schema's limits */
	size_t n;
};

static char *block_pointer(const struct block *b)
{
	return xasprintf("/spec/networking/%s/%zu", b->list, b->index);
}

static void collect(const json_t *spec, const char *list, struct blocks *all, struct kc_report *rep)
{
	const json_t *cidrs = json_object_get(json_object_get(spec, "networking"), list), *v;
	size_t i;

	json_array_foreach((json_t *)cidrs, i, v) {
		struct block b = { .text = json_string_value(v), .list = list, .index = i };
		_cleanup_free_ char *at = block_pointer(&b);

		if (i > 0) {
			kc_report_value(rep, at,
					"a second IPv4 block; one block for each address family is "
					"allowed, and IPv6 is not supported by this version yet");
			continue;
		}
		if (all->n < ARRAY_SIZE(all->b) && kc_cidr_parse(b.text, &b.cidr))
			all->b[all->n++] = b;
	}
}

static size_t count_nodes(const json_t *spec)
{
	size_t n = json_array_size(json_object_get(spec, "hosts")), i;
	json_t *group;

	json_array_foreach(json_object_get(spec, "instanceGroups"), i, group)
		n += (size_t)kc_json_get_int(group, "maxSize", 0);
	return n;
}

/* A node gets a /24 of the pods' block. The API server refuses Service blocks beyond /12. */
static void check_size(const json_t *spec, const struct block *b, struct kc_report *rep)
{
	_cleanup_free_ char *at = block_pointer(b);
	bool pods = streq(b->list, "podCIDRs");
	int min = pods ? 8 : 12, max = pods ? 24 : 28, prefix = b->cidr.prefix;
	size_t nodes = count_nodes(spec);

	if (prefix < min || prefix > max)
		kc_report_value(rep, at, "/%d is out of range; use /%d to /%d", prefix, min, max);
	else if (pods && nodes > (size_t)1 << (24 - prefix))
		kc_report_value(rep, at,
				"a /%d holds %d nodes (a /24 each) and there are up to %zu; use a "
				"larger block",
				prefix, 1 << (24 - prefix), nodes);
}

static void check_overlap(const struct blocks *all, struct kc_report *rep)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct block *a = &all->b[k], *b = &all->b[i];
			_cleanup_free_ char *at = block_pointer(b);

			if (kc_cidr_overlap(&a->cidr, &b->cidr))
				kc_report_value(rep, at,
						"%s overlaps %s %s; choose blocks apart from each "
						"other",
						b->text, a->list, a->text);
		}
}

static void check_address(const char *text, const char *pointer, const struct blocks *all,
			  json_t *seen, const char *host, struct kc_report *rep)
{
	const char *other = json_string_value(json_object_get(seen, text));
	struct kc_addr addr;

	if (other && streq(other, host))
		kc_report_value(rep, pointer, "%s is listed twice; remove one", text);
	else if (other)
		kc_report_value(rep, pointer, "%s is also an address of %s; correct one of them",
				text, other);
	json_object_set_new(seen, text, json_string(host));
	if (!kc_addr_parse(text, &addr))
		return;
	for (size_t i = 0; i < all->n; i++)
		if (kc_cidr_contains(&all->b[i].cidr, &addr))
			kc_report_value(rep, pointer,
					"%s lies inside %s %s, which would cut the node off; "
					"choose "
					"another block",
					text, all->b[i].list, all->b[i].text);
}

static void check_host(const json_t *host, size_t index, const struct blocks *all, json_t *seen,
		       struct kc_report *rep)
{
	const char *name = kc_json_get_str(host, "name", "");
	const json_t *addresses = json_object_get(host, "addresses"), *v;
	const char *external = kc_json_get_str(host, "externalAddress", NULL);
	size_t i;

	json_array_foreach((json_t *)addresses, i, v) {
		_cleanup_free_ char *at = xasprintf("/spec/hosts/%zu/addresses/%zu", index, i);

		check_address(json_string_value(v), at, all, seen, name, rep);
	}
	/* Behind NAT several hosts may share it, and one's own address again is harmless. */
	if (external && !kc_json_has_str(addresses, external)) {
		_cleanup_free_ char *at = xasprintf("/spec/hosts/%zu/externalAddress", index);
		json_auto_t *alone = json_object();

		check_address(external, at, all, alone, name, rep);
	}
}

void kc_cluster_cross_addr(const json_t *cluster, struct kc_report *rep)
{
	const json_t *spec = json_object_get(cluster, "spec");
	json_auto_t *seen = json_object();
	struct blocks all = { 0 };
	json_t *host;
	size_t i;

	collect(spec, "podCIDRs", &all, rep);
	collect(spec, "serviceCIDRs", &all, rep);
	for (i = 0; i < all.n; i++)
		check_size(spec, &all.b[i], rep);
	check_overlap(&all, rep);
	json_array_foreach(json_object_get(spec, "hosts"), i, host)
		check_host(host, i, &all, seen, rep);
}
