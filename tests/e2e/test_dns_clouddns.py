"""The clouddns back end at the simulated Cloud DNS: what is written, what clients get, what others made, and
health checks. What becomes of it when calls fail is in test_dns_clouddns_faults.py."""

import threading
import time

import pytest
from lab.cli import assert_refused
from lab.clouddns import ZONE, Zone, record
from lab.dns import ABROAD as WORLD
from lab.dns import HEALTH, NAME, PLACES, plan_of, policy, world
from sim.world import CLIENTS, km

AT = {place[0]: place[1:3] for place in CLIENTS.values()}
# Of Google's regions: Frankfurt, Iowa, Tokyo, Sao Paulo.
WHERE = {1: (50.11, 8.68), 2: (41.26, -95.86), 3: (35.68, 139.69), 4: (-23.55, -46.63)}


@pytest.fixture
def zone(built):
    with Zone() as z:
        yield z


@pytest.fixture
def cli(cli, zone, tmp_path):
    cli.extra_env |= zone.keys(tmp_path)
    return cli


def apply(cli, write, data, name="policy.yaml"):
    file = write(data, name)
    r = cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}
    return r


def geo(zone, name=NAME, kind="A"):
    """{region: targets} of a policy."""
    found = zone.state()[f"{name}.", kind]["routingPolicy"]["geo"]["items"]
    return {
        i["location"]: i["rrdatas"] or i["healthCheckedTargets"]["externalEndpoints"] for i in found
    }


class Watch:
    """Asks all the time; `seen` is whether there was an answer."""

    def __init__(self, zone, name):
        self.zone, self.name, self.seen, self.stop = zone, name, set(), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            self.seen.add(bool(self.zone.ask(self.name)))

    def __enter__(self):
        self.thread.start()
        return self.seen

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()


def test_a_life(zone, cli, write):
    """One rrset a family, an item a region. The second plan is empty, and the zone's own records stay."""
    apex = zone.state()
    near = [*WORLD, {"id": "near", "at": "aws/eu-central-1", "addresses": ["192.0.2.5", "2001:db8::5"]}]
    data = world(zone, endpoints=near, route="latency", health=HEALTH)
    file = write(data)
    plan = plan_of(cli, file)
    assert plan[f"{NAME}. A"] == "create" and plan[f"{NAME}. AAAA"] == "create"
    assert zone.state() == apex and not zone.health_checks, "a plan changes nothing"
    apply(cli, write, data)
    assert geo(zone) == {
        "europe-west3": ["192.0.2.1", "192.0.2.5"],
        "us-central1": ["192.0.2.2"],
        "asia-northeast1": ["192.0.2.3"],
        "southamerica-east1": ["192.0.2.4"],
    }
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1", "192.0.2.5"]
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]
    assert zone.ask(NAME, PLACES["Tokyo"], "AAAA") == ["2001:db8::5"]
    # One check for all, of both families.
    (check,) = zone.health_checks.values()
    assert check["type"] == "HTTPS" and len(check["sourceRegions"]) == 3
    assert check["httpsHealthCheck"]["requestPath"] == "/healthz"
    assert check["httpsHealthCheck"]["host"] == NAME

    sent = len(zone.requests)
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert {r.method for r in zone.requests[sent:] if r.path != "/token"} == {"GET"}
    less = [{**e, "drain": e["id"] == "az-tyo"} for e in near]
    apply(cli, write, world(zone, endpoints=less, route="latency", health=HEALTH))
    assert "asia-northeast1" not in geo(zone)
    assert zone.state().items() >= apex.items()


