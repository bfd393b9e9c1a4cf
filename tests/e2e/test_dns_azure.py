"""The azure back end at the simulated Azure: what is sent, what clients get, and what others made."""

import time

import pytest
from lab.azure import EVERYBODY, NEAR, Zone
from lab.cli import assert_refused
from lab.dns import ABROAD as WORLD
from lab.dns import APPLY, HEALTH, NAME, PLACES, plan_of, policy, watched, world
from sim import azure_clients as theirs

NEAREST = {"Frankfurt": 1, "Cairo": 1, "New York": 2, "Tokyo": 3, "Sydney": 3, "Sao Paulo": 4}


@pytest.fixture
def zone(built, tmp_path):
    with Zone(tmp_path / "azure") as z:
        yield z


@pytest.fixture
def cli(cli, zone):
    cli.extra_env |= zone.env()
    return cli


def top(zone, kind="a"):
    (name,) = [p for p in zone.profiles if p.endswith(f"-{kind}")]
    return zone.profiles[name]


def endpoints(profile):
    return {e["name"]: e["properties"] for e in profile["properties"]["endpoints"]}


def test_a_life(zone, cli, write):
    """Plain, then by latency with health, then given up: the second plan is empty, nothing is left."""
    before = zone.rrsets("example.com")
    plain, latency = world(zone), world(zone, endpoints=[*WORLD, NEAR], route="latency", health=HEALTH)
    file = write(plain)
    assert plan_of(cli, file) == {f"{NAME}. A": "create", f"_kc.{NAME}. TXT": "create"}
    assert zone.rrsets("example.com") == before
    cli.ok(*APPLY, file)
    assert plan_of(cli, file) == {} and not zone.profiles
    assert zone.ask(NAME) == EVERYBODY

    file = write(latency)
    assert plan_of(cli, file) == {f"{NAME}. A": "update", f"{NAME}. AAAA": "create"}
    cli.ok(*APPLY, file)
    assert plan_of(cli, file) == {}
    assert top(zone)["properties"]["trafficRoutingMethod"] == "Performance"
    assert top(zone)["tags"] == {"kubecdn-owner": "prod", "kubecdn-name": f"{NAME}."}
    places = {e["endpointLocation"] for e in endpoints(top(zone)).values()}
    assert places == {"germanywestcentral", "centralus", "japaneast", "brazilsouth"}
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]
    assert zone.ask(NAME, PLACES["Tokyo"], "AAAA") == ["2001:db8::5"]
    # Two clouds near Frankfurt: one region, both in turn.
    got = {tuple(zone.ask(NAME, PLACES["Frankfurt"])) for _ in range(60)}
    assert got == {("192.0.2.1",), ("192.0.2.5",)}

    sent = len(zone.requests)
    cli.ok(*APPLY, file)
    assert zone.written(sent) == []

    drained = [{**e, "drain": e["id"] == "az-tyo"} for e in [*WORLD, NEAR]]
    sent = len(zone.requests)
    cli.ok(*APPLY, write(world(zone, endpoints=drained, route="latency", health=HEALTH)))
    assert zone.ask(NAME, PLACES["Tokyo"]) != ["192.0.2.3"]
    # The mark as a guard, and the one endpoint; the alias is never written again.
    assert [m for m, _ in zone.written(sent)] == ["PUT", "DELETE"]

    file = write(world(zone, endpoints=[*WORLD, NEAR], route="latency", ttl={"answer": 5}, health=HEALTH))
    cli.ok(*APPLY, file)
    cli.ok("dns", "delete", "-f", file, "--yes", "--wait")
    assert zone.rrsets("example.com") == before and not zone.profiles


