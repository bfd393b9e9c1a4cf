/* The TrafficPolicy manifest: its table. What must hold between fields is in policy.c. */
#include <string.h>

#include "dns/policy.h"
#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/crypto/sign.h"
#include "lib/geo/geo.h"

static const char *const api_versions[] = { "kubecdn.io/v1alpha1", NULL };
static const char *const kind_names[] = { "TrafficPolicy", NULL };
static const char *const providers[] = {
	"rfc2136", "powerdns", "route53", "clouddns", "azure", NULL
};
static const char *const routes[] = { "any", "latency", NULL };
static const char *const survivals[] = { "none", "endpoint", "cloud", NULL };
static const char *const protocols[] = { "https", "http", "tcp", NULL };
static const char *const continents[] = { "AF", "AS", "EU", "NA", "OC", "SA", NULL };

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

/* "aws/eu-central-1": a region that lib/geo knows. */
static int check_place(const char *s, struct kc_err *err)
{
	const char *slash = strchr(s, '/');
	_cleanup_free_ char *provider = xstrndup(s, slash ? (size_t)(slash - s) : strlen(s));

	if (slash && kc_region_find(provider, slash + 1))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" is not a region that is known here; write aws/REGION, gcp/REGION "
		       "or azure/REGION with the code that the provider's API has, or give site",
		       s);
}

static int check_path(const char *s, struct kc_err *err)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("'\"\\<>", *p))
			return kc_fail(err, KC_EINVAL,
				       "\"%.80s\" has a character that no path of a health check "
				       "may "
				       "have; percent-encode it",
				       s);
	if (*s == '/')
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is no path; it begins with a slash", s);
}

static int check_url(const char *s, struct kc_err *err)
{
	if (kc_startswith(s, "https://") || kc_startswith(s, "http://"))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is no URL; use one like https://192.0.2.53:8081",
		       s);
}

static int check_subnet(const char *s, struct kc_err *err)
{
	struct kc_cidr c;

	if (kc_cidr_parse(s, &c))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.80s\" is no subnet; use one like 198.51.100.0/24", s);
}

static const struct kc_field address = { .type = KC_FIELD_STRING,
					 .check = check_address,
					 .example = "192.0.2.11" };

static const struct kc_field metadata_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .check = check_policy_name,
	  .doc = "The DNS name that is steered, www.example.com or *.example.com, in its zone." },
	{ 0 }
};

static const struct kc_field site_fields[] = { { .name = "lat",
						 .type = KC_FIELD_NUMBER,
						 .min = -90,
						 .max = 90,
						 .required = true,
						 .doc = "Degrees north." },
					       { .name = "lon",
						 .type = KC_FIELD_NUMBER,
						 .min = -180,
						 .max = 180,
						 .required = true,
						 .doc = "Degrees east." },
					       { 0 } };

static const struct kc_field near_fields[] = {
	{ .name = "aws", .type = KC_FIELD_STRING, .doc = "A region of AWS, eu-central-1." },
	{ .name = "gcp",
	  .type = KC_FIELD_STRING,
	  .doc = "A region of Google Cloud, europe-west3." },
	{ .name = "azure", .type = KC_FIELD_STRING, .doc = "A region of Azure, westeurope." },
	{ 0 }
};

/* What endpoints and regions have in common. */
/* clang-format off */
#define PLACE_FIELDS                                                                               \
	{ .name = "at",                                                                            \
	  .type = KC_FIELD_STRING,                                                                 \
	  .example = "aws/eu-central-1", \
	  .check = check_place,                                                                    \
	  .doc = "The cloud region that it runs in, aws/eu-central-1, gcp/europe-west3 or "        \
		 "azure/westeurope: where it is on the map, and what goes down with that cloud." },   \
	{ .name = "site",                                                                          \
	  .type = KC_FIELD_OBJECT,                                                                 \
	  .fields = site_fields,                                                                   \
	  .doc = "Where it is on the map, when that is in no cloud's region." },                   \
	{ .name = "near",                                                                          \
	  .type = KC_FIELD_OBJECT,                                                                 \
	  .fields = near_fields,                                                                   \
	  .def = "{}",                                                                             \
	  .doc = "The region that stands for it at a provider, when the nearest on the map is not " \
		 "the nearest by network." },                                                      \
	{ .name = "weight",                                                                        \
	  .type = KC_FIELD_INT,                                                                    \
	  .min = 1,                                                                                \
	  .max = 255,                                                                              \
	  .def = "1",                                                                              \
	  .doc = "Its share among those that are equally near." },                                 \
	{ .name = "capacity",                                                                      \
	  .type = KC_FIELD_INT,                                                                    \
	  .min = 1,                                                                                \
	  .max = 1000000000,                                                                       \
	  .doc = "What it can carry, in a unit of your own; `kubecdn dns simulate` says who would " \
		 "get more." },                                                                    \
	{ .name = "drain",                                                                         \
	  .type = KC_FIELD_BOOL,                                                                   \
	  .def = "false",                                                                          \
	  .doc = "Take it out of the answers; it stays in the policy. When all are drained none "  \
		 "is, for a name that was answered is never left empty." }

