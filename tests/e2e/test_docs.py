"""What the documents tell people to type works as it stands there, and so does the demo."""

import os
import re
import shutil
import subprocess

import pytest
from lab.cli import REPO, binary
from lab.docs import shell_of


@pytest.fixture
def place(tmp_path, built):
    """A checkout to stand in, a state of its own, and the programs in PATH."""
    programs = os.environ.get("KC_BUNDLE_BIN")
    if not programs:
        pytest.skip("no kubectl: set KC_BUNDLE_BIN to the folder with the bundle's programs")
    checkout = tmp_path / "kubecdn"
    (checkout / "build/release").mkdir(parents=True)
    (checkout / "build/release/bin").symlink_to(binary().parent)
    for name in ("tools", "examples"):
        (checkout / name).symlink_to(REPO / name)
    env = {k: v for k, v in os.environ.items() if not k.startswith("KUBECDN")}
    env |= {
        "KUBECDN_STATE": str(tmp_path / "state"),
        "KUBECDN_PROGRESS": "off",
        "PATH": f"{programs}:{env['PATH']}",
    }
    if "KC_BUNDLE" in os.environ:
        env["KUBECDN_BUNDLE"] = os.environ["KC_BUNDLE"]
    return checkout, env


def run(argv, place, timeout=400):
    cwd, env = place
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


def delete(name, place):
    run([str(binary()), "cluster", "delete", name, "--yes"], place)


def test_readme(place):
    script = "set -ex\n" + "\n".join(shell_of("README.md", "Quick start"))
    try:
        done = run(["sh", "-c", script], place)
        assert done.returncode == 0, done.stdout
    finally:
        delete("local", place)


def test_tutorial(place):
    script = "set -ex\n" + "\n".join(shell_of("docs/tutorial/first-cluster.md"))
    try:
        done = run(["sh", "-c", script], place)
        assert done.returncode == 0, done.stdout
        assert re.search(r"^web-", done.stdout, re.M), "a pod's answer with its name"
        plans = re.findall(r"^Plan: (\d+) to create, (\d+) to update, (\d+)", done.stdout, re.M)
        assert plans.count(("1", "0", "0")) == 2, plans
    finally:
        delete("first", place)


def test_demo(place):
    cwd, env = place
    env["DEMO_CLUSTER"] = "demo"
    demo = str(REPO / "tools/demo.sh")
    try:
        done = run([demo], place)
        assert done.returncode == 0, done.stdout
        assert "make demo-down" in done.stdout
        assert run([demo, "down"], place).returncode == 0
        listed = run([str(binary()), "cluster", "list", "-o", "json"], place)
        assert listed.stdout.strip() == "[]"
    finally:
        delete("demo", place)


def test_sealed_state(place):
    """On a state that an earlier program wrote: no command of the page needs the hosts."""
    shutil.copytree(REPO / "tests/fixtures/state/1/whole", place[1]["KUBECDN_STATE"])
    begin = "set -ex\nPATH=$PWD/build/release/bin:$PATH\n"
    script = begin + "\n".join(shell_of("docs/how-to/sealed-state.md"))
    done = run(["sh", "-c", script], place)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Every secret of cluster fra1 is sealed") == 2, done.stdout
    assert "Every secret of cluster fra1 is plain now." in done.stdout
