"""python -m bench.hosts: the preview of a create over many hosts; see README.md.

Environment: BENCH_RUNS (3), BENCH_CROWDS ("10 100"), BENCH_QUIET (seconds to wait for an idle machine
before each crowd, 60).
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from lab import yaml
from lab.cli import REPO, Cli
from lab.crowd import Crowd

from . import report
from .dns import timed
from .measure import busiest, quiet, summary

OUT = REPO / "build/bench"
AWAY = 3


def preview(cli, file):
    return timed(cli.argv("cluster", "create", "-f", file), cli.env(), check=False)


def measure(count, runs, folder):
    """[{step: figures}] of that many hosts, and what one of them costs."""
    start = time.monotonic()
    with Crowd(count) as crowd:
        about = {"hosts": count, "started": round(time.monotonic() - start, 1), "runs": []}
        about["sshdMB"] = round(crowd["h1"].memory() / 1e6, 1)
        cli, file = Cli(folder / "state", home=folder), folder / "cluster.yaml"
        roles = {h.name: "control-plane" if h.name == "h1" else "worker" for h in crowd}
        file.write_text(yaml.cluster("crowd", [yaml.host_entry(h, roles[h.name]) for h in crowd]))
        preview(cli, file)  # once, it packs the agent into the cache
        for _ in range(runs):
            whole, text = preview(cli, file)
            assert all(f"+ create node/{name}\n" in text for name in roles), text[-2000:]
            about["runs"].append({"whole": whole})
        gone = [f"h{n}" for n in range(2, 2 + AWAY)]
        for name in gone:
            crowd[name].die()
        for one in about["runs"]:
            one["away"], text = preview(cli, file)
            named = {name for name in roles if f"{crowd[name].address}:" in text or f" {name}:" in text}
            assert named == set(gone), text
    return about


def markdown(result):
    head = ["min / median / max", *(f"{c['hosts']} hosts" for c in result["crowds"])]
    rows = []
    for step, label in (("whole", "preview"), ("away", f"preview, {AWAY} hosts away")):
        for what in ("seconds", "cpu", "MB"):
            cells = [summary([r[step][what] for r in c["runs"]]) for c in result["crowds"]]
            rows.append([f"{label}: {what}", *map(report.cell, cells)])
    rows.append(["MB of an sshd", *(f"{c['sshdMB']}" for c in result["crowds"])])
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
