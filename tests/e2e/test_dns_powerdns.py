"""PowerDNS chooses by place, health, weight and fence: real server, real checks, kdig as the client."""

import ipaddress
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.cli import assert_refused
from lab.dns import NAME, ORDER, PLACES, SITES, WORLD, Targets, plan_of, policy, powerdns_copy
from lab.hosts import wait_for
from lab.nameservers import PowerDNS
from sim.world import CLIENTS

NEAREST = {
    "Frankfurt": "127.0.1.1",
    "Cairo": "127.0.1.1",
    "New York": "127.0.1.2",
    "Tokyo": "127.0.1.3",
    "Sydney": "127.0.1.3",
    "Sao Paulo": "127.0.1.4",
}


@pytest.fixture(scope="module")
def pdns(tmp_path_factory, built):
    with PowerDNS(tmp_path_factory.mktemp("pdns") / "server") as s:
        yield s


@pytest.fixture
def targets():
    t = Targets(e["addresses"][0] for e in WORLD)
    yield t
    t.close()


def asked(server, name, place=None, kind="A"):
    subnet = [f"+subnet={PLACES[place]}"] if place else []
    return server.dig(name, kind, *subnet).get((f"{name}.", kind), (None, []))[1]


def endpoints(**changed):
    """WORLD with changes by id."""
    return {e["id"]: {**e, **changed.get(e["id"].replace("-", "_"), {})} for e in WORLD}


def test_the_nearest(pdns, cli, write):
    """Clients get the nearest endpoint; the policy's own distances, not the database's of endpoints."""
    file = write(policy(powerdns_copy(pdns), endpoints=endpoints(), route="latency"))
    assert plan_of(cli, file) == {f"{NAME}. LUA": "create", f"_kc.{NAME}. TXT": "create"}
    cli.ok("dns", "apply", "-f", file, "--yes")
    for place, address in NEAREST.items():
        assert asked(pdns, NAME, place) == [address], place
    assert plan_of(cli, file) == {}
    # One whose place nobody knows gets them all.
    assert asked(pdns, NAME) == [e["addresses"][0] for e in WORLD]


def test_without_places_it_is_refused(pdns, cli, write):
    file = write(policy(powerdns_copy(pdns, locations=False), endpoints=endpoints(), route="latency"))
    assert_refused(cli.run("dns", "plan", "-f", file), "geoip-database-files")


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_dead_ones_are_not_answered(pdns, cli, write, targets, protocol):
    name = f"{protocol}.example.com"
    spec = {"route": "latency", "health": targets.health(protocol), "ttl": {"answer": 5}}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints(), **spec))
    cli.ok("dns", "apply", "-f", file, "--yes")
    asked(pdns, name, "Frankfurt")
    time.sleep(1.5)
    for place, address in NEAREST.items():
        assert asked(pdns, name, place) == [address], place
    targets.stop("127.0.1.1")
    wait_for("Frankfurt to go elsewhere", lambda: asked(pdns, name, "Frankfurt") == ["127.0.1.2"], 10)
    assert asked(pdns, name, "Tokyo") == ["127.0.1.3"]
    for a in ("127.0.1.2", "127.0.1.3", "127.0.1.4"):
        targets.stop(a)
    # All dead: the nearest, as if all were alive.
    wait_for("the nearest again", lambda: asked(pdns, name, "Frankfurt") == ["127.0.1.1"], 10)
    targets.start("127.0.1.3")
    wait_for("the one that lives", lambda: asked(pdns, name, "Frankfurt") == ["127.0.1.3"], 10)
    cli.ok("dns", "verify", "-f", file)


def test_weights(pdns, cli, write):
    name = "weights.example.com"
    listed = {
        "a": {"id": "a", "addresses": ["192.0.2.1"], "weight": 9},
        "b": {"id": "b", "addresses": ["192.0.2.2"], "weight": 1},
    }
    cli.ok("dns", "apply", "-f", write(policy(powerdns_copy(pdns), name=name, endpoints=listed)), "--yes")
    drawn = [asked(pdns, name) for _ in range(200)]
    assert all(len(d) == 1 for d in drawn)
    share = sum(d == ["192.0.2.1"] for d in drawn) / len(drawn)
    assert 0.8 < share < 0.98, share


def test_at_most_so_many(pdns, cli, write):
    name = "some.example.com"
    many = {f"e{i}": [f"192.0.2.{i}", f"2001:db8::{i:x}"] for i in range(1, 10)}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=many, answers=3))
    cli.ok("dns", "apply", "-f", file, "--yes")
    drawn = [asked(pdns, name) for _ in range(20)]
    assert all(len(d) == 3 for d in drawn) and len({tuple(d) for d in drawn}) > 1
    assert len(asked(pdns, name, kind="AAAA")) == 3