def test_the_nearest_and_failover(zone, cli, write):
    file = write(world(zone, route="latency", health=HEALTH, failover={"within": "90s"}))
    cli.ok(*APPLY, file)
    for place, n in NEAREST.items():
        assert zone.ask(NAME, PLACES[place]) == [f"192.0.2.{n}"], place
    monitor = top(zone)["properties"]["monitorConfig"]
    # 10 s x 3, 5 s for a probe to fail, TTL 30.
    assert (monitor["intervalInSeconds"], monitor["toleratedNumberOfFailures"]) == (10, 2)
    assert (monitor["protocol"], monitor["port"], monitor["path"]) == ("HTTPS", 443, "/healthz")
    assert monitor["customHeaders"] == [{"name": "host", "value": NAME}]
    assert monitor["expectedStatusCodeRanges"] == [{"min": 200, "max": 299}]
    zone.down.add("192.0.2.1")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.2"]
    zone.down |= set(EVERYBODY)
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"], "all dead: as if all were alive"


def test_without_health_nothing_is_probed(zone, cli, write):
    cli.ok(*APPLY, write(world(zone, route="latency")))
    assert {e["endpointMonitorStatus"] for e in endpoints(top(zone)).values()} == {"Unmonitored"}
    zone.down.add("192.0.2.1")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"]


def test_too_quick_to_be_true(zone, cli, write):
    file = write(world(zone, route="latency", health=HEALTH, failover={"within": "30s"}))
    assert_refused(cli.run("dns", "plan", "-f", file), "within is 30 s", "needs 45 s at best")


def test_weights_and_answers(zone, cli, write):
    listed = [{"id": "a", "addresses": ["192.0.2.1"], "weight": 9}, {"id": "b", "addresses": ["192.0.2.2"]}]
    cli.ok(*APPLY, write(world(zone, endpoints=listed)))
    drawn = [zone.ask(NAME) for _ in range(200)]
    share = sum(d == ["192.0.2.1"] for d in drawn) / len(drawn)
    assert 0.8 < share < 0.98, share
    for answers in 1, 3:
        file = write(world(zone, "some.example.com", answers=answers))
        cli.ok(*APPLY, file)
        assert plan_of(cli, file) == {}
        assert {len(zone.ask("some.example.com")) for _ in range(20)} == {answers}
    file = write(world(zone, "living.example.com", health=HEALTH))
    cli.ok(*APPLY, file)
    zone.down.add("192.0.2.3")
    assert zone.ask("living.example.com") == ["192.0.2.1", "192.0.2.2", "192.0.2.4"]


def test_weights_where_equally_near(zone, cli, write):
    """A profile below the one by latency, which the alias must not see when it is written."""
    heavy = [*WORLD, {**NEAR, "weight": 9}]
    file = write(world(zone, endpoints=heavy, route="latency", health=HEALTH))
    cli.ok(*APPLY, file)
    assert plan_of(cli, file) == {}
    (below,) = [e for n, e in endpoints(top(zone)).items() if not n.startswith("ip-")]
    assert below["targetResourceId"].endswith("-a-germanywestcentral") and below["minChildEndpoints"] == 1
    drawn = [zone.ask(NAME, PLACES["Frankfurt"]) for _ in range(200)]
    share = sum(d == ["192.0.2.5"] for d in drawn) / len(drawn)
    assert 0.8 < share < 0.98, share
    zone.down.add("192.0.2.5")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"]
    zone.down.add("192.0.2.1")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.2"]


