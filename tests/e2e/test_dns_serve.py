"""`kubecdn serve --dns`: agents of two regions, each with a real cluster, at real name servers."""

import base64
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.ca import Ca
from lab.cli import REPO, Cli, assert_refused
from lab.dns import copy_of, policy, powerdns_copy
from lab.hosts import run, wait_for
from lab.nameservers import PowerDNS, free_port
from lab.serve import Agent, Cluster, Target

# A verdict takes three rounds of half a second; reading and writing the copies comes on top.
SOON = 8
# Until another replica may take a Lease that nobody renews: 15 s, and its next look.
LEASE = 20


@pytest.fixture(scope="module")
def clusters(tmp_path_factory, kubectl, built):
    """{region: a cluster}"""
    if not os.environ.get("KC_BUNDLE"):
        pytest.skip("no bundle: set KC_BUNDLE")
    folder = tmp_path_factory.mktemp("clusters")
    cli = Cli(folder / "state", home=folder)
    made = {r: Cluster(cli, kubectl, folder, f"serve-{r}") for r in ("eu", "us")}
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Cluster.create, made.values()))
        yield made
    finally:
        for c in made.values():
            cli.run("cluster", "delete", c.name, "--yes")


@pytest.fixture(scope="module")
def powerdns(tmp_path_factory, built):
    with PowerDNS(tmp_path_factory.mktemp("dns") / "powerdns") as s:
        yield s


class World:
    """A name, its policy, targets and agents; all end with the test."""

    def __init__(self, name, cli, tmp_path, keys, clusters):
        self.name, self.cli, self.path, self.keys, self.clusters = name, cli, tmp_path, keys, clusters
        self.port, self.agents, self.targets = free_port(), [], {}
        self.file = tmp_path / "policy.yaml"

    def publish(self, *copies, regions=("eu", "us"), **spec):
        health = spec.pop("health", {"protocol": "http"}) | {"port": self.port}
        listed = [{"name": r, "publicKey": self.keys[r][1]} for r in regions]
        data = policy(*copies, name=self.name, regions=listed, health=health, **spec)
        data["spec"]["endpoints"] = []
        self.file.write_text(json.dumps(data))

    def target(self, address, certificate=None):
        self.targets[address] = Target(address, self.port, self.name, certificate)
        return self.targets[address]

    def serve(self, region, *addresses):
        """A Service of the region's cluster, with something alive at its addresses."""
        for a in addresses:
            self.target(a)
        self.clusters[region].service(self.name.split(".")[0], f"other.example.com, {self.name}", *addresses)

    def agent(self, region, *flags, cluster=None, key=None):
        log = self.path / f"{region}{len(self.agents)}.log"
        config = self.clusters[cluster or region].config
        a = Agent(self.cli, log, self.file, region, key or self.keys[region][0], config, *flags)
        self.agents.append(a)
        return a

    def run(self, region, *flags, cluster="eu", key=None):
        argv = ["--key", key or self.keys[region][0], "--kubeconfig", self.clusters[cluster].config]
        return self.cli.run("serve", "--dns", "-f", self.file, "--region", region, *argv, *flags)

    def claims(self, server):
        """{region: (epoch, the text)}"""
        found = {}
        for region in self.keys:
            at = f"_kc.{region}.{self.name}"
            for text in server.dig(at, "TXT").get((f"{at}.", "TXT"), (0, []))[1]:
                text = text.replace('" "', "")
                found[region] = int(text.split(" e=")[1].split()[0]), text
        return found

    def leads_to(self, server, *addresses, within=SOON):
        try:
            wait_for("the answer", lambda: server.addresses(self.name) == sorted(addresses), within, 0.1)
        except TimeoutError:
            logs = "\n".join(a.log.read_text() for a in self.agents)
            raise AssertionError(f"{server.addresses(self.name)}, not {addresses}\n{logs}") from None

    def end(self):
        for a in self.agents:
            a.kill()
        for t in self.targets.values():
            t.down()
        for c in self.clusters.values():
            c.kubectl("delete", "service", "--ignore-not-found", self.name.split(".")[0])


