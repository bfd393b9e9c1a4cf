"""TAB, in the shells themselves: bash, zsh and fish."""

import os
import pty
import random
import re
import select
import shutil
import subprocess
import time

import pytest
from lab.cli import REPO, binary

STATE = REPO / "tests/fixtures/state/1/whole"  # with a cluster fra1, whose hosts are cp1 and w1


@pytest.fixture
def env(tmp_path, built):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBECDN", "XDG_"))}
    state = shutil.copytree(STATE, tmp_path / "state")
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "own.yaml").touch()
    return clean | {
        "PATH": f"{binary().parent}:{clean['PATH']}",
        "HOME": str(tmp_path),
        "KUBECDN_STATE": str(state),
        "TERM": "xterm",
    }


def asked(env, *words):
    """What the scripts ask: {candidate: what it is}, and what else there is."""
    r = subprocess.run([binary(), "__complete", "--", *words], env=env, capture_output=True, text=True)
    assert (r.returncode, r.stderr) == (0, "")
    *lines, more = r.stdout.splitlines()
    return dict(x.split("\t") for x in lines), more


def test_what_may_come_next(env):
    assert asked(env, "clus")[0] == {"cluster": "Clusters: make, change, check, enter and delete them"}
    verbs = asked(env, "cluster", "")[0]
    assert verbs["get"].startswith("Show one cluster") and {"create", "export"} <= set(verbs)
    assert "Export a kubeconfig" in asked(env, "cluster", "export", "")[0]["kubeconfig"]
    assert not [x for x in asked(env, "")[0] if x.startswith("_")]
    assert asked(env, "help", "cluster", "ge")[0].keys() == {"get"}
    assert asked(env, "nothing", "") == ({}, ":none")
    assert {"--workers", "--wait"} == set(asked(env, "cluster", "create", "--w")[0])
    assert "--state" in asked(env, "create", "cluster", "-")[0]  # by its other name
    assert set(asked(env, "cluster", "create", "-o", "")[0]) == {"text", "json", "yaml"}
    assert set(asked(env, "cluster", "create", "--output=j")[0]) == {"--output=json"}
    assert set(asked(env, "cluster", "create", "--yes=")[0]) == {"--yes=true", "--yes=false"}
    assert "onprem" in asked(env, "cluster", "create", "--cloud", "on")[0]
    assert set(asked(env, "completion", "")[0]) == {"bash", "zsh", "fish"}
    assert asked(env, "cluster", "create", "-f", "")[1] == ":files"
    assert asked(env, "cluster", "create", "--bundle", "")[1] == ":files"
    assert asked(env, "bundle", "verify", "")[1] == ":files"
    assert asked(env, "version", "") == ({}, ":none")
    assert set(asked(env, "cluster", "create", "-yo", "")[0]) == {"text", "json", "yaml"}
    assert asked(env, "cluster", "create", "-yf", "")[1] == ":files"
    assert "fra1" in asked(env, "cluster", "create", "-fx", "-yojson", "")[0]


def test_any_words(env):
    """What makes no sense is answered, too."""
    r = random.Random(3)
    parts = [
        "cluster", "create", "get", "ssh", "fra1", "help", "--", "-", "--output=", "-o", "-yx",
        "--state", "é", "-f=", "--=", "", "explain", "cluster.spec..", "cluster.", "__complete",
        "x" * 3000, "\t",
    ]
    for _ in range(60):
        asked(env, *(r.choice(parts) for _ in range(r.randrange(1, 25))))


