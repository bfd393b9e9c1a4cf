"""Faults of the world around the program: machines that lose power, full disks, a clock that steps, an API
server that dies, an operator that fell asleep. The same command leads to the end that an undisturbed
one has, and a delete to hosts as they were (life.py)."""

import os
import signal
import threading
from pathlib import Path

import pytest
from lab.cli import pending
from lab.faults import Point, Watch, Watching
from lab.hosts import LabHosts, wait_for
from lab.snapshot import tree_of

from .life import NAME, Life


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hosts(kubectl, tmp_path_factory):
    with LabHosts(["cp1", "w1", "w2"]) as lab:
        yield Life(lab, kubectl, tmp_path_factory.mktemp("scenarios"))


@pytest.fixture
def life(hosts):
    """A new state; what it made is deleted in the end, and the hosts are as before."""
    hosts.begin()
    yield hosts
    if (hosts.cli.state / "clusters" / NAME).exists():
        hosts.cli.ok("cluster", "delete", NAME, "--yes")
    hosts.check_gone()


def journal(life):
    return life.cli.state / "clusters" / NAME / "journal"


def test_ctrl_c_in_every_phase(life):
    """Each time it stops in order and says how to go on; the last run is through."""
    told = []

    def seen(verb, point, r, operations, reached, why):
        assert not why, why
        if point and reached:
            told.append((verb, point))
            assert ("run the same command again" in r.err) or point.do == "intint", r

    create = [
        Point("ssh", 2, "after", "int"),  # connecting
        Point("ssh", 7, "after", "int"),  # planning on hosts
        Point("put", 9, "after", "int"),  # secrets
        Point("send", 1500, "after", "int"),  # uploading
        Point("send", 2500, "after", "intint"),
        Point("http", 3, "after", "int"),  # objects
        Point("http", 40, "after", "intint"),
    ]
    change = [Point("ssh", 3, "after", "int"), Point("put", 5, "after", "intint")]
    life.live({"create": create, "grow": change, "shrink": change, "delete": change}, seen)
    print(*told, sep="\n")
    assert len(told) >= 9, told


@pytest.mark.parametrize("seconds", ["+120", "-120"])
def test_the_clock_steps(life, seconds):
    """Another time of the day in the middle of the run; leases and time-outs do not follow it."""
    r, _, reached = life.injected.run(
        *life.argv("create"), "--yes", point=Point("put", 12, "after", f"step{seconds}")
    )
    assert reached and r.code == 0, r
    life.check_works({"cp1", "w1"}, "create")


def test_power_is_lost_in_the_middle(life):
    """Of a worker whose agent is at work. The cluster then also survives one of every host."""
    w1 = life.lab["w1"]
    watch = Watch(w1)
    p = life.cli.start(*life.argv("create"), "--yes")
    with Watching([watch]):
        wait_for("an agent at work", lambda: len(watch.seen) >= 6, 90, 0.01)
    w1.reboot()
    p.wait(180)  # it may have waited for the host, or given up
    life.cli.ok(*life.argv("create"), "--yes")
    life.check_works({"cp1", "w1"}, "create")
    threads = [threading.Thread(target=life.lab[n].reboot) for n in ("cp1", "w1")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    life.cli.ok("cluster", "validate", NAME, "--wait", "2m")
    life.check_works({"cp1", "w1"}, "create")


def test_a_disk_fills_up(life):
    """While programs are uploaded: the host and the cause are named, and room is all it takes."""
    w1, blobs = life.lab["w1"], "/var/lib/kubecdn/blobs"
    w1.enter("mkdir", "-p", "-m", "0700", "/var/lib/kubecdn", blobs)
    w1.enter("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", blobs)
    try:
        r = life.cli.run(*life.argv("create"), "--yes")
    finally:
        w1.enter("umount", blobs)
    assert r.code == 1, r
    assert "No space left on device" in r.err and w1.address in r.err, r
    life.cli.ok(*life.argv("create"), "--yes")
    life.check_works({"cp1", "w1"}, "create")


def pids_of(host, unit):
    for top in host.record()["cgroups"]:
        for where in ("", "payload"):
            procs = Path(top, where, "system.slice", f"{unit}.service", "cgroup.procs")
            if procs.exists() and procs.read_text().split():
                return [int(p) for p in procs.read_text().split()]
    return []


@pytest.mark.parametrize("unit", ["kube-apiserver", "etcd"])
def test_it_dies_while_objects_are_made(life, unit):
    p = life.cli.start(*life.argv("create"), "--yes")
    wait_for(
        "objects under way",
        lambda: any('"kube/' in s.read_text() for s in journal(life).glob("*")),
        90,
        0.005,
    )
    killed = pids_of(life.lab["cp1"], unit)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    out = life.cli.state.parent / f"{life.cli.state.name}.create.out"
    assert p.wait(180) in (0, 1), out.read_text()
    print(f"killed {unit} ({killed}); the create ended with {p.returncode}")
    life.cli.ok(*life.argv("create"), "--yes")
    life.check_works({"cp1", "w1"}, "create")


def test_an_operator_that_slept(life):
    """Stopped while its hosts are changed; another took the lock meanwhile, and went on. When it wakes
    up it changes nothing any more, neither in the state nor on a host."""
    asleep = life.cli.start(*life.argv("create"), "--yes")
    wait_for(
        "a host that is changed",
        lambda: any('"node/' in s.read_text() for s in journal(life).glob("*")),
        60,
        0.01,
    )
    life.cli.pause(asleep)
    try:
        r = life.cli.run(*life.argv("create"), "--yes")
        assert r.code == 1 and "locked by" in r.err, r
        fence = r.err.split("--force ")[1].split()[0]
        life.cli.ok("cluster", "unlock", NAME, "--force", fence)
        life.cli.ok(*life.argv("create"), "--yes")
        marks = {h.name: marker_of(h) for h in life.lab if h.name != "w2"}
        before = tree_of(life.cli.state)
    finally:
        asleep.send_signal(signal.SIGCONT)
    out = life.cli.state.parent / f"{life.cli.state.name}.create.out"
    assert asleep.wait(60) == 1, out.read_text()
    last = out.read_text().splitlines()[-1]
    # The state refuses it, or a host does, whichever it asks first.
    assert "lock" in last or "a newer operator (fence 2) works on this host" in last, out.read_text()
    assert tree_of(life.cli.state) == before
    assert marks == {n: marker_of(life.lab[n]) for n in marks}
    assert pending(life.cli.plan(*life.argv("create")[1:])) == {}
    life.check_works({"cp1", "w1"}, "create")


def marker_of(host):
    return (host.root / "var/lib/kubecdn/marker.json").read_text()
