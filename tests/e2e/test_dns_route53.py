"""The route53 back end at the simulated Route 53: what is sent, what clients get, what others made, and what
becomes of it when calls fail, get lost or are refused."""

import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from lab.cli import assert_refused
from lab.dns import ABROAD as WORLD
from lab.dns import HEALTH, NAME, ORDER, PLACES, SITES, copy_of, plan_of, policy, world
from lab.route53 import KEYS, Zone
from sim.route53 import refusal

NEAREST = {"Frankfurt": 1, "Cairo": 1, "New York": 2, "Tokyo": 3, "Sydney": 3, "Sao Paulo": 4}
CHANGE = "POST /2013-04-01/hostedzone/[^ ]*/rrset"


@pytest.fixture
def zone(built):
    with Zone() as z:
        yield z


@pytest.fixture
def cli(cli):
    cli.extra_env |= KEYS
    return cli


def test_a_life(zone, cli, write):
    """Two levels: a latency alias a region, and what is there, checked. The second plan is empty."""
    near = [*WORLD, {"id": "near", "at": "gcp/europe-west3", "addresses": ["192.0.2.5", "2001:db8::5"]}]
    file = write(world(zone, endpoints=near, route="latency", health=HEALTH))
    plan = plan_of(cli, file)
    assert plan[f"{NAME}. A"] == "create" and plan[f"_kc-eu-central-1.{NAME}. A"] == "create"
    assert not zone.items(NAME) and not zone.health_checks
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}
    top = [r for r in zone.items(NAME) if r["Name"] == f"{NAME}." and r["Type"] == "A"]
    assert {r["Region"] for r in top} >= {"eu-central-1", "ap-northeast-1", "sa-east-1"}
    assert all(r["AliasTarget"]["EvaluateTargetHealth"] for r in top)
    # Two clouds near Frankfurt: one region, both answered.
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1", "192.0.2.5"]
    assert zone.ask(NAME, PLACES["Tokyo"]) == ["192.0.2.3"]
    assert zone.ask(NAME, PLACES["Tokyo"], "AAAA") == ["2001:db8::5"]
    # Every address and family has a check of its own.
    checks = [c["HealthCheckConfig"] for c in zone.health_checks.values()]
    assert len(checks) == 6 and {c["Type"] for c in checks} == {"HTTPS"}
    assert {c["ResourcePath"] for c in checks} == {"/healthz"}

    sent = len(zone.requests)
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert {r.method for r in zone.requests[sent:]} == {"GET", "POST"} or all(
        "rrset" not in r.path for r in zone.requests[sent:] if r.method == "POST"
    )
    less = [{**e, "drain": e["id"] == "az-tyo"} for e in near]
    cli.ok("dns", "apply", "-f", write(world(zone, endpoints=less, route="latency", health=HEALTH)), "--yes")
    assert zone.ask(NAME, PLACES["Tokyo"]) != ["192.0.2.3"]
    assert not [r for r in zone.items(NAME) if r["Name"].startswith("_kc-ap-northeast-1")]


def test_the_nearest_and_failover(zone, cli, write):
    file = write(world(zone, route="latency", health=HEALTH, failover={"within": "90s"}))
    cli.ok("dns", "apply", "-f", file, "--yes")
    for place, n in NEAREST.items():
        assert zone.ask(NAME, PLACES[place]) == [f"192.0.2.{n}"], place
    check = next(iter(zone.health_checks.values()))["HealthCheckConfig"]
    # 10 s x 3, 10 s for a check to fail, TTL 30.
    assert (check["RequestInterval"], check["FailureThreshold"]) == (10, 3)
    zone.down.add("192.0.2.1")
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.2"]
    zone.down |= {"192.0.2.2", "192.0.2.3", "192.0.2.4"}
    assert zone.ask(NAME, PLACES["Frankfurt"]) == ["192.0.2.1"], "all dead: as if all were alive"


