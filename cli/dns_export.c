/* dns export: a policy as a piece of a zone file. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "dns/export.h"
#include "dns/publish.h"
#include "lib/base/mem.h"
#include "lib/codec/json.h"

/* Of all copies the first that could be read. */
static int read_claims(const json_t *policy, json_t **ret, struct kc_err *err)
{
	_cleanup_publish_ struct kc_publish *p = NULL;
	json_auto_t *claims = NULL;
	json_t *of;
	size_t i;
	int r;

	*ret = json_object();
	if (!json_array_size(kc_json_at(policy, "spec.regions")))
		return 0;
	r = kc_publish_open(policy, &(struct kc_publish_opts){ 0 }, &p, err);
	if (r < 0)
		return r;
	claims = kc_publish_claims(p);
	json_array_foreach(claims, i, of)
		if (json_is_object(of)) {
			json_object_update(*ret, of);
			return 0;
		}
	return kc_fail(err, KC_EAGAIN,
		       "no copy of the zone could be read, where regions' claims stand");
}

int kc_cli_dns_export(const struct kc_args *args, struct kc_err *err)
{
	json_auto_t *policy = NULL, *claims = NULL;
	_cleanup_free_ char *text = NULL;
	int r = kc_cli_dns_policy(args, &policy, err);

	if (r == 0)
		r = read_claims(policy, &claims, err);
	if (r == 0)
		r = kc_zone_export(policy, claims, &text, err);
	if (r == 0)
		fputs(text, stdout);
	return r;
}
