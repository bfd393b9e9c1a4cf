"""A cluster's life of four changes, each of which can be disturbed: made, then a worker, a label and a
flag added and two programs moved to their next patch release, all this undone, deleted. Whatever
happened, the same command again must lead to the end that an undisturbed one has, leave nothing to do,
and the last one leave the hosts as they were before."""

import json
import os
from pathlib import Path

from lab import yaml
from lab.cli import Cli, pending
from lab.faults import Injected
from lab.hosts import run
from lab.older import OLDER, older_bundle
from lab.snapshot import diff, snapshot, tree_of

NAME = "faults"
VERBS = ("create", "grow", "shrink", "delete")


class Failed(Exception):
    """Not the end that it should be."""


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


class Life:
    """Lives of one cluster on three hosts, one after the other."""

    def __init__(self, lab, kubectl, folder):
        self.lab, self.kubectl, self.folder = lab, kubectl, folder
        self.before = {h.name: snapshot(h) for h in lab}
        self.small, self.large = folder / "small.yaml", folder / "large.yaml"
        hosts = [yaml.host_entry(lab["cp1"], "control-plane"), yaml.host_entry(lab["w1"], "worker")]
        self.small.write_text(yaml.cluster(NAME, hosts))
        hosts[1] = {**hosts[1], "labels": {"kubecdn.io/edge": "yes"}}
        hosts.append(yaml.host_entry(lab["w2"], "worker"))
        flag = {"extraArgs": {"max-pods": "77"}}
        self.large.write_text(yaml.cluster(NAME, hosts, kubelet=flag))
        self.newer = Path(os.environ["KC_BUNDLE"])
        self.older = older_bundle(self.newer)
        self.lives = 0

    def argv(self, verb):
        return {
            "create": ["cluster", "create", "-f", self.small],
            "grow": ["cluster", "update", "-f", self.large],
            "shrink": ["cluster", "update", "-f", self.small],
            "delete": ["cluster", "delete", NAME],
        }[verb]

    def begin(self):
        """A state of its own."""
        self.lives += 1
        self.cli = Cli(self.folder / f"life{self.lives}" / "state")
        self.cli.state.parent.mkdir()
        self.injected = Injected(self.cli, self.lab)

    def live(self, points, seen):
        """One life. points: {verb: list}; each disturbs the command anew, until one lets it through,
        and then it is given undisturbed. seen(verb, point or None, result of that run, its operations,
        whether it reached the point, why this verb did not come to the right end, or None), once that is
        known."""
        self.begin()
        for verb in VERBS:
            runs, why = [], None
            self.cli.bundle = self.newer if verb == "grow" else self.older
            for point in points.get(verb, [None]):
                r, operations, reached = self.injected.run(*self.argv(verb), "--yes", point=point)
                runs.append((point, r, operations, reached))
                if r.code == 0:
                    break
            try:
                self.resume(verb, r, point)
            except (Failed, RuntimeError, TimeoutError) as e:
                why = str(e) or repr(e)
            for run_of in runs:
                seen(verb, *run_of, why)
            if why:
                return

    def resume(self, verb, r, point):
        """The same command once more, if it did not get through."""
        check(point or r.code == 0, r)
        gone = verb == "delete" and not self.objects()
        if r.code != 0 and not gone:
            again = self.cli.run(*self.argv(verb), "--yes")
            check(again.code == 0, "the same command again:", again)
        if verb == "delete":
            self.check_gone()
        else:
            self.check_works({"cp1", "w1", "w2"} if verb == "grow" else {"cp1", "w1"}, verb)

    def check_works(self, names, verb):
        left = pending(self.cli.plan(*self.argv(verb)[1:]))
        check(not left, "the second plan:", left)
        r = self.cli.run("cluster", "validate", NAME)
        check(r.code == 0, "validate:", r)
        config = self.cli.kubeconfig(NAME, self.folder / "kubeconfig")
        out = run(self.kubectl, "--kubeconfig", config, "get", "nodes", "-o", "json").stdout
        nodes = {n["metadata"]["name"]: n for n in json.loads(out)["items"]}
        check(set(nodes) == names, "nodes:", *nodes)
        edge = nodes["w1"]["metadata"]["labels"].get("kubecdn.io/edge")
        check(edge == ("yes" if verb == "grow" else None), "the label of w1:", edge)
        self.check_versions()

    def check_versions(self):
        """Those of the bundle; of etcd by what runs, not by what is on the disk."""
        inventory = json.loads(Path(self.cli.bundle, "bundle.json").read_text())
        want = {c["name"]: c["version"] for c in inventory["components"] if c["name"] in OLDER}
        etcd = self.lab["cp1"].ssh("/proc/$(systemctl show -P MainPID etcd)/exe --version").stdout
        runc = self.lab["w1"].ssh("/opt/kubecdn/bin/runc --version").stdout
        check(f"etcd Version: {want['etcd']}\n" in etcd, "etcd:", etcd)
        check(f"runc version {want['runc']}\n" in runc, "runc:", runc)

    def objects(self):
        return [p for p in (self.cli.state / "clusters" / NAME).rglob("*") if p.is_file()]

    def check_gone(self):
        self.cli.run("cluster", "list")  # any command takes away directories that a killed one left empty
        left = [p for p in tree_of(self.cli.state) if NAME in p]
        check(not left, "left in the state:", *left)
        for h in self.lab:
            found = diff(self.before[h.name], snapshot(h))
            for _ in range(20):  # what was killed sees the end of its connection
                if not found:
                    break
                found = diff(self.before[h.name], snapshot(h))
            check(not found, f"left on {h.name}:", *found[:10])
