"""What the simulated Route 53 refuses of a ChangeBatch, by boto3: code and words of the real one."""

import pytest
from sim import boto
from sim.boto import alias, change, create, error_of, rr


@pytest.fixture(scope="session", autouse=True)
def root_only():
    """Nothing here needs root."""


def zone_alias(target):
    """For tables made before there is a zone; `place` fills it in."""
    return {"AliasTarget": alias("ZONE", target)}


def place(zone_id, record):
    out = dict(record)
    if out.get("AliasTarget", {}).get("HostedZoneId") == "ZONE":
        out["AliasTarget"] = {**out["AliasTarget"], "HostedZoneId": zone_id}
    return out


SET = {"SetIdentifier": "a"}
EU, US = {"Region": "eu-central-1"}, {"Region": "us-east-1"}
WWW = rr("www.example.com", "A", "192.0.2.1")
LATENCY = rr("l.example.com", "A", "192.0.2.1", **SET, **EU)
WEIGHTED = rr("w.example.com", "A", "192.0.2.1", SetIdentifier="a", Weight=1)
CNAME = rr("c.example.com", "CNAME", "www.example.com.")
BAD, INPUT = "InvalidChangeBatch", "InvalidInput"
APEX_NS = [f"ns-{i + 1}.awsdns-{i:02}.test." for i in range(4)]
LONG = "x" * 256