@pytest.fixture
def world(request, cli, tmp_path, keys, clusters):
    w = World(f"{request.node.name.replace('_', '-')[5:]}.example.com", cli, tmp_path, keys, clusters)
    yield w
    w.end()


def test_life(world, knot, powerdns):
    """Both regions begin at once; a target dies and comes back; nothing is written without need; it
    ends soon, and what it said stays."""
    world.publish(copy_of(knot), powerdns_copy(powerdns))
    world.serve("eu", "127.0.7.1", "127.0.7.2")
    world.serve("us", "127.0.7.3")
    eu, us = world.agent("eu"), world.agent("us")
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", "127.0.7.3", within=20)
    wait_for("both at PowerDNS", lambda: set(world.claims(powerdns)) == {"eu", "us"}, SOON)
    assert {r: e for r, (e, _) in world.claims(knot).items()} == {"eu": 1, "us": 1}
    serials = knot.serial(), powerdns.serial()
    eu.rounds(4)
    assert (knot.serial(), powerdns.serial()) == serials, "nothing has changed"
    m = eu.metrics()
    assert m["claim_epoch"] == 1 and m['peer_up{region="us"}'] == 1 and m["leader"] == 1
    assert m['addresses{health="up"}'] == 2 and m["copies_refused"] == 0
    assert eu.page("/healthz") == eu.page("/readyz") == "ok\n"

    world.targets["127.0.7.2"].down()
    world.leads_to(knot, "127.0.7.1", "127.0.7.3")
    assert eu.metrics()['addresses{health="down"}'] == 1
    world.targets["127.0.7.1"].down()
    world.leads_to(knot, "127.0.7.3")
    assert " ep=none s=" in world.claims(knot)["eu"][1]
    world.targets["127.0.7.3"].down()
    us.rounds(5)
    assert knot.addresses(world.name) == ["127.0.7.3"], "the last is never given up"
    for t in world.targets.values():
        t.up()
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", "127.0.7.3")

    log = eu.log.read_text().splitlines()
    assert len(log) < 40 and any("address 127.0.7.2: down: " in x for x in log), log
    assert eu.stop() < 2 and us.stop() < 2
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", "127.0.7.3")
    assert world.clusters["eu"].lease()[-1].get("holderIdentity", "") == ""


def test_an_empty_list(world, knot):
    """It counts when it was seen several times, and never for the last region."""
    world.publish(copy_of(knot))
    world.serve("eu", "127.0.7.1")
    world.serve("us", "127.0.7.2")
    eu, us = world.agent("eu"), world.agent("us")
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", within=20)
    world.clusters["eu"].balance("an-empty-list")
    world.leads_to(knot, "127.0.7.2")
    assert "the cluster's list: empty" in eu.log.read_text()
    world.clusters["us"].balance("an-empty-list")
    us.rounds(6)
    assert knot.addresses(world.name) == ["127.0.7.2"]


def test_takeover(world, knot):
    """Of two replicas one writes; killed, the other one takes over, and never do both lead."""
    world.publish(copy_of(knot))
    world.serve("eu", "127.0.7.1")
    first = world.agent("eu", "--identity", "first")
    wait_for("a leader", first.leads, 20)
    second = world.agent("eu", "--identity", "second")
    world.leads_to(knot, "127.0.7.1")
    wait_for("the second one's rounds", lambda: second.metrics()["claim_epoch"] == 1, 10)
    assert not second.leads()
    first.kill()
    world.target("127.0.7.2")
    world.clusters["eu"].balance("takeover", "127.0.7.2")
    killed, early = time.monotonic(), time.monotonic() + 4
    while time.monotonic() < early:
        assert knot.addresses(world.name) == ["127.0.7.1"], "the Lease is still the first one's"
        time.sleep(0.2)
    world.leads_to(knot, "127.0.7.2", within=LEASE + SOON)
    assert time.monotonic() - killed > 9 and second.leads()
    assert world.claims(knot)["eu"][0] == 2


