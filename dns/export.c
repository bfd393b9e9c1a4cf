/* Plain records as a zone file has them. */
#include "dns/export.h"

#include "dns/backend.h"
#include "dns/hosts.h"
#include "dns/policy.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static void put_rrset(struct kc_buf *out, const json_t *rrset)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(rrset, "data"), i, d)
		kc_buf_printf(out, "%s %lld IN %s %s\n", kc_json_get_str(rrset, "name", ""),
			      (long long)kc_json_get_int(rrset, "ttl", 0),
			      kc_json_get_str(rrset, "type", ""), json_string_value(d));
}

static void put_hosts(struct kc_buf *out, const json_t *policy)
{
	_cleanup_(hosts_freep) struct hosts *h = hosts_new(policy);

	for (size_t i = 0; i < h->n; i++) {
		json_auto_t *rrsets = json_array();
		const json_t *one;
		size_t k;

		host_wanted(h, &h->v[i], rrsets);
		json_array_foreach(rrsets, k, one)
			put_rrset(out, one);
	}
}

int kc_zone_export(const json_t *policy, const json_t *claims, char **ret, struct kc_err *err)
{
	json_auto_t *notes = json_array(), *ir = kc_ir_make(policy, claims, notes),
		    *rrsets = json_array(), *fidelity = json_array(),
		    *mark = kc_policy_mark(policy, 0);
	_cleanup_free_ char *name = kc_policy_name(policy);
	_cleanup_buf_ struct kc_buf out = { 0 };
	const json_t *one;
	size_t i;
	int r = kc_dns_rfc2136.lower(NULL, ir, rrsets, fidelity, err);

	if (r < 0)
		return r;
	kc_buf_printf(&out, "; %s of \"%s\", by kubecdn\n", name, kc_json_get_str(ir, "owner", ""));
	json_array_foreach(notes, i, one)
		kc_buf_printf(&out, "; %s\n", json_string_value(one));
	json_array_foreach(fidelity, i, one)
		if (!streq(kc_json_get_str(one, "how", ""), "exact"))
			kc_buf_printf(&out, "; %s %s: %s\n", kc_json_get_str(one, "stage", ""),
				      kc_json_get_str(one, "how", ""),
				      kc_json_get_str(one, "why", ""));
	if (!json_array_size(rrsets))
		return kc_fail(err, KC_EINVAL,
			       "there is no address to export; let a region claim one first");
	json_array_foreach(rrsets, i, one)
		put_rrset(&out, one);
	put_rrset(&out, mark);
	put_hosts(&out, policy);
	*ret = kc_buf_steal(&out);
	return 0;
}