def test_too_quick_to_be_true(zone, cli, write):
    file = write(world(zone, route="latency", health=HEALTH, failover={"within": "30s"}))
    assert_refused(cli.run("dns", "plan", "-f", file), "within is 30 s", "needs 50 s at best")


def test_weights_and_one_answer(zone, cli, write):
    listed = [{"id": "a", "addresses": ["192.0.2.1"], "weight": 9}, {"id": "b", "addresses": ["192.0.2.2"]}]
    cli.ok("dns", "apply", "-f", write(world(zone, endpoints=listed)), "--yes")
    drawn = [zone.ask(NAME) for _ in range(200)]
    share = sum(d == ["192.0.2.1"] for d in drawn) / len(drawn)
    assert 0.8 < share < 0.98, share
    name = "one.example.com"
    many = [{"id": f"e{i}", "addresses": [f"192.0.2.{i}"]} for i in range(1, 5)]
    cli.ok("dns", "apply", "-f", write(world(zone, name, many, answers=1)), "--yes")
    assert {len(zone.ask(name)) for _ in range(20)} == {1}


def test_a_fence_holds(zone, cli, write):
    fence = [{"clients": ["EU"], "only": ["aws-fra"]}, {"clients": ["SA", "NA"], "only": ["dc1", "gcp-iowa"]}]
    file = write(world(zone, route="latency", health=HEALTH, fence=fence))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}
    zone.down |= {"192.0.2.1", "192.0.2.4"}
    assert zone.ask(NAME, PLACES["Dublin"]) == ["192.0.2.1"], "not even then"
    assert zone.ask(NAME, PLACES["Sao Paulo"]) == ["192.0.2.2"]
    assert zone.ask(NAME, PLACES["Cairo"]) == ["192.0.2.3"]


def test_from_kind_to_kind(zone, cli, write):
    """Plain, multivalue, weighted, latency and back; at every moment there is an answer."""
    seen, stop = set(), threading.Event()
    weighted = [{**e, "weight": i + 1} for i, e in enumerate(WORLD)]
    kinds = [
        world(zone),
        world(zone, health=HEALTH),
        world(zone, endpoints=weighted),
        world(zone, route="latency", health=HEALTH),
        world(zone),
    ]
    files = [write(k, f"{i}.yaml") for i, k in enumerate(kinds)]
    cli.ok("dns", "apply", "-f", files[0], "--yes")

    def watch():
        while not stop.is_set():
            seen.add(bool(zone.ask(NAME)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for f in files[1:]:
        cli.ok("dns", "apply", "-f", f, "--yes")
        assert plan_of(cli, f) == {}
    stop.set()
    watcher.join()
    assert seen == {True}


def boto(zone):
    return boto3.client(
        "route53",
        endpoint_url=zone.url,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )


def by_hand(zone, *records):
    """As somebody would with AWS's own tools."""
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": r} for r in records]}
    boto(zone).change_resource_record_sets(HostedZoneId=zone.zone_ids["example.com"], ChangeBatch=batch)


def record(name, value, kind="A", **more):
    return {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}], **more}


