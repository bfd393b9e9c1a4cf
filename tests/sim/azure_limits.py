"""What Azure DNS, Traffic Manager and Entra allow: every number of the simulator, each with its source.

docs: learn.microsoft.com (dns-zones-records, dns-alias, traffic-manager-monitoring, -FAQs, -nested-profiles,
azure-subscription-service-limits). recorded: replies of the service itself, kept by Microsoft beside its
own PowerShell tests (Azure/azure-powershell, src/Dns and src/TrafficManager, SessionRecords). A source with
"?" is no statement of Microsoft's: the simulator is then on the strict side."""

DNS_API, TM_API, IMDS_API = "2018-05-01", "2022-04-01", "2018-02-01"

LIMITS = {
    # DNS
    "record sets in a zone": (10000, "docs, service limits; maxNumberOfRecordSets as recorded"),
    "records in a set": (20, "docs, service limits"),
    "TXT records in a set": (400, "docs, service limits"),
    "alias record sets of a resource": (50, "docs, service limits (20 until 2023)"),
    "characters of a TXT string": (255, "docs, dns-zones-records; RFC 1035"),
    "characters of a TXT set": (4096, "docs, dns-zones-records"),
    "TTL of a record set": (range(1, 2**31), "docs, dns-zones-records"),
    "record sets on a page": (100, "docs, record-sets list: $top, default 100"),
    "largest page": (100, "?, what octoDNS asks for; more may be granted"),
    # Traffic Manager
    "endpoints in a profile": (200, "docs, service limits"),
    "profiles": (200, "docs, service limits"),
    "levels of nesting": (10, "docs, nested profiles"),
    "weight": (range(1, 1001), "docs, routing methods"),
    "priority": (range(1, 1001), "docs, routing methods"),
    "TTL of a profile": (range(0, 2**31), "docs, FAQs"),
    "probe intervals": ((10, 30), "docs, monitoring"),
    "probe timeout at 10 s": (range(5, 10), "docs, monitoring"),
    "probe timeout at 30 s": (range(5, 11), "docs, monitoring"),
    "tolerated failures": (range(0, 10), "docs, monitoring"),
    "custom headers": (8, "docs, monitoring"),
    "status code ranges": (8, "docs, monitoring"),
    "answers of MultiValue": (range(1, 11), "docs, FAQs: 10 at most"),
    # Entra
    "seconds of a token": (3599, "docs, client credentials flow: expires_in of the examples"),
    "characters of a token": (1500, "?, usual size; clients must not look inside"),
}


def limit(name):
    return LIMITS[name][0]


# What an omitted field becomes, as recorded in replies to a profile with nothing but protocol, port, path.
DEFAULTS = {
    "probe interval": 30,
    "probe timeout": {10: 9, 30: 10},
    "tolerated failures": 3,
    "weight": 1,
    "minChildEndpoints": 1,  # docs, nested profiles
    "answers of MultiValue": 2,  # docs, monitoring
    "TTL of the apex NS": 172800,  # docs, examples of az network dns
    "SOA": {
        "email": "azuredns-hostmaster.microsoft.com",
        "expireTime": 2419200,
        "minimumTTL": 300,
        "refreshTime": 3600,
        "retryTime": 300,
        "serialNumber": 1,
    },
}
