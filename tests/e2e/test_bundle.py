"""`bundle build` with a Go that never comes to an end: it can be stopped, and nothing is left."""

import os
import platform
import signal
import subprocess
from pathlib import Path

import pytest
from lab.cli import binary
from lab.hosts import wait_for

# Hangs in the command named by HANG and says who it is; its child would outlive it.
GO = """#!/bin/sh
if [ "$1" != "$HANG" ] && [ "$1" = env ]; then echo go1.99.0; exit 0; fi
[ -z "$DEAF" ] || trap '' TERM
sleep 1000 &
echo $$ $! > "$HOME/new" && mv "$HOME/new" "$HOME/pids"
while :; do wait; done
"""


class Build:
    def __init__(self, home):
        self.home, self.pids = home, home / "pids"
        self.cache = home / "cache/kubecdn"
        (home / "bin").mkdir()
        (home / "bin/go").write_text(GO)
        (home / "bin/go").chmod(0o755)

    def start(self, *args, **env):
        """Returns once Go hangs."""
        self.pids.unlink(missing_ok=True)
        env |= {
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "KUBECDN_PROGRESS": "plain",
        }
        p = subprocess.Popen(
            [str(binary()), "bundle", "build", *args],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("a Go that hangs", self.pids.exists)
        return p

    def running(self):
        def alive(pid):
            try:
                return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
            except FileNotFoundError:
                return False

        return [pid for pid in self.pids.read_text().split() if alive(pid)]

    def assert_nothing_left(self):
        wait_for("no process of the build", lambda: not self.running())
        assert not list(self.cache.glob("parts/[!.]*"))
        assert not list(self.cache.glob("bundles/*[!w]"))  # but for what is named *.new


@pytest.fixture
def build(tmp_path):
    b = Build(tmp_path)
    yield b
    for pid in b.running() if b.pids.exists() else []:
        os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize(
    ("sig", "env"),
    [
        (signal.SIGINT, {"HANG": "mod"}),
        (signal.SIGTERM, {"HANG": "env"}),
        (signal.SIGINT, {"HANG": "mod", "DEAF": "1"}),
    ],
    ids=["compiling", "looking-for-go", "deaf"],
)
def test_stopped(build, sig, env):
    p = build.start(**env)
    p.send_signal(sig)
    out, err = p.communicate(timeout=30)
    assert (p.returncode, out) == (130, ""), err
    assert err.splitlines()[-1] == (
        "kubecdn: stopped cleanly; run the same command again to go on where it stopped"
    )
    build.assert_nothing_left()


def test_stopped_by_its_timeout(build):
    p = build.start("--timeout", "2s", HANG="mod")
    out, err = p.communicate(timeout=30)
    assert (p.returncode, out) == (1, ""), err
    assert "--timeout has passed" in err.splitlines()[-1]
    build.assert_nothing_left()


def test_another_architecture_is_refused_at_once(build):
    other = {"x86_64": "arm64", "aarch64": "amd64"}[platform.machine()]
    env = {"PATH": f"{build.home}/bin:{os.environ['PATH']}", "HOME": str(build.home)}
    r = subprocess.run(
        [str(binary()), "bundle", "build", "--arch", other],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (r.returncode, r.stdout, r.stderr.count("\n")) == (1, "", 1), r.stderr
    assert f"for {other} cannot be compiled on this machine" in r.stderr
    assert {p.name for p in build.home.iterdir()} == {"bin"}


def test_stopped_twice(build):
    """The second signal ends it at once, and what it had started."""
    p = build.start(HANG="mod", DEAF="1")
    p.send_signal(signal.SIGINT)
    wait_for("the first to be seen", lambda: "press Ctrl-C again" in p.stderr.readline())
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=30)
    assert p.returncode == 130
    build.assert_nothing_left()
