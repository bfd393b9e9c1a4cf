"""Causes planted in a running cluster: each is named in one line with its fix, and of two at once
the one to mend first. One cluster for all; the worker's node is deleted, and has not joined again."""

import json
import os
import re
import time
from datetime import date
from pathlib import Path

import pytest
from lab.cli import assert_refused, pending
from lab.hosts import run, wait_for
from lab.packages import unpack
from lab.plants import CONTROL_PLANE, HOSTS, PKI, PLANTS, TWO, UPDATES
from lab.story import sh, told

@pytest.fixture(scope="module")
def story(tmp_path_factory, kubectl, built):
    with told(tmp_path_factory.mktemp("why"), kubectl) as s:
        s.cli.ok("cluster", "create", "-f", s.file, "--yes")
        s.cli.kubeconfig("story", s.config)
        s.planted, s.named = set(), {}
        yield s
        if os.environ.get("KC_WHY_TABLE"):
            write_table(Path(os.environ["KC_WHY_TABLE"]), s)


def write_table(page, story):
    """Between the page's two marks: every cause that was planted and named."""
    begin, end = "<!-- named begins -->\n", "<!-- named ends -->\n"
    head, rest = page.read_text().split(begin)
    lines = [f"{date.today()}: {len(story.planted)} planted, {len(story.named)} named.\n"]
    lines += ["| cause | on | s | what it said |", "|---|---|---|---|"]
    for (cause, node), (seconds, says) in story.named.items():
        says = says if len(says) < 160 else f"{says[:160]} …"
        lines.append(f"| `{cause}` | {node} | {seconds:.1f} | {says.replace('|', '/')} |")
    page.write_text(head + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1])


def causes(r, word="cause"):
    return re.findall(rf"^{word}: (\S+) (\S+): (.+); fix: (.+)$", r.out, re.M)


def why(story, *flags):
    start = time.monotonic()
    r = story.cli.run("cluster", "why", "story", *flags)
    assert time.monotonic() - start < 20, "it takes too long"
    return r


def named(story, cause, node, says):
    """The cause comes in one line with its fix; while a unit is just starting, it may be too early. Some
    keep no Node from being Ready: after that they are notes on a healthy cluster. node: None for any."""
    story.planted.add((cause, node))

    def look():
        start = time.monotonic()
        r = why(story)
        word = {0: "note", 2: "cause"}[r.code]
        found = causes(r, word)
        assert len(found) == 1 and r.out.count(f"{word}:") == 1, r
        assert found[0][0] == cause and node in (None, found[0][1]), r
        assert re.search(says, found[0][2]) and found[0][3], r
        story.named.setdefault((cause, found[0][1]), (time.monotonic() - start, found[0][2]))
        return r

    return wait_for(cause, look, 30, 0.5)


@pytest.fixture(scope="module")
def stuff(story):
    """The kubelet's client certificate, but that of yesterday, of tomorrow or of another node; another CA."""
    pki, made = story.lab["cp1"].root / PKI.lstrip("/"), story.folder / "made"
    made.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made / "key")
    sign = ("x509", "-req", "-in", made / "csr", "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key")
    for name, node, at in (("old", "w1", "-2d"), ("early", "w1", "+2d"), ("another", "w9", "+0d")):
        subject = f"/O=system:nodes/CN=system:node:{node}"
        run("openssl", "req", *key, "-subj", subject, "-out", made / "csr")
        cert = run("faketime", "-f", at, "openssl", *sign, "-set_serial", "7", "-days", "1").stdout
        story.lab["w1"].put(f"/etc/{name}.pem", cert + (made / "key").read_text(), 0o600)
    run("openssl", "req", "-x509", *key, "-subj", "/CN=other", "-out", made / "ca")
    story.lab["w1"].put("/etc/other-ca.pem", (made / "ca").read_text())
    sh(story.lab["w1"], "mv /etc/*.pem /run/")


def fill(story, script):
    return re.sub(r"\bCP\b", story.lab["cp1"].address, script)


def plant(story, script):
    w1 = story.lab["w1"]
    sh(w1, "systemctl stop kubelet; systemctl reset-failed kubelet 2>/dev/null || true")
    sh(w1, fill(story, script))
    story.kubectl("delete", "node", "w1", "--ignore-not-found")
    sh(w1, "systemctl start --no-block kubelet")


