"""Hundreds of names in one policy, at real servers: what is written, what is left alone, and what becomes
of all others when one of them goes wrong. dnspython says what clients get."""

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dns.message
import dns.query
import dns.rdatatype
import pytest
from lab.cli import assert_refused
from lab.dns import NAME, Between, copy_of, plan_of, policy, powerdns_copy
from lab.nameservers import KEY, Knot, PowerDNS

ZONE = "example.com"
MANY = 300


def at(server, **changed):
    return (powerdns_copy if isinstance(server, PowerDNS) else copy_of)(server, **changed)


def names(prefix, n=MANY, start=0):
    return [f"{prefix}{i}.{ZONE}" for i in range(start, start + n)]


def hosts(listed, third=1):
    """Each with addresses of its own; those of another third are others."""
    return [
        {"name": name, "addresses": [f"10.{third}.{i >> 8}.{i & 255}"]} for i, name in enumerate(listed)
    ]


def served(server, listed, kind="A", ttl=None):
    """{name: [data]} of those that are there, asked by TCP one after the other."""
    found = {}
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        for name in listed:
            reply = dns.query.tcp(dns.message.make_query(name, kind), "127.0.0.1", sock=s, timeout=10)
            for rrset in reply.answer:
                if rrset.name.to_text() == f"{name}." and dns.rdatatype.to_text(rrset.rdtype) == kind:
                    assert ttl in (None, rrset.ttl)
                    found[name] = sorted(r.to_text() for r in rrset)
    return found


def wanted(listed):
    return {h["name"]: sorted(h["addresses"]) for h in listed}


def marks(server, listed):
    found = served(server, [f"_kc.{name}" for name in listed], "TXT")
    return {name.removeprefix("_kc."): data[0] for name, data in found.items()}


def changes_of(cli, file):
    """The hosts that a plan makes, and those that it changes."""
    found = {"create": set(), "update": set()}
    for task in cli.ok("dns", "plan", "-f", file, "-o", "json").json["plan"]["tasks"]:
        if task["kind"] == "dns/hosts" and task["action"] != "keep":
            found[task["action"]] = {c["path"].split(" ")[0].removesuffix(".") for c in task["changes"]}
            assert task["count"] == len(task["changes"])
    return found["create"], found["update"]


def test_a_life(server, cli, write):
    listed = hosts(names("life"))
    listed[7]["addresses"] = ["10.9.9.9", "10.9.9.8", "2001:db8::7"]
    listed[8]["addresses"] = ["2001:db8::8"]
    file, all_names = write(policy(at(server), name="life.example.com", hosts=listed)), names("life")
    assert changes_of(cli, file) == (set(all_names), set())
    serial = server.serial()
    r = cli.ok("dns", "apply", "-f", file)
    assert "Nothing was changed" in r.out and server.serial() == serial and served(server, all_names) == {}
    assert f"… and {MANY - 50} more" in r.out and f"Plan: {MANY + 3} to create" in r.out
    cli.ok("dns", "apply", "-f", file, "--yes")
    found = served(server, all_names, ttl=30)
    v6 = served(server, all_names, "AAAA", ttl=30)
    assert {n: found.get(n, []) + v6.get(n, []) for n in all_names} == wanted(listed)
    assert set(marks(server, all_names).values()) == {'"v=kc1 o=prod"'}
    assert set(marks(server, all_names)) == set(all_names)

    serial = server.serial()
    assert plan_of(cli, file) == {}
    assert f"{MANY + 3} unchanged" in cli.ok("dns", "apply", "-f", file, "--yes").out
    cli.ok("dns", "verify", "-f", file)
    assert "served" in cli.ok("dns", "status", "-f", file).out
    assert server.serial() == serial

    listed[3]["addresses"] = ["192.0.2.3"]
    write(policy(at(server), name="life.example.com", hosts=listed))
    assert plan_of(cli, file) == {"update": "update"}
    assert changes_of(cli, file) == (set(), {"life3.example.com"})
    r = cli.ok("dns", "apply", "-f", file)
    assert 'life3.example.com.: ["10.1.0.3"] -> ["192.0.2.3"]' in r.out
    assert_refused(cli.run("dns", "verify", "-f", file), "life3.example.com", "dns plan")
    r = cli.run("dns", "status", "-f", file)
    assert r.code == 2 and "1 hosts differ" in r.out, r
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert served(server, all_names) == {**found, "life3.example.com": ["192.0.2.3"]}

    # From one family to the other, another TTL, and one that is not listed any more.
    listed[3]["addresses"] = ["2001:db8::3"]
    dropped = listed.pop()
    write(policy(at(server), name="life.example.com", hosts=listed, ttl={"answer": 60}))
    assert changes_of(cli, file) == (set(), {h["name"] for h in listed})
    assert "life100.example.com. TTL: 30 -> 60" in cli.ok("dns", "plan", "-f", file).out
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert served(server, ["life3.example.com"]) == {}
    assert served(server, names("life", 3), ttl=60)
    assert served(server, [dropped["name"]], ttl=30) == wanted([dropped])
    assert plan_of(cli, file) == {}
    if isinstance(server, PowerDNS):
        assert re.search(r"note: .*: 1 more name.*marked as prod's", cli.ok("dns", "plan", "-f", file).out)


