"""Wrong input: the exit code, one line that says what and where, and nothing changed anywhere."""

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from lab import hosts, yaml
from lab.cli import REPO, assert_refused
from lab.hosts import LabHosts, wait_for
from lab.snapshot import assert_same, diff, snapshot, tree_of

MANIFEST = """\
apiVersion: kubecdn.io/v1alpha1
kind: Cluster
metadata: {name: bad}
spec:
  cloud: onprem
  region: lab
  kubernetesVersion: 1.37.2
  networking: {podCIDRs: [10.244.0.0/16], serviceCIDRs: [10.96.0.0/12]}
  hosts:
  - name: cp1
    addresses: [192.0.2.11]
    role: control-plane
    ssh: {user: root, port: 22}
  - name: w1
    addresses: [192.0.2.12]
    role: worker
"""

# id: (text, its replacement, line that the message names, patterns in the message)
MANIFESTS = {
    "unknown field": (
        "  region: lab",
        "  colour: red\n  region: lab",
        6,
        ["colour", "spec"],
    ),
    "misspelt field": (
        "  region: lab",
        "  regoin: lab",
        6,
        ["regoin", "did you mean.*region"],
    ),
    "misspelt deep": ("port: 22", "prot: 22", 13, ["prot", "did you mean.*port"]),
    "wrong type, scalar": (
        "port: 22",
        "port: many",
        13,
        ["port", "many|number|integer"],
    ),
    "wrong type, list": (
        "addresses: [192.0.2.12]",
        "addresses: 192.0.2.12",
        15,
        ["addresses", "list"],
    ),
    "wrong type, object": ("ssh: {user: root, port: 22}", "ssh: root", 13, ["ssh"]),
    "out of range": ("port: 22", "port: 70000", 13, ["port", "65535"]),
    "yaml syntax": ("metadata: {name: bad}", "metadata: {name: bad", None, []),
    "yaml tab": ("  cloud: onprem", "\tcloud: onprem", 5, []),
    "duplicate key": ("  region: lab", "  region: lab\n  region: lab2", 7, ["region"]),
    "wrong kind": ("kind: Cluster", "kind: Clutser", 2, ["Clutser", "Cluster"]),
    "wrong apiVersion": ("v1alpha1", "v9", 1, ["apiVersion|v9"]),
    "bad name": ("{name: bad}", "{name: Bad_Name}", 3, ["Bad_Name"]),
    "unknown cloud": ("cloud: onprem", "cloud: onperm", 5, ["onperm", "onprem"]),
    "cloud of a later version": (
        "cloud: onprem",
        "cloud: aws",
        5,
        ["aws", "onprem", "local"],
    ),
    "duplicate host": ("name: w1", "name: cp1", 14, ["cp1", "already|twice|differ"]),
    "duplicate address": (
        "[192.0.2.12]",
        "[192.0.2.11]",
        15,
        ["192.0.2.11", "cp1|already|twice"],
    ),
    "no control plane": ("role: control-plane", "role: worker", 9, ["control plane"]),
    "unsupported version": ("1.37.2", "1.9.0", 7, ["1.9.0", "not supported", "1.37.2"]),
    "malformed version": ("1.37.2", "latest", 7, ["latest"]),
    "node inside podCIDRs": (
        "[192.0.2.12]",
        "[10.244.3.4]",
        15,
        ["10.244.3.4", "podCIDR"],
    ),
    "node inside serviceCIDRs": (
        "[192.0.2.12]",
        "[10.100.0.1]",
        15,
        ["10.100.0.1", "serviceCIDR"],
    ),
    "overlapping CIDRs": (
        "10.244.0.0/16",
        "10.96.0.0/16",
        8,
        ["10.96.0.0/16", "overlap"],
    ),
    "malformed CIDR": ("10.244.0.0/16", "10.244.0.0/33", 8, ["10.244.0.0/33"]),
    "host bits in CIDR": ("10.244.0.0/16", "10.244.1.1/16", 8, ["10.244.1.1/16"]),
    "malformed address": ("[192.0.2.12]", "[192.0.2.300]", 15, ["192.0.2.300"]),
    "forbidden kubelet flag": (
        "  region: lab",
        "  region: lab\n  kubelet: {extraArgs: {kubeconfig: /x}}",
        7,
        ["kubeconfig", "max-pods"],
    ),
    "malformed host key": (
        "port: 22}",
        "hostKey: nonsense}",
        13,
        ["hostKey"],
    ),
    "unknown addon": (
        "  region: lab",
        "  region: lab\n  addons: [coredns, flannel, monitring]",
        7,
        ["monitring"],
    ),
}