def test_nothing_is_wrong(story):
    """Before anything is planted. A server that was asked too early may count for some seconds more."""

    def healthy():
        assert why(story).out == "Cluster story is healthy.\n"
        r = story.cli.run("cluster", "why", "story", "-o", "json")
        return r.code == 0 and r.json["healthy"] is True and r.json["findings"] == []

    wait_for("nothing to tell", healthy, 60, 1)


def test_a_pod_that_cannot_start(story):
    """Its status says no more than ContainerCreating; a warning says why. An update mends it."""
    story.kubectl("delete", "configmap", "coredns", "-n", "kube-system")
    story.kubectl("delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--wait=false")
    named(story, "SYSTEM_POD", None, 'ContainerCreating .*configmap "coredns" not found')
    plan = story.cli.plan("update", "-f", story.file)
    assert pending(plan) == {"kube/ConfigMap/kube-system/coredns": "create"}
    story.cli.ok("cluster", "update", "story", "--yes")
    assert why(story).out == "Cluster story is healthy.\n"


def test_an_update_that_waits_in_vain(story):
    """No longer than --wait, and it says who knows more."""
    quota, there = ("quota", "none"), ("-n", "kube-system")
    story.kubectl("create", *quota, "--hard=pods=0", *there)
    story.kubectl("delete", "pods", "-l", "k8s-app=flannel", *there)
    try:
        r = story.cli.run("cluster", "update", "story", "--yes", "--wait", "3s")
        said = "flannel: not ready after 3 s: .*; `kubecdn cluster why story` names the cause"
        assert_refused(r, said)
    finally:
        story.kubectl("delete", *quota, *there)
        # or its controller tries again later and later
        story.kubectl("annotate", "daemonset", "flannel", "kubecdn.test/again=1", *there)
    story.cli.ok("cluster", "update", "story", "--yes")


@pytest.mark.parametrize("cause", PLANTS)
def test_planted(story, stuff, cause):
    says, do, undo = PLANTS[cause]
    plant(story, do)
    if cause == "NODE_DELETED":  # it registers itself when it starts, and then not again
        wait_for("w1 to register", lambda: "w1" in story.kubectl("get", "nodes"))
        story.kubectl("delete", "node", "w1")
    try:
        named(story, cause, "w1", fill(story, says))
    finally:
        sh(story.lab["w1"], fill(story, undo))


def test_an_update_mends_what_it_should(story, stuff):
    """All at once, and nothing is undone by hand."""
    sh(story.lab["w1"], "systemctl stop kubelet")
    sh(story.lab["w1"], ";".join(PLANTS[c][1] for c in PLANTS if c in UPDATES))
    story.kubectl("delete", "node", "w1", "--ignore-not-found")
    sh(story.lab["w1"], "systemctl start --no-block kubelet || true")
    r = why(story)
    found = causes(r) + re.findall(r"^then: (\S+) (\S+): (.+); fix: (.+)$", r.out, re.M)
    found = [f for f in found if f[0] != "NAMESERVER_SILENT"]  # the lab has none that answers
    assert found and all("kubecdn cluster update story --yes" in f[3] for f in found), r
    story.cli.ok("cluster", "update", "story", "--yes")
    # What a unit said before it was mended is told for some seconds more.
    wait_for("nothing to tell", lambda: why(story).out == "Cluster story is healthy.\n", 30, 1)


@pytest.mark.parametrize(("first", "second"), TWO)
def test_of_two_the_first_to_mend(story, stuff, first, second):
    plants = [PLANTS[x] for x in (second, first)]
    plant(story, ";".join(p[1] for p in plants))
    try:
        r = named(story, first, "w1", fill(story, PLANTS[first][0]))
        wait_for("the second", lambda: f"\nthen: {second} w1: " in why(story).out, 30)
        assert r.code == 2
    finally:
        sh(story.lab["w1"], fill(story, ";".join(p[2] for p in plants)))


@pytest.mark.parametrize("cause", HOSTS)
def test_host(story, cause):
    node, says, do, undo = HOSTS[cause]
    plant(story, do)
    try:
        named(story, cause, node, says)
    finally:
        sh(story.lab[node], undo)


@pytest.mark.parametrize("cause", CONTROL_PLANE)
def test_control_plane(story, cause):
    says, do, undo = CONTROL_PLANE[cause]
    sh(story.lab["cp1"], do)
    try:
        named(story, cause, "cp1", says)
    finally:
        sh(story.lab["cp1"], undo)


