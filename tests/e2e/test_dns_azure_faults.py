"""The azure back end where calls fail, get lost, are refused or throttled, where the program is killed, and
where many write at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.azure import EVERYBODY, NEAR, Zone
from lab.cli import assert_refused
from lab.dns import ABROAD as WORLD
from lab.dns import APPLY, HEALTH, NAME, ORDER, PLACES, SITES, plan_of, policy, watched, world
from sim import azure_clients as theirs
from sim.azure_errors import answer

NIGHTLY = os.environ.get("KC_NIGHTLY")
FENCE = [{"clients": ["EU"], "only": ["aws-fra", "near"]}]
NESTED = [*WORLD, {**NEAR, "weight": 3}]


@pytest.fixture
def zone(built, tmp_path):
    with Zone(tmp_path / "azure") as z:
        yield z


@pytest.fixture
def cli(cli, zone):
    cli.extra_env |= zone.env()
    return cli


def kinds(zone, name=NAME):
    """Policies that need each kind of call."""
    return {
        "plain": world(zone, name),
        "latency": world(zone, name, route="latency", health=HEALTH),
        "nested": world(zone, name, endpoints=NESTED, route="latency", health=HEALTH),
        "fenced": world(zone, name, endpoints=NESTED, route="latency", health=HEALTH, fence=FENCE),
    }


@pytest.mark.parametrize("route", ["any", "latency"])
def test_one_wins(zone, cli, write, route):
    """Forty owners want a new name, at once: nothing is left of those that lose, and from the first answer
    on there always is one."""
    name = "race.example.com"

    def wish(i):
        listed = {"e": {"id": "e", "at": "aws/eu-central-1", "addresses": [f"192.0.2.{i + 1}"]}}
        return policy(zone.entry(), name=name, owner=f"fleet{i}", endpoints=listed, route=route)

    files = [write(wish(i), f"{i}.yaml") for i in range(40)]
    order, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            order.append(bool(zone.ask(name)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda f: cli.run(*APPLY, f), files))
    stop.set()
    watcher.join()
    (winner,) = [i for i, r in enumerate(results) if r.code == 0]
    for i, r in enumerate(results):
        if i != winner:
            assert_refused(r, f'belongs to "fleet{winner}"|somebody else changed it')
    assert zone.ask(name) == [f"192.0.2.{winner + 1}"]
    assert len(zone.records()) == 2 and len(zone.profiles) == (route == "latency")
    assert order == sorted(order), "it was answered, and then it was not"


@pytest.mark.parametrize("route", ["latency", "any"])
def test_regions_at_the_same_time(zone, cli, write, keys, route):
    """Each publishes at once, from the very first, and all are there; the name never is empty again."""
    rounds = 1000 if NIGHTLY else 20
    data = policy(zone.entry(), name=NAME, route=route)
    data["spec"]["endpoints"] = []
    data["spec"]["regions"] = [{"name": n, "publicKey": keys[n][1], "at": SITES[n]} for n in ORDER]
    file = write(data)

    def claim(i, region):
        address = f"198.18.{4 * ORDER[region] + i // 250}.{i % 250}"
        args = ["--region", region, "--key", keys[region][0], "--addresses", address, "--yes"]
        return cli.run("dns", "claim", "-f", file, *args), address

    with ThreadPoolExecutor(3) as pool:
        for i in range(rounds):
            with watched(zone, NAME) as seen:
                done = list(pool.map(lambda r, i=i: claim(i, r), ORDER))
            assert [r.code for r, _ in done] == [0, 0, 0], done
            assert () not in seen or i == 0
            expected = [address for _, address in done]
            if route == "any":
                assert zone.ask(NAME) == sorted(expected)
            else:
                got = [zone.ask(NAME, PLACES[p]) for p in ("Frankfurt", "New York", "Tokyo")]
                assert got == [[e] for e in expected]
    assert plan_of(cli, file) == {}


def test_policy_and_claim_at_the_same_time(zone, cli, write, keys):
    """An operator changes what kind of answer it is while regions claim."""
    data = policy(zone.entry(), name=NAME)
    data["spec"]["endpoints"] = []
    data["spec"]["regions"] = [{"name": n, "publicKey": keys[n][1], "at": SITES[n]} for n in ORDER]
    files = []
    for i, route in enumerate(("latency", "any")):
        data["spec"]["route"] = route
        files.append(write(data, f"{i}.yaml"))

    def claim(i, region):
        args = ["--region", region, "--key", keys[region][0], "--addresses", f"198.18.{ORDER[region]}.{i}"]
        return cli.run("dns", "claim", "-f", files[i % 2], *args, "--yes")

    for region in ORDER:
        assert claim(0, region).code == 0
    with ThreadPoolExecutor(4) as pool:
        for i in range(1, 8):
            with watched(zone, NAME) as seen:
                jobs = [pool.submit(claim, i, r) for r in ORDER]
                change = pool.submit(cli.run, *APPLY, files[i % 2])
                assert [j.result().code for j in jobs] == [0, 0, 0], [j.result() for j in jobs]
                r = change.result()
            if r.code:
                assert_refused(r, "somebody else changed it")
            assert () not in seen
            assert plan_of(cli, files[i % 2]) == {}


# A call, and policies of kinds() that lead to it, one after the other.
CALLS = [
    ("POST .*oauth2", "plain"),
    ("GET .*/dnsZones/example.com[?]", "plain"),
    ("GET .*/A/", "plain"),
    ("GET .*TXT", "plain"),
    ("PUT .*TXT", "plain latency"),
    ("PUT .*dnsZones/example.com/A/", "plain latency plain"),
    ("PUT .*dnsZones/example.com/AAAA/", "nested"),
    ("DELETE .*dnsZones/example.com/AAAA/", "nested plain"),
    ("GET .*trafficmanagerprofiles[?]", "latency"),
    ("GET .*trafficmanagerprofiles/", "latency nested"),
    ("PUT .*trafficmanagerprofiles/[^/]*-a[?]", "latency fenced"),
    ("PUT .*trafficmanagerprofiles/[^/]*-germanywestcentral[?]", "nested"),
    ("PUT .*NestedEndpoints", "latency nested"),
    ("DELETE .*ExternalEndpoints", "latency nested"),
    ("PATCH .*trafficmanagerprofiles", "latency plain"),
]


@pytest.mark.parametrize("how", ["lose", "drop", "html"])
def test_calls_that_go_wrong(zone, cli, write, how):
    """Each call once, of whatever kind: the same command, or the same again, leads to the same end, and
    nothing is there twice."""
    for i, (call, sequence) in enumerate(CALLS):
        name, used = f"w{i}.example.com", False
        for kind in sequence.split():
            file = write(kinds(zone, name)[kind])
            zone.fault(call, how)
            r = cli.run(*APPLY, file)
            hit = not zone.faults[-1].times
            zone.faults.clear()
            if r.code:
                assert hit, r
                cli.ok(*APPLY, file)
            assert plan_of(cli, file) == {}, (call, kind)
            assert zone.ask(name, PLACES["Tokyo"]) == (EVERYBODY if kind == "plain" else ["192.0.2.3"])
            used = used or hit
        assert used, call


class Killer:
    """Ends the program in the middle of its n-th request, after the server has done it."""

    def __init__(self, zone, n):
        self.zone, self.n, self.count, self.process = zone, n, 0, None
        self.lock = threading.Lock()
        zone.fault(".", self.handle, times=1000)

    def handle(self, request):
        with self.lock:
            self.count += 1
            mine = self.count == self.n
        reply = self.zone.handle(request)
        if mine:
            self.process.kill()
        return reply


@pytest.mark.parametrize("one,other", [("plain", "fenced"), ("latency", "nested"), (None, "nested")])
def test_killed_at_each_call(zone, cli, write, one, other):
    """The name has an answer, and the same command leads to what is wanted. Also if the policy that is
    applied next is the old one."""
    both = [write(kinds(zone)[k], f"{k}.yaml") if k else None for k in (one, other)]
    for back in [False, True] if one else [False]:
        for n in range(1 + back, 60, 1 if NIGHTLY or not one else 2):
            if one:
                cli.ok(*APPLY, both[0])
            killer = Killer(zone, n)
            killer.process = cli.start(*APPLY[:2], "-f", both[1], "--yes")
            killer.process.wait(60)
            zone.faults.clear()
            # All, the nearest, or what stands for a moment.
            assert not one or zone.ask(NAME, PLACES["Tokyo"]) in [EVERYBODY, *([a] for a in EVERYBODY)], n
            next_file = both[0] if back else both[1]
            with watched(zone, NAME) as seen:
                cli.ok(*APPLY, next_file)
            assert () not in seen or not one
            assert plan_of(cli, next_file) == {}
            if not one:
                zone.zones["example.com"].sets = {
                    k: v for k, v in zone.zones["example.com"].sets.items() if k[0] == "@"
                }
                zone.traffic.profiles.clear()
            if killer.count < n:
                break
        assert n > 10


def test_killed_while_a_name_goes(zone, cli, write):
    before = zone.rrsets("example.com")
    file = write(world(zone, endpoints=NESTED, route="latency"))
    gone = theirs.d.RecordSet(ttl=30, txt_records=[theirs.d.TxtRecord(value=["v=kc1 o=prod t=1000000000"])])
    for n in range(1, 60, 1 if NIGHTLY else 2):
        cli.ok(*APPLY, file)
        theirs.put(zone.sets, f"_kc.{NAME.split('.')[0]}", "TXT", gone)
        killer = Killer(zone, n)
        killer.process = cli.start("dns", "delete", "-f", file, "--yes")
        killer.process.wait(60)
        zone.faults.clear()
        cli.ok("dns", "delete", "-f", file, "--yes")
        assert zone.rrsets("example.com") == before and not zone.profiles, n
        if killer.count < n:
            break
    assert n > 20


def test_taken_back(zone, cli, write):
    """A call in the middle that fails for good: all is as it was, and the name never was empty."""
    refused = answer(400, {"error": {"code": "BadRequest", "message": "no such thing today"}})
    cli.ok(*APPLY, write(kinds(zone)["plain"]))
    before, writes = zone.rrsets("example.com"), [c for c, _ in CALLS if c[:3] in ("PUT", "DEL")]
    for call in writes:
        for kind in "latency", "nested", "fenced":
            zone.fault(call, lambda r: refused)
            with watched(zone, NAME) as seen:
                r = cli.run(*APPLY, write(kinds(zone)[kind]))
            hit = not zone.faults[-1].times
            zone.faults.clear()
            assert () not in seen
            assert (r.code != 0) == hit, (call, kind, r)
            if not hit:
                cli.ok(*APPLY, write(kinds(zone)["plain"]))
                continue
            assert_refused(r, "no such thing today")
            assert zone.rrsets("example.com") == before
            assert plan_of(cli, write(kinds(zone)["plain"], "p.yaml")) == {}


def test_a_new_name_that_fails(zone, cli, write):
    """Nothing is left of it."""
    before = zone.rrsets("example.com")
    for call in ("PUT .*dnsZones/example.com/A/", "PUT .*-a[?]", "PUT .*NestedEndpoints"):
        zone.fault(call, lambda r: answer(400, {"error": {"code": "BadRequest", "message": "not today"}}))
        assert_refused(cli.run(*APPLY, write(kinds(zone)["nested"])), "not today")
        assert zone.rrsets("example.com") == before and not zone.profiles, call


def test_somebody_makes_records_meanwhile(zone, cli, write):
    """Between our look and our write: they stay, and nothing of ours."""
    sets = zone.sets

    def meanwhile(request):
        theirs.put(sets, "www", "A", theirs.a_set("192.0.2.77"))
        return zone.handle(request)

    for kind, call in ("plain", "PUT .*/A/www"), ("latency", "PUT .*-a[?]"):
        zone.fault(call, meanwhile)
        r = cli.run(*APPLY, write(kinds(zone)[kind]))
        zone.faults.clear()
        assert_refused(r, "somebody else|did not make")
        assert set(zone.records()) == {(f"{NAME}.", "A")}
        assert zone.ask(NAME) == ["192.0.2.77"]
        sets.delete("dns", "example.com", "www", "A")


def test_throttled(zone, cli, write):
    zone.throttle("PUT .*TXT", times=2)
    zone.throttle("PUT .*trafficmanagerprofiles", action="Microsoft.Network/trafficManagerProfiles/write")
    file = write(kinds(zone)["latency"])
    cli.ok(*APPLY, file)
    assert plan_of(cli, file) == {}


def test_not_served(zone, cli, write):
    """What Azure does not serve in time is taken back."""
    cli.ok(*APPLY, write(kinds(zone)["plain"]))
    before = zone.rrsets("example.com")
    real, zone.answers = zone.answers, lambda *a: ("NOERROR", [], [])
    r = cli.run(*APPLY, write(world(zone, endpoints=NESTED, route="latency", verify={"within": "1s"})))
    assert_refused(r, "not served", "taken back")
    zone.answers = real
    assert zone.rrsets("example.com") == before
    assert plan_of(cli, write(kinds(zone)["plain"])) == {}


def test_taken_back_to_nested(zone, cli, write):
    """The alias has to be written again, and Azure takes it only of a flat profile."""
    file = write(kinds(zone)["nested"], "nested.yaml")
    cli.ok(*APPLY, file)
    real, zone.answers = zone.answers, lambda *a: ("NOERROR", [], [])
    assert_refused(cli.run(*APPLY, write(world(zone, verify={"within": "1s"}))), "not served", "taken back")
    zone.answers = real
    assert plan_of(cli, file) == {}
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]


ACTIONS = [
    ("dnsZones/read", "plain"),
    ("dnsZones/A/read", "plain"),
    ("dnsZones/TXT/write", "plain"),
    ("dnsZones/A/write", "plain"),
    ("trafficManagerProfiles/read", "latency"),
    ("trafficManagerProfiles/write", "latency"),
    ("trafficManagerProfiles/nestedEndpoints/write", "nested"),
]


@pytest.mark.parametrize("action,kind", ACTIONS)
def test_a_missing_permission(zone, cli, write, action, kind):
    """It is named, and nothing is left."""
    before, action = zone.rrsets("example.com"), f"Microsoft.Network/{action}"
    zone.deny.add(action)
    r = cli.run(*APPLY, write(kinds(zone)[kind]))
    assert_refused(r, f"not allowed: {action}")
    zone.deny.clear()
    assert zone.rrsets("example.com") == before and not zone.profiles


def test_not_there(zone, cli, write):
    data = {**world(zone), "metadata": {"name": "www.example.net"}}
    data["spec"]["zone"] = "example.net"
    assert_refused(cli.run(*APPLY, write(data)), "example.net", "not found")
    for field in "subscription", "resourceGroup":
        r = cli.run(*APPLY, write(policy(zone.entry(**{field: "none"}))))
        assert_refused(r, "none", "could not be found")


def test_wrong_credentials(zone, cli, write):
    file = write(world(zone))
    for key, says in (("AZURE_CLIENT_SECRET", "7000215"), ("AZURE_TENANT_ID", "AADSTS")):
        right, cli.extra_env[key] = cli.extra_env[key], "wrong"
        assert_refused(cli.run(*APPLY, file), says)
        cli.extra_env[key] = right
    assert not zone.records()


def test_replies_that_make_no_sense(zone, cli, write):
    """An error, and never taken for absence."""
    file = write(kinds(zone)["latency"])
    cli.ok(*APPLY, file)
    for call, body in (
        ("GET .*/A/www", {"name": "www"}),
        ("GET .*/A/www", {"name": "www", "type": "A", "etag": "x", "properties": {}}),
        ("GET .*TXT", []),
        ("GET .*trafficmanagerprofiles", {"value": [{"name": "x"}]}),
        ("GET .*trafficmanagerprofiles", {"value": {}}),
    ):
        zone.fault(call, lambda r, body=body: answer(200, body))
        r = cli.run("dns", "plan", "-f", file)
        assert_refused(r, "no (string|integer|object|list)|not a JSON object")
        zone.faults.clear()
    name = next(iter(zone.profiles))
    for spoil in "trafficRoutingMethod", "dnsConfig", "monitorConfig", "endpoints":
        found = zone.profiles[name]
        del found["properties"][spoil]
        zone.fault("GET .*trafficmanagerprofiles", lambda r, v=found: answer(200, {"value": [v]}))
        assert_refused(cli.run("dns", "plan", "-f", file), spoil)
        zone.faults.clear()