def test_one_change_is_one_name_on_the_wire(knot, cli, write):
    listed = hosts(names("wire"))
    file = write(policy(copy_of(knot), name="wire.example.com", hosts=listed))
    cli.ok("dns", "apply", "-f", file, "--yes")
    listed[5]["addresses"] = ["192.0.2.5"]
    way = Between(knot)
    write(policy(copy_of(knot, port=way.port), name="wire.example.com", hosts=listed))
    cli.ok("dns", "apply", "-f", file, "--yes")
    way.close()
    # One record out, one in.
    assert way.changes == [2]


def test_exported(knot, cli, write, tmp_path):
    """A server that has them from a zone file needs nothing more."""
    spec = {"name": "export.example.com", "hosts": hosts([*names("export"), "*.export.example.com"])}
    text = cli.ok("dns", "export", "-f", write(policy(copy_of(knot), **spec))).out
    with Knot(tmp_path / "other", text) as other:
        assert plan_of(cli, write(policy(copy_of(other), **spec))) == {}


def test_what_others_made_is_named(server, cli, write):
    """Four among three hundred; all others are published."""
    good = names("among")
    listed = hosts([*good[:100], "foreign.example.com", *good[100:], "alias.example.com", "note.example.com"])
    file = write(policy(at(server), name="among.example.com", hosts=listed))
    for args in (["plan"], ["apply", "--yes"], ["apply", "--yes"]):
        r = cli.run("dns", *args, "-f", file)
        assert r.code == 3, r
        assert "foreign.example.com. has a A record" in r.err and "dns adopt" in r.err, r
        assert "alias.example.com. has a CNAME record" in r.err, r
        assert "TXT record _kc.note.example.com. is not by kubecdn" in r.err, r
        assert len(r.error_lines) == 3
    assert served(server, good) == {h["name"]: h["addresses"] for h in listed if h["name"] in good}
    assert served(server, ["foreign.example.com"]) == {"foreign.example.com": ["192.0.2.77"]}
    assert served(server, ["note.example.com"]) == {}
    r = cli.run("dns", "apply", "-f", file, "--yes", "-o", "json")
    assert r.code == 3 and [c["name"] for c in r.json["refused"]] == [
        "alias.example.com.",
        "foreign.example.com.",
        "note.example.com.",
    ]
    # Another owner's are all refused, and counted rather than told.
    other = write(policy(at(server), name="else.example.com", owner="else", hosts=hosts(good)))
    r = cli.run("dns", "apply", "-f", other, "--yes")
    assert r.code == 3 and 'belongs to "prod"' in r.err and "so it is with 280 more hosts" in r.err, r
    assert set(marks(server, good).values()) == {'"v=kc1 o=prod"'}


