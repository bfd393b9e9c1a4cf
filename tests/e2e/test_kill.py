"""kill -9 of the program at seeded instants of a real create, on hosts over SSH and with cloud
local: the same command resumes, delete leaves nothing, also right after the kill. KC_KILLS
instants (default 3, a sample; the full run is 20), KC_SEED the seed."""

import json
import os
import random
import re
import shutil
import signal
import time

import pytest
from lab import yaml
from lab.cli import Cli, assert_refused, pending
from lab.hosts import LabHosts, run, wait_for
from lab.local import BASE, traces
from lab.snapshot import assert_back, assert_same, diff, snapshot, tree_of
from lab.timeline import timeline

KILLS = int(os.environ.get("KC_KILLS", "3"))
SEED = int(os.environ.get("KC_SEED", "1"))
NAME = "killed"


class Hosts:
    """Two hosts over SSH: booted once, put back by every delete."""

    def __init__(self, lab):
        self.lab = lab
        self.before = {h.name: snapshot(h) for h in lab}

    def manifest(self, folder):
        file = folder / "cluster.yaml"
        roles = {"cp1": "control-plane", "w1": "worker"}
        hosts = [yaml.host_entry(self.lab[n], role) for n, role in roles.items()]
        file.write_text(yaml.cluster(NAME, hosts))
        return file

    def create(self, folder):
        return ["cluster", "create", "-f", self.manifest(folder)]

    def assert_clean(self, uid):
        """Soon: what the killed run had started on a host sees the end of its connection."""
        for h in self.lab:
            try:
                wait_for("a clean host", lambda h=h: not self.changed(h), 3, 0.3)
            except TimeoutError:
                assert_same(self.before[h.name], snapshot(h))

    def changed(self, host):
        return diff(self.before[host.name], snapshot(host))


class Local:
    """Machines that the program makes on this host."""

    def create(self, folder):
        return ["cluster", "create", NAME, "--cloud", "local", "--workers", "1"]

    def assert_clean(self, uid):
        if uid:
            wait_for("no traces", lambda: not traces(uid[:8]), 3)
        assert not list(BASE.glob(f"*{NAME}-*"))


@pytest.fixture(scope="module")
def hosts(built):
    with LabHosts(["cp1", "w1"]) as lab:
        yield Hosts(lab)


@pytest.fixture(scope="module")
def clouds(hosts):
    return {"onprem": hosts, "local": Local()}


def uid_of(cli):
    file = cli.state / "clusters" / NAME / "cluster.json"
    return json.loads(file.read_text())["uid"] if file.exists() else None


def delete(cli, cloud, uid=None):
    uid = uid or uid_of(cli)
    cli.ok("cluster", "delete", NAME, "--yes")
    assert_gone(cli, cloud, uid)


def assert_gone(cli, cloud, uid):
    cloud.assert_clean(uid)
    assert not [p for p in tree_of(cli.state) if NAME in p]
    assert not list((cli.state / ".tmp").glob("*"))


@pytest.fixture(scope="module")
def length(clouds, tmp_path_factory):
    """Seconds that an uninterrupted create takes, and ("delete", cloud) a delete; also that
    everything can be put back at all."""
    seconds = {}
    for kind in {p["cloud"] for p in points()}:
        folder = tmp_path_factory.mktemp(f"length-{kind}")
        cli = Cli(folder / "state")
        start = time.monotonic()
        cli.ok(*clouds[kind].create(folder), "--yes")
        made = time.monotonic()
        seconds[kind] = made - start
        uid = uid_of(cli)
        cli.ok("cluster", "delete", NAME, "--yes")
        seconds["delete", kind] = time.monotonic() - made
        assert_gone(cli, clouds[kind], uid)
    return seconds


def kill_at(cli, argv, seconds):
    """True if the program was still at work then."""
    p = cli.start(*argv, "--yes")
    time.sleep(seconds)  # the instant is what is varied here
    running = p.poll() is None
    p.kill()
    p.wait()
    return running


def points():
    """Instants over the whole length; a quarter of them with cloud local, a third of them followed
    by a delete instead of the same command, every fifth killed a second time."""
    rng = random.Random(SEED)
    return [
        {
            "at": (i + rng.random()) / KILLS,
            "cloud": "local" if i % 4 == 1 else "onprem",
            "then": "delete" if i % 3 == 2 else "resume",
            "twice": i % 5 == 0,
        }
        for i in range(KILLS)
    ]