def refused_without_a_trace(cli, argv, *patterns, code=1, where=None):
    before = tree_of(cli.state)
    r = cli.run(*argv)
    assert_refused(r, *patterns, code=code, where=where)
    assert r.out == "", r
    assert tree_of(cli.state) == before
    return r


@pytest.mark.parametrize("case", MANIFESTS)
def test_wrong_manifest(cli, tmp_path, case):
    text, new, line, patterns = MANIFESTS[case]
    assert MANIFEST.count(text) >= 1
    file = tmp_path / "cluster.yaml"
    file.write_text(MANIFEST.replace(text, new, 1))
    where = rf"cluster\.yaml:{line or '[0-9]+'}:[0-9]+: "
    refused_without_a_trace(
        cli, ["cluster", "create", "-f", file, "--yes"], *patterns, where=where
    )
    assert not cli.state.exists() or tree_of(cli.state) == {}


def test_three_control_planes(cli, tmp_path):
    file = tmp_path / "cluster.yaml"
    text = MANIFEST.replace("role: worker", "role: control-plane")
    text += "  - {name: cp3, addresses: [192.0.2.13], role: control-plane}\n"
    file.write_text(text)
    refused_without_a_trace(
        cli,
        ["cluster", "create", "-f", file, "--yes"],
        "3 control planes",
        "one",
        where=r"cluster\.yaml:16:[0-9]+: ",
    )


def test_several_mistakes_have_a_line_each(cli, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        MANIFEST.replace("port: 22", "prot: 22").replace("[192.0.2.12]", "[x]")
    )
    r = cli.run("cluster", "create", "-f", file, "--yes")
    assert r.code == 1, r
    lines = r.error_lines
    assert len(lines) == 2, r
    assert ":13:" in lines[0] and ":15:" in lines[1], r


def test_more_mistakes_than_fit(cli, tmp_path):
    """Whole lines, and how many are missing."""
    file = tmp_path / "cluster.yaml"
    hosts_ = "".join(
        f"  - {{name: w{i}, addresses: [x], rloe: worker}}\n" for i in range(2, 42)
    )
    file.write_text(MANIFEST + hosts_)
    r = cli.run("cluster", "create", "-f", file, "--yes")
    assert r.code == 1, r
    *lines, last = r.error_lines
    assert all(
        re.search(r"cluster\.yaml:\d+:\d+: spec\.hosts.*[^ ]$", x) for x in lines
    ), r
    more = re.fullmatch(r"kubecdn: and (\d+) more; correct these first", last)
    assert more and len(lines) + int(more[1]) == 3 * 40, r


def test_manifest_from_standard_input_is_named(cli, tmp_path):
    file = tmp_path / "x"
    file.write_text(MANIFEST.replace("cloud: onprem", "cluod: onprem"))
    with open(file) as f:
        r = cli.run("cluster", "create", "-f", "-", "--yes", stdin=f)
    assert r.code == 1 and len(r.error_lines) >= 1, r
    assert ":5:" in r.err and "cluod" in r.err, r


def test_missing_file(cli, tmp_path):
    refused_without_a_trace(
        cli,
        ["cluster", "create", "-f", tmp_path / "none.yaml", "--yes"],
        r"none\.yaml",
        "No such file|not found|does not exist",
    )


@pytest.mark.parametrize(
    "argv, word",
    [
        (["cluster", "craete"], "create"),
        (["cluster", "create", "--yess"], "--yes"),
        (["cluster", "create", "-f"], "-f|--file"),
        (["cluster", "create"], "which cluster"),
        (["cluster", "create", "--cloud", "local", "--workers", "many"], "many"),
        (["cluster", "delete"], "NAME|name"),
        (["cluster", "create", "-o", "xml", "--cloud", "local"], "xml"),
    ],
)
def test_wrong_usage(cli, argv, word):
    r = cli.run(*argv)
    assert r.code == 64, r
    assert re.search(word, r.err), r
    assert tree_of(cli.state) == {}


def test_unknown_cluster(cli):
    for verb in (
        ["delete", "nosuch", "--yes"],
        ["get", "nosuch"],
        ["validate", "nosuch"],
        ["export", "kubeconfig", "nosuch"],
    ):
        r = cli.run("cluster", *verb)
        assert_refused(r, "nosuch")


