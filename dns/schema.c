/* The TrafficPolicy manifest: its table. What must hold between fields is in policy.c. */
#include <string.h>

#include "dns/policy.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/crypto/sign.h"

static const char *const api_versions[] = { "kubecdn.io/v1alpha1", NULL };
static const char *const kind_names[] = { "TrafficPolicy", NULL };
static const char *const providers[] = { "rfc2136", NULL };

/* What DNS software may carry in a host's name; longer or other ones nobody can ask for. */
static int check_zone(const char *s, struct kc_err *err)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p >= 0x80)
			return kc_fail(err, KC_EINVAL,
				       "\"%.80s\" is not ASCII; write the name as DNS has it, with "
				       "xn-- labels (IDNA)",
				       s);
	if (kc_is_dns_name(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a DNS name; use lower-case letters, digits and '-' in "
		       "labels of at most 63, 253 in all, without a dot at the end",
		       s);
}

static int check_policy_name(const char *s, struct kc_err *err)
{
	return check_zone(kc_startswith(s, "*.") ? s + 2 : s, err);
}

static int check_id(const char *s, struct kc_err *err)
{
	if (kc_is_dns_label(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a name (RFC 1123); use lower-case letters, digits and "
		       "'-', at most 63",
		       s);
}

static int check_address(const char *s, struct kc_err *err)
{
	struct kc_addr a;
	char text[KC_ADDR_STRLEN];

	if (!kc_addr_parse(s, &a))
		return kc_fail(err, KC_EINVAL,
			       "\"%.80s\" is not an address; use one like 192.0.2.11", s);
	kc_addr_format(&a, text);
	if (streq(text, s))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is another way to write %s; write that", s, text);
}

static int check_public(const char *s, struct kc_err *err)
{
	if (kc_is_sign_public(s))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is no Ed25519 public key; give the line between the dashes that "
		       "`openssl pkey -in REGION.key -pubout` prints",
		       s);
}

static int check_duration(const char *s, struct kc_err *err)
{
	long ms;

	if (kc_parse_duration(s, &ms) && ms > 0)
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.40s\" is not a time; use one like 30s or 2m", s);
}

static const struct kc_field address = { .type = KC_FIELD_STRING, .check = check_address };

static const struct kc_field metadata_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .check = check_policy_name,
	  .doc = "The DNS name that is steered, www.example.com or *.example.com, in its zone." },
	{ 0 }
};

static const struct kc_field endpoint_fields[] = {
	{ .name = "id",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_id,
	  .doc = "A name of your own for it; unique in the policy." },
	{ .name = "addresses",
	  .type = KC_FIELD_LIST,
	  .item = &address,
	  .required = true,
	  .min = 1,
	  .max = 16,
	  .doc = "Where it serves: IPv4 and IPv6 addresses. IPv4 become A records, IPv6 AAAA." },
	{ .name = "drain",
	  .type = KC_FIELD_BOOL,
	  .def = "false",
	  .doc = "Take it out of the answers; it stays in the policy. When all are drained none "
		 "is, for a name that was answered is never left empty." },
	{ 0 }
};

static const struct kc_field region_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_id,
	  .doc = "The region's name, a word in the name of its claim's record." },
	{ .name = "publicKey",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_public,
	  .doc = "What its claims are signed with: an Ed25519 key's public half, the line between "
		 "the "
		 "dashes that `openssl pkey -in REGION.key -pubout` prints." },
	{ 0 }
};

static const struct kc_field tsig_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_zone,
	  .doc = "The key's name, as the server has it." },
	{ .name = "secretFile",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .doc = "A file with the key's secret in base64, for hmac-sha256; only its owner may read "
		 "it." },
	{ 0 }
};

static const struct kc_field publish_fields[] = {
	{ .name = "provider",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .values = providers,
	  .doc = "How the zone is changed: rfc2136 is a server of your own that takes dynamic "
		 "updates (Knot, BIND, PowerDNS)." },
	{ .name = "server",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_address,
	  .doc = "Address of the zone's primary server." },
	{ .name = "port",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 65535,
	  .def = "53",
	  .doc = "Its port, UDP and TCP." },
	{ .name = "tsig",
	  .type = KC_FIELD_OBJECT,
	  .fields = tsig_fields,
	  .required = true,
	  .doc = "The key that signs updates (RFC 8945)." },
	{ 0 }
};

static const struct kc_field ttl_fields[] = {
	{ .name = "answer",
	  .type = KC_FIELD_INT,
	  .min = 5,
	  .max = 86400,
	  .def = "30",
	  .doc = "Seconds that resolvers keep an answer, and with it a dead address." },
	{ 0 }
};

static const struct kc_field verify_fields[] = {
	{ .name = "within",
	  .type = KC_FIELD_STRING,
	  .check = check_duration,
	  .def = "\"30s\"",
	  .doc = "How long every server may take to answer what was written, by UDP and TCP. "
		 "After that what was before is put back." },
	{ 0 }
};

static const struct kc_field endpoint = { .type = KC_FIELD_OBJECT, .fields = endpoint_fields };
static const struct kc_field region = { .type = KC_FIELD_OBJECT, .fields = region_fields };
static const struct kc_field copy = { .type = KC_FIELD_OBJECT, .fields = publish_fields };

static const struct kc_field spec_fields[] = {
	{ .name = "zone",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .check = check_zone,
	  .doc = "The zone that the name stands in." },
	{ .name = "owner",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_id,
	  .doc = "Name of the fleet that the records belong to. It stands beside them in the zone; "
		 "records of another owner, or of none, are never changed." },
	{ .name = "endpoints",
	  .type = KC_FIELD_LIST,
	  .item = &endpoint,
	  .max = 100,
	  .def = "[]",
	  .doc = "Where the name can lead, as it stands here." },
	{ .name = "regions",
	  .type = KC_FIELD_LIST,
	  .item = &region,
	  .max = 32,
	  .def = "[]",
	  .doc = "Who may add addresses of their own with `kubecdn dns claim`, each its own only. "
		 "The "
		 "name leads to those of all claims, and to the endpoints." },
	{ .name = "ttl",
	  .type = KC_FIELD_OBJECT,
	  .fields = ttl_fields,
	  .def = "{}",
	  .doc = "How long answers are kept." },
	{ .name = "publish",
	  .type = KC_FIELD_LIST,
	  .item = &copy,
	  .required = true,
	  .min = 1,
	  .max = 8,
	  .doc = "The zone's copies. Each gets all that it needs to answer alone." },
	{ .name = "verify",
	  .type = KC_FIELD_OBJECT,
	  .fields = verify_fields,
	  .def = "{}",
	  .doc = "What is asked after a change." },
	{ 0 }
};

static const struct kc_field policy_fields[] = {
	{ .name = "apiVersion",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .values = api_versions,
	  .doc = "Version of this schema, kubecdn.io/v1alpha1." },
	{ .name = "kind",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .values = kind_names,
	  .doc = "TrafficPolicy." },
	{ .name = "metadata",
	  .type = KC_FIELD_OBJECT,
	  .fields = metadata_fields,
	  .required = true,
	  .doc = "The DNS name." },
	{ .name = "spec",
	  .type = KC_FIELD_OBJECT,
	  .fields = spec_fields,
	  .required = true,
	  .doc = "Where it leads, and where that is published." },
	{ 0 }
};

const struct kc_spec_kind kc_traffic_kind = {
	.name = "TrafficPolicy",
	.api_version = "kubecdn.io/v1alpha1",
	.doc = "Where one DNS name leads, published at one or several DNS providers.",
	.fields = policy_fields,
};