# name: (what is there, changes, code, a part of the message)
REFUSED = {
    "create-existing": ([WWW], [("CREATE", rr("www.example.com", "A", "192.0.2.2"))], BAD, "already exists"),
    "create-existing-identifier": (
        [LATENCY],
        [("CREATE", rr("l.example.com", "A", "192.0.2.9", **SET, **US))],
        BAD,
        "set-identifier='a'] but it already exists",
    ),
    "delete-absent": ([], [("DELETE", WWW)], BAD, "but it was not found"),
    "delete-other-value": (
        [WWW],
        [("DELETE", rr("www.example.com", "A", "192.0.2.2"))],
        BAD,
        "values provided do not match the current values",
    ),
    "delete-other-ttl": (
        [WWW],
        [("DELETE", rr("www.example.com", "A", "192.0.2.1", ttl=31))],
        BAD,
        "values provided do not match the current values",
    ),
    "delete-other-region": (
        [LATENCY],
        [("DELETE", rr("l.example.com", "A", "192.0.2.1", **SET, **US))],
        BAD,
        "values provided do not match the current values",
    ),
    "delete-twice": ([WWW], [("DELETE", WWW), ("DELETE", WWW)], BAD, "invalid set of changes"),
    "second-of-a-region": (
        [LATENCY],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2", SetIdentifier="b", **EU))],
        BAD,
        "a latency RRSet with the same name, type and region already exists.",
    ),
    "mixed-policies": (
        [LATENCY],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2", SetIdentifier="b", Weight=1))],
        BAD,
        "as a non-weighted set exists with the same name and type",
    ),
    "simple-beside-routed": (
        [LATENCY],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2"))],
        BAD,
        "as other RRSets exist with the same name and type.",
    ),
    "routed-beside-simple": (
        [WWW],
        [("CREATE", rr("www.example.com", "A", "192.0.2.2", **SET, **EU))],
        BAD,
        "as other RRSets exist with the same name and type.",
    ),
    "identifier-missing": (
        [],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2", **EU))],
        INPUT,
        "Missing field 'SetIdentifier' in Change with [Action=CREATE",
    ),
    "identifier-superfluous": (
        [],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2", **SET))],
        INPUT,
        "one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer], but found none",
    ),
    "two-policies": (
        [],
        [("CREATE", rr("l.example.com", "A", "192.0.2.2", **SET, **EU, Weight=1))],
        INPUT,
        "but found more than one",
    ),
    "no-ttl": (
        [],
        [("CREATE", rr("n.example.com", "A", ResourceRecords=[{"Value": "192.0.2.1"}]))],
        INPUT,
        "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]",
    ),
    "latency-of-two-values": (
        [],
        [("CREATE", rr("l.example.com", "A", "192.0.2.1", "192.0.2.2", **SET, **EU))],
        INPUT,
        "exactly one ResourceRecord",
    ),
    "unknown-region": (
        [],
        [("CREATE", rr("l.example.com", "A", "192.0.2.1", **SET, Region="eu-moon-1"))],
        INPUT,
        "eu-moon-1",
    ),
    "unknown-type": ([], [("CREATE", rr("x.example.com", "HINFO", "a b"))], INPUT, "HINFO"),
    "ttl-too-large": ([], [("CREATE", rr("x.example.com", "A", "192.0.2.1", ttl=2**31))], INPUT, "TTL"),
    "weight-too-large": (
        [],
        [("CREATE", rr("x.example.com", "A", "192.0.2.1", **SET, Weight=256))],
        INPUT,
        "Weight",
    ),
    "not-an-address": (
        [],
        [("CREATE", rr("x.example.com", "A", "192.0.2.256"))],
        BAD,
        "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '192.0.2.256'",
    ),
    "two-addresses-in-one": (
        [],
        [("CREATE", rr("x.example.com", "A", "192.0.2.1, 192.0.2.2"))],
        BAD,
        "ARRDATANotSingleField (Value contains spaces)",
    ),
    "not-an-ipv6-address": (
        [],
        [("CREATE", rr("x.example.com", "AAAA", "192.0.2.1"))],
        BAD,
        "IllegalIPv6Address",
    ),
    "same-value-twice": (
        [],
        [("CREATE", rr("x.example.com", "A", "192.0.2.1", "192.0.2.1"))],
        BAD,
        "Duplicate Resource Record: '192.0.2.1'",
    ),
    "text-without-quotes": (
        [],
        [("CREATE", rr("x.example.com", "TXT", "v=1"))],
        BAD,
        "InvalidCharacterString (Value should be enclosed in quotation marks) encountered with 'v=1'",
    ),
    "string-too-long": (
        [],
        [("CREATE", rr("x.example.com", "TXT", f'"{LONG}"'))],
        BAD,
        "CharacterStringTooLong (Value is too long)",
    ),
    "bad-mx": ([], [("CREATE", rr("x.example.com", "MX", "mail.example.com"))], BAD, "FATAL problem"),
    "alias-with-ttl": (
        [WWW],
        [("CREATE", rr("x.example.com", "A", TTL=30, **zone_alias("www.example.com")))],
        INPUT,
        "Expected exactly one of [AliasTarget",
    ),
    "alias-with-values": (
        [WWW],
        [("CREATE", rr("x.example.com", "A", "192.0.2.1", **zone_alias("www.example.com")))],
        INPUT,
        "but found more than one",
    ),
    "alias-to-nothing": (
        [],
        [("CREATE", rr("x.example.com", "A", **zone_alias("www.example.com")))],
        BAD,
        "Tried to create an alias that targets www.example.com., type A in zone",
    ),
    "alias-to-other-type": (
        [WWW],
        [("CREATE", rr("x.example.com", "AAAA", **zone_alias("www.example.com")))],
        BAD,
        "but that target was not found",
    ),
    "alias-before-its-target": (
        [],
        [("CREATE", rr("x.example.com", "A", **zone_alias("www.example.com"))), ("CREATE", WWW)],
        BAD,
        "but that target was not found",
    ),
    "alias-out-of-the-zone": (
        [],
        [("CREATE", rr("x.example.com", "A", **zone_alias("www.example.org")))],
        BAD,
        "does not lie within the target zone",
    ),
    "cname-at-apex": (
        [],
        [("CREATE", rr("example.com", "CNAME", "www.example.org."))],
        BAD,
        "is not permitted at apex in zone example.com.",
    ),
    "cname-beside-others": (
        [WWW],
        [("CREATE", rr("www.example.com", "CNAME", "www.example.org."))],
        BAD,
        "as it conflicts with other records with the same DNS name",
    ),
    "other-beside-cname": (
        [CNAME],
        [("CREATE", rr("c.example.com", "A", "192.0.2.1"))],
        BAD,
        "a conflicting RRSet of type CNAME with the same DNS name already exists",
    ),
    "cname-before-what-it-replaces-is-gone": (
        [WWW],
        [("CREATE", rr("www.example.com", "CNAME", "www.example.org.")), ("DELETE", WWW)],
        BAD,
        "as it conflicts with other records",
    ),
    "out-of-the-zone": (
        [],
        [("CREATE", rr("www.example.org", "A", "192.0.2.1"))],
        BAD,
        "RRSet with DNS name www.example.org. is not permitted in zone example.com.",
    ),
    "ending-like-the-zone": (
        [],
        [("CREATE", rr("badexample.com", "A", "192.0.2.1"))],
        BAD,
        "is not permitted in zone",
    ),
    "label-too-long": (
        [],
        [("CREATE", rr("x" * 64 + ".example.com", "A", "192.0.2.1"))],
        BAD,
        "DomainLabelTooLong",
    ),
    "empty-label": ([], [("CREATE", rr("a..example.com", "A", "192.0.2.1"))], BAD, "DomainLabelEmpty"),
    "apex-ns-gone": (
        [],
        [("DELETE", rr("example.com", "NS", *APEX_NS, ttl=172800))],
        BAD,
        "A HostedZone must contain at least one NS record for the zone itself.",
    ),
    "unknown-health-check": (
        [],
        [("CREATE", rr("x.example.com", "A", "192.0.2.1", HealthCheckId="no-such"))],
        "NoSuchHealthCheck",
        "no-such",
    ),
    "weighted-of-another-ttl": (
        [WEIGHTED],
        [("CREATE", rr("w.example.com", "A", "192.0.2.2", ttl=60, SetIdentifier="b", Weight=1))],
        BAD,
        "weighted sets must contain the same TTL.",
    ),
    "too-many-records": (
        [],
        [
            ("CREATE", rr(f"n{i}.example.com", "A", *[f"192.0.2.{n}" for n in range(101 if i else 100)]))
            for i in range(10)
        ],
        BAD,
        "Number of records limit of 1000 exceeded.",
    ),
    "upserts-count-twice": (
        [],
        [
            ("UPSERT", rr(f"n{i}.example.com", "A", *[f"192.0.2.{n}" for n in range(101 if i else 100)]))
            for i in range(5)
        ],
        BAD,
        "Number of records limit of 1000 exceeded.",
    ),
    "too-many-characters": (
        [],
        [("CREATE", rr(f"n{i}.example.com", "TXT", '"' + "x" * 255 + '"')) for i in range(125)],
        BAD,
        "RDATA character limit of 32000 exceeded.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    """And nothing of the batch is done, its first good change neither."""
    there, changes, code, text = REFUSED[case]
    good = rr("good.example.com", "A", "192.0.2.77")
    with boto.simulated() as sim:
        zone = sim.client, sim.zone_id
        if there:
            create(*zone, *there)
        before = sim.rrsets("example.com")
        changes = [("CREATE", good)] + [(action, place(sim.zone_id, r)) for action, r in changes]
        status, got, message = error_of(change, *zone, *changes)
        assert (status, got) == (404 if code == "NoSuchHealthCheck" else 400, code)
        assert text in message
        assert sim.rrsets("example.com") == before
        create(*zone, good)