def point_id(p):
    return f"{p['cloud']}-{p['at']:.3f}-{p['then']}"


def assert_works(cli, kubectl, folder):
    r = cli.run("cluster", "validate", NAME)
    assert r.code == 0, r
    config = cli.kubeconfig(NAME, folder / "kubeconfig")
    nodes = json.loads(
        run(kubectl, "--kubeconfig", config, "get", "nodes", "-o", "json").stdout
    )
    ready = {
        n["metadata"]["name"]
        for n in nodes["items"]
        for c in n["status"]["conditions"]
        if c["type"] == "Ready" and c["status"] == "True"
    }
    assert ready == {"cp1", "w1"}


@pytest.mark.parametrize("point", points(), ids=point_id)
def test_killed(clouds, length, kubectl, tmp_path, point):
    cli, cloud = Cli(tmp_path / "state"), clouds[point["cloud"]]
    argv, at = cloud.create(tmp_path), point["at"] * length[point["cloud"]]
    running = kill_at(cli, argv, at)
    if point["twice"]:
        running |= kill_at(cli, argv, at / 2)
    print(f"killed after {at:.2f} s, {'at work' if running else 'already done'}")
    uid = uid_of(cli)
    if point["then"] == "resume":
        cli.ok(*argv, "--yes")
        assert uid in (None, uid_of(cli))
        assert pending(cli.plan(*argv[1:])) == {}
        assert_works(cli, kubectl, tmp_path)
        delete(cli, cloud)
        return
    r = cli.run("cluster", "delete", NAME, "--yes")
    assert r.code == 0 or (not uid and "no cluster" in r.err), r
    assert_gone(cli, cloud, uid)


def test_killed_before_it_began(hosts, tmp_path):
    """What a create writes first, one thing more each time: delete takes it all away again, a
    preview of delete changes nothing, and the create goes on from there."""
    cli, argv = Cli(tmp_path / "state"), hosts.create(tmp_path)
    mine = cli.state / "clusters" / NAME
    p = cli.start(*argv, "--yes")
    wait_for("the manifest in the state", (mine / "spec.yaml").exists, 60, 0.001)
    p.kill()
    p.wait()
    first = ["lock", "cluster.json", "spec.yaml"]
    for n in range(len(first) + 1):
        half = Cli(tmp_path / f"half{n}")
        (half.state / "clusters" / NAME).mkdir(parents=True, mode=0o700)
        for name in first[:n]:
            shutil.copy(mine / name, half.state / "clusters" / NAME / name)
        before = tree_of(half.state)
        r = half.run("cluster", "delete", NAME)
        assert r.code == 0 or (n == 0 and "no cluster" in r.err), (n, r)
        assert tree_of(half.state) == before
        if n > 1:
            (listed,) = half.ok("cluster", "list", "-o", "json").json
            assert (listed["name"], listed["state"]) == (NAME, "incomplete")
        if n:
            assert pending(half.plan(*argv[1:])), n
        r = half.run("cluster", "delete", NAME, "--yes")
        assert r.code == 0 or (n == 0 and "no cluster" in r.err), (n, r)
        assert not [
            p for p in tree_of(half.state) if NAME in p and not p.endswith(NAME)
        ]
    delete(cli, hosts)


def start_to_change(cli, argv):
    """The process, once the apply has begun to change a host."""
    p = cli.start(*argv, "--yes")
    journal = cli.state / "clusters" / NAME / "journal"
    wait_for(
        "a host that is changed",
        lambda: any('"node/' in s.read_text() for s in journal.glob("*")),
        60,
        0.01,
    )
    return p


def start_and_interrupt(cli, argv):
    """Ctrl-C then; the process and the file it writes to."""
    p = start_to_change(cli, argv)
    out = cli.state.parent / f"{cli.state.name}.create.out"
    p.send_signal(signal.SIGINT)
    wait_for("the signal to be seen", lambda: "press Ctrl-C again" in out.read_text(), 10)
    return p, out


