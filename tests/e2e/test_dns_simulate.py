"""`kubecdn dns simulate`: what it says is what clients of a real PowerDNS get; and what it says to people."""

import json
import os
import re
import socket

import pytest
from lab.cli import REPO, assert_refused
from lab.dns import NAME, WORLD, Targets, copy_of, policy, powerdns_copy
from lab.hosts import run, wait_for
from lab.nameservers import PowerDNS, free_port
from lab.route53 import KEYS, Zone
from sim.world import CLIENTS

GOLDEN = REPO / "tests/golden/dns/simulate.txt"
EXAMPLE = REPO / "examples/traffic-policy-world.yaml"
SUBNETS = {place[0]: subnet for subnet, place in CLIENTS.items()}
# Two that are as near as WORLD's in Frankfurt, and one elsewhere.
MORE = [
    {"id": "fra-2", "at": "aws/eu-central-1", "addresses": ["127.0.1.5"]},
    {"id": "gcp-fra", "at": "gcp/europe-west3", "addresses": ["127.0.1.6"], "capacity": 10},
    {"id": "syd", "site": {"lat": -33.9, "lon": 151.2}, "addresses": ["127.0.1.7"]},
]


def listed(endpoints):
    return {e["id"]: e for e in endpoints}


def simulated(cli, file, *args):
    """{(scenario, client): cell} of the first copy."""
    copy = cli.ok("dns", "simulate", "-f", file, "-o", "json", *args).json["copies"][0]
    return {(s["failed"], c["client"]): c for s in copy["scenarios"] for c in s["cells"]}


def answers(ask):
    """{client: the addresses that it gets}"""
    return {place: ask(subnet) for place, subnet in SUBNETS.items()}


def told(cells, failed, endpoints):
    addresses = {e["id"]: e["addresses"] for e in endpoints}
    return {place: sorted(a for e in cells[failed, place]["to"] for a in addresses[e]) for place in SUBNETS}


@pytest.fixture(scope="module")
def pdns(tmp_path_factory, built):
    with PowerDNS(tmp_path_factory.mktemp("pdns") / "server") as s:
        yield s


@pytest.fixture
def targets():
    t = Targets(e["addresses"][0] for e in WORLD + MORE)
    yield t
    t.close()


@pytest.mark.parametrize("fenced", [False, True], ids=["open", "fenced"])
def test_clients_get_what_it_says(pdns, cli, write, targets, fenced):
    """With everything alive, and with each endpoint dead in turn."""
    endpoints, name = WORLD + MORE, f"{'fenced' if fenced else 'open'}.example.com"
    spec = {"route": "latency", "health": targets.health(), "ttl": {"answer": 5}}
    if fenced:
        fence = [{"clients": ["EU", "AF"], "only": ["aws-fra"]}]
        spec["fence"] = fence + [{"clients": ["OC"], "only": ["syd", "az-tyo", "gcp-iowa"]}]
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=listed(endpoints), **spec))
    cells = simulated(cli, file)
    cli.ok("dns", "apply", "-f", file, "--yes")
    different = set()

    def ask(subnet):
        return pdns.dig(name, "A", f"+subnet={subnet}").get((f"{name}.", "A"), (None, []))[1]

    for dead in [None, *endpoints]:
        failed = f"endpoint {dead['id']}" if dead else "none"
        expected = told(cells, failed, endpoints)
        different.add(json.dumps(expected))
        if dead:
            targets.stop(dead["addresses"][0])
        wait_for(f"{failed}: {expected}", lambda want=expected: answers(ask) == want, 20)
        if dead:
            targets.start(dead["addresses"][0])
    # Every death was felt by somebody.
    assert len(different) == len(endpoints) + 1
    if fenced:
        lost = cells["endpoint aws-fra", "Madrid"]
        assert lost["to"] == {"aws-fra": 1000} and lost["dead"] == 1000


