/* Is every copy as the policy says, at every server, without another provider? */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "dns/publish_priv.h"
#include "dns/verify.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* What Route 53 gives every zone; more than anybody wants to wait for. */
enum { NEGATIVE_MAX_S = 900 };

/* An error is why a copy is not as it has to be, if there is no other reason. */
static void take_errors(struct kc_publish *p)
{
	const json_t *one;
	size_t i;

	json_array_foreach(p->findings, i, one)
		for (size_t k = 0; k < p->n; k++) {
			struct copy *c = &p->copies[k];

			if (!c->why.code && streq(kc_json_get_str(one, "level", ""), "error") &&
			    streq(kc_json_get_str(one, "provider", ""), c->backend->name) &&
			    streq(kc_json_get_str(one, "where", ""), c->backend->where(c->conn)))
				kc_fail(&c->why, KC_EFAIL, "%s: %s", c->backend->where(c->conn),
					kc_json_get_str(one, "text", ""));
		}
}

const json_t *kc_publish_findings(const struct kc_publish *p)
{
	return p->findings;
}

void publish_warn(const struct copy *c, json_t *findings, const char *text)
{
	json_array_append_new(findings, kc_pack("{s:s, s:s, s:s, s:s}", "level", "warning",
						"provider", c->backend->name, "where",
						c->backend->where(c->conn), "text", text));
}

/* A name that was asked for while it was not there stays missing for as long as that is kept. */
static int verify_zone(struct kc_publish *p, struct copy *c, json_t *notes, struct kc_err *err)
{
	const char *within = json_string_value(kc_json_at(p->policy, "spec.failover.within"));
	_cleanup_free_ char *zone = publish_zone(p), *text = NULL;
	json_auto_t *servers = NULL;
	int64_t negative = 0;
	long ms = 0;
	int r = publish_servers(c, &servers, err);

	if (r == 0)
		r = kc_dns_look_zone(servers, zone, &negative, err);
	if (r < 0)
		return r;
	if (within && kc_parse_duration(within, &ms) && negative * 1000 > ms)
		text = xasprintf("resolvers keep for %lld s that a name is not there (the lesser "
				 "of the SOA's TTL and its minimum), longer than failover.within, "
				 "%s; lower it",
				 (long long)negative, within);
	else if (negative > NEGATIVE_MAX_S)
		text = xasprintf("resolvers keep for %lld s that a name is not there (the lesser "
				 "of the SOA's TTL and its minimum): a name that once was missing "
				 "stays so for that long; lower it to %d s or less",
				 (long long)negative, NEGATIVE_MAX_S);
	if (text)
		publish_warn(c, notes, text);
	return 0;
}

static int verify_copy(struct kc_publish *p, struct copy *c, json_t *notes, struct kc_err *err)
{
	int r;

	if (!publish_same(c->before, c->wanted))
		return kc_fail(err, KC_EFAIL,
			       "%s does not hold what the policy says; `kubecdn dns plan` shows "
			       "it",
			       c->backend->where(c->conn));
	r = publish_look(p, c, err);
	if (r == 0)
		r = verify_zone(p, c, notes, err);
	if (r == 0)
		r = publish_compare_said(p, c, notes, err);
	if (r == 0 && c->hosts)
		r = hosts_verify(c->hosts, c, err);
	return r;
}

int kc_publish_verify(struct kc_publish *p, struct kc_err *err)
{
	size_t failed = 0, hosts = 0;
	json_auto_t *notes = json_array();

	p->within_ms = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct copy *c = &p->copies[i];
		struct kc_err why;

		if (!c->why.code && verify_copy(p, c, notes, &why) < 0)
			c->why = why;
	}
	json_decref(p->findings);
	p->findings = kc_publish_lint(p, true);
	json_array_extend(p->findings, notes);
	take_errors(p);
	for (size_t i = 0; i < p->n; i++) {
		failed += p->copies[i].why.code != 0;
		hosts += hosts_count_refused(p->copies[i].hosts);
	}
	if (failed)
		return kc_fail(err, KC_EFAIL, "%zu of %zu copies are not as the policy says",
			       failed, p->n);
	return hosts ? kc_fail(err, KC_EFAIL, "%zu hosts are not as the policy says", hosts) : 0;
}
