"""Clocks and CPU seconds: of the hosts from their cgroups, of our own program, of the rest."""

import os
import statistics
import threading
import time
from pathlib import Path

from lab.hosts import cgroup_paths

TICK = os.sysconf("SC_CLK_TCK")


def host_cpu(host):
    """CPU seconds that everything in a lab host has used."""
    for path in map(Path, cgroup_paths(host.netns)):
        if (path / "cpuacct.usage").exists():
            return int((path / "cpuacct.usage").read_text()) / 1e9
        if (path / "cpu.stat").exists() and "usage_usec" in (path / "cpu.stat").read_text():
            return int((path / "cpu.stat").read_text().split()[1]) / 1e6
    raise RuntimeError(f"no cgroup of {host.name} counts CPU time")


def machine_cpu():
    """CPU seconds of the whole machine: user, nice, system, irq, softirq."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(words[i]) for i in (1, 2, 3, 6, 7)) / TICK


def children_cpu():
    """CPU seconds of the programs we started and waited for."""
    t = os.times()
    return t.children_user + t.children_system


def quiet(seconds):
    """Wait up to seconds for the machine to be 90 % idle over two seconds; True if it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = machine_cpu()
        time.sleep(2)
        if machine_cpu() - before < 0.1 * 2 * os.cpu_count():
            return True
    return False


def _ticks():
    """{pid: (command, CPU ticks)}"""
    out = {}
    for p in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = p.read_text()
        except OSError:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        out[p.parent.name] = name, int(fields[11]) + int(fields[12])
    return out


def busiest(count=5):
    """The commands that use most CPU time just now, "name 120 %"."""
    before = _ticks()
    time.sleep(1)
    used = {}
    for pid, (name, ticks) in _ticks().items():
        used[name] = used.get(name, 0) + ticks - before.get(pid, (name, 0))[1]
    most = sorted(used.items(), key=lambda x: -x[1])[:count]
    return [f"{name} {100 * t // TICK} %" for name, t in most if t > 0]


class Meter:
    """CPU seconds since it was made. hosts: the hosts under test; cli: our own program, which is
    known only once it has ended; other: the rest of the machine, that is, noise."""

    def __init__(self, hosts):
        self.hosts = list(hosts)
        self.began, self.start = time.time(), self._now()

    def _now(self):
        return sum(map(host_cpu, self.hosts)), machine_cpu(), children_cpu()

    def since(self):
        return time.time() - self.began

    def read(self):
        hosts, machine, cli = (b - a for a, b in zip(self.start, self._now()))  # noqa: B905
        return {
            "hosts": round(hosts, 2),
            "cli": round(cli, 2),
            "other": round(machine - hosts - cli, 2),
        }


class Sampler(threading.Thread):
    """The hosts' CPU seconds ten times a second, so that any instant can be asked for later."""

    def __init__(self, meter):
        super().__init__(daemon=True)
        self.meter, self.samples, self.ended = meter, [], threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.1):
            used = sum(map(host_cpu, self.meter.hosts)) - self.meter.start[0]
            self.samples.append((self.meter.since(), used))

    def stop(self):
        self.ended.set()
        self.join()

    def at(self, seconds):
        return next((round(u, 2) for t, u in self.samples if t >= seconds), None)


def summary(values):
    """min, median, max of the values that there are."""
    have = sorted(v for v in values if v is not None)
    if not have:
        return None
    return {
        "min": have[0],
        "median": round(statistics.median(have), 2),
        "max": have[-1],
        "n": len(have),
    }