def test_what_others_made(zone, cli, write):
    latency = {"SetIdentifier": "by-hand", "Region": "eu-west-1"}
    by_hand(
        zone,
        record("a.example.com", "192.0.2.77"),
        record("c.example.com", "a.example.com", "CNAME"),
        record("l.example.com", "192.0.2.78", **latency),
        record("_kc.m.example.com", '"v=kc1 o=else"', "TXT"),
    )
    before = zone.rrsets("example.com")
    for label, says in (("a", "a A record"), ("c", "a CNAME record"), ("l", "a A record"), ("m", '"else"')):
        file = write(world(zone, f"{label}.example.com"))
        assert_refused(cli.run("dns", "apply", "-f", file, "--yes"), says)
        if label == "m":
            assert_refused(cli.run("dns", "adopt", "-f", file, "--yes"), says)
    assert zone.rrsets("example.com") == before
    for label in "acl":
        seen, stop, name = set(), threading.Event(), f"{label}.example.com"

        def watch(name=name, seen=seen, stop=stop):
            while not stop.is_set():
                seen.add(bool(zone.ask(name)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        file = write(world(zone, name, route="latency"))
        cli.ok("dns", "adopt", "-f", file, "--yes")
        stop.set()
        watcher.join()
        assert plan_of(cli, file) == {}
        assert seen == {True} or label == "c" and True in seen, "an alias leaves no gap"
        assert zone.ask(name, PLACES["Tokyo"]) == ["192.0.2.3"]


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




@pytest.mark.parametrize("route", ["latency", "any"])
def test_regions_at_the_same_time(zone, cli, write, keys, route):
    """The fault this is all about: each publishes at once, and all are there, with their policy."""
    rounds = 1000 if os.environ.get("KC_NIGHTLY") else 6
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
            assert sorted(sum(got, [])) == expected and all(len(g) == 1 for g in got), got
            # By the listing of AWS's own client: a latency record a region.
            listed = boto(zone).list_resource_record_sets(HostedZoneId=zone.zone_ids["example.com"])
            top = [r for r in listed["ResourceRecordSets"] if r["Name"] == f"{NAME}." and "Region" in r]
            assert {r["Region"] for r in top} == {"eu-central-1", "us-east-2", "ap-northeast-1"}
    assert plan_of(cli, file) == {}


def test_checks_stay_when_other_names_change(zone, cli, write):
    """A change of plain hosts, also one that is taken back, tells nothing of which checks are in use."""

    def file(address):
        listed = [{"name": "plain.example.com", "addresses": [address]}] if address else []
        return write(world(zone, route="latency", health=HEALTH, hosts=listed, verify={"within": "1s"}))

    def unused():
        return [k for k, tags in zone.tags.items() if "kubecdn.io/unused-since" in tags]

    cli.ok("dns", "apply", "-f", file(None), "--yes")
    checks = set(zone.health_checks)
    assert len(checks) == len(WORLD) and not unused()
    zone.pending = math.inf
    assert "taken back" in cli.run("dns", "apply", "-f", file("192.0.2.77"), "--yes").err
    zone.pending = 0
    zone.settle()
    assert set(zone.health_checks) == checks and not unused()
    cli.ok("dns", "apply", "-f", file("192.0.2.78"), "--yes")
    assert set(zone.health_checks) == checks and not unused()


@pytest.mark.parametrize("how", ["lose", "drop", "html"])
def test_calls_that_go_wrong(zone, cli, write, how):
    """Each call once, of whatever kind: the same command, or the same again, leads to the same end."""
    one = world(zone, route="latency", health=HEALTH)
    file = write(one)
    cli.ok("dns", "plan", "-f", file)
    calls = "GET .*rrset", "GET .*healthcheck", "POST .*healthcheck", "POST .*tags", CHANGE, "GET .*/change/"
    for i, call in enumerate(calls):
        name = f"w{i}.example.com"
        file = write(world(zone, name, route="latency", health=HEALTH))
        zone.fault(call, how)
        r = cli.run("dns", "apply", "-f", file, "--yes")
        if r.code:
            r = cli.ok("dns", "apply", "-f", file, "--yes")
        assert plan_of(cli, file) == {}, call
        assert zone.ask(name, PLACES["Tokyo"]) == ["192.0.2.3"]
    checks = [c["CallerReference"] for c in zone.health_checks.values()]
    assert len(checks) == len(set(checks)) == 4 * len(calls), "none was made twice"


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


def test_killed_at_each_call(zone, cli, write):
    """The name has what was, or what is to be, and the same command leads to that."""
    plain, latency = world(zone), world(zone, route="latency", health=HEALTH)
    files = [write(plain, "plain.yaml"), write(latency, "latency.yaml")]
    cli.ok("dns", "apply", "-f", files[0], "--yes")
    everybody = [e["addresses"][0] for e in WORLD]
    for n in range(1, 40):
        file = files[n % 2]
        killer = Killer(zone, n)
        killer.process = cli.start("dns", "apply", "-f", file, "--yes")
        killer.process.wait(60)
        zone.faults.clear()
        assert zone.ask(NAME, PLACES["Tokyo"]) in (everybody, ["192.0.2.3"]), n
        cli.ok("dns", "apply", "-f", file, "--yes")
        assert plan_of(cli, file) == {}
        if killer.count < n:
            break
    assert n > 5


def test_throttled_and_busy(zone, cli, write):
    zone.fault("POST", lambda r: refusal("Throttling", "Rate exceeded"), times=2)
    zone.fault(CHANGE, lambda r: refusal("PriorRequestNotComplete", "still processing"))
    file = write(world(zone))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert plan_of(cli, file) == {}


def test_stuck(zone, cli, write):
    """Pending for ever: taken back, and the name is as it was."""
    cli.ok("dns", "apply", "-f", write(world(zone)), "--yes")
    zone.pending = float("inf")
    r = cli.run("dns", "apply", "-f", write(world(zone, route="latency", verify={"within": "1s"})), "--yes")
    assert_refused(r, "not served", "taken back")
    zone.pending = 0
    zone.settle()
    assert zone.ask(NAME) == [e["addresses"][0] for e in WORLD]
    assert plan_of(cli, write(world(zone))) == {}


def test_refused(zone, cli, write):
    """What is not allowed, not there, or too much: a line each, and nothing is changed."""
    before = zone.rrsets("example.com")
    apply = ["dns", "apply", "--yes", "-f"]
    zone.deny.add("ChangeResourceRecordSets")
    assert_refused(cli.run(*apply, write(world(zone))), "ChangeResourceRecordSets", "not authorized|denied")
    zone.deny = {"ListResourceRecordSets"}
    assert_refused(cli.run(*apply, write(world(zone))), "ListResourceRecordSets")
    zone.deny = {"CreateHealthCheck"}
    assert_refused(cli.run(*apply, write(world(zone, health=HEALTH))), "CreateHealthCheck")
    zone.deny = set()
    data = {**world(zone), "metadata": {"name": "www.example.net"}}
    data["spec"]["zone"] = "example.net"
    assert_refused(cli.run(*apply, write(data)), "example.net")
    file = write(policy(zone.entry(zoneId="ZNONE")))
    assert_refused(cli.run(*apply, file), "ZNONE")
    many = [{"id": f"e{i}", "addresses": [f"192.0.2.{i}", f"198.51.100.{i}"]} for i in range(1, 70)]
    file = write(world(zone, endpoints=many, health=HEALTH))
    assert_refused(cli.run(*apply, file), "138 records", "takes 100")
    cli.extra_env |= {"AWS_SECRET_ACCESS_KEY": "wrong"}
    assert_refused(cli.run(*apply, write(world(zone))), "SignatureDoesNotMatch|signature")
    for k in KEYS:
        del cli.extra_env[k]
    cli.extra_env["AWS_EC2_METADATA_DISABLED"] = "true"
    assert_refused(cli.run(*apply, write(world(zone))), "credentials")
    assert zone.rrsets("example.com") == before and not zone.health_checks


def test_clock_skew(zone, cli, write):
    zone.skew = 3600
    cli.ok("dns", "apply", "-f", write(world(zone)), "--yes")


def test_checks_that_are_not_used_any_more(zone, cli, write):
    """Marked first, and kept until nobody can be about to use them; those of others are left alone."""
    config = {"IPAddress": "192.0.2.9", "Port": 80, "Type": "HTTP"}
    config |= {"RequestInterval": 30, "FailureThreshold": 3}
    boto(zone).create_health_check(CallerReference="somebody's", HealthCheckConfig=config)
    cli.ok("dns", "apply", "-f", write(world(zone, health=HEALTH)), "--yes")
    assert len(zone.health_checks) == 5
    cli.ok("dns", "apply", "-f", write(world(zone, health={**HEALTH, "port": 8443})), "--yes")
    assert len(zone.health_checks) == 9
    old = [i for i, c in zone.health_checks.items() if c["HealthCheckConfig"]["Port"] == 443]
    tags = boto(zone).list_tags_for_resources(ResourceType="healthcheck", ResourceIds=old)
    since = [
        {t["Key"]: t["Value"] for t in s["Tags"]}["kubecdn.io/unused-since"] for s in tags["ResourceTagSets"]
    ]
    assert all(abs(int(s) - time.time()) < 60 for s in since)
    for i in old:
        tag = [{"Key": "kubecdn.io/unused-since", "Value": str(int(time.time()) - 3600)}]
        boto(zone).change_tags_for_resource(ResourceType="healthcheck", ResourceId=i, AddTags=tag)
    cli.ok("dns", "apply", "-f", write(world(zone, health={**HEALTH, "port": 8444})), "--yes")
    ports = sorted(c["HealthCheckConfig"]["Port"] for c in zone.health_checks.values())
    assert ports == [80] + [8443] * 4 + [8444] * 4
    # What is marked is not taken again.
    cli.ok("dns", "apply", "-f", write(world(zone, health={**HEALTH, "port": 8443})), "--yes")
    assert sum(c["HealthCheckConfig"]["Port"] == 8443 for c in zone.health_checks.values()) == 8


def test_given_up(zone, cli, write):
    before = zone.rrsets("example.com")
    file = write(world(zone, route="latency", health=HEALTH, ttl={"answer": 5}))
    cli.ok("dns", "apply", "-f", file, "--yes")
    cli.ok("dns", "delete", "-f", file, "--yes", "--wait")
    assert zone.rrsets("example.com") == before and not zone.health_checks


def test_delegation(zone, knot, cli, write):
    """Two copies of a zone: who is to be named in the parent, and what is missing at each apex."""
    file = write(policy(zone.entry(), copy_of(knot)))
    r = cli.run("dns", "ns", "-f", file, "-o", "json")
    wanted = r.json["wanted"]
    assert "ns.example.com." in wanted and sum("awsdns" in n for n in wanted) == 2
    r = cli.run("dns", "ns", "-f", file)
    assert r.code == 2, r
    assert "route53 zone example.com: add NS ns.example.com. at the apex" in r.out
    assert f"rfc2136 127.0.0.1 port {knot.port}: add NS ns-" in r.out
    cli.ok("dns", "ns", "-f", write(policy(zone.entry())))
    r = cli.run("dns", "ns", "-f", write(policy(zone.entry(ns=5))))
    assert_refused(r, r"publish\[0\].ns is 5", "route53 has 4")


def test_many_names(zone, cli, write):
    """In few batches, of which the first one's reply is lost; what others have among them stays theirs."""
    hosts = [{"name": f"h{i}.example.com", "addresses": [f"198.51.100.{i}"]} for i in range(250)]
    by_hand(
        zone,
        {"Name": "h5.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.5"}]},
        {
            "Name": "h6.example.com",
            "Type": "A",
            "SetIdentifier": "x",
            "Weight": 1,
            "TTL": 60,
            "ResourceRecords": [{"Value": "192.0.2.6"}],
        },
    )
    cli.ok("dns", "apply", "-f", write(world(zone)), "--yes")
    file, sent = write(world(zone, hosts=hosts)), len(zone.requests)
    zone.fault(CHANGE, "lose")
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert r.code == 3 and len(r.error_lines) == 2, r
    assert "h5.example.com. has a A record" in r.err
    assert "h6.example.com. has a A record that is routed" in r.err
    changes = [q for q in zone.requests[sent:] if q.method == "POST" and q.path.endswith("/rrset")]
    assert len(changes) < 8, "a few batches, not one a name"
    assert zone.ask("h249.example.com") == ["198.51.100.249"] and zone.ask("h5.example.com") == ["192.0.2.5"]
    # Sixteen addresses each are more than a batch takes at once.
    for h in hosts[10:]:
        h["addresses"] = [f"203.0.113.{i}" for i in range(16)]
    write(world(zone, hosts=hosts[10:]))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert len(zone.ask("h249.example.com")) == 16
    assert plan_of(cli, file) == {}
