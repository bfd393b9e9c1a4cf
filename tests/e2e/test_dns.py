"""`kubecdn dns` at real name servers: what is shown, what is written, whose it is, who wins, and what
becomes of it when something in between goes wrong. kdig says what clients get."""

import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.cli import REPO, assert_refused, binary
from lab.dns import NAME, Between, copy_of, plan_of, policy
from lab.docs import shell_of
from lab.hosts import run, wait_for
from lab.nameservers import KEY, Knot, NameServer, free_port

WRITERS = 40


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
        assert_refused(cli.run("dns", *verb, "-f", file), f"{name}.example.com", says)
    assert server.serial() == serial


def test_adopted(server, cli, write):
    """By hand, a policy takes it over: at every moment there is an answer, the old or the new."""
    for name, kind in (("byhand", "A"), ("byhand-too", "CNAME")):
        full, seen, stop = f"{name}.example.com", set(), threading.Event()
        file = write(policy(copy_of(server), name=full))
        r = cli.ok("dns", "adopt", "-f", file)
        assert "Nothing was changed" in r.out and f"{full}. {kind}" in r.out

        def watch(full=full, seen=seen, stop=stop):
            while not stop.is_set():
                seen.add(tuple(d for _, data in server.dig(full, "A").values() for d in data))

        watcher = threading.Thread(target=watch)
        watcher.start()
        cli.ok("dns", "adopt", "-f", file, "--yes")
        stop.set()
        watcher.join()
        assert server.dig(full, "A") == {(f"{full}.", "A"): (30, ["192.0.2.1", "192.0.2.2"])}
        assert () not in seen and len(seen) <= 2, seen
        assert plan_of(cli, file) == {}
        other = write(policy(copy_of(server), name=full, owner="else"))
        assert_refused(cli.run("dns", "adopt", "-f", other, "--yes"), 'belongs to "prod"')
    r = cli.run("dns", "adopt", "-f", write(policy(copy_of(server), name="note.example.com")), "--yes")
    assert_refused(r, "not by kubecdn")


def test_verify(knot, cli, write, between, tmp_path):
    name = "verify.example.com"
    file = write(policy(copy_of(knot), name=name))
    assert_refused(cli.run("dns", "verify", "-f", file), "does not hold what the policy says")
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert "Every server" in cli.ok("dns", "verify", "-f", file).out
    assert cli.ok("dns", "verify", "-f", file, "-o", "json").json == {
        "ok": True,
        "refused": [],
        "findings": [],
    }
    with Knot(tmp_path / "secondary", f"{name}. A 192.0.2.1") as stale:
        way = between(knot, udp=stale)
        r = cli.run("dns", "verify", "-f", write(policy(copy_of(knot, port=way.port), name=name)))
        assert_refused(r, f"{way.port} answers", "by UDP", "instead of")


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


def test_given_up(knot, cli, write):
    """Marked first, and answered as before; then gone. Whoever applies in between keeps it."""
    name = "goes.example.com"
    file = write(policy(copy_of(knot), name=name, ttl={"answer": 5}))
    cli.ok("dns", "apply", "-f", file, "--yes")
    answers = knot.dig(name, "A")
    r = cli.ok("dns", "delete", "-f", file)
    assert "Nothing was changed" in r.out and knot.dig(name, "A") == answers
    cli.ok("dns", "delete", "-f", file, "--yes")
    assert knot.dig(name, "A") == answers and " t=" in knot.addresses(f"_kc.{name}", "TXT")[0]
    r = cli.ok("dns", "delete", "-f", file, "--yes")
    assert "s more" in r.out and knot.dig(name, "A") == answers
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert " t=" not in knot.addresses(f"_kc.{name}", "TXT")[0]
    other = write(policy(copy_of(knot), name=name, owner="else"), "other.yaml")
    assert_refused(cli.run("dns", "delete", "-f", other, "--yes"), 'belongs to "prod"')
    other = write(policy(copy_of(knot), name="foreign.example.com"), "other.yaml")
    assert_refused(cli.run("dns", "delete", "-f", other, "--yes"), "did not make")
    start = time.monotonic()
    cli.ok("dns", "delete", "-f", file, "--yes", "--wait")
    assert 10 <= time.monotonic() - start < 20
    assert knot.dig(name, "A") == {} and knot.addresses(f"_kc.{name}", "TXT") == []
    assert "Nothing to do" in cli.ok("dns", "delete", "-f", file, "--yes").out