@pytest.mark.parametrize("fenced", [False, True], ids=["open", "fenced"])
def test_clients_of_route53_get_what_it_says(cli, write, fenced):
    """Of the simulated one: its own regions are what is near there."""
    # No address of loopback: Route 53 would not check it.
    endpoints = [{**e, "addresses": [e["addresses"][0].replace("127.0.1", "192.0.2")]} for e in WORLD + MORE]
    spec = {"route": "latency", "health": {}}
    if fenced:
        spec["fence"] = [{"clients": ["EU", "AF"], "only": ["aws-fra", "syd"]}]
    cli.extra_env |= KEYS
    with Zone() as zone:
        file = write(policy(zone.entry(), endpoints=listed(endpoints), **spec))
        cells = simulated(cli, file)
        cli.ok("dns", "apply", "-f", file, "--yes")
        clouds = {"cloud gcp": {"gcp-iowa", "gcp-fra"}, "cloud azure": {"az-tyo"}}
        alone = {f"endpoint {e['id']}": {e["id"]} for e in endpoints}
        for failed, dead in ({"none": set()} | alone | clouds).items():
            zone.down.clear()
            zone.down |= {a for e in endpoints if e["id"] in dead for a in e["addresses"]}
            assert answers(lambda subnet: zone.ask(NAME, subnet)) == told(cells, failed, endpoints), failed


def test_weights_are_shares(pdns, cli, write):
    name = "shares.example.com"
    endpoints = [
        {"id": "a", "at": "aws/eu-west-1", "addresses": ["192.0.2.1", "192.0.2.2"], "weight": 2},
        {"id": "b", "at": "aws/eu-west-1", "addresses": ["192.0.2.3"], "weight": 6},
        {"id": "c", "at": "aws/us-east-1", "addresses": ["192.0.2.4"], "weight": 9},
    ]
    file = write(policy(powerdns_copy(pdns), name=name, endpoints=listed(endpoints), route="latency"))
    cells = simulated(cli, file)
    assert cells["none", "Dublin"]["to"] == {"a": 400, "b": 600}
    cli.ok("dns", "apply", "-f", file, "--yes")
    subnet = f"+subnet={SUBNETS['Dublin']}"
    drawn = [pdns.dig(name, "A", subnet)[f"{name}.", "A"][1] for _ in range(200)]
    assert all(len(d) == 1 for d in drawn)
    share = sum(d == ["192.0.2.3"] for d in drawn) / len(drawn)
    assert 0.48 < share < 0.72, share


def test_what_must_be_survived(pdns, cli, write):
    """A policy that would leave somebody with nobody alive is refused before anything is changed."""
    serial, name = pdns.serial(), "safe.example.com"
    spec = {"endpoints": listed(WORLD), "route": "latency", "name": name}
    spec |= {"health": {}, "safety": {"survive": "endpoint"}}
    fence = [{"clients": ["SA"], "only": ["dc1"]}]
    file = write(policy(powerdns_copy(pdns), fence=fence, **spec))
    for verb in (["plan"], ["apply", "--yes"]):
        r = cli.run("dns", *verb, "-f", file)
        assert_refused(r, "survive is endpoint", "endpoint dc1 dead nobody alive answers Bogota and others")
    assert pdns.serial() == serial
    fence[0]["only"].append("gcp-iowa")
    cli.ok("dns", "plan", "-f", write(policy(powerdns_copy(pdns), fence=fence, **spec)))
    # Both of that fence are dead with one cloud.
    fence[0]["only"] = ["aws-fra", "aws-2"]
    spec["endpoints"] |= {"aws-2": {"id": "aws-2", "at": "aws/us-east-1", "addresses": ["192.0.2.9"]}}
    spec["safety"] = {"survive": "cloud"}
    file = write(policy(powerdns_copy(pdns), fence=fence, **spec))
    assert_refused(cli.run("dns", "plan", "-f", file), "cloud aws dead nobody alive answers Bogota")
    spec["safety"] = {"survive": "endpoint"}
    cli.ok("dns", "plan", "-f", write(policy(powerdns_copy(pdns), fence=fence, **spec)))


def test_a_region_says_what_is_so(pdns, cli, write, tmp_path):
    """Its claim is not refused for what the policy wants to survive; an operator's change is."""
    key = tmp_path / "eu.key"
    key.touch(mode=0o600)
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    public = run("openssl", "pkey", "-in", key, "-pubout").stdout.splitlines()[1]
    spec = {"name": "region.example.com", "safety": {"survive": "endpoint"}, "health": {}}
    region = {"name": "eu", "publicKey": public}
    file = write(policy(powerdns_copy(pdns), endpoints={"a": ["192.0.2.1"]}, regions=[region], **spec))
    claim = ["dns", "claim", "-f", file, "--region", "eu", "--key", key, "--yes"]
    assert_refused(cli.run("dns", "plan", "-f", file), "endpoint a dead nobody alive answers")
    cli.ok(*claim, "--addresses", "192.0.2.7")
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert simulated(cli, file)["none", "Tokyo"]["to"] == {"a": 500, "eu": 500}
    cli.ok(*claim, "--withdraw")
    assert simulated(cli, file)["none", "Tokyo"]["to"] == {"a": 1000}


