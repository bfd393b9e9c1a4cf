"""The contract of the simulated Traffic Manager, its answers over DNS, and one synchronisation by octoDNS."""

import azure.mgmt.dns.models as d
import azure.mgmt.trafficmanager.models as t
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.dns import DnsManagementClient
from azure.mgmt.trafficmanager import TrafficManagerManagementClient
from octodns.record import Record
from octodns.zone import Zone
from octodns_azure import AzureProvider

from sim.azure_clients import (
    GROUP,
    PLACES,
    ZONE,
    a_set,
    alias,
    ask,
    client,
    external,
    many,
    monitor,
    nested,
    profile,
    put,
    refused,
    secret,
    world,
)
from sim.azuredns import AzureDns

FRANKFURT, NEW_YORK, TOKYO = "198.18.1.7", "198.18.4.7", "198.18.7.7"
EXTERNAL, NESTED = "ExternalEndpoints", "NestedEndpoints"


@pytest.fixture(scope="session", autouse=True)
def root_only():
    """Nothing here needs root."""


@pytest.fixture
def sim(tmp_path):
    with AzureDns(tmp_path / "azure", zones=[ZONE]) as s:
        yield s


@pytest.fixture
def records(sim):
    return client(DnsManagementClient, sim).record_sets


@pytest.fixture
def tm(sim):
    return client(TrafficManagerManagementClient, sim)


def two(tm, method, **kw):
    """A profile with the same two targets, whatever the method."""
    ends = [external("a", "192.0.2.1", "westeurope"), external("b", "192.0.2.2", "westeurope")]
    return profile(tm, "two", method, *ends, **kw)


# The API


def test_a_profile_is_read_back_with_defaults(tm):
    bare = t.MonitorConfig(protocol="HTTPS", port=443, path="/healthz")
    made = profile(tm, "p", "Weighted", external("a", "192.0.2.1"), check=bare, tags={"owner": "fleet"})
    found = tm.profiles.get(GROUP, "p")
    assert found == made and found.tags == {"owner": "fleet"}
    assert found.dns_config.fqdn == "p.trafficmanager.test"
    m = found.monitor_config
    assert (m.interval_in_seconds, m.timeout_in_seconds, m.tolerated_number_of_failures) == (30, 10, 3)
    assert m.profile_monitor_status == "Online"
    end = found.endpoints[0]
    assert (end.weight, end.priority, end.endpoint_status, end.endpoint_monitor_status) == (
        1,
        1,
        "Enabled",
        "Online",
    )
    assert end.type == "Microsoft.Network/trafficManagerProfiles/externalEndpoints"
    assert [p.name for p in tm.profiles.list_by_resource_group(GROUP)] == ["p"]
    assert [p.name for p in tm.profiles.list_by_subscription()] == ["p"]


def test_there_is_no_etag(sim, tm):
    replies = []
    tm.profiles.get(GROUP, profile(tm, "p", "Weighted").name, raw_response_hook=replies.append)
    assert "ETag" not in replies[0].http_response.headers and "etag" not in sim.profiles["p"]


def test_each_writer_has_its_own_endpoint(tm):
    profile(tm, "world", "Performance")
    for name, (target, place) in PLACES.items():
        tm.endpoints.create_or_update(GROUP, "world", EXTERNAL, name, external(name, target, place))
    changed = tm.endpoints.update(GROUP, "world", EXTERNAL, "fra", t.Endpoint(weight=7))
    assert (changed.weight, changed.target) == (7, "192.0.2.1")
    assert tm.endpoints.get(GROUP, "world", EXTERNAL, "fra") == changed
    assert [e.priority for e in tm.profiles.get(GROUP, "world").endpoints] == [1, 2, 3]
    tm.endpoints.delete(GROUP, "world", EXTERNAL, "fra")
    tm.endpoints.delete(GROUP, "world", EXTERNAL, "fra")
    assert [e.name for e in tm.profiles.get(GROUP, "world").endpoints] == ["iad", "tyo"]
    with pytest.raises(ResourceNotFoundError):
        tm.endpoints.get(GROUP, "world", EXTERNAL, "fra")
    with pytest.raises(ResourceNotFoundError):
        tm.endpoints.create_or_update(GROUP, "none", EXTERNAL, "a", external("a", "192.0.2.9", "eastus"))