def test_a_fence_holds(zone, cli, write):
    """Also while it is built: clients in Europe see nothing else for a moment."""
    fence = [{"clients": ["EU"], "only": ["aws-fra"]}, {"clients": ["SA", "NA"], "only": ["dc1", "gcp-iowa"]}]
    spec = {"route": "latency", "health": HEALTH}
    file = write(world(zone, endpoints=WORLD[:1], **spec))
    cli.ok(*APPLY, file)
    file = write(world(zone, fence=fence, **spec))
    with watched(zone, NAME, PLACES["Dublin"]) as seen:
        cli.ok(*APPLY, file)
    assert seen == {("192.0.2.1",)}
    assert plan_of(cli, file) == {}
    zone.down |= {"192.0.2.1", "192.0.2.4"}
    assert zone.ask(NAME, PLACES["Dublin"]) == ["192.0.2.1"], "not even then"
    assert zone.ask(NAME, PLACES["Sao Paulo"]) == ["192.0.2.2"]
    assert zone.ask(NAME, PLACES["Cairo"]) == ["192.0.2.3"]
    zone.down.clear()
    name = "new.example.com"
    with watched(zone, name, PLACES["Dublin"]) as seen:
        cli.ok(*APPLY, write(world(zone, name, fence=fence, **spec)))
    assert seen == {(), ("192.0.2.1",)}


def test_a_fence_without_an_address_of_a_kind(zone, cli, write):
    fence = [{"clients": ["EU"], "only": ["aws-fra"]}]
    file = write(world(zone, endpoints=[*WORLD, NEAR], route="latency", fence=fence))
    assert "no AAAA records at all" in cli.ok(*APPLY, file).out
    assert zone.ask(NAME, PLACES["Tokyo"], "AAAA") == []


def test_from_kind_to_kind(zone, cli, write):
    """Plain, multivalue, weighted, latency, nested, fenced and back; at every moment there is an answer."""
    weighted = [{**e, "weight": i + 1} for i, e in enumerate(WORLD)]
    fence = [{"clients": ["EU"], "only": ["aws-fra", "near"]}]
    nested = [*weighted, {**NEAR, "weight": 7}]
    kinds = [
        world(zone),
        world(zone, health=HEALTH),
        world(zone, endpoints=weighted),
        world(zone, route="latency", health=HEALTH),
        world(zone, endpoints=nested, route="latency", health=HEALTH),
        world(zone, endpoints=nested, route="latency", health=HEALTH, fence=fence),
        world(zone, endpoints=nested, route="latency", ttl={"answer": 20}),
        world(zone),
        world(zone, endpoints=nested, route="latency", fence=fence),
        world(zone),
    ]
    files = [write(k, f"{i}.yaml") for i, k in enumerate(kinds)]
    cli.ok(*APPLY, files[0])
    with watched(zone, NAME) as seen:
        for f in files[1:]:
            cli.ok(*APPLY, f)
            assert plan_of(cli, f) == {}
    assert () not in seen and len(seen) > 3


def test_profiles_that_are_not_used_any_more(zone, cli, write):
    """Tagged first, and kept until nobody can still be led there; those of others are left alone."""
    tm = zone.traffic_manager
    theirs.world(tm)
    latency = world(zone, route="latency")
    for name in NAME, "other.example.com":
        cli.ok(*APPLY, write(world(zone, name, route="latency")))
    other = {p for p in zone.profiles if "unused" not in str(zone.profiles[p]["tags"])}
    cli.ok(*APPLY, write(world(zone)))
    (unused,) = [p for p in zone.profiles.values() if "kubecdn-unused-since" in p["tags"]]
    assert abs(int(unused["tags"]["kubecdn-unused-since"]) - time.time()) < 60
    # Taken into use again, and not deleted then.
    cli.ok(*APPLY, write(latency))
    assert set(zone.profiles) == other and "kubecdn-unused-since" not in str(zone.profiles)
    weighted = [{**e, "weight": 3 if e["id"] == "near" else 1} for e in [*WORLD, NEAR]]
    cli.ok(*APPLY, write(world(zone, endpoints=weighted, route="latency")))
    cli.ok(*APPLY, write(latency))
    for p in [p for p in zone.profiles.values() if "kubecdn-unused-since" in p["tags"]]:
        tags = {**p["tags"], "kubecdn-unused-since": str(int(time.time()) - 3600)}
        tm.profiles.update("dns", p["name"], {"tags": tags})
    cli.ok(*APPLY, write(world(zone, route="latency", ttl={"answer": 20})))
    assert set(zone.profiles) == other