def test_an_api_that_hangs(world, knot):
    """Nothing is withdrawn and nothing written; it still ends at once."""
    world.publish(copy_of(knot))
    world.serve("eu", "127.0.7.1")
    world.serve("us", "127.0.7.2")
    eu = world.agent("eu")
    world.agent("us")
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", within=20)
    pid = world.clusters["eu"].api_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("the end of its time", lambda: not eu.leads(), 30)
        world.targets["127.0.7.1"].down()
        wait_for("the verdict", lambda: "127.0.7.1: down" in eu.log.read_text(), 40)
        assert knot.addresses(world.name) == ["127.0.7.1", "127.0.7.2"], "it may not write"
        assert eu.metrics()["api_errors_total"] > 0
        assert eu.stop() < 2.5
    finally:
        os.kill(pid, signal.SIGCONT)


def test_quorum(world, knot, powerdns):
    """A region whose agent is gone stays until a quorum of the others cannot reach it, and only where nobody
    checks; a voice that is taken back counts no more."""
    world.publish(copy_of(knot), powerdns_copy(powerdns), regions=("eu", "us", "ap"))
    world.serve("eu", "127.0.7.1")
    world.serve("us", "127.0.7.2")
    world.target("127.0.7.3")
    eu, us = world.agent("eu"), world.agent("us")
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", within=20)
    wait_for("both at PowerDNS", lambda: set(world.claims(powerdns)) == {"eu", "us"}, SOON)
    us.kill()
    world.targets["127.0.7.2"].down()
    wait_for("the voice", lambda: " d=us s=" in world.claims(knot)["eu"][1], SOON)
    eu.rounds(3)
    assert knot.addresses(world.name) == ["127.0.7.1", "127.0.7.2"], "one voice of three"
    speak = ["dns", "claim", "-f", world.file, "--region", "ap", "--key", world.keys["ap"][0], "--yes"]
    world.cli.ok(*speak, "--addresses", "127.0.7.3", "--down", "us")
    assert knot.addresses(world.name) == ["127.0.7.1", "127.0.7.3"]
    zone = powerdns.run("usr/bin/pdnsutil", f"--config-dir={powerdns.folder}", "list-zone", powerdns.zone)
    script = next(x for x in zone.stdout.splitlines() if x.startswith(world.name) and "LUA" in x)
    assert "127.0.7.2" in script, "it checks for itself"
    assert eu.metrics()['peer_up{region="us"}'] == 0
    world.targets["127.0.7.2"].up()
    world.leads_to(knot, "127.0.7.1", "127.0.7.2", "127.0.7.3")
    assert " d=" not in world.claims(knot)["eu"][1]


def test_once(world, knot):
    world.publish(copy_of(knot))
    assert_refused(world.run("eu", "--once"), "annotated kubecdn.io/dns", "--withdraw")
    world.serve("eu", "127.0.7.1")
    assert world.run("eu", "--once").code == 0
    assert knot.addresses(world.name) == ["127.0.7.1"]
    serial = knot.serial()
    assert world.run("eu", "--once").code == 0 and knot.serial() == serial
    # A node of the other cluster speaks for itself.
    us = world.clusters["us"]
    node = us.kubectl("get", "nodes", "-o", "name").strip()
    world.target("127.0.7.5")
    us.kubectl("label", node, "kubecdn.io/edge=")
    us.kubectl("annotate", node, f"kubecdn.io/dns={world.name}", "kubecdn.io/external-ip=127.0.7.5")
    try:
        wait_for("a ready node", lambda: " Ready " in us.kubectl("get", "nodes"), 60)
        assert world.run("us", "--once", cluster="us").code == 0
        assert knot.addresses(world.name) == ["127.0.7.1", "127.0.7.5"]
    finally:
        us.kubectl("annotate", node, "kubecdn.io/dns-")
        us.kubectl("label", node, "kubecdn.io/edge-")


