"""What the simulated Route 53 answers over DNS, and its health checks: by boto3 and dnspython."""

import math

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from sim import boto
from sim.boto import alias, change, create, error_of, rr
from sim.world import CLIENTS

SUBNET = {place: net.split("/")[0] for net, (place, *_) in CLIENTS.items()}
FRA, VIRGINIA, TOKYO = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.fixture(scope="session", autouse=True)
def root_only():
    """Nothing here needs root."""


@pytest.fixture
def sim():
    with boto.simulated() as s:
        yield s


@pytest.fixture
def zone(sim):
    return sim.client, sim.zone_id


def ask(sim, name, kind="A", place=None, via=dns.query.udp):
    """The reply to a query, as from a client at a place."""
    options = [dns.edns.ECSOption(SUBNET[place], 24, 0)] if place else []
    query = dns.message.make_query(name, kind, use_edns=0, options=options)
    return via(query, "127.0.0.1", port=sim.names.port, timeout=5)


def values(sim, name, kind="A", place=None):
    reply = ask(sim, name, kind, place)
    return sorted(x.to_text() for rrset in reply.answer for x in rrset)


def check(sim, address, **config):
    config = {"Type": "HTTPS", "IPAddress": address, "ResourcePath": "/healthz", **config}
    made = sim.client.create_health_check(CallerReference=f"check-{address}", HealthCheckConfig=config)
    return made["HealthCheck"]["Id"]


def routed(sim, name, address, identifier, checked=True, **policy):
    more = {"HealthCheckId": check(sim, address)} if checked else {}
    return rr(name, "A", address, SetIdentifier=identifier, **policy, **more)


def latency(sim, name="www.example.com"):
    create(
        sim.client,
        sim.zone_id,
        routed(sim, name, FRA, "fra", Region="eu-central-1"),
        routed(sim, name, VIRGINIA, "iad", Region="us-east-1"),
        routed(sim, name, TOKYO, "tyo", Region="ap-northeast-1"),
    )


def test_simple(sim, zone):
    """Both transports, every value, the client subnet echoed; nothing and no name with the SOA."""
    create(*zone, rr("www.example.com", "A", "192.0.2.1", "192.0.2.2", ttl=60))
    for via in dns.query.udp, dns.query.tcp:
        reply = ask(sim, "WWW.example.com", "A", "Tokyo", via)
        assert reply.flags & dns.flags.AA and reply.answer[0].ttl == 60
        assert sorted(x.to_text() for x in reply.answer[0]) == ["192.0.2.1", "192.0.2.2"]
        assert reply.options[0].scopelen == 24
    for name, kind, rcode in (
        ("www.example.com", "AAAA", dns.rcode.NOERROR),
        ("x.example.com", "A", dns.rcode.NXDOMAIN),
    ):
        reply = ask(sim, name, kind)
        assert reply.rcode() == rcode and not reply.answer
        assert (reply.authority[0].ttl, reply.authority[0][0].minimum) == (900, 86400)
    assert ask(sim, "www.example.org").rcode() == dns.rcode.REFUSED
    assert len(values(sim, "example.com", "NS")) == 4


def test_negative_ttl(sim, zone):
    """The SOA can be changed, and the time that a missing name is kept with it."""
    old = next(r for r in sim.rrsets("example.com") if r["Type"] == "SOA")
    text = old["ResourceRecords"][0]["Value"].replace("86400", "60")
    change(*zone, ("DELETE", old), ("CREATE", rr("example.com", "SOA", text, ttl=900)))
    assert ask(sim, "x.example.com").authority[0].ttl == 60


def test_names(sim, zone):
    """Wildcards cover what does not exist, empty names between exist, delegations are referred."""
    create(
        *zone,
        rr("*.example.com", "TXT", '"wild" "card"'),
        rr("a.b.example.com", "A", "192.0.2.1"),
        rr("sub.example.com", "NS", "ns.example.org."),
        rr("c.example.com", "CNAME", "www.example.org."),
    )
    assert values(sim, "x.y.example.com", "TXT") == ['"wild" "card"']
    assert ask(sim, "b.example.com", "TXT").rcode() == dns.rcode.NOERROR
    assert ask(sim, "x.b.example.com", "TXT").rcode() == dns.rcode.NXDOMAIN
    assert values(sim, "c.example.com", "AAAA") == ["www.example.org."]
    referral = ask(sim, "x.sub.example.com")
    assert not referral.answer and referral.authority[0][0].to_text() == "ns.example.org."