/* clang-format on */
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
	PLACE_FIELDS,
	{ 0 }
};

static const struct kc_field host_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = check_policy_name,
	  .doc = "The name in full, n1.example.com, in the policy's zone." },
	{ .name = "addresses",
	  .type = KC_FIELD_LIST,
	  .item = &address,
	  .required = true,
	  .min = 1,
	  .max = 16,
	  .doc = "All that it leads to: IPv4 become A records, IPv6 AAAA." },
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
	  .example = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
	  .required = true,
	  .check = check_public,
	  .doc = "What its claims are signed with: an Ed25519 key's public half, the line between "
		 "the "
		 "dashes that `openssl pkey -in REGION.key -pubout` prints." },
	PLACE_FIELDS,
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

static const struct kc_field server_fields[] = { { .name = "address",
						   .type = KC_FIELD_STRING,
						   .example = "192.0.2.53",
						   .required = true,
						   .check = check_address,
						   .doc = "Its address." },
						 { .name = "port",
						   .type = KC_FIELD_INT,
						   .min = 1,
						   .max = 65535,
						   .def = "53",
						   .doc = "Its port, UDP and TCP." },
						 { 0 } };

static const struct kc_field name_server = { .type = KC_FIELD_OBJECT, .fields = server_fields };

static const struct kc_field publish_fields[] = {
	{ .name = "provider",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .values = providers,
	  .doc = "rfc2136: a server of your own that takes dynamic updates (Knot, BIND); powerdns: "
		 "PowerDNS with LUA records, which chooses by health and place; route53, clouddns, "
		 "azure: the clouds' DNS." },
	{ .name = "server",
	  .type = KC_FIELD_STRING,
	  .example = "192.0.2.53",
	  .check = check_address,
	  .doc = "rfc2136, powerdns: address of the zone's primary server." },
	{ .name = "port",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 65535,
	  .doc = "rfc2136, powerdns: its port, UDP and TCP; 53 when absent." },
	{ .name = "tsig",
	  .type = KC_FIELD_OBJECT,
	  .fields = tsig_fields,
	  .doc = "rfc2136, powerdns: the key that signs updates (RFC 8945)." },
	{ .name = "api",
	  .type = KC_FIELD_STRING,
	  .example = "http://192.0.2.53:8081",
	  .check = check_url,
	  .doc = "powerdns: URL of its HTTP API, which LUA records are read by." },
	{ .name = "apiKeyFile",
	  .type = KC_FIELD_STRING,
	  .doc = "powerdns: a file with the API's key; only its owner may read it." },
	{ .name = "locations",
	  .type = KC_FIELD_BOOL,
	  .doc = "powerdns: it has a database of client locations (geoip-database-files), so that "
		 "it can answer with the nearest." },
	{ .name = "zoneId",
	  .type = KC_FIELD_STRING,
	  .doc = "route53: ID of the hosted zone; found by its name when absent." },
	{ .name = "project", .type = KC_FIELD_STRING, .doc = "clouddns: ID of the project." },
	{ .name = "managedZone",
	  .type = KC_FIELD_STRING,
	  .doc = "clouddns: name of the managed zone." },
	{ .name = "subscription",
	  .type = KC_FIELD_STRING,
	  .doc = "azure: ID of the subscription." },
	{ .name = "resourceGroup",
	  .type = KC_FIELD_STRING,
	  .doc = "azure: the resource group of the zone; Traffic Manager profiles go there, too." },
	{ .name = "endpoint",
	  .type = KC_FIELD_STRING,
	  .example = "https://dns.example.com",
	  .check = check_url,
	  .doc = "route53, clouddns, azure: URL of the API, when it is not the public one." },
	{ .name = "ns",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 13,
	  .doc = "How many of its name servers the zone is delegated to, for `kubecdn dns ns`; "
		 "when "
		 "absent what is best together with the other copies." },
	{ .name = "servers",
	  .type = KC_FIELD_LIST,
	  .item = &name_server,
	  .max = 16,
	  .def = "[]",
	  .doc = "The name servers that are asked after a change. When absent, rfc2136 and "
		 "powerdns: "
		 "server; otherwise those that the provider names for the zone." },
	{ 0 }
};

static const struct kc_field health_fields[] = {
	{ .name = "protocol",
	  .type = KC_FIELD_STRING,
	  .values = protocols,
	  .def = "\"https\"",
	  .doc = "What is tried at every address: a GET that has to end with 2xx, or a TCP "
		 "connection." },
	{ .name = "port",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 65535,
	  .def = "443",
	  .doc = "Its port." },
	{ .name = "path",
	  .type = KC_FIELD_STRING,
	  .check = check_path,
	  .def = "\"/healthz\"",
	  .doc = "What is asked for (http, https)." },
	{ .name = "host",
	  .type = KC_FIELD_STRING,
	  .check = check_zone,
	  .doc = "The host that is asked for; the policy's name when absent." },
	{ 0 }
};