def stored(cli, text):
    """A state in which the cluster of MANIFEST was made from text."""
    folder = cli.state / "clusters" / "bad"
    folder.mkdir(parents=True, mode=0o700)
    identity = {"format": 1, "uid": "0123456789abcdef0123456789abcdef", "name": "bad"}
    (folder / "cluster.json").write_text(json.dumps(identity))
    (folder / "spec.yaml").write_text(text)


def test_what_is_fixed_after_creation_has_a_place(cli, tmp_path):
    stored(cli, MANIFEST)
    file = tmp_path / "cluster.yaml"
    file.write_text(MANIFEST.replace("10.244.0.0/16", "10.245.0.0/16"))
    for act in ([], ["--yes"]):
        refused_without_a_trace(
            cli,
            ["cluster", "create", "-f", file, *act],
            r"podCIDRs: cannot change.*10\.244\.0\.0",
            where=r"cluster\.yaml:8:\d+: ",
        )


def test_another_name_than_the_manifest_s_has_a_place(cli, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(MANIFEST)
    refused_without_a_trace(
        cli,
        ["cluster", "create", "worse", "-f", file, "--yes"],
        '"bad", not "worse"',
        where=r"cluster\.yaml:3:\d+: ",
    )


def test_unreadable_stored_manifest(cli, tmp_path):
    """What a cluster is must be known before it is changed: this is no new one."""
    stored(cli, "spec: [")
    file = tmp_path / "cluster.yaml"
    file.write_text(MANIFEST)
    for act in ([], ["--yes"]):
        refused_without_a_trace(
            cli,
            ["cluster", "create", "-f", file, *act],
            "clusters/bad/spec.yaml",
            "not YAML",
        )


@pytest.fixture
def read_only(tmp_path):
    where = tmp_path / "readonly"
    where.mkdir()
    hosts.run("mount", "-t", "tmpfs", "-o", "ro", "none", where)
    yield where
    hosts.run("umount", where)


def test_state_directory_unwritable(cli, tmp_path, read_only):
    file = tmp_path / "cluster.yaml"
    file.write_text(MANIFEST)
    cli.state = read_only / "state"
    assert_refused(
        cli.run("cluster", "create", "-f", file, "--yes"),
        str(read_only),
        "Read-only file system|not writable|permission",
    )


# --- hosts that are not what the manifest says. One lab for all: none of these may change it.


@pytest.fixture(scope="module")
def lab():
    with LabHosts(
        {
            "cp1": {},
            "nonft": {"nft": False},
            "nosudo": {"user": "ops", "sudo": False},
            "taken": {},
            "changed": {},
        }
    ) as lab:
        lab["taken"].ssh(
            'mkdir -p /var/lib/kubecdn && echo \'{"uid": "ffffffffffffffff", '
            '"cluster": "elsewhere", "fence": 3, "format": 1}\' '
            "> /var/lib/kubecdn/marker.json"
        )
        lab.old_key = lab["changed"].change_host_key()
        yield lab


@pytest.fixture
def bundle():
    """The bundle's folder: KC_BUNDLE or the newest built."""
    found = (
        [Path(os.environ["KC_BUNDLE"])]
        if os.environ.get("KC_BUNDLE")
        else sorted((hosts.CACHE / "bundles").glob("*/bundle.json"))
    )
    if not found:
        pytest.skip("no bundle: set KC_BUNDLE")
    return found[-1].parent if found[-1].name == "bundle.json" else found[-1]


def manifest(tmp_path, entries, name="bad"):
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.cluster(name, entries))
    return file


def refused_by_host(cli, lab, file, *patterns):
    """Refused, in the preview and with --yes alike, and not by hanging; no host is changed, and the
    state has nothing but the lock, which nobody holds."""
    before = {h.name: snapshot(h) for h in lab}
    for act in ([], ["--yes"]):
        r = cli.run("cluster", "create", "-f", file, *act, timeout=60)
        assert_refused(r, *patterns)
    left = [f.name for f in cli.state.rglob("*") if f.is_file()]
    assert set(left) <= {"lock", ".lock"}, left
    for h in lab:
        assert_same(before[h.name], snapshot(h))
    for lock in cli.state.rglob("lock"):
        assert not json.loads(lock.read_text()).get("held", False), lock.read_text()


