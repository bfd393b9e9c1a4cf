"""Regions that speak for themselves: `kubecdn dns claim` at real name servers."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from lab.cli import assert_refused
from lab.dns import copy_of, plan_of, policy
from lab.hosts import run


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
    assert_refused(claim(cli, file, keys, "eu", *some, key=loose), "others may read", "chmod 600")
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