def test_a_put_replaces_and_a_patch_merges(tm):
    world(tm)
    patched = tm.profiles.update(
        GROUP, "world", t.Profile(dns_config=t.DnsConfig(ttl=10), tags={"epoch": "2"})
    )
    assert (patched.dns_config.ttl, patched.dns_config.relative_name) == (10, "world")
    assert len(patched.endpoints) == 3 and patched.tags == {"epoch": "2"}
    assert profile(tm, "world", "Performance").endpoints == []
    tm.profiles.delete(GROUP, "world")
    tm.profiles.delete(GROUP, "world")
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        tm.profiles.get(GROUP, "world")


def test_statuses_are_computed_whatever_is_written(sim, tm):
    end = external("a", "192.0.2.1", endpoint_monitor_status="Online")
    sim.down.add("192.0.2.1")
    made = profile(tm, "p", "Weighted", end, external("b", "192.0.2.2"))
    assert [e.endpoint_monitor_status for e in made.endpoints] == ["Degraded", "Online"]
    assert made.monitor_config.profile_monitor_status == "Degraded"
    made.endpoints[0].endpoint_status = "Disabled"
    made = tm.profiles.create_or_update(GROUP, "p", made)
    assert [e.endpoint_monitor_status for e in made.endpoints] == ["Disabled", "Online"]
    assert made.monitor_config.profile_monitor_status == "Online"
    made.profile_status = "Disabled"
    made = tm.profiles.create_or_update(GROUP, "p", made)
    assert made.endpoints[1].endpoint_monitor_status == "Inactive"


def test_endpoints_before_their_first_probe(sim, tm):
    sim.unprobed.add("192.0.2.1")
    child = profile(tm, "child", "Weighted", external("a", "192.0.2.1"))
    assert child.endpoints[0].endpoint_monitor_status == "CheckingEndpoint"
    assert child.monitor_config.profile_monitor_status == "CheckingEndpoints"
    top = profile(tm, "top", "Weighted", nested("x", child))
    assert top.endpoints[0].endpoint_monitor_status == "CheckingEndpoint"
    assert ask(sim, "top.trafficmanager.test")[2] == ["192.0.2.1"]


@pytest.mark.parametrize(
    "method,ends,says",
    [
        ("Performance", [external("a", "192.0.2.1")], "endpointLocation"),
        ("Performance", [external("a", "192.0.2.1", "Frankfurt")], "not a supported location"),
        ("Weighted", [external("a", "192.0.2.1", weight=0)], "weight"),
        ("Weighted", [external("a", "192.0.2.1", weight=1001)], "weight"),
        ("Priority", [external("a", "192.0.2.1", priority=1001)], "priority"),
        ("Priority", [external(n, f"192.0.2.{i}", priority=5) for i, n in enumerate("ab")], "priority '5'"),
        ("Weighted", [external(n, "192.0.2.1") for n in "ab"], "more than one endpoint"),
        ("Weighted", [external(f"e{i}", f"192.0.2.{i}") for i in range(201)], "as many endpoints"),
        ("Weighted", [external("a", "192.0.2.300")], "target"),
        ("Weighted", [external("a", "a b")], "target"),
        ("Weighted", [external("a/b", "192.0.2.1")], "name"),
        ("Weighted", [t.Endpoint(name="a", type="x/azureEndpoints", target="192.0.2.1")], "type"),
        ("MultiValue", [external("a", "a.example.net")], "MultiValue"),
        ("Geographic", [external("a", "192.0.2.1")], "geoMapping"),
        ("Geographic", [external("a", "192.0.2.1", geo_mapping=["Europe"])], "not supported: Europe"),
        ("Geographic", [external(n, f"192.0.2.{i}", geo_mapping=["DE"]) for i, n in enumerate("ab")], "'DE'"),
    ],
)
def test_endpoints_that_are_refused(tm, method, ends, says):
    assert says in str(refused(400, "BadRequest", profile, tm, "p", method, *ends))