def test_interrupted_once(hosts, kubectl, tmp_path):
    """It stops cleanly and says how to go on; the same command does."""
    cli, argv = Cli(tmp_path / "state"), hosts.create(tmp_path)
    p, out = start_and_interrupt(cli, argv)
    assert p.wait(120) == 130, out.read_text()
    errors = [x for x in out.read_text().splitlines() if x.startswith("kubecdn: ")]
    assert len(errors) == 2, errors  # that it stops, and how to go on
    assert "run the same command again to go on" in errors[1]
    (listed,) = cli.ok("cluster", "list", "-o", "json").json
    assert listed["state"] == "incomplete"
    first = timeline(cli, NAME)
    assert first["state"] == "stopped"
    assert {"stopped", "failed"} & {t.get("result") for t in first["tasks"]}
    cli.ok(*argv, "--yes")
    assert pending(cli.plan(*argv[1:])) == {}
    assert timeline(cli, NAME)["state"] == "done"
    assert timeline(cli, NAME, "--run", first["run"]) == {**first, "runs": [1, 2]}
    assert_works(cli, kubectl, tmp_path)
    delete(cli, hosts)


def test_interrupted_twice(hosts, tmp_path):
    cli, argv = Cli(tmp_path / "state"), hosts.create(tmp_path)
    p, out = start_and_interrupt(cli, argv)
    p.send_signal(signal.SIGINT)
    assert p.wait(10) == 130, out.read_text()
    delete(cli, hosts)


def test_the_timeline_of_a_killed_run(hosts, tmp_path):
    """What was under way on the hosts then is said, and so is what never began."""
    cli, argv = Cli(tmp_path / "state"), hosts.create(tmp_path)
    p = start_to_change(cli, argv)
    assert timeline(cli, NAME)["state"] == "running"
    p.kill()
    p.wait()
    run = timeline(cli, NAME)
    assert run["state"] == "killed"
    tasks = {t["id"]: t for t in run["tasks"]}
    assert "end" in tasks["secret/ca"] and "start" not in tasks["kube/api"]
    assert "start" in tasks["node/cp1"] and "end" not in tasks["node/cp1"]
    # Whoever takes the lock next folds the journal, which told of it, into the record.
    r = cli.run("cluster", "delete", NAME, "--forget", "nobody", "--yes")
    assert_refused(r, 'no host "nobody"')
    assert timeline(cli, NAME) == run
    delete(cli, hosts)


