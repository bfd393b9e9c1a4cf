"""doctor: what is wrong with this machine is said with its fix, and hosts of a manifest are tried."""

import json

import pytest
from lab import yaml
from lab.cli import assert_refused
from lab.story import sh


def levels(r):
    return {c["id"]: c["level"] for c in json.loads(r.out)["checks"]}


def texts(r):
    return {c["id"]: c["text"] + "; fix: " + c["fix"] for c in json.loads(r.out)["checks"]}


@pytest.fixture
def doctor(cli, tmp_path):
    """A home where nothing is set up."""
    cli.extra_env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "AWS_EC2_METADATA_DISABLED": "true"}

    def ask(*args, **env):
        before = dict(cli.extra_env)
        cli.extra_env.update(env)
        try:
            return cli.run("doctor", "-o", "json", *args)
        finally:
            cli.extra_env = before

    return ask


def test_nothing_set_up(doctor, cli):
    r = doctor()
    assert r.code == 0 and r.json["ok"] is True, r
    assert levels(r) == {
        "program": "ok",
        "state": "ok",
        "cache": "ok",
        "bundle": "note",
        "clock": levels(r)["clock"],
        "ssh": "note",
        "credentials/aws": "note",
        "credentials/gcp": "note",
        "credentials/azure": "note",
    }
    out = cli.ok("doctor").out
    assert "ok    program " in out and "note  bundle " in out and "; fix: kubecdn bundle build" in out


def test_what_is_set_up(doctor, tmp_path):
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    (ssh / "id_ed25519").touch(mode=0o600)
    r = doctor(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="very-secret")
    assert r.code == 0 and "very-secret" not in r.out, r
    assert levels(r)["ssh"] == levels(r)["credentials/aws"] == "ok"
    assert "AKIDEXAMPLE" in texts(r)["credentials/aws"]


def test_what_is_wrong(doctor, tmp_path):
    ssh = tmp_path / ".ssh"
    ssh.mkdir()
    (ssh / "id_ed25519").touch(mode=0o644)
    google = tmp_path / "google.json"
    google.write_text("{")
    google.chmod(0o600)
    bundle = tmp_path / "cache/kubecdn/bundles/1.37.2-amd64"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}")
    r = doctor(
        GOOGLE_APPLICATION_CREDENTIALS=str(google), AWS_PROFILE="nosuch", SSH_AUTH_SOCK=str(tmp_path / "gone")
    )
    assert r.code == 2 and r.json["ok"] is False, r
    bad = {k for k, v in levels(r).items() if v == "bad"}
    assert bad == {"ssh", "credentials/gcp", "credentials/aws", "bundle"}
    said = texts(r)
    assert "chmod 600" in said["ssh"] and "google.json" in said["credentials/gcp"]
    assert "nosuch" in said["credentials/aws"]


def test_hosts_of_a_manifest(doctor, pair, tmp_path):
    file = tmp_path / "cluster.yaml"
    hosts = [yaml.host_entry(pair["cp1"], "control-plane"), yaml.host_entry(pair["w1"], "worker")]
    file.write_text(yaml.cluster("fit", hosts))
    r = doctor("-f", file)
    assert r.code == 0 and levels(r)["host/cp1"] == levels(r)["host/w1"] == "ok", r
    sh(pair["w1"], "systemctl stop ssh.socket ssh")
    try:
        r = doctor("-f", file)
    finally:
        sh(pair["w1"], "systemctl start ssh")
    assert r.code == 2 and levels(r)["host/cp1"] == "ok" and levels(r)["host/w1"] == "bad", r
    assert "refused on port 22" in texts(r)["host/w1"]


def test_wrong_use(doctor, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.cluster("fit", []).replace("cloud:", "clod:"))
    assert_refused(doctor("-f", tmp_path / "none.yaml"), "none.yaml")
    assert doctor("-f", wrong).err.count("wrong.yaml:") >= 1 and doctor("-f", wrong).code == 1
    assert_refused(doctor("--fix"), "--fix", code=64)
