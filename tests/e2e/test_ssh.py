"""cluster ssh, to servers on this machine that stand in for hosts of a recorded cluster."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from lab.cli import REPO
from lab.hosts import run, wait_for

STATE = REPO / "tests/fixtures/state/1/whole"  # a cluster fra1: cp1, w1


class Sshd:
    def __init__(self, folder, login):
        folder.mkdir()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        keygen(folder / "host")
        self.host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        keys, self.log = folder / "authorized", folder / "log"
        shutil.copy(f"{login}.pub", keys)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-E", self.log, "-p", str(self.port)]
            + ["-h", folder / "host", "-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no"]
            + ["-o", f"AuthorizedKeysFile={keys}", "-o", "PidFile=none"]
            + ["-o", "PermitRootLogin=yes", "-o", "PasswordAuthentication=no"],
        )
        wait_for("sshd", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None)

    def logins(self):
        return self.log.read_text().count("Accepted publickey")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def keygen(path):
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)


@pytest.fixture
def servers(tmp_path):
    login = tmp_path / "a key"
    keygen(login)
    made = [Sshd(tmp_path / name, login) for name in ("s1", "s2")]
    yield made
    for s in made:
        s.stop()


@pytest.fixture
def recorded(cli, servers, tmp_path):
    """Change how the record reaches a host."""
    shutil.copytree(STATE, cli.state)
    file = cli.state / "clusters/fra1/record.json"
    ours = servers[0]

    def change(node="cp1", **ssh):
        record = json.loads(file.read_text())
        outputs = record["tasks"][f"node/{node}"]["outputs"]["ssh"]
        outputs |= {"host": "127.0.0.1", "port": ours.port, "hostKey": ours.host_key}
        outputs |= {"identityFile": f"{tmp_path}/a key"} | ssh
        file.write_text(json.dumps(record))

    change()
    cli.extra_env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return change


def ssh(cli, words, **kw):
    """words: "fra1 w1 -- a command"."""
    line, dashes, command = words.partition(" -- ")
    argv = cli.argv("cluster", "ssh", *line.split(), *(["--", command] if dashes else []))
    kw = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL} | kw
    return subprocess.run(argv, env=cli.env(), **kw)


def test_a_command_and_its_exit_code(cli, recorded, servers):
    r = ssh(cli, "fra1 -- echo $((6*7)); exit 5")
    assert (r.returncode, r.stdout, r.stderr) == (5, "42\n", "")
    assert ssh(cli, "fra1 cp1 -- cat", input="abc", stdin=None).stdout == "abc"
    assert ssh(cli, "fra1 -- tty").stdout == "not a tty\n"
    assert servers[0].logins() == 3
    r = ssh(cli, "fra1", input="echo in-a-shell; exit 6\n", stdin=None)
    assert r.returncode == 6 and "in-a-shell\n" in r.stdout


def test_hosts_by_name(cli, recorded):
    r = ssh(cli, "fra1 w2 -- true")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == 'kubecdn: cluster fra1 has no host "w2"; there are cp1, w1\n'
    assert "no cluster" in ssh(cli, "fra2 -- true").stderr
    assert ssh(cli, "fra1 a b -- true").returncode == 64


def test_the_pinned_key_is_what_counts(cli, recorded, servers, tmp_path):
    """Whatever known_hosts says, both ways."""
    known = tmp_path / ".ssh/known_hosts"
    known.parent.mkdir(mode=0o700)
    known.write_text(f"[127.0.0.1]:{servers[0].port} {servers[1].host_key}\n")
    assert ssh(cli, "fra1 -- true").returncode == 0
    recorded(hostKey=servers[1].host_key)
    known.write_text(f"[127.0.0.1]:{servers[0].port} {servers[0].host_key}\n")
    r = ssh(cli, "fra1 -- true")
    assert r.returncode == 255 and "Host key verification failed" in r.stderr
    recorded(hostKey="")  # none is pinned: that file
    assert ssh(cli, "fra1 -- true").returncode == 0
    known.unlink()
    assert ssh(cli, "fra1 -- true").returncode == 255
    assert servers[0].logins() == 2
    assert not known.exists()  # nothing learnt on the way


def test_through_a_bastion(cli, recorded, servers, tmp_path):
    jump = servers[1]
    recorded(bastion=f"root@127.0.0.1:{jump.port}")
    assert ssh(cli, "fra1 -- true").returncode == 255
    assert jump.logins() == 0  # whose key nobody knows
    known = tmp_path / ".ssh/known_hosts"
    known.parent.mkdir(mode=0o700)
    known.write_text(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
    r = ssh(cli, "fra1 -- echo $SSH_CONNECTION")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.split()[3] == str(servers[0].port)
    assert (jump.logins(), servers[0].logins()) == (1, 1)


def test_with_ssh_config(cli, recorded, servers, tmp_path):
    """transport: openssh. The file is the one of the user's home, which cannot be another one here."""
    recorded(transport="openssh")
    r = ssh(cli, "fra1 -- whoami")
    assert (r.returncode, r.stdout) == (0, "root\n")
    words = ssh(cli, "fra1 --dry-run").stdout
    config = (tmp_path / "cache/kubecdn/ssh_config").read_text()
    assert f"-F {tmp_path}/cache/kubecdn/ssh_config" in words and "User=" not in words
    assert config.startswith(f'Include "{Path("~root").expanduser()}/.ssh/config"\n')


def test_what_would_be_run(cli, recorded, servers):
    r = ssh(cli, "fra1 --dry-run -- echo $HOME")
    assert r.returncode == 0 and servers[0].logins() == 0
    again = subprocess.run(["sh", "-c", r.stdout], capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stdout) == (0, f"{os.path.expanduser('~root')}\n")


def test_without_the_program(cli, recorded, tmp_path):
    cli.extra_env["PATH"] = str(tmp_path)
    r = ssh(cli, "fra1 -- true")
    assert r.stderr == "kubecdn: the program ssh is not in PATH; install openssh-client\n"
    assert r.returncode == 1


def test_it_gets_the_signals_that_programs_expect(cli, recorded, tmp_path):
    fake = tmp_path / "bin/ssh"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n")
    fake.chmod(0o755)
    cli.extra_env["PATH"] = f"{fake.parent}:{os.environ['PATH']}"
    assert int(ssh(cli, "fra1").stdout.split()[1], 16) & 1 << 12 == 0  # SIGPIPE


def test_a_limit_only_when_it_is_typed(cli, recorded, servers):
    cli.extra_env["KUBECDN_TIMEOUT"] = "1s"
    assert ssh(cli, "fra1 -- sleep 2").returncode == 0
    assert ssh(cli, "fra1 --timeout 500ms -- sleep 5").returncode == -14