def test_adopted(server, cli, write):
    """At every moment there is an answer, the old or the new."""
    listed = hosts(["byhand.example.com", *names("adopt", 20), "byhand-too.example.com"])
    file = write(policy(at(server), name="adopt.example.com", hosts=listed))
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(tuple(served(server, ["byhand.example.com"]).get("byhand.example.com", [])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    cli.ok("dns", "adopt", "-f", file, "--yes")
    stop.set()
    watcher.join()
    assert seen <= {("192.0.2.77",), ("10.1.0.0",)}, seen
    assert served(server, [h["name"] for h in listed]) == wanted(listed)
    assert plan_of(cli, file) == {}


def test_below_a_wildcard(server, cli, write):
    """What it answers is nobody's record."""
    listed = hosts([f"h{i}.wild.example.com" for i in range(5)] + ["*.below.example.com"])
    file = write(policy(at(server), name="beside.example.com", hosts=listed))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert served(server, [h["name"] for h in listed[:5]]) == wanted(listed[:5])
    assert served(server, ["x.wild.example.com"]) == {"x.wild.example.com": ["192.0.2.99"]}
    assert served(server, ["x.below.example.com"]) == {"x.below.example.com": listed[5]["addresses"]}
    assert plan_of(cli, file) == {}


def run_all(cli, files):
    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(lambda f: cli.run("dns", "apply", "-f", f, "--yes"), files))


def test_two_operators_at_once(server, cli, write):
    """Of one fleet, with two versions of some hosts: each has one of the two, and who came second is told
    which; the others are all published."""
    both = names("both", 200)
    versions = [hosts(both + names("left", 50), 1), hosts(both + names("right", 50), 2)]
    files = [
        write(policy(at(server), name=f"op{i}.example.com", hosts=v), f"{i}.yaml")
        for i, v in enumerate(versions)
    ]
    for _ in range(3):
        for r in run_all(cli, files):
            assert r.code == 0 or (r.code == 3 and "somebody else changed it" in r.err), r
        found = served(server, both)
        for i, name in enumerate(both):
            assert found[name] in [v[i]["addresses"] for v in versions]
        for v in versions:
            assert served(server, [h["name"] for h in v[200:]]) == wanted(v[200:])
    # The very same twice at once is no conflict.
    one = policy(at(server), name="op0.example.com", hosts=versions[0])
    same = [write(one, f"s{i}.yaml") for i in (0, 1)]
    assert [r.code for r in run_all(cli, same)] == [0, 0]
    assert served(server, both) == wanted(versions[0][:200])


def test_two_fleets_at_once(server, cli, write):
    """Each host is one's, whole: the address is of the owner that the mark names."""
    both, files = names("fleet", 100), []
    for i in (1, 2):
        one = policy(at(server), name=f"f{i}.example.com", owner=f"fleet{i}", hosts=hosts(both, i))
        files.append(write(one, f"{i}.yaml"))
    for r in run_all(cli, files):
        assert r.code == 0 or (
            r.code == 3 and re.search(r'belongs to "fleet|somebody else changed it', r.err)
        ), r
    found, owners = served(server, both), marks(server, both)
    for i, name in enumerate(both):
        assert found[name] == [f"10.{owners[name][-2]}.0.{i}"]


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
def test_a_batch_or_its_reply_is_lost(server, cli, write, between, what):
    name, listed = f"{what}.example.com", hosts(names(what))
    file = write(policy(at(server), name=name))
    cli.ok("dns", "apply", "-f", file, "--yes")
    way = between(server, **{what: 1})
    write(policy(at(server, port=way.port), name=name, hosts=listed))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert getattr(way, what) == 0
    assert served(server, names(what)) == wanted(listed)
    assert plan_of(cli, file) == {}


def test_one_name_is_stale(knot, cli, write, tmp_path):
    """A secondary that has all but one: that one is taken back, and the others stay."""
    name, listed = "stale.example.com", hosts(names("stale"))
    old = [{**listed[5], "addresses": ["192.0.2.55"]}]
    file = write(policy(copy_of(knot), name=name, endpoints={"e": ["192.0.2.1"]}, hosts=old))
    cli.ok("dns", "apply", "-f", file, "--yes")
    zone = "\n".join(f"{h['name']}. 30 A {h['addresses'][0]}" for h in [*listed[:5], *old, *listed[6:]])
    zone += f'\n{name}. 30 A 192.0.2.1\n_kc.{name}. 30 TXT "v=kc1 o=prod"'
    with Knot(tmp_path / "secondary", zone) as stale:
        servers = [{"address": "127.0.0.1", "port": s.port} for s in (knot, stale)]
        spec = {"endpoints": {"e": ["192.0.2.1"]}, "hosts": listed, "verify": {"within": "1s"}}
        file = write(policy(copy_of(knot, servers=servers), name=name, **spec))
        r = cli.run("dns", "apply", "-f", file, "--yes")
    says = "stale5.example.com.: what was written is not served, and was taken back"
    assert r.code == 3 and says in r.err, r
    assert f"port {stale.port} answers" in r.err and len(r.error_lines) == 1, r
    assert served(knot, names("stale")) == {**wanted(listed), **wanted(old)}
    assert set(marks(knot, names("stale"))) == set(names("stale"))


def test_a_dead_secondary(knot, cli, write):
    """Nobody knows what its clients get: everything is as before."""
    name, listed = "deadsec.example.com", hosts(names("deadsec", 30))
    file = write(policy(copy_of(knot), name=name))
    cli.ok("dns", "apply", "-f", file, "--yes")
    servers = [{"address": "127.0.0.1", "port": knot.port}]
    spec = {"hosts": listed, "verify": {"within": "1s"}}
    way = Between(knot)
    way.mute = b"deadsec1"
    servers.append({"address": "127.0.0.1", "port": way.port})
    file = write(policy(copy_of(knot, servers=servers), name=name, **spec))
    r = cli.run("dns", "apply", "-f", file, "--yes")
    way.close()
    assert r.code == 3 and "was taken back" in r.err and "no answer" in r.err, r
    assert served(knot, names("deadsec", 30)) == {} and marks(knot, names("deadsec", 30)) == {}


def test_killed(knot, cli, write):
    """At any time until it is through: each name has what was, or what is to be, with its mark, and the
    same command again leads to that."""
    all_names, counts = names("kill", 1200), set()
    versions = [hosts(all_names, 1), hosts(all_names, 2)]
    files = [
        write(policy(copy_of(knot), name="kill.example.com", hosts=v), f"{i}.yaml")
        for i, v in enumerate(versions)
    ]
    cli.ok("dns", "apply", "-f", files[0], "--yes")
    start = time.monotonic()
    cli.ok("dns", "apply", "-f", files[1], "--yes")
    length = time.monotonic() - start
    for i in range(8):
        old, new = versions[(i + 1) % 2], versions[i % 2]
        p = cli.start("dns", "apply", "-f", files[i % 2], "--yes")
        time.sleep(length * (i + 1) / 9)
        p.kill()
        p.wait()
        found = served(knot, all_names)
        for was, to_be in zip(old, new, strict=True):
            assert found[was["name"]] in (was["addresses"], to_be["addresses"])
        counts.add(sum(found[h["name"]] == h["addresses"] for h in new))
        assert set(marks(knot, all_names)) == set(all_names)
        cli.ok("dns", "apply", "-f", files[i % 2], "--yes")
        assert served(knot, all_names) == wanted(new)
    print("changed before it was killed:", sorted(counts))


BAD = [
    (0, {"name": "b.example.com"}, r'hosts\[0\] is named "b.example.com", too', "one of them"),
    (1, {"name": "b.example.org"}, "not in the zone example.com", "n1.example.com"),
    (1, {"name": "badexample.com"}, "not in the zone example.com", "n1.example.com"),
    (1, {"name": NAME}, "this is metadata.name", "spec.endpoints"),
    (1, {"name": "B.example.com"}, "not a DNS name", "lower-case"),
    (1, {"name": ".".join(["a" * 60] * 3) + "." + "b" * 50 + ".example.com"}, "longer name", "shorter"),
    (1, {"addresses": ["192.0.2.300"]}, "not an address", "192.0.2.11"),
    (1, {"addresses": ["192.0.2.1", "192.0.2.1"]}, "in the list already", "take it out"),
    (1, {"addresses": []}, "at least 1", ""),
    (1, {"address": []}, 'unknown field "address"', "addresses"),
]


@pytest.mark.parametrize("i, changed, what, fix", BAD, ids=lambda v: None)
def test_bad_input(cli, write, i, changed, what, fix):
    listed = hosts(["a.example.com", "b.example.com"])
    if i == 0:
        listed[0] |= changed
        i = 1
    else:
        listed[1] |= changed
    entry = {"provider": "rfc2136", "server": "127.0.0.1", "tsig": {"name": KEY, "secretFile": "x"}}
    file = write(policy(entry, hosts=listed))
    r = cli.run("dns", "plan", "-f", file)
    lines = enumerate(file.read_text().splitlines(), 1)
    line = [n for n, x in lines if f'"name": "{listed[1]["name"]}"' in x][-1]
    assert_refused(r, what, fix, rf"spec.hosts\[{i}\]", where=rf"^{file}:\d+:\d+: ")
    assert line <= int(re.search(r"yaml:(\d+):", r.err)[1]) <= line + 4, r


def test_too_many(cli, write):
    entry = {"provider": "rfc2136", "server": "127.0.0.1", "tsig": {"name": KEY, "secretFile": "x"}}
    file = write(policy(entry, hosts=hosts(names("many", 50001))))
    assert_refused(cli.run("dns", "plan", "-f", file), "50001 items; at most 50000")
