"""python -m bench.dns: ten thousand names into PowerDNS, by `kubecdn dns apply` and by octodns-sync.

Each side has a server of its own with a zone of its own, on the same kind of server, in every run:
first sync, nothing to do, one address changed. Whole processes are timed, as they are typed; memory
is the process' largest resident set. What each step leaves is checked. Knot gets the same from us.

Environment: BENCH_RUNS (5), BENCH_NAMES (10000), BENCH_QUIET (seconds to wait for an idle machine
before each run, 60).
"""

import json
import os
import re
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from lab.cli import REPO, binary
from lab.dns import copy_of, policy, powerdns_copy
from lab.hosts import run
from lab.nameservers import Knot, PowerDNS

from . import report
from .measure import busiest, quiet, summary

OUT = REPO / "build/bench"
STEPS = {"first": "first sync", "noop": "nothing to do", "change": "one address changed"}
TTL = 30
SYNC = Path(sys.executable).with_name("octodns-sync")


class Server(PowerDNS):
    """As the lab's, with what octoDNS needs: a PATCH of all names at once. Counts requests."""

    located = False

    def put(self, name, text):
        if name == "pdns.conf":
            text += "webserver-max-bodysize=64\nwebserver-loglevel=normal\nloglevel=5\n"
        return super().put(name, text)

    def requests(self):
        self.log.flush()
        return len(re.findall(r'"(?:GET|PATCH|PUT|POST) ', (self.folder / "log").read_text()))

    def addresses_of_hosts(self):
        with sqlite3.connect(self.folder / "data.sqlite3") as db:
            rows = db.execute("select name, content from records where type = 'A' and name like 'h%'")
            return dict(rows.fetchall())


class KnotServer(Knot):
    def requests(self):
        return None

    def addresses_of_hosts(self):
        out = self.run("usr/sbin/knotc", "-s", self.folder / "knot.sock", "zone-read", self.zone)
        lines = (x.split() for x in out.stdout.splitlines())
        return {
            x[1].rstrip("."): x[4]
            for x in lines
            if len(x) == 5 and x[3] == "A" and x[1].startswith("h")
        }


def addresses(n, changed=None):
    found = {f"h{i:05d}": f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}" for i in range(n)}
    if changed:
        found[f"h{n // 2:05d}"] = changed
    return found


