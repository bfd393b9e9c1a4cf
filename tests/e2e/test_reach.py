"""Preflight between hosts: a firewall between two of them is named before anything is changed."""

import time

import pytest
from lab import yaml
from lab.cli import pending
from lab.hosts import LabHosts
from lab.snapshot import assert_same, snapshot


@pytest.fixture
def lab():
    with LabHosts(["cp1", "w1", "w2"]) as made:
        yield made


def block(host, *rules):
    chain = "{ type filter hook input priority 0 ; policy accept ; }"
    host.enter("nft", "add", "table", "inet", "labtest")
    host.enter("nft", "add", "chain", "inet", "labtest", "input", chain)
    for rule in rules:
        host.enter("nft", "add", "rule", "inet", "labtest", "input", *rule.split())


def test_blocked_pairs_are_named(cli, lab, tmp_path):
    roles = {"cp1": "control-plane", "w1": "worker", "w2": "worker"}
    file = tmp_path / "cluster.yaml"
    file.write_text(
        yaml.cluster("reach", [yaml.host_entry(lab[n], r) for n, r in roles.items()])
    )
    block(
        lab["w1"],
        "udp dport 8472 drop",
        f"ip saddr {lab['cp1'].address} tcp dport 10250 drop",
    )
    block(lab["cp1"], f"ip saddr {lab['w2'].address} tcp dport 6443 reject")
    before = {h.name: snapshot(h) for h in lab}
    for act in ([], ["--yes"]):
        start = time.monotonic()
        r = cli.run("cluster", "create", "-f", file, *act)
        print(f"blocked: {time.monotonic() - start:.2f} s")
        assert r.code == 1, r
        fix = "; open it in the firewalls between them"
        assert sorted(x.removeprefix("kubecdn: ") for x in r.error_lines) == sorted(
            [
                f"cp1 and w2 cannot reach w1 on 8472/udp: no answer{fix}",
                f"cp1 cannot reach w1 on 10250/tcp: no answer{fix}",
                f"w2 cannot reach cp1 on 6443/tcp: refused{fix}",
            ]
        ), r
    for h in lab:
        assert_same(before[h.name], snapshot(h))
    assert cli.run("cluster", "list", "-o", "json").json == []
    for name in ("w1", "cp1"):
        lab[name].enter("nft", "delete", "table", "inet", "labtest")
    start = time.monotonic()
    plan = cli.plan("create", "-f", file)
    print(f"open: {time.monotonic() - start:.2f} s")
    assert pending(plan)["node/w1"] == "create"


def test_a_host_whose_server_is_down_is_mended_while_another_joins(cli, lab, tmp_path):
    """Its port is silent because of what this very update repairs, not for a firewall."""
    file, entries = tmp_path / "cluster.yaml", [
        yaml.host_entry(lab["cp1"], "control-plane"),
        yaml.host_entry(lab["w1"], "worker"),
    ]
    file.write_text(yaml.cluster("reach", entries))
    cli.ok("cluster", "create", "-f", file, "--yes")
    lab["cp1"].enter("systemctl", "disable", "--now", "kube-apiserver")
    file.write_text(yaml.cluster("reach", [*entries, yaml.host_entry(lab["w2"], "worker")]))
    found = pending(cli.plan("update", "-f", file))
    assert found["node/w2"] == "create" and found["node/cp1"] == "update"
    cli.ok("cluster", "update", "-f", file, "--yes", "--wait", "90s")
    assert pending(cli.plan("update", "-f", file)) == {}
