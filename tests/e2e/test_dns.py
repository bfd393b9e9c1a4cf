"""`kubecdn dns` at real name servers: what is shown, what is written, whose it is, who wins, and what
becomes of it when something in between goes wrong. kdig says what clients get."""

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.cli import REPO, assert_refused, binary, pending
from lab.docs import shell_of
from lab.hosts import run
from lab.nameservers import KEY, Bind, Knot, NameServer, PowerDNS, free_port

NAME = "www.example.com"
RECORDS = """foreign A 192.0.2.77
alias CNAME foreign
*.wild A 192.0.2.99
note TXT "somebody's"
_kc.note TXT "somebody's"
"""
WRITERS = 40


@pytest.fixture(scope="module", params=[Knot, Bind, PowerDNS], ids=lambda c: c.__name__)
def server(request, tmp_path_factory, built):
    with request.param(tmp_path_factory.mktemp("dns") / "server", RECORDS) as s:
        yield s


@pytest.fixture(scope="module")
def knot(tmp_path_factory, built):
    with Knot(tmp_path_factory.mktemp("dns") / "knot", RECORDS) as s:
        yield s


def copy_of(server, **changed):
    tsig = {"name": KEY, "secretFile": str(server.secret_file)}
    entry = {"provider": "rfc2136", "server": "127.0.0.1", "port": server.port, "tsig": tsig}
    return {**entry, **changed}


def policy(*copies, name=NAME, owner="prod", endpoints=None, **spec):
    endpoints = endpoints or {"fra": ["192.0.2.1", "2001:db8::1"], "dub": ["192.0.2.2"]}
    listed = [
        e if isinstance(e, dict) else {"id": i, "addresses": e}
        for i, e in endpoints.items()
    ]
    base = {"zone": "example.com", "owner": owner, "endpoints": listed, "publish": list(copies)}
    return {
        "apiVersion": "kubecdn.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


@pytest.fixture
def write(tmp_path):
    """Data into a file: JSON is YAML, too."""

    def put(data, name="policy.yaml"):
        file = tmp_path / name
        file.write_text(json.dumps(data, indent=1))
        return file

    return put


def plan_of(cli, file):
    r = cli.run("dns", "plan", "-f", file, "-o", "json", "--detailed-exitcode")
    assert r.code in (0, 2), r
    changes = {k.split("/")[-1]: v for k, v in pending(r.json["plan"]).items()}
    assert (r.code == 2) == bool(changes), r
    return changes


def test_a_life(server, cli, write):
    """Nothing before --yes; then as wanted, with nothing left to do; then what changed, and just that."""
    file, serial = write(policy(copy_of(server))), server.serial()
    mark, a, aaaa = f"_kc.{NAME}. TXT", f"{NAME}. A", f"{NAME}. AAAA"
    assert plan_of(cli, file) == {mark: "create", a: "create", aaaa: "create"}
    r = cli.ok("dns", "apply", "-f", file)
    assert "Nothing was changed" in r.out and server.serial() == serial
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert server.dig(NAME, "A") == {(f"{NAME}.", "A"): (30, ["192.0.2.1", "192.0.2.2"])}
    assert server.addresses(NAME, "AAAA") == ["2001:db8::1"]
    assert plan_of(cli, file) == {}
    serial = server.serial()
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert server.serial() == serial

    fra = {"id": "fra", "addresses": ["192.0.2.1", "2001:db8::1"], "drain": True}
    write(policy(copy_of(server), endpoints={"fra": fra, "dub": ["192.0.2.2"]}))
    assert plan_of(cli, file) == {a: "update", aaaa: "delete"}
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert server.addresses(NAME) == ["192.0.2.2"] and server.addresses(NAME, "AAAA") == []
    write(policy(copy_of(server), endpoints={"fra": fra}))
    r = cli.ok("dns", "apply", "-f", file, "--yes")
    assert "all endpoints are drained" in r.out and server.addresses(NAME) == ["192.0.2.1"]
    write(policy(copy_of(server), endpoints={"fra": ["192.0.2.1"]}, ttl={"answer": 60}))
    r = cli.run("dns", "plan", "-f", file, "-o", "json")
    hash_then = r.json["hash"]
    write(policy(copy_of(server), endpoints={"fra": ["192.0.2.9"]}))
    r = cli.run("dns", "apply", "-f", file, "--confirm", hash_then)
    assert_refused(r, "another one now")
    assert server.addresses(NAME) == ["192.0.2.1"]


@pytest.mark.parametrize(
    "name, says",
    [("foreign", "has a A record"), ("alias", "has a CNAME record"), ("note", "TXT record _kc.note")],
)
def test_what_others_made_is_left_alone(server, cli, write, name, says):
    serial = server.serial()
    file = write(policy(copy_of(server), name=f"{name}.example.com"))
    for verb in (["plan"], ["apply", "--yes"]):
        assert_refused(cli.run("dns", *verb, "-f", file), f"{name}.example.com", says, "remove it")
    assert server.serial() == serial


def test_another_owner(server, cli, write):
    name = "owned.example.com"
    cli.ok("dns", "apply", "-f", write(policy(copy_of(server), name=name)), "--yes")
    serial = server.serial()
    r = cli.run("dns", "apply", "-f", write(policy(copy_of(server), name=name, owner="else")), "--yes")
    assert_refused(r, name, 'belongs to "prod"', f"_kc.{name}")
    assert server.serial() == serial


def test_what_a_wildcard_answers_is_no_record(server, cli, write):
    name = "x.wild.example.com"
    assert server.addresses(name) == ["192.0.2.99"]
    cli.ok("dns", "apply", "-f", write(policy(copy_of(server), name=name)), "--yes")
    assert server.addresses(name) == ["192.0.2.1", "192.0.2.2"]
    assert server.addresses("y.wild.example.com") == ["192.0.2.99"]


def test_a_wildcard_and_the_apex(server, cli, write):
    for name in ("*.any.example.com", "example.com"):
        file = write(policy(copy_of(server), name=name))
        cli.ok("dns", "apply", "-f", file, "--yes")
        assert plan_of(cli, file) == {}
    assert server.addresses("that.any.example.com") == ["192.0.2.1", "192.0.2.2"]
    assert server.addresses("example.com") == ["192.0.2.1", "192.0.2.2"]


def race(cli, files):
    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(lambda f: cli.run("dns", "apply", "-f", f, "--yes"), files))