# A process is as large as the one that it was forked from, at least: this one is small.
LAUNCH = """
import os, sys, time
start = time.monotonic()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
with open(3, "w") as out:
    print(time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, file=out)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def timed(argv, env, check=True):
    """Seconds, CPU seconds and MB of one process; its output."""
    with tempfile.TemporaryFile("w+") as figures:
        fd = figures.fileno()
        launch = [sys.executable, "-S", "-E", "-c", f"import os; os.dup2({fd}, 3)\n{LAUNCH}"]
        p = run(*launch, *argv, env=env, pass_fds=[fd], check=check)
        figures.seek(0)
        seconds, cpu, megabytes = map(float, figures.read().split())
    figures = {"seconds": round(seconds, 3), "cpu": round(cpu, 3), "MB": round(megabytes, 1)}
    return figures, p.stdout + p.stderr


class Ours:
    name = "kubecdn"

    def __init__(self, server, folder):
        self.server, self.file, self.state = server, folder / "policy.yaml", folder / "state"

    def write(self, hosts):
        copy = powerdns_copy if isinstance(self.server, PowerDNS) else copy_of
        data = policy(copy(self.server), name="steered.example.com", endpoints={"e": ["192.0.2.1"]})
        lines = [f"{k}: {json.dumps(v)}" for k, v in data.items() if k != "spec"] + ["spec:"]
        lines += [f"  {k}: {json.dumps(v)}" for k, v in data["spec"].items()] + ["  hosts:"]
        for name, address in hosts.items():
            lines += [f"    - name: {name}.example.com", f"      addresses: [{address}]"]
        self.file.write_text("\n".join(lines) + "\n")

    def sync(self):
        env = {**os.environ, "KUBECDN_PROGRESS": "off"}
        got, text = timed([binary(), "dns", "apply", "-f", self.file, "--yes", "--state", self.state], env)
        assert "Done: every server answers so." in text, text
        return got


class Peer:
    name = "octodns"

    def __init__(self, server, folder):
        self.zone, self.config = folder / "zones", folder / "octodns.yaml"
        self.zone.mkdir()
        pdns = {"class": "octodns_powerdns.PowerDnsProvider", "host": "127.0.0.1", "timeout": 120}
        pdns |= {"port": server.api_port, "scheme": "http", "api_key": server.api_key}
        files = {"class": "octodns.provider.yaml.YamlProvider", "directory": str(self.zone)}
        files |= {"default_ttl": TTL, "enforce_order": True}
        zones = {"example.com.": {"sources": ["config"], "targets": ["pdns"]}}
        self.config.write_text(json.dumps({"providers": {"config": files, "pdns": pdns}, "zones": zones}))

    def write(self, hosts):
        lines = ["---", "ns: {ttl: 60, type: A, value: 127.0.0.1}"]
        listed = [f"{n}:\n  ttl: {TTL}\n  type: A\n  value: {a}" for n, a in sorted(hosts.items())]
        (self.zone / "example.com.yaml").write_text("\n".join([lines[0], *listed, lines[1]]) + "\n")

    def sync(self):
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
        return timed([SYNC, "--config-file", self.config, "--doit", "--force"], env)[0]


def cpu_of(pid):
    """Seconds that a process has used, user and system (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(side, server, folder, n, i):
    """The steps, one after the other; what each leaves is compared with what was asked for."""
    side, got = side(server, folder), {}
    for step in STEPS:
        hosts = addresses(n, f"192.0.2.{i}" if step == "change" else None)
        side.write(hosts)
        before, cpu = server.requests(), cpu_of(server.process.pid)
        got[step] = side.sync()
        got[step]["server cpu"] = round(cpu_of(server.process.pid) - cpu, 3)
        if before is not None:
            time.sleep(0.2)
            got[step]["requests"] = server.requests() - before
        if isinstance(server, PowerDNS):
            there = server.addresses_of_hosts()
            assert there == {f"{k}.example.com": v for k, v in hosts.items()}, step
        else:
            assert server.addresses(f"h{n // 2:05d}.example.com") == [hosts[f"h{n // 2:05d}"]]
    return got


def versions():
    commit = run("git", "-C", REPO, "describe", "--always", "--dirty", check=False).stdout.strip()
    listed = json.loads(run(sys.executable, "-m", "pip", "list", "--format", "json").stdout)
    packages = {p["name"]: p["version"] for p in listed}
    return {"kubecdn": commit or "?"} | {k: packages[k] for k in ("octodns", "octodns-powerdns")}


def rows(runs):
    """[step, what, kubecdn, octoDNS, ratio, kubecdn at Knot]: medians with the least and the most."""
    out = []
    for step, label in STEPS.items():
        for what in ("seconds", "cpu", "server cpu", "MB", "requests"):
            cells = [
                summary([r.get(side, {}).get(step, {}).get(what) for r in runs])
                for side in ("kubecdn", "octodns", "knot")
            ]
            ours, theirs, _ = cells
            ratio = f"{ours['median'] / theirs['median']:.2f}" if ours and theirs else ""
            out.append([f"{label}: {what}", *map(report.cell, cells[:2]), ratio, report.cell(cells[2])])
    return out


def markdown(result):
    head = ["min / median / max", "kubecdn", "octoDNS", "ratio", "kubecdn, Knot"]
    table = ["| " + " | ".join(r) + " |" for r in [head, *rows(result["runs"])]]
    table.insert(1, "|" + "---|" * len(head))
    m, v = result["machine"], ", ".join(f"{k} {x}" for k, x in result["versions"].items())
    machine = f"{m['cpus']} CPUs ({m['model']}), {m['memoryGB']} GB"
    about = f"{result['date'][:10]}, {machine}, {result['names']} names."
    return "\n".join([about, f"{v}.", f"{len(result['runs'])} runs.", "", *table, ""])


def main():
    runs, n = int(os.environ.get("BENCH_RUNS", "5")), int(os.environ.get("BENCH_NAMES", "10000"))
    result = {"date": report.now(), "machine": report.machine(), "versions": versions()}
    result |= {"names": n, "runs": []}
    OUT.mkdir(parents=True, exist_ok=True)
    for i in range(1, runs + 1):
        one = {"load": os.getloadavg()[0]}
        if not quiet(float(os.environ.get("BENCH_QUIET", "60"))):
            one["busy"] = busiest()
        sides = [("kubecdn", Ours, Server), ("octodns", Peer, Server), ("knot", Ours, KnotServer)]
        for name, side, kind in sides:
            with tempfile.TemporaryDirectory(dir=OUT) as d, kind(Path(d) / "server") as server:
                one[name] = measure(side, server, Path(d), n, i)
            print(f"run {i}: {name}: {({k: v['seconds'] for k, v in one[name].items()})}", file=sys.stderr)
        result["runs"].append(one)
        (OUT / "dns.json").write_text(json.dumps(result, indent=2) + "\n")
        (OUT / "dns.md").write_text(markdown(result))
    print(markdown(result))
    print(f"All numbers: {OUT}/dns.json")


if __name__ == "__main__":
    main()
