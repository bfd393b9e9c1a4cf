"""What Route 53 limits, each number with the page that says so. Numbers without such a page are not here: the
change-throughput limit of July 2026 exists (THROTTLING), but how large it is has not been found."""

GUIDE = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/"
API = "https://docs.aws.amazon.com/Route53/latest/APIReference/"
QUOTAS = GUIDE + "DNSLimitations.html"
THROTTLING = GUIDE + "throttling-api-requests.html"
RRSET = API + "API_ResourceRecordSet.html"

# Name: (number, source).
LIMITS = {
    "batch_records": (1000, QUOTAS),  # ResourceRecord elements of a request; UPSERT counts twice
    "batch_characters": (32000, QUOTAS),  # of all Value elements of a request; UPSERT counts twice
    "zone_records": (10000, QUOTAS),  # record sets of a hosted zone
    "rrset_values": (400, QUOTAS),
    "routed_records": (100, QUOTAS),  # weighted, latency, geolocation, multivalue of one name and type
    "health_checks": (200, QUOTAS),
    "rrset_page": (300, API + "API_ListResourceRecordSets.html"),
    "zone_page": (100, API + "API_ListHostedZones.html"),
    "health_check_page": (100, API + "API_ListHealthChecks.html"),
    "tags": (10, API + "API_ChangeTagsForResource.html"),
    "ttl": (2147483647, RRSET),
    "weight": (255, RRSET),
    "set_identifier": (128, RRSET),
    "failure_threshold": (10, API + "API_HealthCheckConfig.html"),
    "label": (63, GUIDE + "DomainNameFormat.html"),
    "name": (255, GUIDE + "DomainNameFormat.html"),
    "txt_string": (255, GUIDE + "ResourceRecordTypes.html"),
    "multivalue_answers": (8, GUIDE + "routing-policy-multivalue.html"),
    "soa_minimum": (86400, GUIDE + "SOA-NSrecords.html"),
    "soa_ttl": (900, GUIDE + "SOA-NSrecords.html"),
    "ns_ttl": (172800, GUIDE + "SOA-NSrecords.html"),
    "clock_skew": (300, "https://github.com/crazy-max/ddns-route53/issues/40"),  # as its 403 says, seconds
}
limit = {name: number for name, (number, _) in LIMITS.items()}

# Token buckets of an account, by action: (how many at once, how many come back a second). Source: THROTTLING.
ACCOUNT_BUCKET = (50, 10)
ACTION_BUCKET = (50, 10)
ACTION_BUCKETS = {
    "CreateHealthCheck": (50, 0.5),
    "CreateHostedZone": (40, 2),
    "DeleteHealthCheck": (15, 3),
    "GetHealthCheckStatus": (4, 1),
}

REQUEST_INTERVALS = (10, 30)  # seconds; API_HealthCheckConfig.html
CHECKER_REGIONS = 3  # at least; API_HealthCheckConfig.html