def test_served_when_in_sync(sim, zone):
    """Listed at once, and served once the change is INSYNC."""
    clock = [1000.0]
    sim.now, sim.pending = lambda: clock[0], 10
    create(*zone, rr("www.example.com", "A", "192.0.2.1"))
    assert len(sim.rrsets("example.com")) == 3
    assert ask(sim, "www.example.com").rcode() == dns.rcode.NXDOMAIN
    clock[0] += 10
    assert values(sim, "www.example.com") == ["192.0.2.1"]
    sim.pending = math.inf
    change(*zone, ("DELETE", rr("www.example.com", "A", "192.0.2.1")))
    clock[0] += 1e6
    assert values(sim, "www.example.com") == ["192.0.2.1"]


def test_latency_and_failover(sim):
    """Each client to its nearest region; when that is ill, to the next; when all are, as if none were."""
    latency(sim)
    seen = lambda: {p: values(sim, "www.example.com", "A", p) for p in ("Madrid", "New York", "Sydney")}  # noqa: E731
    nearest = {"Madrid": [FRA], "New York": [VIRGINIA], "Sydney": [TOKYO]}
    assert seen() == nearest
    sim.down.add(FRA)
    assert seen() == nearest | {"Madrid": [VIRGINIA]}
    sim.down |= {VIRGINIA, TOKYO}
    assert seen() == nearest
    sim.down.clear()
    assert seen() == nearest


def test_alias_tree(sim, zone):
    """Latency aliases over weighted records with health checks: two clouds near one region."""
    create(
        *zone,
        routed(sim, "_fra.www.example.com", FRA, "aws", Weight=1),
        routed(sim, "_fra.www.example.com", "192.0.2.11", "gcp", Weight=1),
        routed(sim, "_iad.www.example.com", VIRGINIA, "aws", Weight=1),
        *[
            rr(
                "www.example.com",
                SetIdentifier=region,
                Region=region,
                AliasTarget=alias(sim.zone_id, f"_{short}.www.example.com"),
            )
            for region, short in (("eu-central-1", "fra"), ("us-east-1", "iad"))
        ],
    )
    ten = lambda: {tuple(values(sim, "www.example.com", "A", "Frankfurt")) for _ in range(40)}  # noqa: E731
    assert ten() == {(FRA,), ("192.0.2.11",)}
    sim.down.add(FRA)
    assert ten() == {("192.0.2.11",)}
    sim.down.add("192.0.2.11")
    assert ten() == {(VIRGINIA,)}
    sim.down.add(VIRGINIA)
    assert ten() <= {(FRA,), ("192.0.2.11",)}
    assert ask(sim, "www.example.com", "A", "Frankfurt").answer[0].ttl == 30
    answer = sim.client.test_dns_answer(
        HostedZoneId=sim.zone_id,
        RecordName="www.example.com",
        RecordType="A",
        EDNS0ClientSubnetIP=SUBNET["New York"],
        EDNS0ClientSubnetMask="24",
    )
    assert (answer["RecordData"], answer["ResponseCode"]) == ([VIRGINIA], "NOERROR")


def test_alias_without_target_health(sim, zone):
    """It is healthy whatever its target is; and without a target there is no answer."""
    target = routed(sim, "_fra.example.com", FRA, "a", Weight=1)
    of = {"SetIdentifier": "e", "Region": "eu-central-1"}
    create(
        *zone,
        target,
        rr("www.example.com", **of, AliasTarget=alias(sim.zone_id, "_fra.example.com", False)),
        rr("www.example.com", "A", VIRGINIA, SetIdentifier="u", Region="us-east-1"),
    )
    sim.down.add(FRA)
    assert values(sim, "www.example.com", "A", "Frankfurt") == [FRA]
    change(*zone, ("DELETE", target))
    assert values(sim, "www.example.com", "A", "Frankfurt") == []


