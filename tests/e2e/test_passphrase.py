"""Encrypted SSH keys: the passphrase is asked for on the terminal, once a run, and seen by nobody."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from pathlib import Path

import pytest
from lab import yaml
from lab.hosts import run

PHRASE = "open sesame 7"


@pytest.fixture
def manifest(pair, tmp_path):
    """The pair's manifest with an encrypted copy of the lab's key."""
    key = tmp_path / "locked"
    shutil.copy(pair.key, key)
    run("ssh-keygen", "-q", "-p", "-P", "", "-N", PHRASE, "-f", key)
    hosts = [
        yaml.host_entry(pair[n], role, ssh=pair[n].ssh_spec(identityFile=str(key)))
        for n, role in (("cp1", "control-plane"), ("w1", "worker"))
    ]
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.cluster("locked", hosts))
    return file


class Terminal:
    """The program with a terminal of its own; its standard output goes to a file."""

    def __init__(self, cli, out, *args):
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(fd, 1)
            os.execve(cli.argv(*args)[0], cli.argv(*args), cli.env())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def until(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.screen):
            assert time.monotonic() < end, self.screen
            if select.select([self.fd], [], [], 0.1)[0]:
                self.screen += os.read(self.fd, 65536).decode()

    def answer(self, text):
        """What stood on the screen until then."""
        self.until("Passphrase of the key .*: $")
        for _ in range(100):
            if not self.echoes():
                break
            time.sleep(0.01)
        assert not self.echoes()
        before, self.screen = self.screen, ""
        os.write(self.fd, text.encode() + b"\n")
        return before

    def end(self, seconds=30):
        """Its exit code, and whether the terminal echoes as before."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and (data := os.read(self.fd, 65536)):
                self.screen += data.decode()
        except OSError:
            pass  # it is gone
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_asked_once_for_all_hosts(cli, manifest, tmp_path):
    out = tmp_path / "out"
    t = Terminal(cli, out, "cluster", "create", "-f", manifest, "-o", "json")
    before = t.answer(PHRASE)
    assert str(tmp_path / "locked") in before
    argv = (
        Path(f"/proc/{t.pid}/cmdline").read_text()
        + Path(f"/proc/{t.pid}/environ").read_text()
    )
    assert t.end() == 0, t.screen
    assert "Passphrase" not in t.screen and PHRASE not in t.screen + argv
    plan = json.loads(out.read_text())["plan"]
    assert {"node/cp1", "node/w1"} <= {x["id"] for x in plan["tasks"]}
    assert "Passphrase" not in out.read_text()


def test_a_wrong_one_is_asked_again(cli, manifest, tmp_path):
    t = Terminal(
        cli, tmp_path / "out", "cluster", "create", "-f", manifest, "--debug", "all"
    )
    t.answer("no")
    assert "That is not it." in t.answer("neither")
    t.answer(PHRASE)
    assert t.end() == 0, t.screen
    assert PHRASE not in t.screen + (tmp_path / "out").read_text()


def test_three_wrong_ones_are_enough(cli, manifest, tmp_path):
    t = Terminal(cli, tmp_path / "out", "cluster", "create", "-f", manifest)
    for _ in range(3):
        t.answer("no")
    assert t.end() == 1
    assert re.search("the passphrase (is|was) wrong", t.screen), t.screen
    assert "Passphrase of" not in t.screen


def test_ctrl_c_gives_the_terminal_back(cli, manifest, tmp_path):
    t = Terminal(cli, tmp_path / "out", "cluster", "create", "-f", manifest)
    t.until("Passphrase of the key .*: $")
    while t.echoes():
        time.sleep(0.01)
    os.write(t.fd, b"\x03")
    t.until("stopping cleanly")
    for _ in range(200):
        if t.echoes():
            break
        time.sleep(0.01)
    assert t.echoes()
    assert t.end() == 130, t.screen


def test_without_a_terminal(cli, manifest):
    # setsid(1): a session without a terminal, wherever the tests were started.
    done = subprocess.run(
        ["setsid", "-w", *cli.argv("cluster", "create", "-f", manifest)],
        capture_output=True,
        text=True,
        env=cli.env(),
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    lines = [x for x in done.stderr.splitlines() if x.strip()]
    assert done.returncode == 1 and 1 <= len(lines) <= 2, done  # one a host
    for line in lines:
        assert re.search(
            "locked is encrypted, and there is no terminal; .*ssh-add", line
        ), line
