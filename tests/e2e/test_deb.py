"""The Debian package: what is in it, on a bare Debian by apt, and away again without a trace."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.cli import REPO, binary
from lab.docs import shell_of
from lab.hosts import CACHE, LabHosts, root_tree, run
from lab.packages import APT

# On the tree, in a mount namespace that ends with the script: $1 tree, $2 work, $3 packages, $4 script.
ENTER = """set -eu
mkdir -p $2/upper $2/work $2/root
mount -t overlay overlay -o lowerdir=$1,upperdir=$2/upper,workdir=$2/work $2/root
mount -t proc proc $2/root/proc
mount -t tmpfs tmpfs $2/root/run
mkdir $2/root/run/debs
mount --bind $3 $2/root/run/debs
exec chroot $2/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/run/home \\
  DEBIAN_FRONTEND=noninteractive sh -euc "$4"
"""
# Compiling takes a while where other tests run beside it.
pytestmark = pytest.mark.timeout(1200)
INSTALL = "apt-get -q install -y --no-install-recommends /run/debs/*.deb"


def build(where):
    """tools/deb.sh, which asks lintian as well."""
    r = run(REPO / "tools/deb.sh", where, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    (deb,) = where.glob("*.deb")
    return deb


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return build(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def debs(deb, tmp_path_factory):
    """A folder with it, man-db, and what both need that the tree lacks, as apt finds that out."""
    cache = CACHE / "deb-debs"
    (cache / "partial").mkdir(parents=True, exist_ok=True)
    status = root_tree() / "var/lib/dpkg/status"
    get = [*APT, "-o", f"Dir::Cache::archives={cache}", "-o", f"Dir::State::status={status}"]
    get += ["install", "-y", "--no-install-recommends", "--download-only"]
    if run(*get, deb, "man-db", check=False).returncode:
        run("apt-get", "-q", "update")
        run(*get, deb, "man-db")
    folder = tmp_path_factory.mktemp("debs")
    planned = run(*get[:-1], "--simulate", deb, "man-db").stdout
    for name, version in re.findall(r"^Inst (\S+) \((\S+) ", planned, re.M):
        file = f"{name}_{version.replace(':', '%3a')}_*.deb"
        run("cp", deb if name == "kubecdn" else next(cache.glob(file)), folder)
    return folder


@pytest.fixture
def bare(debs, tmp_path):
    """Runs a shell script as root of a fresh Debian that has the packages in /run/debs."""

    def sh(script):
        argv = ["unshare", "--mount", "--net", "sh", "-c", ENTER, "sh", root_tree(), tmp_path, debs, script]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)

    return sh


def test_on_a_bare_debian(bare):
    r = bare(f"""
        {INSTALL} >/run/apt.log 2>&1 || {{ cat /run/apt.log; exit 1; }}
        kubecdn --version
        kubecdn doctor
        man kubecdn-cluster-create | head -n 4
        dpkg --verify kubecdn
        test -x /usr/lib/kubecdn/kubecdn-node
        ! ldd /usr/lib/kubecdn/kubecdn-node
        ! ldd /usr/bin/kubecdn | grep 'not found'
    """)
    assert r.returncode == 0, r.stdout + r.stderr
    assert re.search(r"^kubecdn \d+\.\d+\.\d+, agent protocol \d", r.stdout, re.M), r.stdout
    assert ", with its agent" in r.stdout
    assert re.search(r"^NAME\n +kubecdn-cluster-create - ", r.stdout, re.M), r.stdout


def test_nothing_stays_behind(bare):
    seen = "find / -xdev -path /var/log -prune -o -path /var/cache -prune -o -print"
    r = bare(f"""
        mkdir /run/others
        cp /run/debs/* /run/others
        rm /run/others/kubecdn_*
        apt-get -q install -y --no-install-recommends /run/others/*.deb >/run/apt.log 2>&1
        {seen} | sort >/run/before
        {INSTALL} >>/run/apt.log 2>&1
        {seen} | sort | comm -13 /run/before - | grep -c kubecdn
        apt-get -q remove -y kubecdn >>/run/apt.log 2>&1
        {seen} | sort | comm -13 /run/before -
        echo left: $(find / -xdev -name '*kubecdn*')
    """)
    assert r.returncode == 0, r.stdout + r.stderr
    added, *rest = r.stdout.splitlines()
    assert int(added) > 50
    assert rest == ["left:"], r.stdout


def test_what_is_in_it(deb):
    files = run("dpkg-deb", "-c", deb).stdout
    for path in (
        "usr/bin/kubecdn", "usr/lib/kubecdn/kubecdn-node",
        "usr/share/man/man1/kubecdn-cluster-create.1.gz",
        "usr/share/bash-completion/completions/kubecdn",
        "usr/share/zsh/vendor-completions/_kubecdn",  # the one of Debian's zsh for packages
        "usr/share/fish/vendor_completions.d/kubecdn.fish",
        "usr/share/doc/kubecdn/copyright", "usr/share/doc/kubecdn/changelog.gz",
        "usr/share/doc/kubecdn/changelog.Debian.gz", "usr/share/doc/kubecdn/README.md",
        "usr/share/doc/kubecdn/docs/tutorial/first-cluster.md",
        "usr/share/doc/kubecdn/examples/cluster.yaml",
    ):
        assert f" ./{path}\n" in files, path
    needs = run("dpkg-deb", "-f", deb, "Depends").stdout
    assert "libcurl4 (>=" in needs and "libssh2-1 (>=" in needs
    assert "openssl (= " in run("dpkg-deb", "-f", deb, "Built-Using").stdout


def test_it_has_the_program_s_version(deb):
    stated = re.search(r"project\(kubecdn VERSION (\S+)", (REPO / "CMakeLists.txt").read_text())[1]
    assert run("dpkg-deb", "-f", deb, "Version").stdout.split("-")[0] == stated


def manifest(lab):
    """examples/cluster.yaml on two hosts of the lab, as seen from a third."""
    hosts = []
    for name, role in (("cp1", "control-plane"), ("w1", "worker")):
        host, ssh = lab[name], lab[name].ssh_spec(identityFile="/root/id")
        hosts.append({"name": name, "addresses": [host.address], "role": role, "ssh": ssh})
    before, rest = (REPO / "examples/cluster.yaml").read_text().split("  hosts:\n")
    after = rest[rest.index("  addons:") :]
    return f"{before}  hosts: {json.dumps(hosts)}\n{after}"


def test_a_cluster_without_a_network(deb, tmp_path):
    """docs/how-to/air-gapped.md: outside here, inside on a host that reaches nothing but two others."""
    if "KC_BUNDLE" not in os.environ:
        pytest.skip("no bundle: set KC_BUNDLE")
    page, carry = "docs/how-to/air-gapped.md", tmp_path / "carry"
    (tmp_path / "build/deb").mkdir(parents=True)
    shutil.copy(deb, tmp_path / "build/deb")
    carry.mkdir()
    made = ["bundle", "build", "--from", os.environ["KC_BUNDLE"], "--out", carry / "bundle.tar"]
    run(binary(), *made)
    shutil.copy(root_tree() / "var/lib/dpkg/status", carry / "status")
    outside = "\n".join(["set -ex", *shell_of(page, r"1\. Outside: the program and a bundle")])
    r = run("sh", "-c", outside, cwd=tmp_path, check=False)
    assert r.returncode == 0, r.stderr
    noted = r.stdout.splitlines()[-1]
    with LabHosts(["inside", "cp1", "w1"]) as lab:
        host = lab["inside"]
        shutil.copytree(carry, Path(host.root) / "root/carry")
        shutil.copy(lab.key, Path(host.root) / "root/id")
        host.put("/root/cluster.yaml", manifest(lab))
        inside = shell_of(page, r"3\. Inside: verify") + shell_of(page, r"4\. Inside: create")
        r = host.ssh("\n".join(["set -ex", *inside]), check=False, timeout=400)
        assert r.returncode == 0, r.stdout + r.stderr
        assert noted in r.stdout and "Cluster fra1 is ready" in r.stdout
        # What is carried is looked at: a byte that changed on the way is found.
        with open(Path(host.root) / "root/carry/bundle.tar", "r+b") as f:
            f.seek(50_000_000)
            f.write(b"damage")
        r = host.ssh("kubecdn bundle verify carry/bundle.tar", check=False)
        assert r.returncode == 1 and "damaged" in r.stderr, r
        r = host.ssh("kubecdn cluster delete fra1 --yes", timeout=200)
        assert "Cluster fra1 is deleted" in r.stdout


@pytest.mark.slow
def test_built_again_elsewhere_it_is_the_same(deb, tmp_path):
    elsewhere = tmp_path / ("a-longer-name" * 5)
    assert build(elsewhere).read_bytes() == deb.read_bytes()
