"""python -m bench: the runs, one after the other, and what they come to.

Environment: KC_BUNDLE (the bundle's directory), BENCH_RUNS (3), BENCH_QUIET (seconds to wait for an
idle machine before each measurement, 60), BENCH_SIDES ("kubeadm kubecdn"), BENCH_TUNED=1 (kubeadm a
second time with settings no one would run: no leader election, etcd without fsync). A failed run
is told and left out; the exit code is then 1.
"""

import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from lab.cli import REPO
from lab.hosts import LabHosts

from . import report
from .kubeadm import Parts, Peer
from .measure import busiest, quiet
from .ours import Ours

OUT = REPO / "build/bench"


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, bundle):
        self.bundle, self.runs = Path(bundle), []
        self.patience = float(os.environ.get("BENCH_QUIET", "60"))
        self.sides = os.environ.get("BENCH_SIDES", "kubeadm kubecdn").split()
        self.spec = json.loads((self.bundle / "bundle.json").read_text())
        self.failed = False
        self.logs = OUT / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        if "kubeadm" in self.sides:
            self.parts = Parts(self.bundle, say)

    def settle(self, r):
        os.sync()
        if not quiet(self.patience):
            r["quiet"] = False
            r.setdefault("busy", []).append(busiest())
            say(f"   the machine is not idle: {', '.join(r['busy'][-1])}")

    def kubeadm(self, r, i, tuned=False):
        name = "kubeadm-tuned" if tuned else "kubeadm"
        with LabHosts(["cp1", "w1"]) as lab:
            peer = Peer(self.parts, self.logs, tuned)
            peer.prepare(lab)
            self.settle(r)
            got = peer.measure(lab, f"{i}-{name}")
        r[name] = {"a": got}
        say("   {}: Ready {ready}, DNS {dns}, pods {pods} s".format(name, **got))

    def kubecdn(self, r, i):
        got = r["kubecdn"] = {"verbs": {}}
        with LabHosts(["cp1", "w1"]) as lab, tempfile.TemporaryDirectory(dir=OUT) as work:
            ours = Ours(self.bundle, self.logs, work)
            ours.prepare(lab)
            self.settle(r)
            got["b"] = ours.measure(lab, f"{i}-kubecdn-b")
            say("   kubecdn (b): create {create}, Ready {ready}, DNS {dns} s".format(**got["b"]))
            got["verbs"]["update"] = ours.update(f"{i}-kubecdn")
            ours.keep(lab)
            got["verbs"]["delete"] = ours.delete(f"{i}-kubecdn-b")
            say("   update {update}, delete {delete} s".format(**got["verbs"]))
            ours.stage(lab)
            self.settle(r)
            got["a"] = ours.measure_in_place(lab, f"{i}-kubecdn-a")
            say("   kubecdn (a): create {create}, Ready {ready}, DNS {dns} s".format(**got["a"]))

    def five(self, r, i):
        """A cluster of five, for what grows with their number."""
        with (
            LabHosts(["cp1", "w1", "w2", "w3", "w4"]) as lab,
            tempfile.TemporaryDirectory(dir=OUT) as work,
        ):
            ours = Ours(self.bundle, self.logs, work)
            ours.prepare(lab)
            self.settle(r)
            got = r["kubecdn"]["five"] = {"create": ours.create(f"{i}-five")}
            got["update"] = ours.update(f"{i}-five")
            got["delete"] = ours.delete(f"{i}-five")
            say("   five nodes: create {create}, update {update}, delete {delete} s".format(**got))

    def attempt(self, what, *args, **kw):
        try:
            what(*args, **kw)
        except Exception as e:  # noqa: BLE001 - told; the other side goes on
            self.failed = True
            say(f"   failed: {e}")
            (self.logs / "failures.log").open("a").write(traceback.format_exc())

    def run(self, i, n):
        r = {"began": report.now(), "load": os.getloadavg()[0]}
        say(f"-- run {i} of {n}")
        if "kubeadm" in self.sides:
            self.attempt(self.kubeadm, r, i)
            if os.environ.get("BENCH_TUNED"):
                self.attempt(self.kubeadm, r, i, tuned=True)
        if "kubecdn" in self.sides:
            self.attempt(self.kubecdn, r, i)
            self.attempt(self.five, r, i)
        self.runs.append(r)
        self.write()

    def write(self):
        result = {
            "date": report.now(),
            "machine": report.machine(),
            "versions": report.versions(self.spec),
            "runs": self.runs,
        }
        (OUT / "bootstrap.json").write_text(json.dumps(result, indent=2) + "\n")
        (OUT / "bootstrap.md").write_text(report.markdown(result))
        return result


def main():
    if os.geteuid() != 0:
        sys.exit("bench: the lab's hosts are containers, which takes root: run as root")
    if not os.environ.get("KC_BUNDLE"):
        sys.exit("bench: set KC_BUNDLE to a bundle's directory, or run `make bench`")
    bench = Bench(os.environ["KC_BUNDLE"])
    n = int(os.environ.get("BENCH_RUNS", "3"))
    for i in range(1, n + 1):
        bench.run(i, n)
    result = bench.write()
    print("\n".join(report.about(result)) + "\n")
    print(report.text(bench.runs) + "\n\n" + report.NOTES)
    print(f"\nAll numbers: {OUT}/bootstrap.json; for the documentation: {OUT}/bootstrap.md")
    return int(bench.failed)


sys.exit(main())
