"""Faults in a run of the program, at one exact operation: tests/e2e/faults/inject.c is preloaded and
numbers them; an agent on a host is killed when its journal has grown to a segment."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

from .cli import REPO


class Point(NamedTuple):
    """op: put, remove, ssh, send, http of the program, or agent:HOST; number: from 1; when: before,
    after; do: kill, cut, int, intint, step+N, step-N."""

    op: str
    number: int
    when: str
    do: str

    def __str__(self):
        return f"{self.do} {self.when} {self.op} {self.number}"


class Injected:
    """A Cli whose runs are observed (log) or disturbed (point)."""

    def __init__(self, cli, hosts=()):
        build = Path(os.environ.get("KC_BUILD", REPO / "build" / "release"))
        self.cli, self.hosts = cli, list(hosts)
        self.library = build / "tests" / "libinject.so"
        assert self.library.exists(), f"{self.library} is not built"

    def run(self, *argv, point=None):
        """The result; the operations that began: [(op, detail)], those of agents included; whether the
        point was reached."""
        log = self.cli.state.parent / "operations.log"
        log.unlink(missing_ok=True)
        self.cli.extra_env = {"LD_PRELOAD": str(self.library), "KC_FAULT_LOG": str(log)}
        watches = [Watch(h) for h in self.hosts]
        if point and point.op.startswith("agent:"):
            for w in watches:
                if point.op == f"agent:{w.host.name}":
                    w.kill_at = point.number
        elif point:
            self.cli.extra_env["KC_FAULT"] = ":".join(map(str, point))
        try:
            with Watching(watches):
                result = self.cli.run(*argv)
        finally:
            self.cli.extra_env = {}
        lines = log.read_text().splitlines() if log.exists() else []
        operations = [tuple(x.partition(" ")[::2]) for x in lines]
        for w in watches:
            operations += [(f"agent:{w.host.name}", s) for s in w.seen]
        return result, operations, bool(point) and struck(point, result, operations, watches)


def struck(point, result, operations, watches):
    """How many operations there are differs a little from run to run."""
    if point.op.startswith("agent:"):
        return any(w.killed for w in watches)
    if point.do in ("kill", "int", "intint"):
        return result.code == (-signal.SIGKILL if point.do == "kill" else 130)
    return sum(op == point.op for op, _ in operations) >= point.number


class Watch:
    """The journal segments of a host's agent, in the order in which they appear; at the kill_at'th
    the agent is killed."""

    def __init__(self, host):
        self.host, self.seen, self.kill_at, self.killed = host, [], None, False
        self.journal = host.root / "var/lib/kubecdn/record/node/journal"

    def look(self):
        try:
            names = sorted(os.listdir(self.journal))
        except OSError:
            return
        self.seen += [n for n in names if n not in self.seen]
        if self.kill_at and len(self.seen) >= self.kill_at and not self.killed:
            self.killed = self.kill()

    def kill(self):
        """SIGKILL to the agent itself; systemd then ends what it had started."""
        unit = "system.slice/kubecdn-apply.service/cgroup.procs"
        for top in self.host.record()["cgroups"]:
            for procs in [p for where in ("", "payload") if (p := Path(top, where, unit)).exists()]:
                for pid in procs.read_text().split():
                    if b"converge" in Path("/proc", pid, "cmdline").read_bytes().split(b"\0"):
                        os.kill(int(pid), signal.SIGKILL)
                        return True
        return False


class Watching:
    """A thread that looks, for as long as the context lasts."""

    def __init__(self, watches):
        self.watches, self.over = watches, threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def loop(self):
        while not self.over.is_set():
            for w in self.watches:
                w.look()
            time.sleep(0.001)  # how often it looks, not what it waits for

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def spread(n, most=10):
    """Numbers from 1 to n, at most so many, the first and the last among them."""
    return range(1, n + 1) if n <= most else [1 + i * (n - 1) // (most - 1) for i in range(most)]


def points_of(operations):
    """Every way in which a run that did these can go wrong. Before an operation is after the one
    before it, so only a change's end is one. Writes of uploads and requests to the API, most of them
    polls, are many and alike: ten of each."""
    counts = {}
    for op, _ in operations:
        counts[op] = counts.get(op, 0) + 1
    points = []
    for op, n in sorted(counts.items()):
        for i in spread(n) if op in ("send", "http") else range(1, n + 1):
            points.append(Point(op, i, "after", "kill"))
            if op in ("ssh", "send", "http"):
                points.append(Point(op, i, "after", "cut"))
            if op == "http":
                points.append(Point(op, i, "before", "cut"))
    return points