def entries(lab, second, **changes):
    return [
        yaml.host_entry(lab["cp1"], "control-plane"),
        yaml.host_entry(lab[second], "worker", **changes),
    ]


def test_unreachable_host(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    far = {
        "name": "w9",
        "addresses": [lab.free_address()],
        "role": "worker",
        "ssh": lab["cp1"].ssh_spec(),
    }
    file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane"), far])
    refused_by_host(
        cli, lab, file, "w9|" + lab.free_address(), "reach|no answer|no route"
    )


def test_two_unreachable_hosts_have_a_line_each(cli, lab, tmp_path, bundle):
    """Whichever is seen first, in the manifest's order: both can be mended in one go."""
    cli.bundle = bundle
    ssh = lab["taken"].ssh_spec(identityFile="/nonexistent/id")
    dead = {"name": "w8", "addresses": [lab.free_address()], "role": "worker"}
    file = manifest(
        tmp_path,
        [
            yaml.host_entry(lab["cp1"], "control-plane"),
            {**dead, "ssh": lab["cp1"].ssh_spec()},
            yaml.host_entry(lab["taken"], "worker", name="w9", ssh=ssh),
        ],
    )
    for act in ([], ["--yes"]):
        r = cli.run("cluster", "create", "-f", file, *act, timeout=60)
        assert r.code == 1 and len(r.error_lines) == 2, r
        assert re.search("w8.*(reach|no answer|no route)", r.error_lines[0], re.I), r
        assert re.search("w9.*/nonexistent/id", r.error_lines[1]), r


def test_silent_host(cli, lab, tmp_path, bundle):
    """Its port accepts connections and says nothing: what a hung machine looks like."""
    cli.bundle = bundle
    with socket.create_server((f"{lab.net}.1", 0)) as server:
        ssh = lab["cp1"].ssh_spec(host=f"{lab.net}.1", port=server.getsockname()[1])
        far = {
            "name": "w9",
            "addresses": [lab.free_address()],
            "role": "worker",
            "ssh": ssh,
        }
        file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane"), far])
        refused_by_host(cli, lab, file, "w9", "sends no SSH")


def test_wrong_key(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    wrong = lab["taken"].ssh_spec(identityFile=str(lab.other_key))
    file = manifest(tmp_path, entries(lab, "taken", ssh=wrong))
    refused_by_host(
        cli, lab, file, "taken|" + lab["taken"].address, "refused|authorized_keys"
    )


def test_missing_key_file(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    wrong = lab["taken"].ssh_spec(identityFile="/nonexistent/id")
    file = manifest(tmp_path, entries(lab, "taken", ssh=wrong))
    refused_by_host(cli, lab, file, "/nonexistent/id")


def test_changed_host_key(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    old = lab["changed"].ssh_spec(hostKey=lab.old_key)
    file = manifest(tmp_path, entries(lab, "changed", ssh=old))
    refused_by_host(
        cli, lab, file, lab["changed"].address, "host key", "changed", "SHA256:"
    )


def test_unknown_host_key(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    unknown = lab["cp1"].ssh_spec(hostKey="")
    file = manifest(
        tmp_path, [yaml.host_entry(lab["cp1"], "control-plane", ssh=unknown)]
    )
    refused_by_host(cli, lab, file, "SHA256:", "accept-new-host-keys|known_hosts")


def test_neither_root_nor_sudo(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    file = manifest(tmp_path, entries(lab, "nosudo"))
    refused_by_host(cli, lab, file, "nosudo|" + lab["nosudo"].address, "sudo")


def test_nft_missing(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    file = manifest(tmp_path, entries(lab, "nonft"))
    refused_by_host(cli, lab, file, "nonft", "nft", "nftables")


def test_a_runtime_of_somebody_elses(cli, lab, tmp_path, bundle):
    unit = lab["cp1"].root / "usr/lib/systemd/system/containerd.service"
    unit.write_text("[Service]\nExecStart=/usr/bin/containerd\n")
    try:
        file = manifest(tmp_path, entries(lab, "changed"))
        refused_by_host(cli, lab, file, "cp1", "containerd.service", "remove the package")
    finally:
        unit.unlink()


def test_only_a_local_name_server(cli, lab, tmp_path, bundle):
    resolv = lab["cp1"].root / "etc/resolv.conf"
    before = resolv.read_text()
    resolv.write_text("nameserver 127.0.0.1\n")
    try:
        file = manifest(tmp_path, entries(lab, "changed"))
        refused_by_host(cli, lab, file, "cp1", "127.0.0.1", "/etc/resolv.conf")
    finally:
        resolv.write_text(before)


def test_host_of_another_cluster(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    file = manifest(tmp_path, entries(lab, "taken"))
    refused_by_host(cli, lab, file, "taken", "elsewhere", "ffffffffffffffff")


def test_same_host_twice_under_two_names(cli, lab, tmp_path, bundle):
    """Two names whose addresses differ in the manifest but lead to one machine."""
    cli.bundle = bundle
    twin = yaml.host_entry(
        lab["cp1"], "worker", name="twin", addresses=[lab.free_address()]
    )
    twin["ssh"]["host"] = lab["cp1"].address
    file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane"), twin])
    before = snapshot(lab["cp1"])
    r = cli.run("cluster", "create", "-f", file, "--yes")
    assert r.code == 1 and "machine-id" in r.err, r
    assert_same(before, snapshot(lab["cp1"]))


def turn_a_bit(blob):
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.unlink()  # a hard link to the real one: never write through it
    blob.write_bytes(data)


def cut_off(blob):
    data = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(data[:-1])


BLOBS = {"damaged": turn_a_bit, "bytes instead of": cut_off, "No such": Path.unlink}


@pytest.mark.parametrize("why", BLOBS)
def test_corrupt_blob(cli, lab, tmp_path, bundle, why):
    """Its hash and its file are named, and nothing is changed, neither there nor here."""
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy, copy_function=os.link, symlinks=True)
    blob = max(
        (p for p in (copy / "blobs").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    BLOBS[why](blob)
    cli.bundle = copy
    file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane")])
    before = snapshot(lab["cp1"])
    try:
        r = cli.run("cluster", "create", "-f", file, "--yes")
        assert_refused(r, blob.name, str(blob), why, "bundle verify", "rebuild")
        assert_same(before, snapshot(lab["cp1"]))
        left = {f.name for f in cli.state.rglob("*") if f.is_file()}
        assert left <= {"lock", ".lock"}, left
    finally:
        if cli.run("cluster", "get", "bad").code == 0:
            cli.ok("cluster", "delete", "bad", "--yes")


def test_a_damaged_copy_of_the_agent(cli, lab, tmp_path, bundle):
    """What is compressed for the way is checked there; then the agent is brought as it is."""
    agent = Path(os.environ.get("KC_BUILD", REPO / "build/release")) / "bootstrap/node/kubecdn-node"
    name = hashlib.sha256(agent.read_bytes()).hexdigest() + ".gz"
    other = gzip.compress(b"#!/bin/sh\necho of somebody else\n")
    cli.extra_env["XDG_CACHE_HOME"] = str(tmp_path)
    file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane")])
    (tmp_path / "kubecdn/agents").mkdir(parents=True)
    for damaged in (other, other[:-9], b"no gzip", b""):
        (tmp_path / "kubecdn/agents" / name).write_bytes(damaged)
        r = cli.run("cluster", "create", "-f", file)
        assert r.code == 0 and "create node/cp1" in r.out, r


def held(state):
    for lock in state.rglob("lock"):
        lease = json.loads(lock.read_text())
        if "acquired" in json.dumps(lease) and lease.get(
            "pid", lease.get("value", {}).get("pid")
        ):
            return lease
    return None


def test_second_operator_is_told_who_and_since_when(cli, lab, tmp_path, bundle):
    cli.bundle = bundle
    file = manifest(tmp_path, [yaml.host_entry(lab["cp1"], "control-plane")])
    before = snapshot(lab["cp1"])
    first = cli.start("cluster", "create", "-f", file, "--yes")
    try:
        wait_for("the first operator's lock", lambda: held(cli.state), 30, 0.01)
        cli.pause(first)
        state = tree_of(cli.state)
        r = cli.run("cluster", "create", "-f", file, "--yes")
        assert tree_of(cli.state) == state
        assert_refused(
            r,
            f"pid {first.pid}",
            r"since 20\d\d-\d\d-\d\dT",
            "cluster create",
            "unlock bad --force [0-9]+",
        )
    finally:
        first.kill()
        first.wait()
    cli.run("cluster", "delete", "bad", "--yes")
    wait_for(
        "the host as before", lambda: not diff(before, snapshot(lab["cp1"])), 20, 1
    )