def test_the_nearest_and_failover(zone, cli, write):
    data = world(zone, route="latency", health=HEALTH, failover={"within": "125s"})
    apply(cli, write, data)
    for place, subnet in PLACES.items():
        n = min(WHERE, key=lambda n, p=place: km(AT[p], WHERE[n]))
        assert zone.ask(NAME, subnet) == [f"192.0.2.{n}"], place
    (check,) = zone.health_checks.values()
    # 30 s x 3, 5 s for a check to fail, TTL 30.
    assert (check["checkIntervalSec"], check["unhealthyThreshold"], check["timeoutSec"]) == (30, 3, 5)
    zone.down.add("192.0.2.1")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.2"]
    zone.down |= {"192.0.2.2", "192.0.2.3", "192.0.2.4"}
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"], "all dead: as if all were alive"
    zone.down.clear()
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"]


def test_how_quick_it_has_to_be(zone, cli, write):
    """Each limit of the arithmetic: what is allowed one failure less, and what cannot be."""
    for within, failures in (("124s", 2), ("95s", 2), ("94s", 1), ("65s", 1)):
        apply(cli, write, world(zone, route="latency", health=HEALTH, failover={"within": within}))
        used = zone.state()[f"{NAME}.", "A"]["routingPolicy"]["healthCheck"].split("/")[-1]
        assert zone.health_checks[used]["unhealthyThreshold"] == failures, within
    for within in ("64s", "60s"):
        file = write(world(zone, health=HEALTH, failover={"within": within}))
        r = cli.run("dns", "plan", "-f", file)
        assert_refused(r, f"within is {within[:-1]} s", "needs 65 s at best", "every 30 s")


def test_weights_and_one_answer(zone, cli, write):
    listed = [{"id": "a", "addresses": ["192.0.2.1"], "weight": 9}, {"id": "b", "addresses": ["192.0.2.2"]}]
    apply(cli, write, world(zone, endpoints=listed, health=HEALTH))
    drawn = [zone.ask(NAME) for _ in range(200)]
    share = sum(d == ["192.0.2.1"] for d in drawn) / len(drawn)
    assert 0.8 < share < 0.98, share
    zone.down.add("192.0.2.1")
    assert {tuple(zone.ask(NAME)) for _ in range(20)} == {("192.0.2.2",)}
    name = "one.example.com"
    many = [{"id": f"e{i}", "addresses": [f"192.0.2.{i}"]} for i in range(1, 5)]
    apply(cli, write, world(zone, name, many, answers=1))
    assert {len(zone.ask(name)) for _ in range(20)} == {1}
    assert len({tuple(zone.ask(name)) for _ in range(60)}) == 4


def test_all_that_are_alive(zone, cli, write):
    apply(cli, write, world(zone, health=HEALTH))
    assert len(zone.ask(NAME)) == 4
    zone.down |= {"192.0.2.1", "192.0.2.3"}
    assert zone.ask(NAME) == ["192.0.2.2", "192.0.2.4"]


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_kinds_of_checks(zone, cli, write, protocol):
    apply(cli, write, world(zone, health={"protocol": protocol, "port": 8080}))
    (check,) = zone.health_checks.values()
    block = check[f"{protocol}HealthCheck"]
    assert check["type"] == protocol.upper() and block["port"] == 8080
    assert block.get("host") == (NAME if protocol == "http" else None)


def test_what_cannot_be_said(zone, cli, write):
    """Weights within a region: all alike, and the plan says so. A fence: refused, with the reason."""
    two = [{**WORLD[0]}, {"id": "own", "at": "gcp/europe-west3", "addresses": ["192.0.2.9"], "weight": 5}]
    file = write(world(zone, endpoints=two, route="latency"))
    assert "clouddns: spread approximated: equal shares" in cli.ok("dns", "plan", "-f", file).out
    file = write(world(zone, fence=[{"clients": ["EU"], "only": ["aws-fra"]}]))
    assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "spec.fence", "by continent")
    assert NAME not in str(zone.state())


def test_from_kind_to_kind(zone, cli, write):
    """Plain, checked, weighted, by place and back; at every moment there is an answer."""
    weighted = [{**e, "weight": i + 1} for i, e in enumerate(WORLD)]
    kinds = [
        world(zone, health=HEALTH),
        world(zone, endpoints=weighted),
        world(zone, route="latency"),
        world(zone, route="latency", health=HEALTH),
        world(zone),
    ]
    apply(cli, write, world(zone))
    with Watch(zone, NAME) as seen:
        for k in kinds:
            apply(cli, write, k)
    assert seen == {True}
    assert zone.state()[f"{NAME}.", "A"]["rrdatas"] == [f"192.0.2.{n}" for n in range(1, 5)]