def test_https(world, knot, tmp_path):
    """A certificate has to be the host's and signed by whom is trusted; IPv6, too."""
    ca = Ca(tmp_path)
    (tmp_path / "own").mkdir()
    addresses = {"127.0.7.1": (ca, world.name), "::1": (ca, world.name)}
    addresses |= {"127.0.7.2": (ca, "other.example.com"), "127.0.7.3": (Ca(tmp_path / "own"), world.name)}
    for n, (address, (by, name)) in enumerate(addresses.items()):
        file, csr = tmp_path / f"{n}.pem", tmp_path / f"{n}.csr"
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", file, "-out", csr)
        signed = by.sign(csr.read_text(), {"sans": [name], "uses": ["server"]})
        file.write_text(file.read_text() + signed)
        world.target(address, file)
    world.publish(copy_of(knot), health={"protocol": "https"})
    world.clusters["eu"].service("https", world.name, *addresses)
    assert_refused(world.run("eu", "--once"), "has an address that works")
    assert world.run("eu", "--once", "--health-ca", tmp_path / "ca.crt").code == 0
    assert knot.addresses(world.name) == ["127.0.7.1"]
    assert knot.addresses(world.name, "AAAA") == ["::1"]


def test_in_a_pod(world, knot, tmp_path):
    """What examples/serve-dns.yaml gives it is enough: the account's token and rights."""
    eu = world.clusters["eu"]
    eu.kubectl("apply", "-f", REPO / "examples/serve-dns.yaml")
    world.publish(copy_of(knot))
    world.serve("eu", "127.0.7.1")
    account = tmp_path / "account"
    account.mkdir()
    token = eu.kubectl("create", "token", "kubecdn-dns", "-n", "kube-system")
    (account / "token").write_text(token)
    config = json.loads(eu.config.read_text())["clusters"][0]["cluster"]
    (account / "ca.crt").write_bytes(base64.b64decode(config["certificate-authority-data"]))
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    mount = f'mount -t tmpfs none /run && mkdir -p {place} && mount --bind {account} {place} && exec "$@"'
    host, port = eu.server.removeprefix("https://").split(":")
    env = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    log = tmp_path / "pod.log"
    within = ["unshare", "-m", "sh", "-ec", mount, "sh"]
    key = world.keys["eu"][0]
    pod = Agent(world.cli, log, world.file, "eu", key, None, within=within, **env)
    world.agents.append(pod)
    world.leads_to(knot, "127.0.7.1", within=15)
    assert pod.leads() and pod.stop() < 2
    eu.kubectl("delete", "-f", REPO / "examples/serve-dns.yaml", "--wait=false")


def test_bad_input(world, knot, tmp_path):
    world.publish(copy_of(knot))
    assert_refused(world.run("ap", "--once"), 'no region "ap"')
    assert_refused(world.run("eu", key=world.keys["us"][0]), "not the key of region eu")
    argv = ["serve", "--dns", "-f", world.file, "--region", "eu", "--key", world.keys["eu"][0]]
    assert_refused(world.cli.run(*argv), "--kubeconfig")
    assert_refused(world.cli.run(*argv, "--kubeconfig", tmp_path / "none"), "no such")
    bad = tmp_path / "bad.conf"
    bad.touch(mode=0o600)
    config = json.loads(world.clusters["eu"].config.read_text())
    config["users"][0]["user"] = {"exec": {"command": "sh"}}
    bad.write_text(json.dumps(config))
    assert_refused(world.cli.run(*argv, "--kubeconfig", bad), "bad.conf", "exec is not supported")
    bad.write_text("{")
    assert_refused(world.cli.run(*argv, "--kubeconfig", bad), "bad.conf", where=r":\d+:\d+: ")
    bad.chmod(0o644)
    assert_refused(world.cli.run(*argv, "--kubeconfig", bad), "others may read")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        r = world.run("eu", "--metrics", f"127.0.0.1:{taken.getsockname()[1]}")
        assert_refused(r, "in use")
    assert_refused(world.run("eu", "--metrics", "localhost:9402"), "ADDRESS:PORT")
    assert world.run("eu", "--interval", "1ms").code == 64
    r = world.cli.run("serve", "-f", world.file)
    assert r.code == 64 and "--dns" in r.err