def test_what_others_made(zone, cli, write):
    """Refused, and taken over on request; an A record or an alias without a gap, a CNAME with one call's."""
    sets, tm = zone.sets, zone.traffic_manager
    elsewhere = theirs.world(tm)
    theirs.put(sets, "a", "A", theirs.a_set("192.0.2.77", metadata={"by": "hand"}))
    cname = theirs.d.CnameRecord(cname="a.example.com")
    theirs.put(sets, "c", "CNAME", theirs.d.RecordSet(ttl=60, cname_record=cname))
    theirs.put(sets, "l", "A", theirs.alias(elsewhere))
    mark = theirs.d.RecordSet(ttl=60, txt_records=[theirs.d.TxtRecord(value=["v=kc1 o=else"])])
    theirs.put(sets, "_kc.m", "TXT", mark)
    before, profiles = zone.rrsets("example.com"), zone.profiles
    for label, says in (("a", "a A record"), ("c", "a CNAME record"), ("l", "a A record"), ("m", '"else"')):
        file = write(world(zone, f"{label}.example.com", route="latency"))
        assert_refused(cli.run(*APPLY, file), says)
        if label == "m":
            assert_refused(cli.run("dns", "adopt", "-f", file, "--yes"), says)
    assert zone.rrsets("example.com") == before and zone.profiles == profiles
    for label in "acl":
        name = f"{label}.example.com"
        file = write(world(zone, name, route="latency"))
        with watched(zone, name) as seen:
            cli.ok("dns", "adopt", "-f", file, "--yes")
        assert plan_of(cli, file) == {}
        # The watcher asks for addresses, and a CNAME leads to one that is not of this name.
        assert () not in seen or label == "c"
        assert zone.ask(name, PLACES["Tokyo"]) == ["192.0.2.3"]
    assert zone.profiles["world"] == profiles["world"]


def test_a_profile_of_somebody_else(zone, cli, write):
    """One with our name, that we did not make, is left alone: before the alias leads there, and after."""
    tm = zone.traffic_manager
    file = write(world(zone, route="latency"))
    cli.ok(*APPLY, file)
    name = top(zone)["name"]
    tm.profiles.update("dns", name, {"tags": {"team": "else"}})
    was = zone.profiles
    other = write(world(zone), "plain.yaml")
    for f in file, other:
        assert_refused(cli.run(*APPLY, f), name, "not by kubecdn")
    assert zone.profiles == was

    cli.ok(*APPLY, write(world(zone, "b.example.com")))
    cli.ok(*APPLY, write(world(zone, "b.example.com", route="latency")))
    (b,) = set(zone.profiles) - {name}
    cli.ok(*APPLY, write(world(zone, "b.example.com")))
    tm.profiles.update("dns", b, {"tags": {"team": "else"}})
    r = cli.run(*APPLY, write(world(zone, "b.example.com", route="latency")))
    assert_refused(r, b, "not by kubecdn")
    assert zone.ask("b.example.com") == EVERYBODY and zone.profiles[b]["tags"] == {"team": "else"}
    tm.profiles.delete("dns", b)
    zone.traffic.taken.add(b)
    r = cli.run(*APPLY, write(world(zone, "b.example.com", route="latency")))
    assert_refused(r, b, "taken elsewhere", "already exists")
    assert zone.ask("b.example.com") == EVERYBODY
    assert plan_of(cli, write(world(zone, "b.example.com"))) == {}