def test_a_wildcard(zone, cli, write):
    apply(cli, write, world(zone, "*.example.com", route="latency", health=HEALTH))
    assert zone.ask("any.example.com", PLACES["Tokyo"]) == ["192.0.2.3"]
    (check,) = zone.health_checks.values()
    assert check["httpsHealthCheck"]["host"] == "example.com"


def test_what_others_made(zone, cli, write):
    url = zone.check_by_hand("somebodys")
    items = [
        {"location": "us-east1", "healthCheckedTargets": {"externalEndpoints": ["192.0.2.79", "192.0.2.78"]}},
        {"location": "asia-east1", "healthCheckedTargets": {"externalEndpoints": ["192.0.2.77"]}},
    ]
    backup = {
        "primaryTargets": {"externalEndpoints": ["192.0.2.70"]},
        "backupGeoTargets": {"items": [{"location": "us-east1", "rrdatas": ["192.0.2.71"]}]},
        "trickleTraffic": 0.1,
    }
    zone.by_hand(
        record("a.example.com", "192.0.2.78", "192.0.2.77"),
        record("c.example.com", "a.example.com.", kind="CNAME"),
        record("g.example.com", routingPolicy={"geo": {"items": items}, "healthCheck": url}),
        record("b.example.com", routingPolicy={"primaryBackup": backup, "healthCheck": url}),
        record("_kc.m.example.com", '"v=kc1 o=else"', kind="TXT"),
        record("_kc.n.example.com", '"mine"', kind="TXT"),
    )
    before = zone.state()
    refusals = dict.fromkeys("agb", "an? A") | {"c": "a CNAME", "m": '"else"', "n": "not by kubecdn"}
    for label, says in refusals.items():
        file = write(world(zone, f"{label}.example.com", health=HEALTH))
        assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), says)
        if label in "mn":
            assert_refused(cli.run("dns", "adopt", "-f", file, "--yes"), says)
    assert zone.state() == before and set(zone.health_checks) == {"somebodys"}
    for label in "acgb":
        name = f"{label}.example.com"
        file = write(world(zone, name, route="latency", health=HEALTH))
        with Watch(zone, name) as seen:
            cli.ok("dns", "adopt", "-f", file, "--yes")
        assert plan_of(cli, file) == {}
        # A CNAME is no A record for who asks for one by name only.
        assert seen == {True} or label == "c"
        assert zone.ask(name, PLACES["Tokyo"]) == ["192.0.2.3"]
    kept = ("_kc.m.example.com.", "TXT"), ("_kc.n.example.com.", "TXT")
    assert all(zone.state()[k] == before[k] for k in kept)
    assert "somebodys" in zone.health_checks


def test_changed_by_hand(zone, cli, write):
    """Drift in a policy and in its check is seen, and put right."""
    data = world(zone, route="latency", health=HEALTH)
    apply(cli, write, data)
    file, (name,) = write(data), zone.health_checks
    check = zone.health_checks[name]
    check["unhealthyThreshold"] = 9
    assert plan_of(cli, file) == {f"{NAME}. A": "update"}
    apply(cli, write, data)
    assert geo(zone)["us-central1"] == ["192.0.2.2"]
    used = zone.state()[f"{NAME}.", "A"]["routingPolicy"]["healthCheck"]
    assert not used.endswith(f"/{name}"), "what somebody changed is left to them"
    old = zone.state()[f"{NAME}.", "A"]
    new = {**old, "routingPolicy": {"geo": {"items": [{"location": "us-east1", "rrdatas": ["192.0.2.66"]}]}}}
    changes = f"/dns/v1/projects/p/managedZones/{ZONE}/changes"
    zone.manual("POST", changes, {"deletions": [old], "additions": [new]})
    assert plan_of(cli, file) == {f"{NAME}. A": "update"}
    apply(cli, write, data)
    assert zone.ask(NAME, PLACES["New York"]) == ["192.0.2.2"]


