"""Many hosts at once: one that fails hides no other one, and an update gives up when it should."""

import pytest
from lab import yaml
from lab.cli import assert_refused
from lab.crowd import Crowd, payload_bundle

HOSTS = 14
NAMES = [f"h{n}" for n in range(1, HOSTS + 1)]
WHY = "no units today"
NEXT = "mend what failed and run the same command again, it goes on with what is left"


@pytest.fixture
def crowd(built):
    with Crowd(HOSTS) as made:
        yield made


@pytest.fixture
def manifest(crowd, cli, tmp_path):
    cli.bundle = payload_bundle(tmp_path / "bundle", 1 << 20, "1.37.2")
    roles = {name: "control-plane" if name == "h1" else "worker" for name in NAMES}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.cluster("crowd", [yaml.host_entry(crowd[n], roles[n]) for n in NAMES]))
    return file


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


@pytest.mark.parametrize("number", ["0", "some", ""])
def test_no_number_of_failures(cli, number):
    r = cli.run("cluster", "update", "crowd", "--max-failures", number)
    assert_refused(r, "--max-failures", code=64)