def test_weighted(sim, zone):
    """By weight; those of 0 only when all others are ill, or when all are 0."""
    name, dice = "w.example.com", []
    sim.choose = lambda weights: dice.append(weights) or 0
    records = [routed(sim, name, f"192.0.2.{i}", str(i), Weight=w) for i, w in enumerate((0, 3, 1))]
    create(*zone, *records)
    assert values(sim, name) == ["192.0.2.1"] and dice[-1] == [3, 1]
    sim.down |= {"192.0.2.1", "192.0.2.2"}
    assert values(sim, name) == ["192.0.2.0"]
    sim.down.add("192.0.2.0")
    assert values(sim, name) == ["192.0.2.1"]
    sim.down.clear()
    zero = [r | {"Weight": 0} for r in records]
    change(*zone, *[("DELETE", r) for r in records], *[("CREATE", r) for r in zero])
    assert values(sim, name) == ["192.0.2.0"] and dice[-1] == [1, 1, 1]


def test_primary_and_secondary(sim, zone):
    create(
        *zone,
        routed(sim, "f.example.com", FRA, "1", Failover="PRIMARY"),
        routed(sim, "f.example.com", VIRGINIA, "2", Failover="SECONDARY"),
    )
    for down, seen in ((), FRA), ((FRA,), VIRGINIA), ((FRA, VIRGINIA), FRA), ((VIRGINIA,), FRA):
        sim.down = set(down)
        assert values(sim, "f.example.com") == [seen]


def test_multivalue(sim, zone):
    """Up to eight of the healthy ones."""
    create(
        *zone,
        *[routed(sim, "m.example.com", f"192.0.2.{i}", str(i), MultiValueAnswer=True) for i in range(10)],
    )
    assert len(values(sim, "m.example.com")) == 8
    sim.down |= {f"192.0.2.{i}" for i in range(7)}
    assert values(sim, "m.example.com") == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]
    sim.down |= {f"192.0.2.{i}" for i in range(10)}
    assert len(values(sim, "m.example.com")) == 8


def test_geolocation(sim, zone):
    """The smallest place with a healthy record; who is nowhere gets no answer."""
    places = {"de": {"CountryCode": "DE"}, "eu": {"ContinentCode": "EU"}}
    records = [
        routed(sim, "g.example.com", f"192.0.2.{i}", k, GeoLocation=v)
        for i, (k, v) in enumerate(places.items())
    ]
    create(*zone, *records)
    assert values(sim, "g.example.com", "A", "Frankfurt") == ["192.0.2.0"]
    assert values(sim, "g.example.com", "A", "Madrid") == ["192.0.2.1"]
    assert values(sim, "g.example.com", "A", "Tokyo") == []
    sim.down.add("192.0.2.0")
    assert values(sim, "g.example.com", "A", "Frankfurt") == ["192.0.2.1"]


def test_large_answers(sim, zone):
    """Cut over UDP, whole over TCP."""
    create(*zone, rr("big.example.com", "A", *[f"192.0.2.{i}" for i in range(200)]))
    assert ask(sim, "big.example.com").flags & dns.flags.TC
    assert len(ask(sim, "big.example.com", via=dns.query.tcp).answer[0]) == 200


def test_health_checks(sim):
    """Made once for one reference and configuration; changed by version; their verdict is of the address."""
    c = sim.client
    one = check(sim, FRA)
    assert check(sim, FRA) == one
    call = c.create_health_check
    other = {"Type": "TCP", "Port": 80, "IPAddress": FRA}
    exists = (409, "HealthCheckAlreadyExists")
    assert error_of(call, CallerReference=f"check-{FRA}", HealthCheckConfig=other)[:2] == exists
    got = c.get_health_check(HealthCheckId=one)["HealthCheck"]
    assert (got["HealthCheckVersion"], got["HealthCheckConfig"]["RequestInterval"]) == (1, 30)
    c.update_health_check(HealthCheckId=one, HealthCheckVersion=1, FailureThreshold=2)
    mismatch = error_of(c.update_health_check, HealthCheckId=one, HealthCheckVersion=1, FailureThreshold=3)
    assert mismatch[:2] == (409, "HealthCheckVersionMismatch")
    assert sim.health_checks[one]["HealthCheckConfig"]["FailureThreshold"] == 2
    status = lambda: c.get_health_check_status(HealthCheckId=one)["HealthCheckObservations"][0]  # noqa: E731
    assert status()["StatusReport"]["Status"].startswith("Success")
    sim.down.add(FRA)
    assert status()["StatusReport"]["Status"].startswith("Failure")
    c.delete_health_check(HealthCheckId=one)
    assert error_of(c.get_health_check, HealthCheckId=one)[:2] == (404, "NoSuchHealthCheck")
    assert error_of(call, CallerReference=f"check-{FRA}", HealthCheckConfig=other)[:2] == exists


