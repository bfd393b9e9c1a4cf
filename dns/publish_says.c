/*
 * What a provider itself says it answers clients of each subnet, beside what its servers do: it has
 * to be allowed, and near the same endpoints. A provider's view of health may be a moment ahead of
 * its servers, so where the two differ it is a warning.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/publish_priv.h"
#include "dns/verify.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

struct asking {
	struct copy *c;
	const json_t *allowed;	/* the rrset whose data may be answered */
	const json_t *branches; /* as ir.h has them, or NULL */
	const char *subnet;
	const json_t *said;
	json_t *notes;
};

/* "192.0.2.1 192.0.2.2", "nothing". Owned. */
static char *listed(const json_t *data)
{
	return json_array_size(data) ? kc_json_join(data, " ") : xstrdup("nothing");
}

static bool all_in(const json_t *data, const json_t *among)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)data, i, one)
		if (!kc_json_has_str(among, json_string_value(one)))
			return false;
	return json_array_size(data) > 0;
}

static json_t *addresses_of(const json_t *group)
{
	json_t *out = json_array(), *member;
	size_t i;

	json_array_foreach(json_object_get(group, "members"), i, member)
		json_array_append(out, json_object_get(member, "address"));
	return out;
}

/* Are both of one group, as equally near, or is it not known? */
static bool are_together(const json_t *branches, const json_t *a, const json_t *b)
{
	const json_t *branch, *group;
	size_t i, k;

	json_array_foreach((json_t *)branches, i, branch)
		json_array_foreach(json_object_get(branch, "groups"), k, group) {
			json_auto_t *members = addresses_of(group);

			if (all_in(a, members) && all_in(b, members))
				return true;
		}
	return !branches;
}

static int compare(void *cookie, const struct kc_dns_server *server, const char *where,
		   struct kc_err *err)
{
	const struct asking *a = cookie;
	struct kc_dns_question q = { .name = kc_json_get_str(a->allowed, "name", ""),
				     .type = kc_json_get_str(a->allowed, "type", ""),
				     .subnet = a->subnet };
	_cleanup_free_ char *said = listed(a->said), *is = NULL, *text = NULL;
	json_auto_t *reply = NULL;
	const json_t *served;
	int r = verify_ask(server, where, &q, &reply, err);

	if (r < 0)
		return r;
	served =
		json_object_get(kc_dns_rrset_find(json_object_get(reply, "answer"), q.name, q.type),
				"data");
	if (are_together(a->branches, a->said, served))
		return 0;
	is = listed(served);
	text = xasprintf("%s answers %s %s from %s with %s, and the provider itself says %s: is it "
			 "one of its servers?",
			 where, q.name, q.type, a->subnet, is, said);
	publish_warn(a->c, a->notes, text);
	return 0;
}

static int ask(struct asking *a, const json_t *servers, struct kc_err *err)
{
	const char *name = kc_json_get_str(a->allowed, "name", ""),
		   *type = kc_json_get_str(a->allowed, "type", "");
	const struct kc_dns_backend *backend = a->c->backend;
	_cleanup_free_ char *is = NULL, *want = NULL;
	json_auto_t *said = NULL;
	struct kc_err why;
	int r = backend->says(a->c->conn, name, type, a->subnet, &said, &why);

	/* Who may do all else may not be allowed to ask this; the servers have been asked. */
	if (r < 0) {
		is = xasprintf("what it answers clients of %s could not be asked: %s", a->subnet,
			       why.msg);
		publish_warn(a->c, a->notes, is);
		return 0;
	}
	a->said = said;
	if (all_in(said, json_object_get(a->allowed, "data")))
		return kc_dns_servers_visit(servers, compare, a, err);
	is = listed(said);
	want = listed(json_object_get(a->allowed, "data"));
	return kc_fail(err, KC_EFAIL,
		       "%s says that it answers %s %s from %s with %s instead of some of %s",
		       a->c->backend->where(a->c->conn), name, type, a->subnet, is, want);
}

int publish_compare_said(struct kc_publish *p, struct copy *c, json_t *notes, struct kc_err *err)
{
	json_auto_t *servers = NULL;
	const json_t *allowed, *subnet;
	size_t i, k;
	int r = c->backend->says ? publish_servers(c, &servers, err) : 0;

	if (r < 0 || !c->backend->says)
		return r;
	json_array_foreach(c->allowed, i, allowed) {
		const char *name = kc_json_get_str(allowed, "name", ""),
			   *type = kc_json_get_str(allowed, "type", "");
		const json_t *wanted = kc_dns_rrset_find(c->wanted, name, type);
		json_auto_t *branches = NULL;

		if (!wanted || json_object_get(wanted, "data"))
			continue;
		branches = c->backend->raise ? c->backend->raise(c->wanted, name, type) : NULL;
		json_array_foreach(kc_json_at(p->policy, "spec.verify.subnets"), k, subnet) {
			struct asking a = { .c = c,
					    .allowed = allowed,
					    .branches = branches,
					    .subnet = json_string_value(subnet),
					    .notes = notes };

			if (r == 0)
				r = ask(&a, servers, err);
		}
	}
	return r;
}
