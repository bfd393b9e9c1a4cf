"""Eleven real nodes: an update of ten workers gives up after --max-failures, says what became of each, and
goes on with what is left once that is mended."""

import pytest
from lab import yaml
from lab.cli import pending
from lab.hosts import wait_for
from lab.snapshot import snapshot
from lab.story import Story, sh, told

pytestmark = pytest.mark.slow

WORKERS = [f"w{n}" for n in range(1, 11)]
# What cannot be written there: the folder of the kubelet's unit.
UNITS = "/etc/systemd/system"
BREAK = f"mount --bind {UNITS} {UNITS}; mount -o remount,bind,ro {UNITS}"
MEND = f"umount {UNITS}"


class Eleven(Story):
    def __init__(self, *args):
        super().__init__(*args)
        self.hosts = [yaml.host_entry(self.lab["cp1"], "control-plane")]
        self.hosts += [yaml.host_entry(self.lab[n], "worker") for n in WORKERS]

    def capacity(self):
        """{worker: how many pods its kubelet allows}"""
        nodes = {n["metadata"]["name"]: n["status"]["capacity"]["pods"] for n in self.get("nodes")["items"]}
        return {n: int(nodes[n]) for n in WORKERS}


@pytest.fixture(scope="module")
def story(tmp_path_factory, kubectl, built):
    with told(tmp_path_factory.mktemp("eleven"), kubectl, ["cp1", *WORKERS], Eleven) as s:
        s.cli.ok("cluster", "create", "-f", s.file, "--yes", timeout=600)
        s.cli.kubeconfig("story", s.config)
        yield s
        s.cli.ok("cluster", "delete", "story", "--yes", timeout=600)
        for h in s.lab:
            assert snapshot(h) == s.before[h.name], h.name


def results(r):
    out = {}
    for h in r.json["result"]["hosts"]:
        out.setdefault(h["result"], set()).add(h["host"])
    return out


def test_update_of_ten_workers(story):
    assert story.ready_nodes() == {"cp1", *WORKERS}
    assert set(story.capacity().values()) == {110}
    story.spec = {"kubelet": {"extraArgs": {"max-pods": "80"}}}
    story.write()
    broken = {"w2", "w5", "w9"}
    for name in broken:
        sh(story.lab[name], BREAK)
    update = ("cluster", "update", "-f", story.file, "--yes", "-o", "json")

    r = story.cli.run(*update, "--parallelism", "1", "--max-failures", "2", timeout=600)
    assert r.code == 3, r
    got = results(r)
    assert got["failed"] == {"w2", "w5"} and got["not begun"] == {f"w{n}" for n in range(6, 11)}, got
    assert got["done"] == {"cp1", "w1", "w3", "w4"}, got
    said = [line for line in r.error_lines if "failed: " in line]
    assert len(said) == 2 and all(UNITS in x and "ead-only file system" in x for x in said), r
    done = {n: 80 for n in ("w1", "w3", "w4")}
    wait_for("the kubelets", lambda: story.capacity() == {n: 110 for n in WORKERS} | done)

    # One that is still broken does not hold up the others, nor the two that were mended.
    for name in ("w2", "w5"):
        sh(story.lab[name], MEND)
    r = story.cli.run(*update, timeout=600)
    assert r.code == 3 and results(r)["failed"] == {"w9"}, r
    assert results(r)["done"] == {*WORKERS} - {"w9", "w1", "w3", "w4"}, r
    assert results(r)["unchanged"] == {"cp1", "w1", "w3", "w4"}, r
    wait_for("the kubelets", lambda: story.capacity() == {n: 80 for n in WORKERS} | {"w9": 110})

    sh(story.lab["w9"], MEND)
    assert [t for t in pending(story.cli.plan("update", "-f", story.file)) if " > " not in t] == ["node/w9"]
    story.cli.ok(*update, timeout=600)
    wait_for("the kubelets", lambda: set(story.capacity().values()) == {80})
    assert story.ready_nodes() == {"cp1", *WORKERS}
    assert pending(story.cli.plan("update", "-f", story.file)) == {}
    assert story.cli.ok("cluster", "validate", "story")
