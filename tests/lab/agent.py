"""The node agent as the program calls it: its verbs over SSH, JSON in, JSON lines out."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from .cli import REPO

AGENT = "/opt/kubecdn/bin/kubecdn-node"


def agent_binary():
    build = Path(os.environ.get("KC_BUILD", REPO / "build/release"))
    found = build / "bootstrap/node/kubecdn-node"
    if not found.is_file():
        pytest.skip(f"{found} is not built")
    return found


class Agent:
    """The verbs, over SSH as the program calls them."""

    def __init__(self, host, path=AGENT):
        self.host, self.path = host, path

    def raw(self, verb, data=b"", timeout=120):
        h = self.host
        known = h.dir / "known_hosts"
        known.write_text(f"{h.address} {h.host_key}\n")
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={known}",
            "LogLevel=ERROR",
        ]
        return subprocess.run(
            ["ssh", "-i", str(h.lab.key)]
            + [x for o in options for x in ("-o", o)]
            + [f"{h.user}@{h.address}", f"{self.path} {verb}"],
            input=data,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def lines(self, verb, envelope):
        r = self.raw(verb, json.dumps(envelope).encode())
        return r, [json.loads(x) for x in r.stdout.decode().splitlines()]

    def call(self, verb, envelope):
        r, lines = self.lines(verb, envelope)
        assert r.returncode == 0, (r.stdout[-2000:], r.stderr)
        return lines[-1]

    def pending(self, envelope):
        return {
            t["id"]: t["action"]
            for t in self.call("plan", envelope)["plan"]
            if t["action"] != "keep"
        }


def blob_of(content):
    """(entry of a bundle, packed bytes)"""
    packed = subprocess.run(
        ["zstd", "-q", "-c"], input=content, capture_output=True, check=True
    ).stdout
    sha = hashlib.sha256(content).hexdigest()
    return {
        "sha256": sha,
        "size": len(content),
        "mode": "0755",
        "blob": hashlib.sha256(packed).hexdigest(),
        "blobSize": len(packed),
    }, packed
