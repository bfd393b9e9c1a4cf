"""What cloud `local` leaves on this machine, seen with the machine's own tools."""

import os
from pathlib import Path

from lab.hosts import run

BASE = Path("/var/lib/kubecdn-local")


def traces(uid8):
    """Everything on this machine that carries the cluster's name."""
    found = [
        x for x in Path("/proc/self/mountinfo").read_text().splitlines() if uid8 in x
    ]
    found += [x for x in run("ip", "link").stdout.splitlines() if uid8 in x]
    if Path("/run/netns").is_dir():
        found += [x for x in os.listdir("/run/netns") if uid8 in x]
    found += run(
        "find",
        "/sys/fs/cgroup",
        "/run/systemd",
        BASE if BASE.exists() else "/run",
        "-xdev",
        "-name",
        f"*{uid8}*",
        check=False,
    ).stdout.split()
    found += run(
        "find",
        *[p for p in Path("/sys/fs/cgroup").iterdir() if p.is_dir()],
        "-name",
        f"*{uid8}*",
        check=False,
    ).stdout.split()
    found += [x for x in run("ps", "-eo", "pid,args").stdout.splitlines() if uid8 in x]
    return found