class Silent:
    """A port that notices whoever comes."""

    def __enter__(self):
        self.port = free_port()
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for s in (self.tcp, self.udp):
            s.setblocking(False)
        return self

    def __exit__(self, *exc):
        self.tcp.close()
        self.udp.close()

    def was_asked(self):
        for look in (self.tcp.accept, lambda: self.udp.recvfrom(512)):
            try:
                look()
                return True
            except BlockingIOError:
                pass
        return False


def test_no_server_is_asked(cli, write, tmp_path):
    """Nor any key read; unless there are regions, whose claims stand there."""
    with Silent() as server:
        server.secret_file = tmp_path / "absent"
        file = write(policy(copy_of(server)))
        cli.ok("dns", "simulate", "-f", file)
        assert not server.was_asked()
        server.secret_file.touch(mode=0o600)
        server.secret_file.write_text("c2VjcmV0\n")
        region = {"name": "eu", "publicKey": "MCowBQYDK2VwAyEA" + 42 * "A" + "E="}
        file = write(policy(copy_of(server), regions=[region]))
        r = cli.run("dns", "simulate", "-f", file, "--timeout", "20s")
        assert_refused(r, "rfc2136, spec.publish\\[0\\]: what regions claim there could not be read")
        assert server.was_asked()


def test_for_people(cli):
    """The example as a table: KC_GOLDEN_UPDATE=1 writes it anew."""
    text = cli.ok("dns", "simulate", "-f", EXAMPLE).out
    if os.environ.get("KC_GOLDEN_UPDATE"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert max(map(len, text.splitlines())) < 120


def test_one_scenario(cli):
    whole = cli.ok("dns", "simulate", "-f", EXAMPLE, "-o", "json").json
    one = cli.ok("dns", "simulate", "-f", EXAMPLE, "-o", "json", "--fail", "cloud=aws", "--load", "100").json
    assert [[s["failed"] for s in c["scenarios"]] for c in one["copies"]] == [["cloud aws"]] * 5
    before = next(s for s in whole["copies"][0]["scenarios"] if s["failed"] == "cloud aws")
    assert one["copies"][0]["scenarios"][0]["cells"] == before["cells"]
    assert any(e["over"] for e in before["load"].values())
    assert not any(e["over"] for e in one["copies"][0]["scenarios"][0]["load"].values())
    six = cli.ok("dns", "simulate", "-f", EXAMPLE, "-o", "json", "--ipv6").json
    assert six["type"] == "AAAA" and six["copies"][0]["scenarios"][0]["dead"] == 1000
    text = cli.ok("dns", "simulate", "-f", EXAMPLE, "--fail", "endpoint=dc1").out
    assert "With endpoint dc1 dead:" in text and not re.search(r"^none ", text, re.M)


def test_the_page(cli, tmp_path):
    """All of the report, and nothing that comes from elsewhere."""
    page = tmp_path / "map.html"
    whole = cli.ok("dns", "simulate", "-f", EXAMPLE, "-o", "json", "--html", page).json
    text = page.read_text()
    data = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)[1])
    assert data == {"failed": "none", "report": whole}
    assert not re.search(r'(src|href)=|url\(|https?://|@import|fetch\(', text)


def test_wrong_input(cli, write, tmp_path):
    def simulate(*args, file=EXAMPLE):
        return cli.run("dns", "simulate", "-f", file, *args)

    assert_refused(simulate("--fail", "endpoint=nobody"), "no endpoint nobody", "endpoint dc1", "cloud gcp")
    assert_refused(simulate("--fail", "cloud=ibm"), "no cloud ibm")
    assert_refused(simulate("--fail", "dc1"), "endpoint=ID or cloud=NAME", code=64)
    assert_refused(simulate("--html", tmp_path / "no/such/map.html"), "no/such")
    assert_refused(simulate("--load", "0"), "--load", code=64)
    nowhere = {"a": ["192.0.2.1"]}
    file = write(policy({"provider": "route53"}, endpoints=nowhere, route="latency"))
    assert_refused(simulate(file=file), "route is latency, so where it is has to be known")
    file = write(policy({"provider": "route53"}, endpoints=nowhere))
    assert f"{NAME} A" in simulate(file=file).out