@pytest.mark.parametrize(
    "at", [p["at"] for p in points()][: max(1, KILLS // 5)], ids=lambda x: f"{x:.3f}"
)
@pytest.mark.parametrize("kind", ["onprem", "local"])
def test_a_killed_delete_is_repeated(clouds, length, tmp_path, kind, at):
    cli, cloud = Cli(tmp_path / "state"), clouds[kind]
    cli.ok(*cloud.create(tmp_path), "--yes")
    uid = uid_of(cli)
    p = cli.start("cluster", "delete", NAME, "--yes")
    time.sleep(at * length["delete", kind])  # the instant is what is varied here
    p.kill()
    p.wait()
    r = cli.run("cluster", "delete", NAME, "--yes")
    assert r.code == 0 or "no cluster" in r.err, r
    assert_gone(cli, cloud, uid)


def test_a_lost_record(tmp_path):
    """No record and no journal: delete finds by the uid's names what there is, shows it, takes it
    away, and leaves alone what has other names."""
    cli, cloud = Cli(tmp_path / "state"), Local()
    cli.ok(*cloud.create(tmp_path), "--yes")
    uid, mine = uid_of(cli), cli.state / "clusters" / NAME
    (mine / "record.json").unlink()
    shutil.rmtree(mine / "journal", ignore_errors=True)
    spaces = [f"kc{uid[:8]}-unknown", f"kc{uid[:7]}-other"]
    try:
        for name in spaces:
            run("ip", "netns", "add", name)
        shown = pending(cli.plan("delete", NAME))
        assert set(shown.values()) == {"delete"}, shown
        assert set(shown) == {
            "local/machine/cp1",
            "local/machine/w1",
            "local/network",
            "local/key",
            "local/root",
            f"local/remains/{spaces[0]}",
        }
        r = cli.ok("cluster", "delete", NAME)
        assert "local/network: carries this owner's mark, but is not recorded" in r.out
        delete(cli, cloud)
        assert spaces[1] in run("ip", "netns").stdout
    finally:
        for name in spaces:
            run("ip", "netns", "del", name, check=False)


TAKER = """#!/bin/sh
case "$2" in
*"kubecdn-node reset"*) [ -e /run/taken ] || { touch /run/taken; rm /opt/kubecdn/bin/kubecdn-node; } ;;
esac
exec /bin/sh "$@"
"""


def test_a_reset_of_before_takes_the_agent_away(hosts, tmp_path):
    """One whose command was killed goes on, and ends between our look at the agent and its start."""
    cli, w1 = Cli(tmp_path / "state"), hosts.lab["w1"]
    cli.ok(*hosts.create(tmp_path), "--yes")
    w1.put("/usr/local/bin/taker", TAKER, 0o755)
    w1.enter("sed", "-i", "/^root:/s|/bin/bash|/usr/local/bin/taker|", "/etc/passwd")
    try:
        cli.ok("cluster", "delete", NAME, "--yes")
    finally:
        w1.enter("sed", "-i", "/^root:/s|/usr/local/bin/taker|/bin/bash|", "/etc/passwd")
    w1.enter("rm", "/run/taken", "/usr/local/bin/taker")
    hosts.assert_clean(None)


def put_back(host, told):
    """Do what the program told to do with a host that it forgot."""
    envelope = re.search(r"echo '(\{.*\})' \| ssh .* sudo (\S+) reset", told)
    host.enter("test", "-e", "/var/lib/kubecdn/marker.json")
    host.enter("sh", "-c", f"echo '{envelope[1]}' | {envelope[2]} reset")


def test_a_host_that_is_switched_off(hosts, tmp_path):
    """Delete names it and the way out; what it leaves there is told, with what puts it right."""
    cli, w1 = Cli(tmp_path / "state"), hosts.lab["w1"]
    cli.ok(*hosts.create(tmp_path), "--yes")
    run("ip", "link", "set", w1.veth, "down")
    try:
        r = cli.run("cluster", "delete", NAME, "--yes", timeout=120)
        assert r.code == 3, r
        assert re.search(r"w1 failed: .*--forget w1$", r.error_lines[-2]), r
        assert "1 of 2 hosts is done, 1 failed" in r.error_lines[-1], r
        r = cli.run("cluster", "delete", NAME, "--forget", "w7", "--yes")
        assert r.code == 1 and '"w7"' in r.err, r
        before = tree_of(cli.state)
        r = cli.ok("cluster", "delete", NAME, "--forget", "w1")
        assert "forget node/w1" in r.out and tree_of(cli.state) == before
        r = cli.ok("cluster", "delete", NAME, "--forget", "w1", "--yes")
    finally:
        run("ip", "link", "set", w1.veth, "up")
    assert not [p for p in tree_of(cli.state) if NAME in p]
    assert_same(hosts.before["cp1"], snapshot(hosts.lab["cp1"]))
    assert "Left on w1" in r.out, r
    put_back(w1, r.out)
    hosts.assert_clean(None)


def test_a_worker_that_is_switched_off_leaves(hosts, kubectl, tmp_path):
    """Update drops it, once the manifest does; the cluster goes on without it, and so does delete."""
    cli, w1 = Cli(tmp_path / "state"), hosts.lab["w1"]
    file = hosts.manifest(tmp_path)
    cli.ok("cluster", "create", "-f", file, "--yes")
    run("ip", "link", "set", w1.veth, "down")
    try:
        for act in ([], ["--yes"]):
            r = cli.run("cluster", "update", "-f", file, "--forget", "w1", *act)
            assert_refused(r, '"w1" is still in the manifest', "take it out")
        entry = yaml.host_entry(hosts.lab["cp1"], "control-plane")
        file.write_text(yaml.cluster(NAME, [entry]))
        r = cli.run("cluster", "update", "-f", file, "--forget", "w7")
        assert_refused(r, '"w7"')
        shown = pending(cli.plan("update", "-f", file, "--forget", "w1"))
        assert shown == {"node/w1": "forget", "kube/node/w1": "delete"}, shown
        r = cli.ok("cluster", "update", "-f", file, "--forget", "w1", "--yes")
        assert "Left on w1" in r.out, r
        assert pending(cli.plan("update", "-f", file)) == {}
        config = cli.kubeconfig(NAME, tmp_path / "kubeconfig")
        names = run(
            kubectl, "--kubeconfig", config, "get", "nodes", "-o", "name"
        ).stdout
        assert names.split() == ["node/cp1"]
        cli.ok("cluster", "delete", NAME, "--yes")
    finally:
        run("ip", "link", "set", w1.veth, "up")
    assert not [p for p in tree_of(cli.state) if NAME in p]
    assert_back(hosts.before["cp1"], hosts.lab["cp1"])
    put_back(w1, r.out)
    hosts.assert_clean(None)