@pytest.mark.parametrize(
    "check,says",
    [
        (monitor(interval_in_seconds=20), "intervalInSeconds"),
        (monitor(timeout_in_seconds=10), "timeoutInSeconds"),
        (monitor(timeout_in_seconds=4), "timeoutInSeconds"),
        (monitor(interval_in_seconds=30, timeout_in_seconds=11), "timeoutInSeconds"),
        (monitor(tolerated_number_of_failures=10), "toleratedNumberOfFailures"),
        (monitor(port=0), "port"),
        (monitor(protocol="TCP"), "path"),
        (monitor(path="healthz"), "path"),
    ],
)
def test_monitors_that_are_refused(tm, check, says):
    assert says in str(refused(400, "BadRequest", profile, tm, "p", "Weighted", check=check))


def test_profiles_that_are_refused(sim, tm):
    refused(400, "BadRequest", profile, tm, "p.q", "Weighted")
    refused(400, "BadRequest", profile, tm, "p", "Weighted", relative="-")
    refused(400, "BadRequest", profile, tm, "p", "Weighted", ttl=2**31)
    refused(400, "BadRequest", profile, tm, "p", "MultiValue", max_return=11)
    body = t.Profile(location="westeurope", traffic_routing_method="Weighted")
    refused(400, "MissingRegistrationForLocation", tm.profiles.create_or_update, GROUP, "p", body)
    only = {"allowed_endpoint_record_types": ["IPv4Address"]}
    refused(400, "BadRequest", profile, tm, "p", "Weighted", external("a", "2001:db8::1"), **only)


def test_relative_names_are_everybodys(sim, tm):
    def available(name):
        kind = "Microsoft.Network/trafficManagerProfiles"
        body = t.CheckTrafficManagerRelativeDnsNameAvailabilityParameters(name=name, type=kind)
        old = tm.profiles.check_traffic_manager_relative_dns_name_availability(body)
        assert old == tm.profiles.check_traffic_manager_name_availability_v2(body)
        return old.name_available, old.reason

    sim.traffic.taken.add("theirs")
    profile(tm, "p", "Weighted", relative="ours")
    assert available("free") == (True, None)
    assert available("theirs") == available("ours") == (False, "AlreadyExists")
    for name in "theirs", "ours":
        refused(409, "Conflict", profile, tm, "q", "Weighted", relative=name)


def test_nested_profiles(sim, tm):
    child = two(tm, "Weighted")
    profile(
        tm, "top", "Performance", nested("eu", child, endpoint_location="West Europe", min_child_endpoints=2)
    )
    found = tm.endpoints.get(GROUP, "top", NESTED, "eu")
    assert (found.target, found.min_child_endpoints) == ("two.trafficmanager.test", 2)
    assert found.endpoint_monitor_status == "Online"
    sim.down.add("192.0.2.1")
    assert tm.endpoints.get(GROUP, "top", NESTED, "eu").endpoint_monitor_status == "Degraded"
    child.profile_status = "Disabled"
    tm.profiles.create_or_update(GROUP, "two", child)
    assert tm.endpoints.get(GROUP, "top", NESTED, "eu").endpoint_monitor_status == "Stopped"
    assert tm.profiles.get(GROUP, "top").monitor_config.profile_monitor_status == "Inactive"
    tm.profiles.delete(GROUP, "two")
    gone = tm.endpoints.get(GROUP, "top", NESTED, "eu")
    assert (gone.target, gone.endpoint_monitor_status) == (None, "Stopped")


def test_nested_profiles_that_are_refused(tm):
    child = profile(tm, "child", "Weighted", external("a", "192.0.2.1"))
    top = profile(tm, "top", "Weighted", nested("x", child))
    assert top.endpoints[0].min_child_endpoints == 1
    refused(400, "BadRequest", profile, tm, "child", "Weighted", nested("x", top))
    refused(400, "BadRequest", profile, tm, "top", "Weighted", nested("x", top))
    refused(400, "BadRequest", profile, tm, "q", "Weighted", nested("x", child, min_child_endpoints=0))
    refused(400, "BadRequest", profile, tm, "q", "MultiValue", nested("x", child))
    refused(400, "BadRequest", profile, tm, "q", "Performance", nested("x", child))
    gone = t.Profile(id=top.id + "x")
    refused(400, "BadRequest", profile, tm, "q", "Weighted", nested("x", gone))


# Alias record sets