def test_health_check_deleted_under_a_record(sim):
    """Nobody prevents it (HealthCheckInUse "is not in use"); the record is ill from then on."""
    latency(sim)
    first = next(iter(sim.health_checks))
    sim.client.delete_health_check(HealthCheckId=first)
    assert values(sim, "www.example.com", "A", "Frankfurt") == [VIRGINIA]


@pytest.mark.parametrize(
    "config",
    [
        {"Type": "TCP", "IPAddress": "192.0.2.1"},
        {"Type": "HTTPS"},
        {"Type": "HTTPS", "IPAddress": "10.0.0.1"},
        {"Type": "HTTPS", "IPAddress": "192.0.2.300"},
        {"Type": "HTTPS", "IPAddress": "192.0.2.1", "RequestInterval": 20},
        {"Type": "HTTPS", "IPAddress": "192.0.2.1", "FailureThreshold": 11},
        {"Type": "HTTPS", "IPAddress": "192.0.2.1", "SearchString": "ok"},
        {"Type": "HTTPS_STR_MATCH", "IPAddress": "192.0.2.1"},
        {"Type": "HTTPS", "IPAddress": "192.0.2.1", "Regions": ["us-east-1", "eu-west-1"]},
        {"Type": "UDP", "IPAddress": "192.0.2.1", "Port": 53},
    ],
)
def test_health_check_refused(sim, config):
    call = boto.client(sim, validate=False).create_health_check
    assert error_of(call, CallerReference="x", HealthCheckConfig=config)[:2] == (400, "InvalidInput")
    assert not sim.health_checks


def test_calculated_and_inverted(sim, zone):
    """Of two children one must be well; inverted is the other way round."""
    children = [check(sim, FRA), check(sim, VIRGINIA)]
    make = sim.client.create_health_check
    config = {"Type": "CALCULATED", "ChildHealthChecks": children, "HealthThreshold": 1}
    both = make(CallerReference="both", HealthCheckConfig=config)["HealthCheck"]["Id"]
    of = {"SetIdentifier": "1", "Failover": "PRIMARY", "HealthCheckId": both}
    create(
        *zone,
        rr("f.example.com", "A", FRA, **of),
        rr("f.example.com", "A", TOKYO, SetIdentifier="2", Failover="SECONDARY"),
    )
    sim.down = {FRA}
    assert values(sim, "f.example.com") == [FRA]
    sim.down = {FRA, VIRGINIA}
    assert values(sim, "f.example.com") == [TOKYO]
    sim.client.update_health_check(HealthCheckId=both, Inverted=True)
    assert values(sim, "f.example.com") == [FRA]


def test_health_checks_have_a_limit_and_pages(sim):
    for i in range(200):
        check(sim, f"192.0.2.{i}")
    full = {"Type": "HTTPS", "IPAddress": "198.51.100.1"}
    assert error_of(sim.client.create_health_check, CallerReference="x", HealthCheckConfig=full)[1] == (
        "TooManyHealthChecks"
    )
    pages = list(sim.client.get_paginator("list_health_checks").paginate())
    assert [len(p["HealthChecks"]) for p in pages] == [100, 100]
    assert [h["Id"] for p in pages for h in p["HealthChecks"]] == list(sim.health_checks)


def test_tags(sim):
    c, one = sim.client, check(sim, FRA)
    of = {"ResourceType": "healthcheck", "ResourceId": one}
    c.change_tags_for_resource(**of, AddTags=[{"Key": "owner", "Value": "a"}, {"Key": "x", "Value": "1"}])
    c.change_tags_for_resource(**of, AddTags=[{"Key": "owner", "Value": "b"}], RemoveTagKeys=["x"])
    want = {"ResourceType": "healthcheck", "ResourceId": one, "Tags": [{"Key": "owner", "Value": "b"}]}
    assert c.list_tags_for_resource(**of)["ResourceTagSet"] == want
    several = c.list_tags_for_resources(ResourceType="healthcheck", ResourceIds=[one])
    assert several["ResourceTagSets"] == [want]
    missing = {"ResourceType": "healthcheck", "ResourceId": "none"}
    assert error_of(c.list_tags_for_resource, **missing)[:2] == (404, "NoSuchHealthCheck")