def test_exported(knot, cli, write, tmp_path):
    """What is exported, a server takes as its zone file; and the policy then has nothing to do there."""
    name = "exported.example.com"
    file = write(policy(copy_of(knot), name=name))
    text = cli.ok("dns", "export", "-f", file).out
    with Knot(tmp_path / "other", text) as other:
        assert other.addresses(name) == ["192.0.2.1", "192.0.2.2"]
        assert plan_of(cli, write(policy(copy_of(other), name=name))) == {}
    fence = [{"clients": ["EU"], "only": ["fra"]}]
    assert_refused(cli.run("dns", "export", "-f", write(policy(copy_of(knot), fence=fence))), "fence")


def states(r):
    return [c["state"] for c in r.json["copies"]]


def test_status(knot, cli, write):
    """How each copy stands; --watch says what changes, and nothing else."""
    name, dead = "status.example.com", free_port()
    file = write(policy(copy_of(knot), copy_of(knot, port=dead), name=name))
    r = cli.run("dns", "status", "-f", file, "-o", "json")
    assert r.code == 2 and states(r) == ["unpublished", "unreachable"], r
    file = write(policy(copy_of(knot), name=name))
    watch = cli.start("dns", "status", "-f", file, "--watch")
    out = cli.state.parent / f"{cli.state.name}.status.out"
    wait_for("the first look", lambda: "unpublished" in out.read_text(), 10)
    cli.ok("dns", "apply", "-f", file, "--yes")
    wait_for("the change", lambda: "served" in out.read_text(), 10)
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130
    assert out.read_text().count(f"{name}.") == 2, out.read_text()
    assert states(cli.ok("dns", "status", "-f", file, "-o", "json")) == ["served"]
    differs = write(policy(copy_of(knot), name=name, endpoints={"e": ["192.0.2.9"]}), "differs.yaml")
    assert states(cli.run("dns", "status", "-f", differs, "-o", "json")) == ["differs"]
    foreign = write(policy(copy_of(knot), name="foreign.example.com"), "foreign.yaml")
    r = cli.run("dns", "status", "-f", foreign)
    assert r.code == 2 and "refused: foreign.example.com. has a A record" in r.out


# --- what goes wrong


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
    assert r.out == "", "no plan of what cannot be"


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
        (open_one, KEY, "others may read", "chmod 600"),
        (empty, KEY, "no TSIG secret", "base64"),
        (tmp_path / "none", KEY, "none", "no such key file"),
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
    shutil.copy(REPO / "examples/traffic-policy-world.yaml", tmp_path / "examples")
    file = tmp_path / "examples/traffic-policy.yaml"
    file.write_text(example.replace("port: 5300", f"port: {knot.port}"))
    env = {"PATH": f"{binary().parent}:/usr/bin:/bin", "SECRET": knot.secret, "HOME": str(tmp_path)}
    script = "set -ex\n" + "\n".join(shell_of("docs/how-to/dns.md"))
    run("sh", "-c", script, cwd=tmp_path, env=env)
    assert knot.dig(NAME, "A") == {(f"{NAME}.", "A"): (30, ["192.0.2.1", "192.0.2.2"])}


def test_servers_are_real(server):
    """The tests' own eyes: kdig is not ours."""
    assert isinstance(server, NameServer) and server.addresses("ns.example.com") == ["127.0.0.1"]
