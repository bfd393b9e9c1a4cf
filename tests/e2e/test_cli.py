"""What a user types, and what they are told when it is wrong. No cluster is made."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
KUBECDN = os.environ.get("KUBECDN", str(TOP / "build/release/bin/kubecdn"))


@pytest.fixture
def run(tmp_path):
    def call(*args, **kw):
        env = {k: v for k, v in os.environ.items() if not k.startswith("KUBECDN")}
        env |= {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}
        env |= kw.pop("env", {})
        kw = {"capture_output": True, "text": True, "timeout": 60} | kw
        return subprocess.run([KUBECDN, *args], env=env, **kw)

    return call


def verbs():
    out = subprocess.run([KUBECDN, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ((?:cluster|bundle)(?: \w+)+|explain|version) {2,}", out, re.M)


def test_help_of_every_verb(run):
    found = verbs()
    assert {"cluster create", "bundle build", "explain", "version"} <= set(found)
    for verb in found:
        r = run(*verb.split(), "--help")
        assert (r.returncode, r.stderr) == (0, ""), verb
        assert f"Usage:\n  kubecdn {verb}" in r.stdout
        assert max(map(len, r.stdout.splitlines())) < 120, verb


def test_commands_of_the_docs_exist(run):
    known = verbs()
    for doc in [TOP / "README.md", *TOP.glob("docs/**/*.md")]:
        for line in re.findall(r"^    kubecdn (.+)$", doc.read_text(), re.M):
            verb = next((v for v in known if line.startswith(v)), None)
            assert verb, f"{doc.name}: kubecdn {line}"
            for flag in re.findall(r"(?<=\s)--[a-z-]+", line.split("#")[0]):
                assert flag in run(*verb.split(), "--help").stdout, f"{doc.name}: {line}"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["clutser", "create"], 'did you mean "kubecdn cluster"?'),
        (["cluster", "crate"], 'did you mean "kubecdn cluster create"?'),
        (["cluster", "create", "--wrokers", "1"], "did you mean --workers?"),
        (["cluster", "create"], "which cluster?"),
        (["cluster", "create", "--cloud", "locl"], 'did you mean "local"?'),
        (["cluster", "create", "--cloud", "local", "--workers", "-1"], "--workers"),
        (["cluster", "create", "--cloud", "local", "--workers=x"], "is not a number"),
        (["cluster", "create", "--cloud", "local", "--wait", "5"], "is not a duration"),
        (["cluster", "create", "--cloud", "local", "--confirm", "abc"], "is not the hash"),
        (["cluster", "create", "--region", "x"], "--region needs --cloud"),
        (["cluster", "create", "-f", "x.yaml", "--cloud", "local"], "-f cannot go with"),
        (["cluster", "create", "Not_A_Name", "--cloud", "local"], "is no name for a cluster"),
        (["cluster", "create", "-f"], "--file needs a value"),
        (["cluster", "create", "-o", "xml"], "is not one of text, json or yaml"),
        (["cluster", "delete"], "needs an argument"),
        (["cluster", "get", "a", "b"], "one argument too many"),
        (["cluster", "unlock", "a"], "--force FENCE is needed"),
        (["cluster", "kubeconfig", "a", "--ttl", "1s"], "--ttl"),
        (["bundle", "build", "--arch", "mips"], "is not one of amd64 or arm64"),
        (["version", "--debug", "sssh"], "no component"),
        (["explain", "--json-schema", "Clutser"], "no kind"),
        (["--yes", "cluster", "create"], "before its flags"),
    ],
)
def test_wrong_usage(run, tmp_path, args, why):
    r = run(*args)
    assert r.returncode == 64
    assert r.stdout == ""
    assert r.stderr.startswith("kubecdn: ") and r.stderr.count("\n") == 1
    assert why in r.stderr
    assert not (tmp_path / "state").exists()


def test_wrong_environment(run):
    r = run("version", env={"KUBECDN_PROGRESS": "fancy"})
    assert r.returncode == 64
    assert "KUBECDN_PROGRESS" in r.stderr


def test_missing_things(run, tmp_path):
    r = run("cluster", "get", "nowhere")
    assert (r.returncode, r.stdout) == (1, "")
    assert "nowhere" in r.stderr and r.stderr.count("\n") == 1
    r = run("cluster", "create", "-f", str(tmp_path / "absent.yaml"))
    assert (r.returncode, r.stdout) == (1, "")
    assert "absent.yaml" in r.stderr
    r = run("bundle", "verify", str(tmp_path))
    assert (r.returncode, r.stdout) == (1, "")
    assert str(tmp_path) in r.stderr


def test_empty_state(run, tmp_path):
    r = run("cluster", "list")
    assert r.returncode == 0
    assert "No clusters" in r.stdout
    assert json.loads(run("cluster", "list", "-o", "json").stdout) == []


def test_version(run):
    v = json.loads(run("version", "-o", "json").stdout)
    assert v["kubernetes"]["supported"] and v["protocol"] == 1
    assert v["version"] in run("version").stdout


def test_explain(run):
    assert "podCIDRs" in run("explain", "cluster.spec.networking").stdout
    schema = json.loads(run("explain", "--json-schema", "Cluster").stdout)
    assert "spec" in schema["properties"]
    r = run("explain", "cluster.spec.netwroking")
    assert r.returncode == 1
    assert "networking" in r.stderr


def test_output_that_cannot_be_written(run):
    with open("/dev/full", "w") as full:
        r = run("version", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 1
    assert "No space left" in r.stderr