def test_changed_by_hand(zone, cli, write):
    """Endpoints and settings that somebody changed at Azure are seen, and put right."""
    tm = zone.traffic_manager
    file = write(world(zone, route="latency", health=HEALTH))
    cli.ok(*APPLY, file)
    name = top(zone)["name"]

    def endpoint(label, **changed):
        kind = "ExternalEndpoints"
        e = tm.endpoints.get("dns", name, kind, label)
        for k, v in changed.items():
            setattr(e, k, v)
        e.endpoint_monitor_status = None
        tm.endpoints.create_or_update("dns", name, kind, label, e)

    # The display name is the same place.
    endpoint("ip-192.0.2.3", endpoint_location="Japan East")
    assert plan_of(cli, file) == {}
    changes = [
        lambda: endpoint("ip-192.0.2.3", endpoint_location="West Europe"),
        lambda: endpoint("ip-192.0.2.3", endpoint_status="Disabled"),
        lambda: tm.endpoints.delete("dns", name, "ExternalEndpoints", "ip-192.0.2.1"),
        lambda: tm.profiles.update("dns", name, {"properties": {"profileStatus": "Disabled"}}),
        lambda: tm.profiles.update("dns", name, {"properties": {"trafficRoutingMethod": "Priority"}}),
        lambda: tm.profiles.update("dns", name, {"properties": {"monitorConfig": {"port": 8443}}}),
    ]
    for change in changes:
        change()
        assert plan_of(cli, file) == {f"{NAME}. A": "update"}
        cli.ok(*APPLY, file)
        assert plan_of(cli, file) == {}
        assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]
        assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"]
    tm.profiles.delete("dns", name)
    assert plan_of(cli, file) == {f"{NAME}. A": "update"}
    cli.ok(*APPLY, file)
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]


def test_apex_and_wildcard(zone, cli, write):
    for name, asked in (("example.com", "example.com"), ("*.w.example.com", "any.w.example.com")):
        file = write(world(zone, name, route="latency"))
        cli.ok(*APPLY, file)
        assert plan_of(cli, file) == {}
        assert zone.ask(asked, PLACES["Tokyo"]) == ["192.0.2.3"]


def test_a_place_that_is_given(zone, cli, write):
    named = [{**e, "near": {"azure": "northeurope"}} if e["id"] == "aws-fra" else e for e in WORLD]
    r = cli.ok(*APPLY, write(world(zone, endpoints=named, route="latency")))
    assert "aws-fra answers as northeurope, " in r.out
    assert endpoints(top(zone))["ip-192.0.2.1"]["endpointLocation"] == "northeurope"
    named[0]["near"] = {"azure": "nowhere"}
    r = cli.run(*APPLY, write(world(zone, endpoints=named, route="latency")))
    assert_refused(r, '"nowhere" is not a region of azure')


def test_fields(zone, cli, write):
    for field in "subscription", "resourceGroup":
        entry = zone.entry()
        del entry[field]
        assert_refused(cli.run("dns", "plan", "-f", write(policy(entry))), field, "azure needs it")
    r = cli.run("dns", "plan", "-f", write(policy(zone.entry(zoneId="Z1"))))
    assert_refused(r, "zoneId", "azure has no use for it")
    r = cli.run("dns", "plan", "-f", write(policy(zone.entry(endpoint="http://192.0.2.1"))))
    assert_refused(r, "https://")


def test_limits(zone, cli, write):
    many = [{"id": f"e{i}", "addresses": [f"192.0.2.{i}"]} for i in range(1, 22)]
    assert_refused(cli.run("dns", "plan", "-f", write(world(zone, endpoints=many))), "21 records", "takes 20")
    many = [{"id": f"e{i}", "addresses": [f"192.0.{n}.{i}" for n in range(2, 5)]} for i in range(1, 70)]
    file = write(world(zone, endpoints=many, health=HEALTH))
    assert_refused(cli.run("dns", "plan", "-f", file), "207 endpoints", "takes 200")


def test_delegation(zone, cli, write):
    r = cli.run("dns", "ns", "-f", write(policy(zone.entry())), "-o", "json")
    assert r.code == 0, r
    assert len(r.json["wanted"]) == 4 and all("azure-dns" in n for n in r.json["wanted"])