def test_clusters_and_fields(env, tmp_path):
    assert set(asked(env, "cluster", "get", "")[0]) == {"fra1"}
    assert asked(env, "cluster", "get", "fra1", "") == ({}, ":none")
    assert asked(env, "cluster", "get", "x")[0] == {}
    assert asked(env, "cluster", "get", "--state", str(tmp_path / "other"), "")[0] == {}
    state = env.pop("KUBECDN_STATE")
    assert asked(env, "cluster", "get", "")[0] == {}
    assert set(asked(env, "cluster", "get", "--state", state, "")[0]) == {"fra1"}
    settings = tmp_path / ".config/kubecdn/config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("state: ~/state\n")
    assert set(asked(env, "cluster", "get", "")[0]) == {"fra1"}
    settings.write_text("stat: ~/state\n")
    assert asked(env, "cluster", "get", "")[0] == {}
    assert {"cluster", "trafficpolicy.", "config"} <= set(asked(env, "explain", "")[0])
    assert set(asked(env, "explain", "cluster.spec.net")[0]) == {
        "cluster.spec.networking",
        "cluster.spec.networking.",
    }
    assert "cluster.spec.hosts.ssh.port" in asked(env, "explain", "cluster.spec.hosts.ssh.")[0]


def script(env, shell):
    r = subprocess.run([binary(), "completion", shell], env=env, capture_output=True, text=True, check=True)
    return r.stdout


def typed(argv, env, cwd, setup, lines):
    """Each (beginning, end): an interactive shell makes the one the other on TAB."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)
    try:
        os.write(terminal, f"{setup}\necho READY-$((6*7))\n".encode())
        until(terminal, "READY-42")
        for line, expected in lines:
            os.write(terminal, b"\x15" + line.encode() + b"\t")  # Ctrl-U empties the line
            until(terminal, expected)
    finally:
        os.close(terminal)
        os.kill(process, 9)
        os.waitpid(process, 0)


def until(terminal, expected, seconds=20):
    text, end = "", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
        plain = re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]|[\x08\x0f]|\x1b[=>]", "", text)
        if expected in plain:
            return plain
    raise AssertionError(f"no {expected!r} in {text!r}")


LINES = [
    ("kubecdn clus", "kubecdn cluster "),
    ("kubecdn cluster cre", "kubecdn cluster create "),
    ("kubecdn cluster create --wor", "--workers "),
    ("kubecdn cluster create -o js", "-o json "),
    ("kubecdn cluster create --output=js", "--output=json "),
    ("kubecdn cluster create -f man", "-f manifests/"),
    ("kubecdn cluster create --file=manifests/o", "--file=manifests/own.yaml"),
    ("kubecdn cluster get fr", "cluster get fra1 "),
]


def test_bash(env, tmp_path):
    (tmp_path / "c").write_text(script(env, "bash"))
    typed(["bash", "--norc", "-i"], env, tmp_path, "source ./c", LINES)


def test_zsh(env, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("no zsh")
    (tmp_path / "c").write_text(script(env, "zsh"))
    setup = "autoload -Uz compinit; compinit -u; source ./c"
    typed(["zsh", "-f", "-i"], env, tmp_path, setup, LINES)
    (tmp_path / "functions").mkdir()  # as it is installed
    (tmp_path / "c").rename(tmp_path / "functions/_kubecdn")
    setup = "fpath=(~/functions $fpath); autoload -Uz compinit; compinit -u -D"
    typed(["zsh", "-f", "-i"], env, tmp_path, setup, LINES[:2])


def test_fish(env, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("no fish")
    (tmp_path / "c").write_text(script(env, "fish"))
    for line, expected in LINES:
        r = subprocess.run(
            ["fish", "--no-config", "-c", f"source c; complete -C '{line}'"],
            env=env, cwd=tmp_path, capture_output=True, text=True, check=True,
        )
        words = [x.split("\t")[0] for x in r.stdout.splitlines()]
        assert words == [expected.split()[-1]], line


def test_the_bash_script_with_words_that_bash_splits(env, tmp_path):
    """At = and :, which are no ends of words to the program."""
    line = f"kubecdn cluster get --state=dir://{env['KUBECDN_STATE']} fr"
    test = f"""
        {script(env, "bash")}
        COMP_LINE='{line}'
        COMP_WORDS=(kubecdn cluster get --state = dir : //{env['KUBECDN_STATE']} fr)
        COMP_CWORD=8
        _kubecdn
        echo "${{COMPREPLY[*]}}"
    """
    env.pop("KUBECDN_STATE")
    r = subprocess.run(["bash", "-c", test], env=env, capture_output=True, text=True)
    assert (r.stdout, r.stderr) == ("fra1\n", "")