static const struct kc_field failover_fields[] = {
	{ .name = "within",
	  .type = KC_FIELD_STRING,
	  .example = "90s",
	  .check = check_duration,
	  .doc = "How long after an endpoint dies the last client may still be sent there: the "
		 "time "
		 "to notice, and the answer's TTL. Each provider's interval and threshold follow "
		 "from it; one that cannot do it is refused." },
	{ .name = "quorum",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 31,
	  .doc = "How many other regions have to find a region dead (`kubecdn serve --dns`) before "
		 "servers that check nothing themselves leave it out. When absent: more than half "
		 "of "
		 "all others, and at least two." },
	{ 0 }
};

static const struct kc_field continent = { .type = KC_FIELD_STRING, .values = continents };
static const struct kc_field endpoint_id = { .type = KC_FIELD_STRING, .check = check_id };

static const struct kc_field fence_fields[] = {
	{ .name = "clients",
	  .type = KC_FIELD_LIST,
	  .item = &continent,
	  .required = true,
	  .min = 1,
	  .max = 6,
	  .doc = "Continents that clients are on: AF, AS, EU, NA, OC, SA." },
	{ .name = "only",
	  .type = KC_FIELD_LIST,
	  .item = &endpoint_id,
	  .required = true,
	  .min = 1,
	  .max = 100,
	  .doc = "The endpoints and regions that they may be sent to, and to no other, whatever "
		 "happens." },
	{ 0 }
};

static const struct kc_field safety_fields[] = {
	{ .name = "survive",
	  .type = KC_FIELD_STRING,
	  .values = survivals,
	  .def = "\"none\"",
	  .doc = "endpoint: a policy is refused if, with any one endpoint dead, clients somewhere "
		 "would get nobody alive; cloud: also with any whole cloud dead, with its DNS. "
		 "`kubecdn dns simulate` shows who." },
	{ .name = "maxTrafficShift",
	  .type = KC_FIELD_INT,
	  .max = 100,
	  .def = "50",
	  .doc = "How much of all clients, in percent, one change may send elsewhere; a change "
		 "that "
		 "moves more is refused unless --allow-shift is given." },
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

static const struct kc_field subnet = { .type = KC_FIELD_STRING,
					.check = check_subnet,
					.example = "198.51.100.0/24" };

static const struct kc_field verify_fields[] = {
	{ .name = "within",
	  .type = KC_FIELD_STRING,
	  .example = "90s",
	  .check = check_duration,
	  .def = "\"30s\"",
	  .doc = "How long every server may take to answer what was written, by UDP and TCP. "
		 "After that what was before is put back." },
	{ .name = "subnets",
	  .type = KC_FIELD_LIST,
	  .item = &subnet,
	  .max = 32,
	  .def = "[]",
	  .doc = "Client subnets that every server is asked for, too (RFC 7871)." },
	{ 0 }
};

static const struct kc_field endpoint = { .type = KC_FIELD_OBJECT, .fields = endpoint_fields };
static const struct kc_field host = { .type = KC_FIELD_OBJECT, .fields = host_fields };
static const struct kc_field region = { .type = KC_FIELD_OBJECT, .fields = region_fields };
static const struct kc_field copy = { .type = KC_FIELD_OBJECT, .fields = publish_fields };
static const struct kc_field fence = { .type = KC_FIELD_OBJECT, .fields = fence_fields };

static const struct kc_field spec_fields[] = {
	{ .name = "zone",
	  .type = KC_FIELD_STRING,
	  .example = "example.com",
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
	{ .name = "hosts",
	  .type = KC_FIELD_LIST,
	  .item = &host,
	  .max = 50000,
	  .def = "[]",
	  .doc = "More names of the zone, each with addresses of its own: plain records, not "
		 "steered, with a mark beside each. One that is taken out of the list stays in the "
		 "zone until `kubecdn dns delete`." },
	{ .name = "route",
	  .type = KC_FIELD_STRING,
	  .values = routes,
	  .def = "\"any\"",
	  .doc = "latency: clients get the nearest endpoints that are healthy; any: all of them." },
	{ .name = "answers",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 100,
	  .doc = "At most so many addresses in one answer; all of them when absent." },
	{ .name = "health",
	  .type = KC_FIELD_OBJECT,
	  .fields = health_fields,
	  .doc = "How the DNS itself finds out who is alive; without it nobody is taken out. When "
		 "all are dead all are answered." },
	{ .name = "failover",
	  .type = KC_FIELD_OBJECT,
	  .fields = failover_fields,
	  .doc = "How quick the DNS has to be. Needs health." },
	{ .name = "fence",
	  .type = KC_FIELD_LIST,
	  .item = &fence,
	  .max = 6,
	  .def = "[]",
	  .doc = "Clients that may be sent to some endpoints only, as by law." },
	{ .name = "safety",
	  .type = KC_FIELD_OBJECT,
	  .fields = safety_fields,
	  .def = "{}",
	  .doc = "What one change may do." },
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
