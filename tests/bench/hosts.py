"""python -m bench.hosts: a create over many hosts, previewed and done; see README.md.

Environment: BENCH_RUNS (3), BENCH_CROWDS ("10 100"), BENCH_QUIET (seconds to wait for an idle machine
before each crowd, 60).
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from lab import yaml
from lab.cli import REPO, Cli
from lab.crowd import Crowd, payload_bundle
from lab.hosts import run

from . import report
from .dns import timed
from .measure import busiest, quiet, summary

OUT = REPO / "build/bench"
AWAY = 3
UPLINK = "100mbit"
PAYLOAD = 8 << 20
VERSION = "1.37.2"


def preview(cli, file):
    return timed(cli.argv("cluster", "create", "-f", file), cli.env(), check=False)


def preview_by_uplink(crowd, cli, file):
    """The same where all that leaves this machine for the hosts goes through one line."""
    queue = ("dev", crowd.bridge, "root")
    run("tc", "qdisc", "add", *queue, "tbf", "rate", UPLINK, "burst", "64kb", "latency", "400ms")
    try:
        return preview(cli, file)
    finally:
        run("tc", "qdisc", "del", *queue)


class Agents(threading.Thread):
    """The largest resident set of an agent of these hosts while this runs, looked at ten times a second."""

    def __init__(self, crowd):
        super().__init__(daemon=True)
        self.over, self.most = threading.Event(), 0
        self.nets = {os.stat(f"/run/netns/{h.netns}").st_ino for h in crowd}

    def run(self):
        while not self.over.wait(0.1):
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    lines = status.read_text().splitlines()
                    net = os.stat(status.parent / "ns/net").st_ino
                except OSError:
                    continue  # it ended
                if lines[0].split()[1:] == ["kubecdn-node"] and net in self.nets:
                    peak = [int(x.split()[1]) for x in lines if x.startswith("VmHWM:")]
                    self.most = max([self.most, *peak])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *problem):
        self.over.set()
        self.join()


def life(crowd, cli, file):
    """Create, update with nothing to do, and delete. A crowd has no control plane: h1 fails at once, and
    what fails with it is what it would have run."""
    crowd["h1"].break_apply("no control plane in a crowd")
    figures, all_but_one = {}, f"{len(crowd.specs) - 1} of {len(crowd.specs)} hosts"
    for step, verb in (("create", "create"), ("nothing", "update")):
        argv = cli.argv("cluster", verb, "-f", file, "--yes")
        figures[step], text = timed(argv, cli.env(), check=False)
        assert ("no control plane in a crowd" if step == "nothing" else all_but_one) in text, text[-2000:]
    crowd["h1"].mend_apply()
    figures["delete"], _ = timed(cli.argv("cluster", "delete", "crowd", "--yes"), cli.env())
    return figures


def measure(count, runs, folder):
    """[{step: figures}] of that many hosts, and what one of them costs."""
    start = time.monotonic()
    with Crowd(count) as crowd:
        about = {"hosts": count, "started": round(time.monotonic() - start, 1), "runs": []}
        about["sshdMB"] = round(crowd["h1"].memory() / 1e6, 1)
        cli, file = Cli(folder / "state", home=folder), folder / "cluster.yaml"
        roles = {h.name: "control-plane" if h.name == "h1" else "worker" for h in crowd}
        file.write_text(yaml.cluster("crowd", [yaml.host_entry(h, roles[h.name]) for h in crowd]))
        applied = Cli(folder / "applied", payload_bundle(folder / "bundle", PAYLOAD, VERSION), folder)
        preview(cli, file)  # once, it packs the agent into the cache
        for _ in range(runs):
            whole, text = preview(cli, file)
            assert all(f"+ create node/{name}\n" in text for name in roles), text[-2000:]
            uplink, text = preview_by_uplink(crowd, cli, file)
            assert all(f"+ create node/{name}\n" in text for name in roles), text[-2000:]
            about["runs"].append({"whole": whole, "uplink": uplink, **life(crowd, applied, file)})
        if count <= 10:  # looking takes its time, too
            with Agents(crowd) as agents:
                life(crowd, applied, file)
            about["agentMB"] = round(agents.most * 1024 / 1e6, 1)
        gone = [f"h{n}" for n in range(2, 2 + AWAY)]
        for name in gone:
            crowd[name].die()
        for one in about["runs"]:
            one["away"], text = preview(cli, file)
            named = {name for name in roles if f"{crowd[name].address}:" in text or f" {name}:" in text}
            assert named == set(gone), text
    return about


STEPS = {
    "whole": "preview",
    "uplink": f"preview, uplink of {UPLINK} a second",
    "away": f"preview, {AWAY} hosts away",
    "create": f"create, {PAYLOAD >> 20} MB",
    "nothing": "update, nothing to do",
    "delete": "delete",
}


def markdown(result):
    head = ["min / median / max", *(f"{c['hosts']} hosts" for c in result["crowds"])]
    rows = []
    for step, label in STEPS.items():
        for what in ("seconds", "cpu", "MB"):
            cells = [summary([r[step][what] for r in c["runs"]]) for c in result["crowds"]]
            rows.append([f"{label}: {what}", *map(report.cell, cells)])
    rows.append(["MB of an sshd", *(f"{c['sshdMB']}" for c in result["crowds"])])
    rows.append(["MB of an agent, at most", *(str(c.get("agentMB", "-")) for c in result["crowds"])])
    table = ["| " + " | ".join(r) + " |" for r in [head, *rows]]
    table.insert(1, "|" + "---|" * len(head))
    m = result["machine"]
    about = f"{result['date'][:10]}, {m['cpus']} CPUs ({m['model']}), {m['memoryGB']} GB."
    return "\n".join([about, "", *table, ""])


def main():
    runs = int(os.environ.get("BENCH_RUNS", "3"))
    result = {"date": report.now(), "machine": report.machine(), "crowds": []}
    OUT.mkdir(parents=True, exist_ok=True)
    for count in map(int, os.environ.get("BENCH_CROWDS", "10 100").split()):
        busy = None if quiet(float(os.environ.get("BENCH_QUIET", "60"))) else busiest()
        with tempfile.TemporaryDirectory(dir=OUT) as d:
            one = measure(count, runs, Path(d)) | {"busy": busy}
        print(f"{count} hosts: {[r['whole']['seconds'] for r in one['runs']]}", file=sys.stderr)
        result["crowds"].append(one)
        (OUT / "hosts.json").write_text(json.dumps(result, indent=2) + "\n")
        (OUT / "hosts.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
