"""The clouddns back end when many write at once, and when calls fail, get lost, are refused or never end."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.cli import assert_refused
from lab.clouddns import ZONE, Zone, record
from lab.dns import ABROAD as WORLD
from lab.dns import HEALTH, NAME, ORDER, PLACES, SITES, plan_of, policy, world
from lab.hosts import run
from sim.clouddns import EXHAUSTED, LIMITED, UNAVAILABLE

EVERYBODY = [e["addresses"][0] for e in WORLD]
CHANGE = "POST .*/changes"


@pytest.fixture
def zone(built):
    with Zone() as z:
        yield z


@pytest.fixture
def cli(cli, zone, tmp_path):
    cli.extra_env |= zone.keys(tmp_path)
    return cli


def test_one_wins(zone, cli, write):
    """Forty owners want a new name, at once."""
    name = "race.example.com"
    files = [
        write(
            policy(zone.entry(), name=name, owner=f"fleet{i}", endpoints={"e": [f"192.0.2.{i + 1}"]}),
            f"{i}.yaml",
        )
        for i in range(40)
    ]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda f: cli.run("dns", "apply", "-f", f, "--yes"), files))
    (winner,) = [i for i, r in enumerate(results) if r.code == 0]
    for i, r in enumerate(results):
        if i != winner:
            assert_refused(r, f'belongs to "fleet{winner}"|somebody else changed it')
    assert zone.ask(name) == [f"192.0.2.{winner + 1}"]


def test_one_owner_at_two_places(zone, cli, write):
    """The same policy twice at once: both succeed, or one says that it was late; one check is made."""
    file = write(world(zone, route="latency", health=HEALTH))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: cli.run("dns", "apply", "-f", file, "--yes"), range(4)))
    assert any(r.code == 0 for r in results)
    for r in results:
        if r.code:
            assert_refused(r, "somebody else changed it")
    assert plan_of(cli, file) == {} and len(zone.health_checks) == 1


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("keys"), {}
    for region in ("eu", "us", "ap"):
        file = folder / f"{region}.key"
        file.touch(mode=0o600)
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", file)
        made[region] = file, run("openssl", "pkey", "-in", file, "-pubout").stdout.splitlines()[1]
    return made




@pytest.mark.parametrize("route", ["latency", "any"])
def test_regions_at_the_same_time(zone, cli, write, keys, route):
    """The fault this is all about: each publishes at once into one rrset, and all are there."""
    rounds = 1000 if os.environ.get("KC_NIGHTLY") else 10
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
            done = list(pool.map(lambda r, i=i: claim(i, r), ORDER))
            assert [r.code for r, _ in done] == [0, 0, 0], done
            expected = sorted(address for _, address in done)
            if route == "any":
                assert zone.ask(NAME) == expected
                continue
            got = [zone.ask(NAME, PLACES[p]) for p in ("Frankfurt", "New York", "Tokyo")]
            assert got == [[address] for _, address in done], got
    assert plan_of(cli, file) == {}


@pytest.mark.parametrize("how", ["lose", "drop", "html"])
def test_calls_that_go_wrong(zone, cli, write, how):
    """Each call once, of whatever kind: the same command, or the same again, leads to the same end."""
    calls = (
        "POST /token",
        "GET .*/managedZones/[^/ ]*\\?",
        "GET .*/rrsets",
        "GET .*/healthChecks\\?",
        "POST .*/healthChecks",
        "GET .*/healthChecks/kc-",
        CHANGE,
        "GET .*/changes/",
    )
    for i, call in enumerate(calls):
        name = f"w{i}.example.com"
        file = write(world(zone, name, route="latency", health=HEALTH))
        zone.fault(call, how)
        r = cli.run("dns", "apply", "-f", file, "--yes")
        assert zone.faults.pop().times == 0, f"{call} was not called"
        if r.code:
            r = cli.ok("dns", "apply", "-f", file, "--yes")
        assert plan_of(cli, file) == {}, call
        assert zone.ask(name, PLACES["Tokyo"]) == ["192.0.2.3"]
    assert len(zone.health_checks) == len(calls), "none was made twice"


class Killer:
    """Ends the program in the middle of its n-th request, after the server has done it."""

    def __init__(self, zone, n):
        self.zone, self.n, self.count, self.process = zone, n, 0, None
        self.lock, self.ready = threading.Lock(), threading.Event()
        zone.fault(".", self.handle, times=1000)

    def handle(self, request):
        with self.lock:
            self.count += 1
            mine = self.count == self.n
        reply = self.zone.handle(request)
        if mine:
            self.ready.wait(10)
            self.process.kill()
        return reply


def test_killed_at_each_call(zone, cli, write):
    """The name has what was, or what is to be, and the same command leads to that."""
    others = {**HEALTH, "port": 8443}
    kinds = world(zone), world(zone, route="latency", health=HEALTH), world(zone, health=others)
    files = [write(k, f"{i}.yaml") for i, k in enumerate(kinds)]
    cli.ok("dns", "apply", "-f", files[0], "--yes")
    longest = 0
    for n in range(1, 40):
        for file in files:
            killer = Killer(zone, n)
            killer.process = cli.start("dns", "apply", "-f", file, "--yes")
            killer.ready.set()
            killer.process.wait(60)
            zone.faults.clear()
            longest = max(longest, killer.count)
            assert zone.ask(NAME, PLACES["Tokyo"]) in (EVERYBODY, ["192.0.2.3"]), n
            cli.ok("dns", "apply", "-f", file, "--yes")
            assert plan_of(cli, file) == {}
        if longest < n:
            break
    assert n > 8, "there are more calls than that"
    used = {r["routingPolicy"]["healthCheck"] for r in zone.state().values() if "routingPolicy" in r}
    assert used <= {c["selfLink"] for c in zone.health_checks.values()}


@pytest.mark.parametrize("how", [EXHAUSTED, LIMITED, UNAVAILABLE])
def test_throttled_and_busy(zone, cli, write, how):
    zone.fault("POST .*/(changes|healthChecks)", how, times=2)
    zone.fault("GET", how, times=2)
    file = write(world(zone, health=HEALTH))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {} and len(zone.health_checks) == 1


def test_an_expired_token(zone, cli, write):
    """In the middle of an apply: a new one is fetched."""
    zone.fault(CHANGE, lambda r: (zone.expire_tokens(), zone.handle(r))[1])
    file = write(world(zone))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}


def test_stuck(zone, cli, write):
    """Pending for ever: taken back, and the name is as it was, at every moment."""
    seen, stop = set(), threading.Event()
    cli.ok("dns", "apply", "-f", write(world(zone)), "--yes")

    def watch():
        while not stop.is_set():
            seen.add(bool(zone.ask(NAME)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    zone.pending = 3600
    file = write(world(zone, route="latency", verify={"within": "1s"}))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert_refused(r, "still pending", "not served", "taken back")
    stop.set()
    watcher.join()
    zone.pending = 0
    assert seen == {True} and zone.ask(NAME) == EVERYBODY
    assert plan_of(cli, write(world(zone))) == {}


def test_servers_that_lag(zone, cli, write):
    """Done, and not served yet: that is waited for; not for ever."""
    cli.ok("dns", "apply", "-f", write(world(zone)), "--yes")
    zone.lag = 1
    moved = [{**WORLD[2], "addresses": ["192.0.2.99"]}]
    latency = write(world(zone, endpoints=moved, route="latency"), "latency.yaml")
    cli.ok("dns", "apply", "-f", latency, "--yes")
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.99"]
    zone.lag = 3600
    file = write(world(zone, endpoints=WORLD[:2], verify={"within": "1s"}))
    assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "not served", "taken back")
    assert plan_of(cli, latency) == {}


@pytest.mark.parametrize(
    "permission",
    [
        "dns.managedZones.get",
        "dns.resourceRecordSets.list",
        "dns.changes.create",
        "dns.resourceRecordSets.create",
        "dns.changes.get",
        "compute.healthChecks.list",
        "compute.healthChecks.create",
        "compute.healthChecks.get",
        "compute.globalOperations.get",
    ],
)
def test_a_permission_is_missing(zone, cli, write, permission):
    """Named, and the name is as it was."""
    before = zone.state()
    zone.deny.add(permission)
    zone.pending = 1 if "Operations" in permission else 0
    file = write(world(zone, health=HEALTH, verify={"within": "1s"}))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    # Cloud DNS names none itself.
    says = f"'{permission}'" if permission.startswith("compute.") else "roles/dns.admin"
    assert_refused(r, says, "kubecdn@p")
    assert zone.state() == before


def test_refused(zone, cli, write, tmp_path):
    """What is not there, or too much, or no key: a line each, and nothing is changed."""
    before = zone.state()

    def refused(data, *says):
        assert_refused(cli.run("dns", "apply", "--yes", "-f", write(data)), *says)

    refused(policy(zone.entry(managedZone="none")), "managedZones/none", "does not exist")
    refused(policy(zone.entry(project="other")), "projects/other", "forbidden|permission")
    data = {**world(zone), "metadata": {"name": "www.example.net"}}
    data["spec"]["zone"] = "example.net"
    refused(data, "managedZone example-com", "example.com., not example.net.")
    many = [
        {"id": f"e{i}", "addresses": [f"192.0.2.{i}", f"198.51.100.{i}"], "weight": i} for i in range(1, 70)
    ]
    refused(world(zone, endpoints=many), "138 addresses", "takes 100")
    alike = [{k: v for k, v in e.items() if k != "weight"} for e in many]
    refused(world(zone, endpoints=alike), "138 addresses", "takes 100")
    refused(world(zone, endpoints=alike, health=HEALTH), "138 addresses", "takes 100")
    key = tmp_path / "key.json"
    info = json.loads(key.read_text())
    wrong = {**info, "client_email": "nobody@p.iam.gserviceaccount.com"}
    for text, says in (
        (json.dumps(wrong), "nobody@p|account not found"),
        (json.dumps({**info, "private_key": "none"}), "private_key"),
        ("{", "key.json"),
        (json.dumps({**info, "type": "other"}), "other"),
    ):
        key.write_text(text)
        refused(world(zone), says)
    key.write_text(json.dumps(info))
    key.chmod(0o644)
    refused(world(zone), "others may read", "chmod 600")
    key.unlink()
    refused(world(zone), "key.json")
    assert zone.state() == before and not zone.health_checks


def test_replies_that_make_no_sense(zone, cli, write):
    """An error that says what is wrong; never taken for "there is nothing"."""
    file = write(world(zone, health=HEALTH))
    cli.ok("dns", "apply", "-f", file, "--yes")
    before = zone.state()
    bad = [
        {"rrsets": [{"name": f"{NAME}.", "type": "A", "ttl": 30}]},
        {"rrsets": [{"name": f"{NAME}.", "type": "A", "ttl": 30, "rrdatas": [7]}]},
        {"rrsets": [{"name": f"{NAME}.", "type": "A", "rrdatas": ["192.0.2.1"]}]},
        {"rrsets": [{"type": "A", "ttl": 30, "rrdatas": ["192.0.2.1"]}]},
        {"rrsets": {}},
        {"rrsets": "none"},
    ]
    for body in bad:

        def reply(request, body=body):
            answer = zone.handle(request)
            answer.body = json.dumps(body).encode()
            return answer

        zone.fault(f"GET .*/rrsets.name={NAME}", reply, times=9)
        r = cli.run("dns", "apply", "-f", write(world(zone)), "--yes")
        zone.faults.clear()
        assert r.code == 1 and len(r.error_lines) == 1, (body, r)
    zone.zones[ZONE].origin, kept = "example.org.", zone.zones[ZONE].origin
    assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "example.org., not example.com.")
    zone.zones[ZONE].origin = kept
    assert zone.state() == before


def test_many_names(zone, cli, write):
    """In batches of one step each, of which a reply is lost; what others have among them is left alone."""
    hosts = [{"name": f"h{i}.example.com", "addresses": [f"198.18.0.{i + 1}"]} for i in range(250)]
    wrr = {"items": [{"weight": 1, "rrdatas": ["192.0.2.9"]}]}
    taken = [
        record("h5.example.com", "192.0.2.9", "192.0.2.3"),
        record("h6.example.com", routingPolicy={"wrr": wrr}),
        record("_kc.h7.example.com", '"v=kc1 o=else"', kind="TXT"),
    ]
    zone.by_hand(*taken)
    before = zone.state()
    file = write(policy(zone.entry(), hosts=hosts))
    zone.fault(CHANGE, "lose")
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert r.code == 3, r
    for name in ("h5", "h6", "h7"):
        assert f"{name}.example.com." in r.err, r
    assert zone.state().items() >= before.items()
    assert zone.ask("h249.example.com") == ["198.18.0.250"] and not zone.ask("h7.example.com")
    changes = [q for q in zone.requests if q.method == "POST" and q.path.endswith("/changes")]
    assert len(changes) < 10, "a few changes, not one a name"
    r = cli.run("dns", "adopt", "-f", file, "--yes")
    assert "h7.example.com." in r.err and "h6.example.com." in r.err and "h5" not in r.err, r
    assert zone.ask("h5.example.com") == ["198.18.0.6"] and zone.ask("h6.example.com") == ["192.0.2.9"]
    sent = len(zone.requests)
    cli.run("dns", "plan", "-f", file)
    assert len(zone.requests) - sent < 12, "the zone is listed, not asked name by name"
