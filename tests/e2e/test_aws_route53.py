"""clouds/aws/route53 against the simulated Route 53: every call, and what it refuses."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.cli import REPO
from sim.route53 import Route53

CLIENT = Path(os.environ.get("KC_BUILD", REPO / "build" / "release")) / "tests" / "aws-client"


@pytest.fixture
def sim():
    if not CLIENT.exists():
        pytest.skip(f"{CLIENT} is not built")
    with Route53(zones=["example.com"]) as sim:
        yield sim


class Client:
    """The driver, kept running: one question a call."""

    def __init__(self, url, home):
        env = {"HOME": str(home), "AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}
        env |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
        self.process = subprocess.Popen(
            [CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def __call__(self, do, **q):
        self.process.stdin.write(json.dumps({"do": do} | q) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ok(self, do, **q):
        got = self(do, **q)
        assert "ok" in got, got
        return got["ok"]


@pytest.fixture
def client(sim, tmp_path):
    c = Client(sim.url, tmp_path)
    yield c
    c.process.stdin.close()
    assert c.process.wait(20) == 0


@pytest.fixture
def zone(client):
    return client.ok("zone_find", name="Example.com")


def record(name, value, **more):
    return {"name": name, "type": "A", "ttl": 30, "data": [value]} | more


def create(*rrsets):
    return [{"action": "CREATE", "rrset": r} for r in rrsets]


def test_zone(client, zone):
    got = client.ok("zone", zone=zone)
    assert (got["id"], got["name"], got["private"]) == (zone, "example.com.", False)
    assert len(got["ns"]) == 4 and all(n.endswith(".") for n in got["ns"])
    ns = next(r for r in client.ok("rrsets", zone=zone) if r["type"] == "NS")
    assert ns["data"] == got["ns"]
    assert client("zone_find", name="other.example")["error"] == "not-found"
    assert client("zone", zone="Z404")["error"] == "not-found"


def test_what_is_written_reads_the_same(sim, client, zone):
    check = client.ok(
        "health_create", reference="r1", config={"IPAddress": "192.0.2.1", "Port": 80, "Type": "TCP"}
    )
    wanted = [
        record("*.example.com.", "192.0.2.9"),
        {"name": "t.example.com.", "type": "TXT", "ttl": 60, "data": ['"a<b&c\\"d"', '"v=1 o=kc"']},
        record("w.example.com.", "192.0.2.1", set="kc/a", weight=0, health=check["id"]),
        record("w.example.com.", "192.0.2.2", set="kc/b & c", weight=3),
        record("m.example.com.", "192.0.2.1", set="1", multi=True),
        record("f.example.com.", "192.0.2.1", set="p", failover="PRIMARY", health=check["id"]),
        record("f.example.com.", "192.0.2.2", set="s", failover="SECONDARY"),
        {
            "name": "www.example.com.",
            "type": "A",
            "set": "eu-central-1",
            "region": "eu-central-1",
            "alias": {"zone": zone, "name": "w.example.com.", "evaluate": True},
        },
    ]
    change = client.ok("change", zone=zone, changes=create(*wanted), comment="epoch 1 <&>")
    assert client.ok("change_done", id=change) is None
    got = [r for r in client.ok("rrsets", zone=zone) if r["type"] not in ("NS", "SOA")]
    key = lambda r: (r["name"], r.get("set", ""))  # noqa: E731
    assert sorted(got, key=key) == sorted(wanted, key=key)
    assert client.ok("rrsets", zone=zone, name="W.example.com") == wanted[2:4]
    assert client.ok("rrsets", zone=zone, name="nothing.example.com") == []
    answer = client.ok("test", zone=zone, name="www.example.com", type="A", subnet="192.0.2.0")
    assert answer["rcode"] == "NOERROR" and answer["data"] == ["192.0.2.2"]
    for r in got:  # what was read can be deleted
        client.ok("change", zone=zone, changes=[{"action": "DELETE", "rrset": r}]) if "alias" in r else None
    rest = [{"action": "DELETE", "rrset": r} for r in got if "alias" not in r]
    client.ok("change", zone=zone, changes=rest)
    assert {r["type"] for r in client.ok("rrsets", zone=zone)} == {"NS", "SOA"}


def test_compare_and_swap(client, zone):
    one, two = record("www.example.com.", "192.0.2.1"), record("www.example.com.", "192.0.2.2")
    swap = [{"action": "DELETE", "rrset": one}, {"action": "CREATE", "rrset": two}]
    client.ok("change", zone=zone, changes=create(one))
    client.ok("change", zone=zone, changes=swap)
    for changes in swap, create(one):
        got = client("change", zone=zone, changes=changes)
        assert (got["error"], got["aws"]) == ("conflict", "InvalidChangeBatch")
        assert "www.example.com" in got["text"]
    assert client.ok("rrsets", zone=zone, name="www.example.com.") == [two]
    upsert = [{"action": "UPSERT", "rrset": two}]
    assert client("change", zone=zone, changes=upsert)["text"] == '"UPSERT" is neither CREATE nor DELETE'


def test_lost_change_happened(sim, client, zone):
    sim.fault("POST .*/rrset", "lose")
    got = client("change", zone=zone, changes=create(record("www.example.com.", "192.0.2.1")))
    assert got["error"] == "again" and "may have happened" in got["text"]
    assert len(client.ok("rrsets", zone=zone, name="www.example.com.")) == 1


def test_pages(sim, client, zone):
    """Also inside of a set that shares name and type."""
    records = [record("www.example.com.", "192.0.2.1", set=f"s{i:03}", weight=1) for i in range(90)]
    records += [record(f"h{i:03}.example.com.", "192.0.2.1") for i in range(560)]
    client.ok("change", zone=zone, changes=create(*records))
    before = len(sim.requests)
    got = client.ok("rrsets", zone=zone)
    assert len(got) == len(records) + 2
    assert len(sim.requests) - before == 3


def test_pending(sim, client, zone):
    sim.pending = 3600
    change = client.ok("change", zone=zone, changes=create(record("www.example.com.", "192.0.2.1")))
    got = client("change_done", id=change)
    assert got["error"] == "again" and change in got["text"]
    assert client("change_done", id="C404")["error"] == "not-found"


CONFIG = {
    "IPAddress": "192.0.2.1",
    "Port": 443,
    "Type": "HTTPS",
    "ResourcePath": "/healthz?a=1&b=<2>",
    "FullyQualifiedDomainName": "www.example.com",
    "RequestInterval": 10,
    "FailureThreshold": 3,
    "EnableSNI": True,
    "Regions": ["eu-west-1", "us-east-1", "us-west-1"],
}


def test_health_checks(sim, client):
    made = client.ok("health_create", reference="kc-1", config=CONFIG)
    assert made["version"] == 1 and CONFIG.items() <= made["config"].items()
    assert client.ok("health_create", reference="kc-1", config=CONFIG)["id"] == made["id"]
    got = client("health_create", reference="kc-1", config=CONFIG | {"Port": 80})
    assert got["error"] == "conflict"
    sim.fault("POST .*/healthcheck", "lose")
    again = client.ok("health_create", reference="kc-2", config=CONFIG)
    assert len(client.ok("health_list")) == 2

    new = client.ok(
        "health_update",
        id=made["id"],
        version=1,
        config={"ResourcePath": "/new", "Regions": CONFIG["Regions"]},
    )
    assert (new["version"], new["config"]["ResourcePath"]) == (2, "/new")
    got = client("health_update", id=made["id"], version=1, config={"Port": 1})
    assert got["error"] == "conflict"
    got = client("health_update", id=made["id"], version=2, config={"Type": "TCP"})
    assert "cannot be changed" in got["text"]
    assert client.ok("health_get", id=made["id"]) == new

    client.ok("health_tag", id=made["id"], tags={"Name": "a <&> b", "kubecdn": "o"})
    ids = [made["id"], again["id"]]
    assert client.ok("health_tags", ids=ids) == {ids[0]: {"Name": "a <&> b", "kubecdn": "o"}, ids[1]: {}}
    for id_ in ids:
        client.ok("health_delete", id=id_)
    assert client.ok("health_list") == []
    assert client("health_delete", id=ids[0])["error"] == "not-found"


def test_many_health_checks(client):
    ids = [client.ok("health_create", reference=f"r{i}", config=CONFIG)["id"] for i in range(12)]
    assert sorted(client.ok("health_tags", ids=ids)) == sorted(ids)


def test_within_the_rate(tmp_path):
    """Our buckets are the service's: nothing is ever refused for being too much."""
    with Route53(zones=["example.com"], throttle=True) as sim:
        client = Client(sim.url, tmp_path)
        zone = client.ok("zone_find", name="example.com")
        for _ in range(70):
            client.ok("zone", zone=zone)
        assert len(sim.requests) == 71
        client.process.stdin.close()
        assert client.process.wait(20) == 0
