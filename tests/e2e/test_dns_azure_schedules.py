"""Regions, an operator and a crash at the simulated Azure, call by call in an order drawn by chance: the back
end has no transactions there, and must not need any."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.azure import Zone
from lab.dns import APPLY, HEALTH, ORDER, PLACES, SITES, plan_of, policy, watched
from lab.schedule import Schedule

SEEDS = 300 if os.environ.get("KC_NIGHTLY") else 3
# Two regions at one place of Azure's: with weights they need a profile of their own.
NEAR = {"eu": "aws/eu-central-1", "us": "gcp/europe-west3", "ap": "azure/japaneast"}


@pytest.fixture
def zone(built, tmp_path):
    with Zone(tmp_path / "azure") as z:
        yield z


@pytest.fixture
def cli(cli, zone):
    cli.extra_env |= zone.env()
    return cli


class Fleet:
    def __init__(self, zone, cli, write, keys, sites):
        self.zone, self.cli, self.write, self.keys, self.sites = zone, cli, write, keys, sites

    def file(self, name, weight=1, **spec):
        data = policy(self.zone.entry(), name=name, **spec)
        data["spec"]["endpoints"] = []
        data["spec"]["regions"] = [
            {
                "name": n,
                "publicKey": self.keys[n][1],
                "at": self.sites[n],
                "weight": weight if n == "eu" else 1,
            }
            for n in ORDER
        ]
        return self.write(data, f"{name}-{weight}-{len(spec)}.yaml")

    def claim(self, file, region, n):
        args = ["--region", region, "--key", self.keys[region][0]]
        args += ["--addresses", f"198.18.{ORDER[region]}.{n}", "--yes"]
        return ["dns", "claim", "-f", file, *args]


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("sites", [SITES, NEAR], ids=["apart", "near"])
def test_three_regions(zone, cli, write, keys, sites, fresh):
    """All are there, whoever came between what; and once there was an answer there always is one."""
    fleet = Fleet(zone, cli, write, keys, sites)
    for seed in range(SEEDS):
        name = f"s{seed}.example.com"
        file = fleet.file(name, 3, route="latency", health=HEALTH)
        if not fresh:
            for region in ORDER:
                cli.ok(*fleet.claim(file, region, 1))
        with ThreadPoolExecutor(3) as pool, watched(zone, name) as seen, Schedule(zone, seed, 3):
            done = list(pool.map(lambda r, f=file: cli.run(*fleet.claim(f, r, 2)), ORDER))
        assert [r.code for r in done] == [0, 0, 0], (seed, done)
        assert fresh or () not in seen, seed
        assert plan_of(cli, file) == {}, seed
        wanted = {f"198.18.{n}.2" for n in ORDER.values()}
        asked = [PLACES[p] for p in ("Frankfurt", "New York", "Tokyo")] * 20
        got = {a for subnet in asked for a in zone.ask(name, subnet)}
        assert got == wanted, seed


def test_a_region_and_an_operator(zone, cli, write, keys):
    """The operator may be told to run again, and nothing else; a region always gets through."""
    fleet = Fleet(zone, cli, write, keys, NEAR)
    for seed in range(SEEDS):
        name = f"s{seed}.example.com"
        old, new = fleet.file(name), fleet.file(name, 3, route="latency", health=HEALTH)
        if seed % 2:
            old, new = new, old
        for region in ORDER:
            cli.ok(*fleet.claim(old, region, 1))
        with ThreadPoolExecutor(2) as pool, watched(zone, name) as seen, Schedule(zone, seed, 2):
            region = pool.submit(cli.run, *fleet.claim(old, "eu", 2))
            operator = pool.submit(cli.run, *APPLY, new)
            assert region.result().code == 0, (seed, region.result())
        assert operator.result().code in (0, 1), (seed, operator.result())
        cli.ok(*APPLY, new)
        assert () not in seen, seed
        assert plan_of(cli, new) == {}, seed
        got = {a for p in PLACES.values() for _ in range(5) for a in zone.ask(name, p)}
        assert got == {"198.18.1.2", "198.18.2.1", "198.18.3.1"}, seed


def test_a_region_dies(zone, cli, write, keys):
    """At any call, in the midst of the others'. Who lives is there, and anybody's next run makes it whole."""
    fleet = Fleet(zone, cli, write, keys, NEAR)
    for seed in range(SEEDS):
        name = f"s{seed}.example.com"
        file = fleet.file(name, 3, route="latency", health=HEALTH)
        cli.ok(*fleet.claim(file, "ap", 1))
        victim = cli.start(*fleet.claim(file, "us", 2))

        def kill(step, victim=victim, at=5 + seed * 3):
            if step == at:
                victim.kill()

        with ThreadPoolExecutor(2) as pool, watched(zone, name) as seen, Schedule(zone, seed, 3, kill):
            done = list(pool.map(lambda r, f=file: cli.run(*fleet.claim(f, r, 2)), ("eu", "ap")))
            victim.wait(30)
        assert [r.code for r in done] == [0, 0], (seed, done)
        assert () not in seen, seed
        cli.ok(*APPLY, file)
        assert plan_of(cli, file) == {}, seed
        assert () not in seen, seed
        got = {a for p in PLACES.values() for _ in range(10) for a in zone.ask(name, p)}
        assert {"198.18.1.2", "198.18.3.2"} <= got <= {"198.18.1.2", "198.18.2.2", "198.18.3.2"}, seed
