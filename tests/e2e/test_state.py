"""The state: sealed and rekeyed, of an earlier format, of a later one; with and without hosts."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lab import yaml
from lab.cli import Cli, assert_refused, binary, pending
from lab.snapshot import tree_of

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/state/1"
PLAIN = ("PRIVATE KEY", "EncryptionConfiguration")


def write_keys(path, *keys, mode=0o600):
    """A key file: byte numbers, the first seals."""
    lines = [
        subprocess.run(
            ["base64"], input=bytes([k]) * 32, capture_output=True, check=True
        ).stdout.decode()
        for k in keys
    ]
    path.write_text("".join(lines))
    path.chmod(mode)
    return path


def objects(cli):
    """{path: text} of all that is stored below clusters/."""
    top = cli.state / "clusters"
    return {
        str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()
    }


def assert_sealed(cli, sealed=True):
    text = objects(cli)
    assert any(p.endswith("pki/ca.json") for p in text)
    for path, content in text.items():
        private = "/pki/" in path or "/secrets/" in path
        assert content.startswith("kubecdn-sealed 1 ") == (private and sealed), path
        if sealed:
            assert not [w for w in PLAIN if w in content], path


@pytest.fixture
def old(tmp_path, built):
    """A state that an earlier program wrote; its hosts are gone."""
    shutil.copytree(FIXTURES / "whole", tmp_path / "state")
    return Cli(tmp_path / "state", home=tmp_path)


def test_earlier_format_is_read(old):
    before = tree_of(old.state)
    assert old.ok("cluster", "list", "-o", "json").json[0]["name"] == "fra1"
    doc = old.ok("cluster", "get", "fra1", "-o", "json").json
    assert doc["status"]["state"] == "ready" and "format" not in doc
    old.ok("cluster", "export", "kubeconfig", "fra1", "--to", old.home / "kubeconfig")
    assert tree_of(old.state) == before


@pytest.mark.parametrize(
    "name",
    [
        "cluster.json",
        "spec.yaml",
        "record.json",
        "journal/0000000001-0000000003.json",
        "pki/sa.json",
        "secrets/encryption.json",
        "lock",
    ],
)
def test_later_format_is_refused(old, name):
    shutil.rmtree(old.state)
    shutil.copytree(FIXTURES / "killed", old.state)
    file = old.state / "clusters/fra1" / name
    if name.endswith(".yaml"):
        text = "format: 77\nwrittenBy: kubecdn 7.7\n" + file.read_text()
    else:
        text = json.dumps(
            {**json.loads(file.read_text()), "format": 77, "writtenBy": "kubecdn 7.7"}
        )
    file.write_text(text)
    before = tree_of(old.state)
    for args in (["update"], ["delete"], ["create", "-f", "-"]):
        given = (old.state / "clusters/fra1/spec.yaml").read_text()
        if args[0] == "create":
            given = re.sub(r"^(format|writtenBy):.*\n", "", given, flags=re.M)
            r = subprocess.run(
                old.argv("cluster", *args, "--yes"),
                input=given,
                capture_output=True,
                text=True,
                env=old.env(),
                timeout=60,
                check=False,
            )
            code, err = r.returncode, r.stderr
        else:
            r = old.run("cluster", *args, "fra1", "--yes")
            code, err = r.code, r.err
        assert code == 1 and len(err.splitlines()) == 1, (args, err)
        assert f"clusters/fra1/{name}: written by kubecdn 7.7 in format 77" in err
        assert "upgrade" in err
        assert tree_of(old.state) == before, args


def test_rekey(old, tmp_path):
    keys = write_keys(tmp_path / "keys", 1)
    with_keys = ["--state-key-file", keys]
    before = tree_of(old.state)
    assert_refused(old.run("cluster", "rekey", "fra1"), "state-key-file", code=64)
    r = old.run("cluster", "export", "kubeconfig", "fra1", *with_keys)
    assert_refused(r, "not sealed", "kubecdn cluster rekey fra1")
    r = old.ok("cluster", "rekey", "fra1", *with_keys)
    assert r.out.count("~ seal clusters/fra1/") == 5 and "Nothing was changed" in r.out
    assert tree_of(old.state) == before

    old.ok("cluster", "rekey", "fra1", "--yes", *with_keys)
    assert_sealed(old)
    assert "Nothing to do" in old.ok("cluster", "rekey", "fra1", *with_keys).out
    old.ok("cluster", "export", "kubeconfig", "fra1", *with_keys)
    r = old.run("cluster", "export", "kubeconfig", "fra1")
    assert_refused(r, "this state is sealed", "KUBECDN_STATE_KEY_FILE")
    before = tree_of(old.state)
    for verb in ("update", "delete"):
        r = old.run("cluster", verb, "fra1", "--yes")
        assert_refused(r, "this state is sealed")
    assert tree_of(old.state) == before
    assert old.ok("cluster", "list").out.count("fra1") == 1

    # Another key: not without the old one, then without it.
    write_keys(keys, 2)
    r = old.run("cluster", "rekey", "fra1", "--yes", *with_keys)
    assert_refused(r, "sealed with key [0-9a-f]{16}, which is not in the key file")
    assert tree_of(old.state) == before
    write_keys(keys, 2, 1)
    old.ok("cluster", "rekey", "fra1", "--yes", *with_keys)
    write_keys(keys, 2)
    old.ok("cluster", "export", "kubeconfig", "fra1", *with_keys)

    old.ok("cluster", "rekey", "fra1", "--unseal", "--yes", *with_keys)
    assert_sealed(old, sealed=False)
    old.ok("cluster", "export", "kubeconfig", "fra1")


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (None, 0, "there is no such key file; make one with"),
        ("", 0o600, "no key in this file"),
        ("YWJj\n", 0o600, ":1:1: a key of 3 bytes; it must have 32"),
        ("# mine\nnot base64\n", 0o600, ":2:1: not a key: base64 of 32 bytes"),
        ("YWJj\n", 0o644, r"others may read or write this key file \(mode 0644\)"),
    ],
)
def test_bad_key_files(old, tmp_path, text, mode, says):
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    before = tree_of(old.state)
    for args in (["rekey", "fra1", "--yes"], ["update", "fra1", "--yes"]):
        r = old.run("cluster", *args, "--state-key-file", file)
        assert_refused(r, says, str(file))
    assert tree_of(old.state) == before


def replace_service_account_key(cli):
    """By hand, as a rotation would: another pair, one version up."""

    def openssl(*args, **kw):
        return subprocess.run(
            ["openssl", *args], capture_output=True, text=True, check=True, **kw
        ).stdout

    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    file = cli.state / "clusters/sealed/pki/sa.json"
    secret = json.loads(file.read_text())
    assert secret["version"] == 1
    secret.update(key=key, pub=openssl("pkey", "-pubout", input=key), version=2)
    file.write_text(json.dumps(secret))


def test_sealed_cluster(pair, cli, tmp_path, monkeypatch):
    """Sealed from the first object on; a new key and no key at all change nothing on the hosts; a
    secret's new version is a change that the plan names."""
    keys = write_keys(tmp_path / "keys", 1)
    manifest = tmp_path / "cluster.yaml"
    roles = {"cp1": "control-plane", "w1": "worker"}
    hosts = [yaml.host_entry(pair[n], role) for n, role in roles.items()]
    manifest.write_text(yaml.cluster("sealed", hosts))
    monkeypatch.setenv("KUBECDN_STATE_KEY_FILE", str(keys))
    cli.ok("cluster", "create", "-f", manifest, "--yes")
    assert_sealed(cli)
    record = objects(cli)["sealed/record.json"]
    given = json.loads(record)["tasks"]["node/cp1"]["outputs"]["secrets"]
    assert {"secret": "pki/ca.crt", "version": 1} in given
    assert pending(cli.plan("update", "sealed")) == {}

    write_keys(keys, 2, 1)
    cli.ok("cluster", "rekey", "sealed", "--yes")
    write_keys(keys, 2)
    assert_sealed(cli)
    assert pending(cli.plan("update", "sealed")) == {}

    # The agent that is installed is known by its hash: another one is replaced, not run.
    agent = pair["w1"].root / "opt/kubecdn/bin/kubecdn-node"
    ours = agent.read_bytes()
    agent.unlink()  # it runs as the balancer
    agent.write_text(FOREIGN)
    agent.chmod(0o755)
    assert "node/w1 > blob/kubecdn-node" in pending(cli.plan("update", "sealed"))
    cli.ok("cluster", "update", "sealed", "--yes")
    assert agent.read_bytes() == ours

    cli.ok("cluster", "rekey", "sealed", "--unseal", "--yes")
    monkeypatch.delenv("KUBECDN_STATE_KEY_FILE")
    assert_sealed(cli, sealed=False)
    replace_service_account_key(cli)
    preview = cli.run("cluster", "update", "sealed")
    assert "content: pki/sa.key: version 1 -> 2" in preview.out, preview
    assert "hmac" not in preview.out
    assert set(pending(cli.plan("update", "sealed"))) == {
        "node/cp1",
        "node/cp1 > file/sa.key",
        "node/cp1 > file/sa.pub",
        "node/cp1 > unit/kube-apiserver",
        "node/cp1 > unit/kube-controller-manager",
    }
    cli.ok("cluster", "delete", "sealed", "--yes")
    assert not objects(cli)


FOREIGN = """#!/bin/sh
cat >/dev/null
echo '{"format": 1, "agent": {"version": "9.9.9", "protocol": 99}, "plan": []}'
"""


def test_agent_of_another_release(pair, cli, tmp_path, monkeypatch):
    """A mixed installation: what the agent says first ends it, and nothing stays on the host."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    shutil.copy(binary(), bin_dir / "kubecdn")
    (bin_dir / "kubecdn-node").write_text(FOREIGN)
    (bin_dir / "kubecdn-node").chmod(0o755)
    monkeypatch.setenv("KUBECDN", str(bin_dir / "kubecdn"))
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(
        yaml.cluster("mixed", [yaml.host_entry(pair["cp1"], "control-plane")])
    )
    r = cli.run("cluster", "create", "-f", manifest, "--yes")
    assert_refused(r, r"kubecdn-node 9\.9\.9\) speaks protocol 99", "from one release")
    assert not (cli.state / "clusters/mixed/cluster.json").exists()
    assert not (pair["cp1"].root / "opt/kubecdn").exists()