def test_an_alias_answers_for_its_profile(sim, tm, records):
    target = world(tm, ttl=20)
    made = put(records, "@", "A", alias(target), if_none_match="*")
    assert made.target_resource.id == target.id and made.a_records is None
    assert ask(sim, ZONE, subnet=FRANKFURT) == ("NOERROR", 20, ["192.0.2.1"], [])
    assert ask(sim, ZONE, "AAAA")[2] == []
    assert put(records, "www", "CNAME", alias(target)).cname_record is None
    assert ask(sim, "www.example.com")[2] == ["world.trafficmanager.test."]
    plain = put(records, "@", "A", a_set("192.0.2.9"), if_match=made.etag)
    assert plain.target_resource.id is None and ask(sim, ZONE)[2] == ["192.0.2.9"]


def test_aliases_that_are_refused(tm, records):
    target = world(tm)
    both = a_set("192.0.2.1", target_resource=d.SubResource(id=target.id))
    refused(400, "BadRequest", put, records, "www", "A", both)
    refused(400, "BadRequest", put, records, "www", "TXT", alias(target))
    refused(400, "BadRequest", put, records, "www", "A", alias(t.Profile(id=target.id + "x")))
    hosts = profile(tm, "hosts", "Weighted", external("a", "a.example.net"))
    says = str(refused(400, "BadRequest", put, records, "www", "A", alias(hosts)))
    assert "endpoints containing valid IP addresses" in says
    assert put(records, "www", "CNAME", alias(hosts))
    top = profile(tm, "top", "Weighted", nested("x", target))
    refused(400, "BadRequest", put, records, "api", "A", alias(top))


def test_nested_endpoints_can_come_after_the_alias(sim, tm, records):
    top = profile(tm, "top", "Weighted")
    put(records, "api", "A", alias(top))
    assert ask(sim, "api.example.com")[2] == []
    profile(tm, "top", "Weighted", nested("x", world(tm)))
    assert ask(sim, "api.example.com", subnet=TOKYO)[2] == ["192.0.2.3"]


def test_an_alias_is_empty_when_its_profile_is_gone(sim, tm, records):
    put(records, "www", "A", alias(world(tm)))
    tm.profiles.delete(GROUP, "world")
    rcode, _, values, authority = ask(sim, "www.example.com")
    assert (rcode, values) == ("NOERROR", []) and " SOA " in authority[0]
    assert records.get(GROUP, ZONE, "www", "A").target_resource.id is None


def test_a_profile_has_a_limit_of_aliases(tm, records):
    target = world(tm)
    for i in range(50):
        put(records, f"n{i}", "A", alias(target))
    refused(400, "BadRequest", put, records, "n50", "A", alias(target))
    assert put(records, "n1", "A", alias(target))


# Answers


@pytest.mark.parametrize("tcp", [False, True])
def test_performance_is_the_nearest_region_of_the_client(sim, tm, records, tcp):
    put(records, "www", "A", alias(world(tm)))
    want = {FRANKFURT: "192.0.2.1", NEW_YORK: "192.0.2.2", TOKYO: "192.0.2.3", "198.18.10.7": "192.0.2.3"}
    for name in "www.example.com", "world.trafficmanager.test":
        assert {c: ask(sim, name, subnet=c, tcp=tcp)[2] for c in want} == {c: [v] for c, v in want.items()}


def test_who_is_down_is_replaced_until_all_are(sim, tm):
    world(tm)

    def seen(client):
        return ask(sim, "world.trafficmanager.test", subnet=client)[2]

    sim.down.add("192.0.2.1")
    assert seen(FRANKFURT) == ["192.0.2.2"]
    sim.down.add("192.0.2.2")
    assert seen(FRANKFURT) == seen(NEW_YORK) == ["192.0.2.3"]
    sim.down.add("192.0.2.3")
    assert seen(FRANKFURT) == ["192.0.2.1"]
    tm.endpoints.update(GROUP, "world", EXTERNAL, "fra", t.Endpoint(endpoint_status="Disabled"))
    assert seen(FRANKFURT) == ["192.0.2.2"]
    tm.endpoints.update(GROUP, "world", EXTERNAL, "tyo", t.Endpoint(always_serve="Enabled"))
    assert seen(FRANKFURT) == ["192.0.2.3"]


