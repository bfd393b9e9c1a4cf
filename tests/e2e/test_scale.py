"""Many hosts at once: one that fails hides no other one, an update gives up when it should, and they
give blobs to each other."""

from collections import Counter

import pytest
from lab import yaml
from lab.cli import assert_refused
from lab.crowd import Crowd, payload_bundle

HOSTS = 14
NAMES = [f"h{n}" for n in range(1, HOSTS + 1)]
WHY = "no units today"
NEXT = "mend what failed and run the same command again, it goes on with what is left"


@pytest.fixture(scope="module")
def crowd(built):
    with Crowd(HOSTS) as made:
        yield made


@pytest.fixture
def manifest(crowd, cli, tmp_path):
    """Of all of them; they are as before in the end."""
    cli.bundle = payload_bundle(tmp_path / "bundle", 1 << 20, "1.37.2")
    entries = [yaml.host_entry(crowd[n], "worker") for n in NAMES]
    entries[0]["role"] = "control-plane"
    for entry in entries[1:3]:
        entry["ssh"]["transport"] = "openssh"
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.cluster("crowd", entries))
    yield file
    for name in NAMES:
        crowd[name].mend_apply()
    cli.ok("cluster", "delete", "crowd", "--yes")


def by_result(r):
    """{result: names} of what a run says of its hosts."""
    hosts, out = r.json["result"]["hosts"], {}
    assert [h["host"] for h in hosts] == NAMES
    for h in hosts:
        assert (WHY in h.get("why", "")) == (h["result"] == "failed"), h
        out.setdefault(h["result"], []).append(h["host"])
    return out


def failure(crowd, name):
    says = "the agent's apply ended with exit code 1: kubecdn-node apply: systemd-run: exit code 1"
    return f"kubecdn: {name} failed: root@{crowd[name].address}: {says}: {WHY}"


def test_every_host_has_its_result(crowd, cli, manifest):
    """There is no control plane in a crowd: h1 always fails, its workers do not need it."""
    for name in NAMES:
        if name != "h2":
            crowd[name].break_apply(WHY)
    # All are tried. The first failures are told, one line each, and how many more there are.
    r = cli.run("cluster", "create", "-f", manifest, "--yes")
    assert r.code == 3, r
    failed = [n for n in NAMES if n != "h2"]
    assert r.error_lines == [failure(crowd, n) for n in failed[:10]] + [
        f"kubecdn: and {len(failed) - 10} more failed; -o json has all of them",
        f"kubecdn: cluster crowd: 1 of {HOSTS} hosts is done, {len(failed)} failed; {NEXT}",
    ], r

    for name in NAMES:
        if name not in ("h1", "h4", "h6"):
            crowd[name].mend_apply()
    act = ["cluster", "update", "-f", manifest, "--yes"]
    r = cli.run(*act, "--parallelism", "1", "--max-failures", "3", "-o", "json")
    assert r.code == 3, r
    left = NAMES[6:]
    assert by_result(r) == {
        "failed": ["h1", "h4", "h6"],
        "unchanged": ["h2"],
        "done": ["h3", "h5"],
        "not begun": left,
    }
    counts = f"2 of {HOSTS - 1} hosts are done, 3 failed, {len(left)} were not begun"
    assert r.error_lines == [failure(crowd, n) for n in ("h1", "h4", "h6")] + [
        f"kubecdn: not begun: {', '.join(left[:5])} and {len(left) - 5} more",
        f"kubecdn: cluster crowd: {counts}; {NEXT}",
    ], r
    for name in NAMES[1:]:
        there = crowd[name].root / "etc/kubernetes/kube-proxy.kubeconfig"
        assert there.exists() == (name in ("h2", "h3", "h5")), name

    for name in ("h4", "h6"):
        crowd[name].mend_apply()
    r = cli.run(*act, "--max-failures", "2", "-o", "json")
    assert r.code == 3, r
    assert by_result(r) == {
        "failed": ["h1"],
        "unchanged": ["h2", "h3", "h5"],
        "done": ["h4", *NAMES[5:]],
    }
    # What is left is one host, and its own line says it all.
    r = cli.run(*act, "--max-failures", "1")
    assert_refused(r, f"node/h1: root@{crowd['h1'].address}: .*{WHY}")


def brought(cli):
    """{(how, result): hosts} of the last run: who was sent blobs, and who took them from a host."""
    counts = Counter()
    for task in cli.ok("cluster", "timeline", "crowd", "-o", "json").json["tasks"]:
        for step in task.get("steps", []):
            if step["id"].startswith("send "):
                counts["sent", step["result"]] += 1
            elif step["id"] == "agent: fetch":
                counts["fetched", step["result"]] += 1
    return counts


def test_hosts_give_each_other(crowd, cli, manifest):
    crowd["h1"].break_apply(WHY)
    r = cli.run("cluster", "create", "-f", manifest, "--yes")
    assert f"{HOSTS - 1} of {HOSTS} hosts are done" in r.err, r
    sent = brought(cli)["sent", "done"]
    # Four at a time, fewer if the first has all before the fourth asks; and only the control plane's
    # own programs are nobody else's.
    assert 1 <= sent <= 5, sent
    assert brought(cli) == {("sent", "done"): sent, ("fetched", "done"): HOSTS - sent}
    for h in crowd:  # and nobody listens any more
        assert "kubecdn-node" not in h.enter("ss", "-Hltnp").stdout
        assert not (h.root / "var/lib/kubecdn/blobs").exists() or h.name == "h1"


def test_a_firewall_between_them_costs_little(crowd, cli, manifest):
    chain = "{ type filter hook input priority 0 ; policy accept ; }"
    crowd["h1"].break_apply(WHY)
    for h in crowd:
        h.enter("nft", "add", "table", "inet", "labtest")
        h.enter("nft", "add", "chain", "inet", "labtest", "input", chain)
        rule = "tcp flags & (syn | ack) == syn tcp dport 32768-65535 drop"
        h.enter("nft", "add", "rule", "inet", "labtest", "input", *rule.split())
    try:
        r = cli.run("cluster", "create", "-f", manifest, "--yes")
        assert f"{HOSTS - 1} of {HOSTS} hosts are done" in r.err, r
        counts = brought(cli)
        assert counts["sent", "done"] == HOSTS and not counts["fetched", "done"]
        assert 2 <= counts["fetched", "failed"] <= HOSTS - 4
    finally:
        for h in crowd:
            h.enter("nft", "delete", "table", "inet", "labtest")


@pytest.mark.parametrize("number", ["0", "some", ""])
def test_no_number_of_failures(cli, number):
    r = cli.run("cluster", "update", "crowd", "--max-failures", number)
    assert_refused(r, "--max-failures", code=64)
