"""Hosts that only a bastion reaches: SSH, and the API server, too. One story in its order."""

import socket

import pytest
from lab.cli import assert_refused, pending
from lab.snapshot import assert_back, snapshot
from lab.story import told

RULE = "rule inet labtest input ip saddr %s.1 tcp dport { 22, 6443 } drop"
CHAIN = "{ type filter hook input priority 0 ; policy accept ; }"


@pytest.fixture(scope="module")
def story(tmp_path_factory, kubectl, built):
    folder = tmp_path_factory.mktemp("bastion")
    with told(folder, kubectl, ["cp1", "w1", "jump"]) as s:
        lab = s.lab
        for name in ("cp1", "w1"):
            lab[name].enter("nft", "add", "table", "inet", "labtest")
            lab[name].enter("nft", "add", "chain", "inet", "labtest", "input", CHAIN)
            lab[name].enter("nft", "add", *(RULE % lab.net).split())
        s.before = {h.name: snapshot(h) for h in lab}
        for h in s.hosts:
            h["ssh"]["bastion"] = f"root@{lab['jump'].address}"
        known = folder / ".ssh" / "known_hosts"
        known.parent.mkdir(mode=0o700)
        known.write_text(f"{lab['jump'].address} {lab['jump'].host_key}\n")
        s.write()
        yield s


def test_create_and_validate(story):
    for host in ("cp1", "w1"):
        with pytest.raises(OSError):
            socket.create_connection((story.lab[host].address, 22), 0.5)
    story.cli.ok("cluster", "create", "-f", story.file, "--yes")
    with pytest.raises(OSError):
        socket.create_connection((story.lab["cp1"].address, 6443), 0.5)
    code, checks = story.checks()
    assert code == 0 and checks["api/cp1"][0], checks
    assert pending(story.cli.plan("update", "story")) == {}


def test_a_person_gets_through_too(story):
    """cluster ssh: the key that the manifest pins, by the bastion that it names."""
    name = story.cli.ok("cluster", "ssh", "story", "w1", "--", "cat", "/etc/hostname").out
    assert name == (story.lab["w1"].root / "etc/hostname").read_text()


def test_a_change_goes_through(story):
    story.hosts[1]["labels"] = {"kubecdn.io/edge": "yes"}
    story.apply({"kube/node/w1": "update"})


def test_a_control_plane_that_forwards_nothing(story):
    """Hardened: then the bastion itself connects, and if it does not either, a line says so."""
    cp1, jump = story.lab["cp1"], story.lab["jump"]

    def forwarding(host, allow):
        host.put("/etc/ssh/sshd_config.d/labtest.conf", f"AllowTcpForwarding {allow}\n")
        host.enter("systemctl", "reload", "ssh")

    forwarding(cp1, "no")
    assert story.checks()[0] == 0
    rule = f"ip saddr {jump.address} tcp dport 6443 reject"
    cp1.enter("nft", "add", "rule", "inet", "labtest", "input", *rule.split())
    r = story.cli.run("cluster", "validate", "story")
    assert_refused(r, "6443", "through root@", jump.address)
    forwarding(cp1, "yes")
    assert story.checks()[0] == 0
    (cp1.root / "etc/ssh/sshd_config.d/labtest.conf").unlink()
    for command in ("flush chain inet labtest input", f"add {RULE % story.lab.net}"):
        cp1.enter("nft", *command.split())


def test_delete(story):
    story.cli.ok("cluster", "delete", "story", "--yes")
    for name in ("cp1", "w1"):
        assert_back(story.before[name], story.lab[name])