def test_checks_that_are_not_used_any_more(zone, cli, write):
    """Marked first, and kept until nobody can be about to use them; those of others are left alone."""
    zone.check_by_hand("kc-somebodys")
    other = world(zone, "other.example.com", health=HEALTH)
    apply(cli, write, other)

    def ports():
        ours = [c for c in zone.health_checks.values() if c["type"] == "HTTPS"]
        return sorted(c["httpsHealthCheck"]["port"] for c in ours)

    apply(cli, write, world(zone, health=HEALTH))
    apply(cli, write, world(zone, health={**HEALTH, "port": 8443}))
    assert ports() == [443, 443, 8443]
    marked = [c for c in zone.health_checks.values() if "not used since" in c.get("description", "")]
    (old,) = marked
    assert abs(int(old["description"].split()[-1]) - time.time()) < 60
    # What is marked is not taken again.
    apply(cli, write, world(zone, health=HEALTH))
    assert ports() == [443, 443, 443, 8443]
    old = zone.health_checks[old["name"]]
    old["description"] = f"kubecdn: not used since {int(time.time()) - 3600}"
    apply(cli, write, world(zone, health={**HEALTH, "port": 8444}))
    assert old["name"] not in zone.health_checks
    assert ports() == [443, 443, 8443, 8444]
    assert zone.ask("other.example.com") == zone.ask(NAME)
    assert "kc-somebodys" in zone.health_checks


def test_given_up(zone, cli, write):
    before = zone.state()
    file = write(world(zone, route="latency", health=HEALTH, ttl={"answer": 5}))
    cli.ok("dns", "apply", "-f", file, "--yes")
    cli.ok("dns", "delete", "-f", file, "--yes", "--wait")
    assert zone.state() == before and not zone.health_checks


def test_a_signed_zone(built, cli, write, tmp_path):
    """With DNSSEC an item has one checked address: what has more is refused before anything is done."""
    with Zone(signed=[ZONE]) as zone:
        cli.extra_env |= zone.keys(tmp_path)
        before = zone.state()
        near = [*WORLD, {"id": "near", "at": "gcp/europe-west3", "addresses": ["192.0.2.5"]}]
        file = write(world(zone, endpoints=near, route="latency", health=HEALTH))
        assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "DNSSEC", "one address")
        file = write(world(zone, health=HEALTH))
        assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "DNSSEC", "spec.answers to 1")
        assert zone.state() == before and not zone.health_checks
        apply(cli, write, world(zone, route="latency", health=HEALTH))
        apply(cli, write, world(zone, health=HEALTH, answers=1))
        apply(cli, write, world(zone, endpoints=near, route="latency"))
        assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1", "192.0.2.5"]


def test_delegation(zone, cli, write):
    r = cli.ok("dns", "ns", "-f", write(policy(zone.entry())), "-o", "json")
    assert r.json["wanted"] == sorted(f"ns-cloud-a{i}.googledomains.test." for i in range(1, 5))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"project": None}, "missing; clouddns needs it"),
        ({"managedZone": None}, "missing; clouddns needs it"),
        ({"zoneId": "Z1"}, "clouddns"),
        ({"tsig": {"name": "kc", "secretFile": "kc.secret"}}, "clouddns"),
        ({"endpoint": "dns.googleapis.com"}, "no URL"),
        ({"project": 7}, "string"),
    ],
)
def test_bad_fields(zone, cli, write, entry, says):
    data = policy({k: v for k, v in zone.entry(**entry).items() if v is not None})
    assert_refused(cli.run("dns", "plan", "-f", write(data)), says, where=r":\d+:\d+: ")
    assert not zone.requests