def test_a_fence_holds(pdns, cli, write, targets):
    """Clients of a fence are never sent out of it, not even when all inside are dead."""
    name = "fence.example.com"
    fence = [{"clients": ["EU"], "only": ["aws-fra"]}, {"clients": ["SA", "NA"], "only": ["dc1", "gcp-iowa"]}]
    spec = {"route": "latency", "health": targets.health(), "fence": fence}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints(), **spec))
    cli.ok("dns", "apply", "-f", file, "--yes")
    asked(pdns, name, "Frankfurt")
    time.sleep(1.5)
    assert asked(pdns, name, "Dublin") == ["127.0.1.1"] and asked(pdns, name, "Sao Paulo") == ["127.0.1.4"]
    targets.stop("127.0.1.1")
    targets.stop("127.0.1.4")
    wait_for("the other of the fence", lambda: asked(pdns, name, "Sao Paulo") == ["127.0.1.2"], 10)
    assert asked(pdns, name, "Dublin") == ["127.0.1.1"]
    # A continent without a fence goes where it is nearest of those that live.
    assert asked(pdns, name, "Cairo") == ["127.0.1.3"]


def test_many_endpoints_in_one_script(pdns, cli, write):
    name = "many.example.com"
    many = {}
    for i in range(100):
        site = {"lat": -60 + i, "lon": -170 + 3.4 * i}
        many[f"e{i}"] = {"id": f"e{i}", "addresses": [f"192.0.2.{i + 1}"], "site": site}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=many, route="latency"))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}
    assert len(asked(pdns, name, "Tokyo")) == 1


def test_not_too_much_at_once(pdns, cli, write):
    """A change that sends more clients elsewhere than the policy allows is refused, whatever its kind."""
    name = "budget.example.com"
    budget = {"safety": {"maxTrafficShift": 30}, "route": "latency"}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints(), **budget))
    cli.ok("dns", "apply", "-f", file, "--yes")
    added = endpoints() | {"syd": {"id": "syd", "at": "aws/ap-southeast-2", "addresses": ["127.0.1.5"]}}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=added, **budget))
    r = cli.ok("dns", "apply", "-f", file, "--yes")
    assert "% of all clients are sent elsewhere" in r.out
    fewer = {i: e for i, e in added.items() if i not in ("aws-fra", "az-tyo")}
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=fewer, **budget))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert_refused(r, "of all clients elsewhere", "is 30 %", "--allow-shift")
    assert asked(pdns, name, "Frankfurt") == ["127.0.1.1"]
    r = cli.run("dns", "apply", "-f", file, "--yes", "--allow-shift", "10")
    assert_refused(r, "is 10 %")
    cli.ok("dns", "apply", "-f", file, "--yes", "--allow-shift", "100")
    assert asked(pdns, name, "Frankfurt") == ["127.0.1.2"]


def test_a_hand_made_script_is_left_alone(pdns, cli, write):
    name = "byhand.example.com"
    util = ["usr/bin/pdnsutil", f"--config-dir={pdns.folder}"]
    pdns.run(*util, "add-record", "example.com", "byhand", "LUA", "A \"ifportup(80, {'192.0.2.1'})\"")
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints()))
    assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), "has a LUA record", "dns adopt")
    cli.ok("dns", "adopt", "-f", file, "--yes")
    assert asked(pdns, name) == [e["addresses"][0] for e in WORLD]


def test_moved_between_kinds(pdns, cli, write):
    """Plain records to a script and back: at no moment without an answer."""
    name, seen, stop = "kinds.example.com", set(), threading.Event()
    plain = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints()), "plain.yaml")
    script = write(policy(powerdns_copy(pdns), name=name, endpoints=endpoints(), answers=2), "script.yaml")
    cli.ok("dns", "apply", "-f", plain, "--yes")

    def watch():
        while not stop.is_set():
            seen.add(len(asked(pdns, name)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for file in (script, plain, script):
        cli.ok("dns", "apply", "-f", file, "--yes")
        assert plan_of(cli, file) == {}
    stop.set()
    watcher.join()
    assert seen == {2, 4}




def test_regions_at_the_same_time(pdns, cli, write, keys):
    """Each publishes at once, and the script has them all: nobody overwrites anybody."""
    name, rounds = "collide.example.com", 1000 if os.environ.get("KC_NIGHTLY") else 6
    data = policy(powerdns_copy(pdns), name=name, route="latency")
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
            got = [asked(pdns, name, p) for p in ("Frankfurt", "New York", "Tokyo")]
            assert got == [[address] for _, address in done]
    assert plan_of(cli, file) == {}


def test_wrong_keys(pdns, cli, write, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("not this one\n")
    base = {"endpoints": endpoints(), "route": "latency"}
    file = write(policy(powerdns_copy(pdns, apiKeyFile=str(wrong)), **base))
    assert_refused(cli.run("dns", "plan", "-f", file), "the API key is refused")
    file = write(policy(powerdns_copy(pdns), **{**base, "zone": "com"}))
    assert_refused(cli.run("dns", "plan", "-f", file), "no zone com.")
    file = write(policy(powerdns_copy(pdns, api="http://127.0.0.1:1"), **base))
    assert_refused(cli.run("dns", "plan", "-f", file), "127.0.0.1:1")


def test_clients_are_where_the_database_says():
    """What the tests above rely on."""
    assert len(PLACES) == len(CLIENTS) and all(ipaddress.ip_network(s) for s in CLIENTS)