def test_endpoints_of_one_region_share_its_clients(sim, tm):
    two(tm, "Performance")
    found = many(sim, "two.trafficmanager.test", 200)
    assert set(found) == {"192.0.2.1", "192.0.2.2"} and min(found.values()) > 60


def test_weights_and_priorities(sim, tm):
    ends = external("a", "192.0.2.1", weight=9, priority=2), external("b", "192.0.2.2", weight=1, priority=1)
    profile(tm, "p", "Weighted", *ends)
    found = many(sim, "p.trafficmanager.test", 300)
    assert 230 < found["192.0.2.1"] < 295
    profile(tm, "p", "Priority", *ends)
    assert many(sim, "p.trafficmanager.test", 20) == {"192.0.2.2": 20}
    sim.down.add("192.0.2.2")
    assert many(sim, "p.trafficmanager.test", 20) == {"192.0.2.1": 20}


def test_regions_with_weights_inside(sim, tm):
    eu = profile(tm, "eu", "Weighted", external("a", "192.0.2.1", weight=3), external("b", "192.0.2.2"))
    us = profile(tm, "us", "Weighted", external("c", "192.0.2.3"))
    ends = (
        nested("eu", eu, endpoint_location="westeurope", min_child_endpoints=2),
        nested("us", us, endpoint_location="eastus"),
    )
    profile(tm, "top", "Performance", *ends)
    found = many(sim, "top.trafficmanager.test", 200, subnet=FRANKFURT)
    assert set(found) == {"192.0.2.1", "192.0.2.2"} and 115 < found["192.0.2.1"] < 185
    assert many(sim, "top.trafficmanager.test", 20, subnet=NEW_YORK) == {"192.0.2.3": 20}
    sim.down.add("192.0.2.1")
    assert many(sim, "top.trafficmanager.test", 20, subnet=FRANKFURT) == {"192.0.2.3": 20}
    sim.down.add("192.0.2.3")
    assert many(sim, "top.trafficmanager.test", 20, subnet=FRANKFURT) == {"192.0.2.2": 20}


def test_several_values(sim, tm):
    ends = [external(f"e{i}", f"192.0.2.{i}") for i in range(1, 5)] + [external("six", "2001:db8::1")]
    profile(tm, "p", "MultiValue", *ends, max_return=10)
    sim.down.add("192.0.2.1")
    assert ask(sim, "p.trafficmanager.test")[2] == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    assert ask(sim, "p.trafficmanager.test", "AAAA")[2] == ["2001:db8::1"]
    profile(tm, "p", "MultiValue", *ends[:4])
    assert len(ask(sim, "p.trafficmanager.test")[2]) == 2


def test_geography_does_not_fail_over(sim, tm):
    de, world_ = (
        external("de", "192.0.2.1", geo_mapping=["DE"]),
        external("all", "192.0.2.2", geo_mapping=["WORLD"]),
    )
    profile(tm, "p", "Geographic", de, world_, external("eu", "192.0.2.3", geo_mapping=["GEO-EU"]))
    got = {c: ask(sim, "p.trafficmanager.test", subnet=c)[2][0] for c in (FRANKFURT, "198.18.2.7", TOKYO)}
    assert list(got.values()) == ["192.0.2.1", "192.0.2.3", "192.0.2.2"]
    sim.down.add("192.0.2.1")
    assert ask(sim, "p.trafficmanager.test", subnet=FRANKFURT)[2] == ["192.0.2.1"]


def test_profiles_that_have_nothing_to_say(sim, tm):
    profile(
        tm,
        "p",
        "Weighted",
        external("a", "a.example.net"),
        external("six", "2001:db8::1", endpoint_status="Disabled"),
    )
    assert ask(sim, "p.trafficmanager.test", "TXT")[2] == ["a.example.net."]
    profile(tm, "p", "Weighted", external("six", "2001:db8::1"))
    assert ask(sim, "p.trafficmanager.test")[:3] == ("NOERROR", None, [])
    profile(tm, "p", "Weighted", external("six", "2001:db8::1"), profile_status="Disabled")
    assert ask(sim, "p.trafficmanager.test", "AAAA")[0] == "NXDOMAIN"
    assert ask(sim, "nobody.trafficmanager.test")[0] == "NXDOMAIN"


