"""Tables of a run: text for the terminal, Markdown for docs/benchmarks.md."""

import datetime
import os
import platform
import re
from pathlib import Path

from lab.cli import REPO
from lab.hosts import run

from .measure import summary

# label, runs[i][side][part][key], whether kubeadm has it too, the target of the design.
ROWS = [
    ("(a) both nodes Ready", "a", "ready", True, "4 times faster"),
    ("(a) CoreDNS answers on both hosts", "a", "dns", True, "4 times faster"),
    ("(a) CoreDNS pods Ready", "a", "coredns", True, ""),
    ("(a) all system pods Ready", "a", "pods", True, ""),
    ("(a) CPU s of both hosts until then", "a", "cpu_pods", True, "8"),
    ("(a) the commands return", "a", "commands", True, ""),
    ("(a) noise: CPU s of other programs", "a", "other", True, ""),
    ("(b) bare hosts, upload included: validated", "b", "create", False, "15"),
    ("(b) both nodes Ready", "b", "ready", False, ""),
    ("(b) CoreDNS answers on both hosts", "b", "dns", False, ""),
    ("(b) CPU s of both hosts until system pods are Ready", "b", "cpu_pods", False, ""),
    ("(b) CPU s of kubecdn itself", "b", "cli", False, ""),
    ("(b) noise: CPU s of other programs", "b", "other", False, ""),
    ("update with nothing to do, 2 nodes", "verbs", "update", False, ""),
    ("update with nothing to do, 5 nodes", "five", "update", False, "2"),
    ("create of 5 nodes: validated", "five", "create", False, ""),
    ("delete --yes", "verbs", "delete", False, "10"),
    ("delete --yes, 5 nodes", "five", "delete", False, "10"),
]
TUNED = [
    ("both nodes Ready", "ready"),
    ("CoreDNS answers on both hosts", "dns"),
    ("all system pods Ready", "pods"),
    ("CPU s until then", "cpu_pods"),
]
NOTES = """\
(a) starts with programs, images and containerd in place on both hosts, containerd running. kubeadm:
`init` over SSH until it returns, then `join`; its CNI (bridge, static routes) is in place, too, so
it has no network add-on to bring up. kubecdn: `cluster create --yes` as typed: PKI, SSH, preflight,
the hashes of all programs, flannel and the final validation are in its time.
(b) is the same command on bare hosts. Events are seen from outside, ten times a second; CoreDNS
answers when a name is resolved through its Service address from both hosts."""


def machine():
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {
        "cpus": os.cpu_count(),
        "model": model.group(1) if model else platform.machine(),
        "memoryGB": round(memory / 1e6),
        "kernel": platform.release(),
    }


def versions(spec):
    commit = run("git", "-C", REPO, "describe", "--always", "--dirty", check=False).stdout.strip()
    out = {"kubecdn": commit or "?", "kubernetes and kubeadm": spec["kubernetes"]}
    out.update({c["name"]: c["version"] for c in spec["components"] if c["name"] != "kubernetes"})
    for name in ("coredns", "flannel"):
        out[name] = spec["images"][name]["ref"].rsplit(":", 1)[1]
    return out


def value(run_, side, part, key):
    got = run_.get(side, {}).get(part) or {}
    if key in ("cli", "other"):
        return got.get("cpu", {}).get(key)
    if key == "commands":
        return got.get("create", sum(got[k] for k in ("init", "join")) if "join" in got else None)
    return got.get(key)


def rows(runs):
    """[label, ours, theirs, ratio of the medians, target], summaries or None."""
    out = []
    for label, part, key, peer, target in ROWS:
        ours = summary([value(r, "kubecdn", part, key) for r in runs])
        theirs = summary([value(r, "kubeadm", part, key) for r in runs]) if peer else None
        ratio = None
        if ours and theirs and key != "other" and ours["median"]:
            ratio = round(theirs["median"] / ours["median"], 1)
        out.append([label, ours, theirs, ratio, target])
    for label, key in TUNED:
        theirs = summary([value(r, "kubeadm-tuned", "a", key) for r in runs])
        if theirs:
            out.append([f"kubeadm tuned: {label}", None, theirs, None, ""])
    return out


def cell(s):
    return "{min:g} / {median:g} / {max:g}".format(**s) if s else "-"


def lines(runs):
    head = ["seconds: min / median / max", "kubecdn", "kubeadm", "ratio", "target"]
    body = []
    for label, ours, theirs, ratio, target in rows(runs):
        body.append([label, cell(ours), cell(theirs), f"{ratio:g}" if ratio else "", target])
    return [head, *body]


def text(runs):
    table = lines(runs)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip()  # noqa: B905
        for row in table
    )


def about(result):
    m = result["machine"]
    size = f"{m['cpus']} CPUs ({m['model']}), {m['memoryGB']} GB, Linux {m['kernel']}"
    parts = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    busy = [r["began"] for r in result["runs"] if not r.get("quiet", True)]
    noise = "The machine was idle before each measurement."
    if busy:
        noise = (
            f"Other programs kept the machine busy in {len(busy)} of {len(result['runs'])} runs."
        )
    return [f"{result['date'][:10]}, {size}, one control plane and one worker.", parts + ".", noise]


def markdown(result):
    head, *body = lines(result["runs"])
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    table += ["| " + " | ".join(row) + " |" for row in body]
    count = f"{len(result['runs'])} runs"
    return "\n".join(["## Bootstrap", "", *about(result), count + ".", "", *table, "", NOTES, ""])


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
