"""The agent for arm64, compiled here by Debian's cross compiler and run by qemu."""

import json
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


def output(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=240).stdout


@pytest.mark.slow
def test_it_tells_the_same_facts(tmp_path):
    root = output(REPO / "tools/arm64.sh").strip()
    output("cmake", "-S", REPO, "-B", tmp_path, "-G", "Ninja", f"-DKC_ARM64_ROOT={root}")
    output("cmake", "--build", tmp_path, "--target", "agent-arm64", "kubecdn-node")
    agent = tmp_path / "bootstrap/node/kubecdn-node-arm64"
    assert "AArch64" in output("readelf", "-h", agent)
    assert "(NEEDED)" not in output("readelf", "-d", agent)
    emulated = json.loads(output(f"{root}/usr/bin/qemu-aarch64-static", agent, "facts"))
    native = json.loads(output(tmp_path / "bootstrap/node/kubecdn-node", "facts"))
    assert emulated["agent"] == native["agent"]
    assert (emulated["facts"]["arch"], native["facts"]["arch"]) == ("arm64", "amd64")
    assert emulated["facts"].keys() == native["facts"].keys()
    assert emulated["facts"]["hostname"] == native["facts"]["hostname"]