def test_names_of_a_zone(sim, records):
    put(records, "*.w", "A", a_set("192.0.2.1"))
    put(records, "b.a.w", "TXT", d.RecordSet(ttl=60, txt_records=[d.TxtRecord(value=['say "x"', "y"])]))
    put(records, "www", "CNAME", d.RecordSet(ttl=60, cname_record=d.CnameRecord(cname="x.w.example.com")))
    put(records, "sub", "NS", d.RecordSet(ttl=60, ns_records=[d.NsRecord(nsdname="ns.example.net")]))
    put(records, "none", "A", d.RecordSet(ttl=60, a_records=[]))
    assert ask(sim, "x.y.w.example.com")[2] == ["192.0.2.1"]
    assert ask(sim, "a.w.example.com")[:3] == ("NOERROR", None, [])
    assert ask(sim, "c.a.w.example.com")[0] == "NXDOMAIN"
    assert ask(sim, "b.a.w.example.com", "TXT")[2] == ['"say \\"x\\"" "y"']
    assert ask(sim, "www.example.com")[2] == ["192.0.2.1", "x.w.example.com."]
    assert ask(sim, "deep.sub.example.com")[3] == ["sub.example.com. 60 IN NS ns.example.net."]
    assert ask(sim, "none.example.com")[0] == "NOERROR"
    assert ask(sim, "nobody.example.com")[3][0].split()[:2] == ["example.com.", "300"]
    assert ask(sim, ZONE, "SOA")[2][0].startswith("ns1-01.azure-dns.test.")
    assert ask(sim, "example.org")[0] == "REFUSED"


# octoDNS


def synchronise(sim, *found):
    """octoDNS has no option for a CA or for a private authority: those are the environment's and ours."""
    provider = AzureProvider(
        "azure", sim.subscription, GROUP, sim.tenant, sim.client_id, sim.client_secret, base_url=sim.url
    )
    provider._AzureBaseProvider__client_credential = secret(sim)
    wanted = Zone(f"{ZONE}.", [])
    for name, data in found:
        wanted.add_record(Record.new(wanted, name, data))
    plan = provider.plan(wanted)
    return provider.apply(plan) if plan else 0


def test_octodns_has_nothing_left_to_do(sim, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", sim.ca_file)
    monkeypatch.setattr("octodns_azure.TrafficManagerManagementClient", scoped)
    pool = {"values": [{"value": "192.0.2.1", "weight": 3}, {"value": "192.0.2.2", "weight": 1}]}
    dynamic = {
        "pools": {"eu": {**pool, "fallback": "us"}, "us": {"values": [{"value": "192.0.2.3"}]}},
        "rules": [{"geos": ["EU"], "pool": "eu"}, {"pool": "us"}],
    }
    wanted = [
        ("", {"type": "MX", "ttl": 300, "values": [{"preference": 10, "exchange": "mx.example.net."}]}),
        ("www", {"type": "A", "ttl": 60, "values": ["192.0.2.1", "192.0.2.2"]}),
        ("www", {"type": "AAAA", "ttl": 60, "values": ["2001:db8::1"]}),
        ("txt", {"type": "TXT", "ttl": 60, "values": ["v=spf1 -all"]}),
        ("alias", {"type": "CNAME", "ttl": 60, "value": "www.example.com."}),
        ("geo", {"type": "A", "ttl": 60, "value": "192.0.2.3", "dynamic": dynamic}),
    ]
    assert synchronise(sim, *wanted) == len(wanted)
    assert synchronise(sim, *wanted) == 0
    assert ask(sim, "alias.example.com")[2] == ["192.0.2.1", "192.0.2.2", "www.example.com."]
    assert set(many(sim, "geo.example.com", 60, subnet=FRANKFURT)) == {"192.0.2.1", "192.0.2.2"}
    sim.down |= {"192.0.2.1", "192.0.2.2"}
    assert many(sim, "geo.example.com", 10, subnet=FRANKFURT) == {"192.0.2.3": 10}
    assert synchronise(sim, *wanted[:-1]) == 1
    assert not sim.profiles


def scoped(**kw):
    """octoDNS gives its base URL as the scope of the DNS client alone."""
    return TrafficManagerManagementClient(**kw, credential_scopes=[kw["base_url"] + "/.default"])
