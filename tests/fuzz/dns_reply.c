/*
 * Any bytes as a provider's reply: a zone of PowerDNS' API, a record set of Route 53, a policy of
 * Cloud DNS. What is taken is whole: a name, a type, and data or items; a policy has one form.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clouds/aws/route53_impl.h"
#include "dns/clouddns.h"
#include "dns/powerdns.h"
#include "lib/codec/json.h"
#include "lib/codec/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check_rrsets(const json_t *found)
{
	const json_t *rrset;
	size_t i;

	json_array_foreach((json_t *)found, i, rrset) {
		must(json_is_string(json_object_get(rrset, "name")));
		must(json_is_string(json_object_get(rrset, "type")));
		must(json_array_size(json_object_get(rrset, "data")) > 0);
	}
}

static void try_powerdns(const char *data, size_t size)
{
	json_auto_t *which = kc_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "www.example.com.", "type",
				     "A", "name", "www.example.com.", "type", "LUA"),
		    *found = json_array();
	struct kc_err err = { 0 };

	if (pdns_rrsets(data, size, "api", which, found, &err) < 0)
		must(err.msg[0]);
	check_rrsets(found);
}

static const struct kc_xml_shapes shapes = {
	.lists = (const char *const[]){ "ResourceRecords", NULL },
	.integers = (const char *const[]){ "Weight", "TTL", NULL },
	.booleans = (const char *const[]){ "MultiValueAnswer", "EvaluateTargetHealth", NULL },
};

static void try_route53(const char *data, size_t size)
{
	json_auto_t *reply = NULL, *ours = NULL, *theirs = NULL;
	struct kc_err err = { 0 };

	if (kc_xml_parse(data, size, &shapes, "reply", &reply, &err) < 0 ||
	    kc_route53_rrset_read(json_object_get(reply, "ResourceRecordSet"), &ours, &err) < 0) {
		must(err.msg[0]);
		return;
	}
	must(json_is_string(json_object_get(ours, "name")));
	if (!json_object_get(ours, "other"))
		must(kc_route53_rrset_write(ours, &theirs, &err) == 0);
}

static void try_clouddns(const char *data, size_t size)
{
	json_auto_t *policy = NULL, *once = NULL, *twice = NULL, *rrsets = NULL, *branches = NULL;
	struct kc_err err = { 0 };

	if (kc_json_parse(data, size, "policy", &policy, &err) < 0)
		return;
	once = cdns_canonical(policy);
	twice = cdns_canonical(once);
	must(json_equal(once, twice));
	rrsets = kc_pack("[{s:s, s:s, s:O}]", "name", "www.example.com.", "type", "A", "policy",
			 once);
	branches = cdns_raise(rrsets, "www.example.com.", "A");
	must(!branches || json_is_array(branches));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_powerdns((const char *)data, size);
	try_route53((const char *)data, size);
	try_clouddns((const char *)data, size);
	return 0;
}