def test_many_owners_want_a_new_name(server, cli, write):
    """One gets it, all others are told whose it is; the records are the winner's, and nobody else's."""
    name = "race.example.com"
    files = [
        write(
            policy(
                copy_of(server),
                name=name,
                owner=f"fleet{i}",
                endpoints={"only": [f"192.0.2.{i + 1}"]},
            ),
            f"{i}.yaml",
        )
        for i in range(WRITERS)
    ]
    results = race(cli, files)
    (winner,) = [i for i, r in enumerate(results) if r.code == 0]
    for i, r in enumerate(results):
        if i != winner:
            assert_refused(r, f'belongs to "fleet{winner}"|somebody else changed it')
    assert server.addresses(name) == [f"192.0.2.{winner + 1}"]


def test_one_owner_at_two_places(server, cli, write):
    """Operators with two versions of a policy at once, again and again: the name always answers with one
    of the two, whole."""
    name, seen, stop = "two.example.com", set(), threading.Event()
    versions = [["192.0.2.1", "192.0.2.2"], ["192.0.2.3", "192.0.2.4"]]
    files = [
        write(policy(copy_of(server), name=name, endpoints={"e": v}), f"{i}.yaml")
        for i, v in enumerate(versions)
    ]
    cli.ok("dns", "apply", "-f", files[0], "--yes")

    def watch():
        while not stop.is_set():
            seen.add(tuple(server.addresses(name)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(5):
            for r in race(cli, files * 4):
                assert r.code == 0 or "somebody else changed it" in r.err, r
    finally:
        stop.set()
        watcher.join()
    assert seen <= {tuple(v) for v in versions}, seen


# --- what goes wrong


class Between:
    """Forwards TCP to a server and UDP to another; of the updates (opcode 5), the first lose their reply,
    or are cut before they arrive."""

    def __init__(self, tcp, udp=None, lose=0, cut=0):
        self.to, self.udp_to = tcp.port, (udp or tcp).port
        self.lose, self.cut, self.port = lose, cut, free_port()
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for f in (self.serve_tcp, self.serve_udp):
            threading.Thread(target=f, daemon=True).start()

    def close(self):
        for s in (self.tcp, self.udp):
            s.shutdown(socket.SHUT_RDWR) if s is self.tcp else None
            s.close()

    def serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            with socket.socket(type=socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.sendto(data, ("127.0.0.1", self.udp_to))
                self.udp.sendto(s.recv(65535), peer)

    def serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=[conn], daemon=True).start()

    def one(self, conn):
        with conn, socket.create_connection(("127.0.0.1", self.to)) as server:
            head = conn.recv(2, socket.MSG_WAITALL)
            body = conn.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            # An update with changes: without any it only asks what there is.
            update = body[2] >> 3 & 15 == 5 and int.from_bytes(body[8:10], "big") > 0
            if update and self.cut:
                self.cut -= 1
                return
            server.sendall(head + body)
            n = server.recv(2, socket.MSG_WAITALL)
            reply = server.recv(int.from_bytes(n, "big"), socket.MSG_WAITALL)
            if update and self.lose:
                self.lose -= 1
                return
            conn.sendall(n + reply)


@pytest.fixture
def between():
    made = []

    def make(*args, **kw):
        made.append(Between(*args, **kw))
        return made[-1]

    yield make
    for b in made:
        b.close()


@pytest.mark.parametrize("what", ["lose", "cut"])
def test_a_reply_or_an_update_is_lost(knot, cli, write, between, what):
    name = f"{what}.example.com"
    way = between(knot, **{what: 1})
    file = write(policy(copy_of(knot, port=way.port), name=name))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert getattr(way, what) == 0
    assert knot.addresses(name) == ["192.0.2.1", "192.0.2.2"]
    assert plan_of(cli, file) == {}


def test_what_is_not_served_is_taken_back(knot, cli, write, between, tmp_path):
    """A secondary that never gets it: clients would see two worlds."""
    name = "stale.example.com"
    with Knot(tmp_path / "secondary", f"{name}. A 192.0.2.1\n{name}. A 192.0.2.2") as stale:
        way = between(knot, udp=stale)
        file = write(policy(copy_of(knot), name=name))
        cli.ok("dns", "apply", "-f", file, "--yes")
        served = knot.dig(name, "A"), knot.dig(f"_kc.{name}", "TXT")
        file = write(
            policy(
                copy_of(knot, port=way.port),
                name=name,
                endpoints={"new": ["192.0.2.50"]},
                verify={"within": "1s"},
            )
        )
        r = cli.run("dns", "apply", "-f", file, "--yes")
        assert_refused(r, "not served, and was taken back", f"{way.port} answers", "by UDP")
        assert (knot.dig(name, "A"), knot.dig(f"_kc.{name}", "TXT")) == served


def test_killed(knot, cli, write):
    """At once, or at any time until it is through: the name has what was, or what is to be, and the same
    command again leads to that."""
    name, seen = "killed.example.com", set()
    versions = [["192.0.2.1"], ["192.0.2.2"]]
    files = [
        write(policy(copy_of(knot), name=name, endpoints={"e": v}), f"{i}.yaml")
        for i, v in enumerate(versions)
    ]
    cli.ok("dns", "apply", "-f", files[0], "--yes")
    start = time.monotonic()
    cli.ok("dns", "apply", "-f", files[1], "--yes")
    length = time.monotonic() - start
    for i in range(20):
        old, new = versions[(i + 1) % 2], versions[i % 2]
        p = cli.start("dns", "apply", "-f", files[i % 2], "--yes")
        time.sleep(length * i / 20)
        p.kill()
        p.wait()
        assert knot.addresses(name) in (old, new)
        seen.add(knot.addresses(name) == new)
        cli.ok("dns", "apply", "-f", files[i % 2], "--yes")
        assert knot.addresses(name) == new and plan_of(cli, files[i % 2]) == {}
    print("changed before it was killed:", sorted(seen))


def test_one_copy_is_down(knot, cli, write):
    """The others are published, and which one was not is said: exit 3. It is, once it is back."""
    name, port = "copies.example.com", free_port()
    file = write(policy(copy_of(knot), copy_of(knot, port=port), name=name))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert r.code == 3 and f"127.0.0.1 port {port}" in r.err and "cannot connect" in r.err, r
    assert knot.addresses(name) == ["192.0.2.1", "192.0.2.2"]
    r = cli.run("dns", "apply", "-f", write(policy(copy_of(knot, port=port), name=name)), "--yes")
    assert_refused(r, "cannot connect")


def test_keys(knot, cli, write, tmp_path):
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    open_one = tmp_path / "open"
    open_one.write_text(other.read_text())
    open_one.chmod(0o644)
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    serial = knot.serial()
    for file, key, *says in (
        (other, KEY, "updates are refused", "TSIG"),
        (other, "unknown", "updates are refused", "TSIG"),
        (open_one, KEY, "others can read it", "chmod 600"),
        (empty, KEY, "no TSIG secret", "base64"),
        (tmp_path / "none", KEY, "none", "No such file"),
    ):
        tsig = {"name": key, "secretFile": str(file)}
        r = cli.run("dns", "apply", "-f", write(policy(copy_of(knot, tsig=tsig))), "--yes")
        assert_refused(r, *says)
        assert "AAECAwQF" not in r.err
    assert knot.serial() == serial


def test_a_server_without_the_zone(knot, cli, write):
    file = write({**policy(copy_of(knot), name="www.example.net", zone="example.net")})
    assert_refused(cli.run("dns", "plan", "-f", file), "example.net", "does this server have the zone")


BAD = [
    (("metadata", "name"), "www.example.org", "not in the zone example.com", "www.example.com"),
    (("metadata", "name"), "WWW.example.com", "not a DNS name", "lower-case"),
    (("metadata", "name"), "münchen.example.com", "not ASCII", "xn--"),
    (("metadata", "name"), "a.*.example.com", "not a DNS name", "labels"),
    (("metadata", "name"), ".".join(["a" * 60] * 4) + ".ab.com", "not in the zone", ""),
    (("spec", "zone"), "", "zone", "empty|must"),
    (("spec", "owner"), "Prod Fleet", "not a name", "lower-case"),
    (("spec", "ttl"), {"answer": 0}, "ttl.answer", "5"),
    (("spec", "endpoints"), [], "neither endpoints nor regions", "give one"),
    (("spec", "endpoints", 0, "addresses"), ["192.0.2.300"], "not an address", "192.0.2.11"),
    (("spec", "endpoints", 0, "addresses"), ["2001:DB8::1"], "another way to write", "2001:db8::1"),
    (("spec", "endpoints", 0, "addresses"), ["192.0.2.2"], r"endpoints\[0\] has 192.0.2.2, too", ""),
    (("spec", "endpoints", 1, "id"), "fra", 'is named "fra", too', "own id"),
    (("spec", "endpoints", 1, "wieght"), 3, "wieght", ""),
    (("spec", "publish", 0, "provider"), "bind", "provider", "rfc2136"),
    (("spec", "publish", 0, "port"), 70000, "port", "65535"),
    (("spec", "publish", 0, "server"), "ns.example.com", "not an address", ""),
    (("spec", "verify"), {"within": "soon"}, "not a time", "30s"),
    (("kind",), "Cluster", "a Cluster is not a TrafficPolicy", ""),
]


@pytest.mark.parametrize("path, value, what, fix", BAD, ids=lambda v: None)
def test_bad_input(cli, write, path, value, what, fix):
    """A line with the place, what is wrong and what to do; nobody is asked anything."""
    data = policy({"provider": "rfc2136", "server": "127.0.0.1", "tsig": {"name": KEY, "secretFile": "x"}})
    at = data
    for key in path[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    at[path[-1]] = value
    file = write(data)
    r = cli.run("dns", "plan", "-f", file)
    assert_refused(r, what, fix, where=rf"^{file}:\d+:\d+: ")


def test_no_file(cli, tmp_path):
    r = cli.run("dns", "plan")
    assert r.code == 64 and "-f FILE" in r.err, r
    assert_refused(cli.run("dns", "plan", "-f", tmp_path / "none"), "No such file")


def test_the_how_to(knot, tmp_path):
    """Its commands, with the example as it is but for the port."""
    example = (REPO / "examples/traffic-policy.yaml").read_text()
    (tmp_path / "examples").mkdir()
    file = tmp_path / "examples/traffic-policy.yaml"
    file.write_text(example.replace("port: 5300", f"port: {knot.port}"))
    env = {"PATH": f"{binary().parent}:/usr/bin:/bin", "SECRET": knot.secret, "HOME": str(tmp_path)}
    script = "set -ex\n" + "\n".join(shell_of("docs/how-to/dns.md"))
    run("sh", "-c", script, cwd=tmp_path, env=env)
    assert knot.dig(NAME, "A") == {(f"{NAME}.", "A"): (30, ["192.0.2.1", "192.0.2.2"])}


def test_servers_are_real(server):
    """The tests' own eyes: kdig is not ours."""
    assert isinstance(server, NameServer) and server.addresses("ns.example.com") == ["127.0.0.1"]


# --- regions that speak for themselves


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """{region: (private key's file, public key)}, by openssl."""
    folder, made = tmp_path_factory.mktemp("keys"), {}
    for region in ("eu", "us", "ap"):
        file = folder / f"{region}.key"
        file.touch(mode=0o600)
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", file)
        public = run("openssl", "pkey", "-in", file, "-pubout").stdout.splitlines()[1]
        made[region] = file, public
    return made


def regions(keys, *names):
    return [{"name": n, "publicKey": keys[n][1]} for n in names or keys]


def claim(cli, file, keys, region, *what, key=None):
    key = key or keys[region][0]
    return cli.run("dns", "claim", "-f", file, "--region", region, "--key", key, *what, "--yes")


def of_regions(server, keys, name, endpoints=None):
    data = policy(copy_of(server), name=name, regions=regions(keys))
    data["spec"]["endpoints"] = endpoints or []
    return data


def claims_at(server, name):
    """{region: epoch}, as kdig shows them."""
    found = {}
    for region in ("eu", "us", "ap"):
        at = f"_kc.{region}.{name}"
        for text in server.dig(at, "TXT").get((f"{at}.", "TXT"), (0, []))[1]:
            found[region] = int(text.split(" e=")[1].split()[0])
    return found


def test_regions_claim(server, cli, write, keys):
    """Each its own; the name leads to all. Nothing of one region is changed by another."""
    name = "claims.example.com"
    file = write(of_regions(server, keys, name))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    assert r.code == 0 and server.addresses(name) == [] and plan_of(cli, file) == {}
    for region, address in (("eu", "192.0.2.1"), ("us", "192.0.2.2,2001:db8::2")):
        r = claim(cli, file, keys, region, "--addresses", address)
        assert r.code == 0, r
    assert server.addresses(name) == ["192.0.2.1", "192.0.2.2"]
    assert server.addresses(name, "AAAA") == ["2001:db8::2"]
    assert plan_of(cli, file) == {}, "an operator has nothing to add"
    serial = server.serial()
    assert claim(cli, file, keys, "us", "--addresses", "2001:db8::2,192.0.2.2").code == 0
    assert server.serial() == serial, "the same again"
    assert claim(cli, file, keys, "us", "--addresses", "192.0.2.3").code == 0
    assert server.addresses(name) == ["192.0.2.1", "192.0.2.3"]
    assert claim(cli, file, keys, "eu", "--withdraw").code == 0
    assert server.addresses(name) == ["192.0.2.3"]
    assert claims_at(server, name) == {"eu": 2, "us": 2}
    r = claim(cli, file, keys, "us", "--withdraw")
    assert_refused(r, "never left empty", "another region")
    assert server.addresses(name) == ["192.0.2.3"]


def test_regions_at_the_same_time(server, cli, write, keys):
    """The fault this is all about: none overwrites another, however they collide."""
    name, rounds = "collide.example.com", 1000 if os.environ.get("KC_NIGHTLY") else 10
    file = write(of_regions(server, keys, name))
    order = {"eu": 1, "us": 2, "ap": 3}

    def address(i, n):
        return f"198.18.{4 * n + i // 250}.{i % 250}"

    with ThreadPoolExecutor(3) as pool:
        for i in range(rounds):
            done = list(
                pool.map(
                    lambda r, i=i: claim(
                        cli, file, keys, r, "--addresses", address(i, order[r])
                    ),
                    order,
                )
            )
            assert [r.code for r in done] == [0, 0, 0], done
            expected = sorted(address(i, n) for n in order.values())
            assert server.addresses(name) == expected
    assert claims_at(server, name) == dict.fromkeys(order, rounds)


def test_a_claim_that_is_forged(knot, cli, write, keys):
    """Who can write the zone but has not the region's key: it counts for nothing, and that is said."""
    name = "forged.example.com"
    file = write(of_regions(knot, keys, name))
    assert claim(cli, file, keys, "eu", "--addresses", "192.0.2.1").code == 0
    forger = {**keys, "us": keys["ap"]}
    other = write(of_regions(knot, forger, name) | {}, "forger.yaml")
    data = json.loads(other.read_text())
    data["spec"]["regions"] = regions(forger, "eu", "us")
    other.write_text(json.dumps(data))
    assert claim(cli, other, forger, "us", "--addresses", "192.0.2.66").code == 0
    assert knot.addresses(name) == ["192.0.2.1", "192.0.2.66"], "by the forger's own policy"
    r = cli.ok("dns", "apply", "-f", file, "--yes")
    assert f"_kc.us.{name}. counts for nothing" in r.out and "not signed by this key" in r.out
    assert knot.addresses(name) == ["192.0.2.1"]


def test_bad_claims(knot, cli, write, keys, tmp_path):
    file = write(of_regions(knot, keys, "bad.example.com"))
    rsa = tmp_path / "rsa.key"
    rsa.touch(mode=0o600)
    run("openssl", "genpkey", "-algorithm", "rsa", "-out", rsa)
    loose = tmp_path / "loose.key"
    loose.write_text(keys["eu"][0].read_text())
    loose.chmod(0o640)
    some = ("--addresses", "192.0.2.1")
    serial = knot.serial()
    assert_refused(claim(cli, file, keys, "eu", *some, key=keys["us"][0]), "not the key of region eu")
    assert_refused(claim(cli, file, keys, "eu", *some, key=rsa), "no Ed25519 key", "openssl genpkey")
    assert_refused(claim(cli, file, keys, "eu", *some, key=loose), "others can read it", "chmod 600")
    assert_refused(claim(cli, file, keys, "mars", *some, key=keys["eu"][0]), 'no region "mars"')
    assert_refused(claim(cli, file, keys, "eu", "--addresses", "192.0.2.300"), "is not an address")
    assert_refused(claim(cli, file, keys, "eu", "--addresses", "192.0.2.1,"), "is not an address")
    r = cli.run("dns", "claim", "-f", file, "--region", "eu", "--key", keys["eu"][0])
    assert r.code == 64 and "--withdraw" in r.err, r
    data = of_regions(knot, keys, "bad.example.com")
    data["spec"]["regions"][1]["publicKey"] = keys["eu"][1]
    r = cli.run("dns", "plan", "-f", write(data, "twice.yaml"))
    assert_refused(r, r"regions\[0\] has this publicKey, too", where=r":\d+:\d+: ")
    data["spec"]["regions"][1]["publicKey"] = "AAAA"
    r = cli.run("dns", "plan", "-f", write(data, "none.yaml"))
    assert_refused(r, "no Ed25519 public key", "openssl pkey", where=r":\d+:\d+: ")
    data["spec"]["regions"] = []
    r = cli.run("dns", "plan", "-f", write(data, "nothing.yaml"))
    assert_refused(r, "leads nowhere", where=r":\d+:\d+: ")
    assert knot.serial() == serial