@pytest.fixture
def late(story):
    """For the program it is a minute and a half later than for the hosts."""
    fake = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
    story.cli.extra_env = {
        "LD_PRELOAD": str(fake),
        "FAKETIME": "+90s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "ASAN_OPTIONS": "verify_asan_link_order=0",
    }
    yield
    story.cli.extra_env = {}


def test_whose_clock(story, late):
    """Hosts that agree with each other are right."""
    says = r"its clock is (89|90)\.\d{3} s behind this machine's, as are those of all other hosts"
    r = named(story, "CLOCK_SKEW", "cp1", says)
    assert "set this machine's clock" in causes(r)[0][3], r


@pytest.mark.slow
def test_a_slow_disk(story):
    """Every write of etcd's takes 150 ms longer. It may still do, so this is no cause by itself."""
    cp1 = story.lab["cp1"]
    unpack(cp1, "strace", "libunwind8")
    pid = sh(cp1, "systemctl restart etcd; systemctl show -P MainPID etcd")
    slow = f"strace -f -qq -o /dev/null -e inject=fdatasync:delay_exit=150ms -e trace=fdatasync -p {pid}"
    sh(cp1, f"systemd-run -q --collect --unit=slow {slow}")

    def look():
        for i in range(15):
            story.kubectl("annotate", "--overwrite", "namespace", "default", f"x={i}", check=False)
        findings = json.loads(why(story, "-o", "json").out)["findings"]
        return next((f for f in findings if f["id"] == "ETCD_DISK_SLOW" and f["node"] == "cp1"), None)

    try:
        found = wait_for("the slow disk", look, 90, 2)
        assert "took 128 ms or longer" in found["text"] and "SSD" in found["fix"]
    finally:
        sh(cp1, "systemctl stop slow; systemctl restart etcd")


def test_mended(story):
    """What was planted is gone; an update brings the node back, and there is no cause any more."""
    sh(story.lab["w1"], "systemctl restart kubelet")
    # While the API was away their pods ended again and again, and now wait for minutes.
    wait_for("the API", lambda: story.kubectl("get", "--raw", "/readyz", check=False) == "ok", 60)
    story.kubectl("delete", "pods", "-n", "kube-system", "--all", "--wait=false")
    story.cli.ok("cluster", "update", "story", "--yes", "--wait", "2m")
    # What ends again and again is told for some seconds more.
    wait_for("nothing to tell", lambda: why(story).out == "Cluster story is healthy.\n", 60, 1)


def test_archive_for_helpers(story):
    """All that was seen, for nobody but us, and with none of the cluster's secrets in it."""
    file = story.folder / "why.tar"
    r = story.cli.run("cluster", "why", "story", "--bundle", file)
    assert r.code in (0, 2) and f"Wrote {file}" in r.err, r
    assert file.stat().st_mode & 0o777 == 0o600 and list(story.folder.glob("why.tar*")) == [file]
    names = run("tar", "-tf", file).stdout.splitlines()
    files = "why.json", "cluster.json", "version.json", "logs/w1/kubelet.service.log"
    assert {f"why/{x}" for x in files} <= set(names)
    text = run("tar", "-xOf", file).stdout
    assert "PRIVATE KEY" not in text and "eyJ" not in text
    for host in story.lab:
        for key in sh(host, f"cat {PKI}/*.key").split("-----"):
            body = key.strip()
            assert len(body) < 60 or body not in text
    assert run("tar", "-xOf", file, "why/logs/w1/kubelet.service.log").stdout.count("\n") > 3


def test_wrong_use(story):
    for args, code, word in (
        ((), 64, "which cluster"),
        (("nosuch",), 1, 'no cluster "nosuch"'),
        (("story", "--bundle", "/nowhere/x.tar"), 1, "/nowhere/x.tar"),
        (("story", "w1", "x"), 64, "argument"),
    ):
        r = story.cli.run("cluster", "why", *args)
        assert r.code == code and word in r.err and len(r.error_lines) == 1, r
    r = story.cli.run("cluster", "why", "--causes", "-o", "json")
    assert {c["id"] for c in json.loads(r.out)} >= {*PLANTS, *HOSTS, *CONTROL_PLANE}
