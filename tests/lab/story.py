"""A cluster whose life a test file tells step by step: its manifest as data, kubectl on it, and
what a plan shows of a change."""

import json
from contextlib import contextmanager

from . import yaml
from .cli import Cli, pending
from .hosts import LabHosts, run
from .snapshot import snapshot


class Story:
    """The cluster under test, its manifest as data, and kubectl on it."""

    def __init__(self, lab, cli, kubectl, folder):
        self.lab, self.cli, self.program, self.folder = lab, cli, kubectl, folder
        self.file, self.config = folder / "cluster.yaml", folder / "kubeconfig"
        self.hosts = [
            yaml.host_entry(lab["cp1"], "control-plane"),
            yaml.host_entry(lab["w1"], "worker"),
        ]
        self.spec = {}
        self.before = {h.name: snapshot(h) for h in lab}

    def write(self):
        self.file.write_text(yaml.cluster("story", self.hosts, **self.spec))

    def kubectl(self, *args, stdin=None, check=True, timeout=60):
        return run(
            self.program,
            "--kubeconfig",
            self.config,
            *args,
            input=stdin,
            check=check,
            timeout=timeout,
        ).stdout

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def create(self, *objects):
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def ready_nodes(self):
        return {
            n["metadata"]["name"]
            for n in self.get("nodes")["items"]
            if any(
                c["type"] == "Ready" and c["status"] == "True" for c in n["status"]["conditions"]
            )
        }

    def checks(self, *flags):
        """What validate says: its exit code, and {check: (ok, text)}."""
        r = self.cli.run("cluster", "validate", "story", "-o", "json", *flags)
        checks = json.loads(r.out)["checks"]
        return r.code, {c["id"]: (c["ok"], c["text"]) for c in checks}

    def pods(self, selector):
        return self.get("pods", "-l", selector)["items"]

    def fetch(self, pod, url, timeout=10):
        """What a pod gets from a URL; busybox' wget -T does not work, so timeout(1)."""
        return self.kubectl(
            "exec", pod, "--", "timeout", str(timeout), "wget", "-q", "-O", "-", url
        ).strip()

    def apply(self, expected):
        """The preview shows exactly expected ({task: action}); doing it leaves nothing to do.
        Returns what it shows inside of hosts; the whole plan is in self.plan."""
        self.write()
        self.plan = self.cli.plan("update", "-f", self.file)
        shown = pending(self.plan)
        top = {k: v for k, v in shown.items() if " > " not in k}
        assert top == expected, shown
        self.cli.ok("cluster", "update", "-f", self.file, "--yes")
        assert pending(self.cli.plan("update", "-f", self.file)) == {}
        return {k: v for k, v in shown.items() if " > " in k}


@contextmanager
def told(folder, kubectl, names=("cp1", "w1"), kind=Story):
    """A Story over new hosts; its manifest is written, nothing else done."""
    with LabHosts(list(names)) as lab:
        s = kind(lab, Cli(folder / "state", home=folder), kubectl, folder)
        s.write()
        yield s


def paths_of(plan, task):
    """The paths of a task's changes."""
    entry = next(t for t in plan["tasks"] if t["id"] == task)
    return [c["path"] for c in entry["changes"]]


def sh(host, script):
    return host.enter("sh", "-ec", script).stdout.strip()


def shown(plan):
    """{task: (action, its changes' paths)} of all that is not kept, tasks of hosts by their own id."""
    found = {}

    def walk(tasks, prefix):
        for t in tasks:
            if t["action"] == "keep":
                continue
            children = [c for c in t.get("children", []) if c["action"] != "keep"]
            if children:
                walk(children, f"{t['id'].removeprefix('node/')}: ")
            else:
                paths = [c["path"] for c in t.get("changes", [])]
                found[prefix + t["id"]] = (t["action"], paths if t["action"] != "create" else [])

    walk(plan["tasks"], "")
    return found


def started(host, unit):
    """What tells one process of a unit from the next."""
    return sh(host, f"systemctl show -p ExecMainPID,ExecMainStartTimestampMonotonic {unit}")


def restarted(before):
    """Of {(host, unit): what started() said}, those that run as another process now."""
    return {x for x, was in before.items() if started(*x) != was}
