"""Fixtures of the end-to-end tests. They need root; those that run the program need it built."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.cli import Cli, binary
from lab.dns import RECORDS
from lab.hosts import CACHE, LabHosts, run
from lab.nameservers import Bind, Knot, PowerDNS

os.environ["XDG_CONFIG_HOME"] = "/nonexistent"  # whoever runs the tests may have settings


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only in make nightly (KC_NIGHTLY=1)")


# Files that take longest, first: who is left with one of them at the end lets the others wait.
LONGEST = "why", "kill", "cluster", "bad_input", "security", "points", "local", "drift", "lab"


def length(item):
    name = item.path.stem.removeprefix("test_")
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config, items):
    items.sort(key=length)
    if os.environ.get("KC_NIGHTLY"):
        return
    slow = [x for x in items if x.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [x for x in items if x not in slow]


@pytest.fixture(scope="session", autouse=True)
def root_only():
    if os.geteuid() != 0:
        pytest.skip("the lab needs root", allow_module_level=True)


@pytest.fixture(scope="session")
def built():
    """For what runs the program."""
    if not binary().exists():
        pytest.skip(f"{binary()} is not built")


@pytest.fixture
def cli(tmp_path, built):
    """The program with a state of its own."""
    return Cli(tmp_path / "state", home=tmp_path)


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory):
    """kubectl: the multi-call binary of the bundle under that name."""
    where = os.environ.get("KC_BUNDLE_BIN")
    found = shutil.which("kubectl", path=where) if where else shutil.which("kubectl")
    if found:
        return found
    parts = [Path(where)] if where else sorted((CACHE / "parts").glob("kubernetes-*"))
    kube = next((p / "kube" for p in parts if (p / "kube").exists()), None)
    if not kube:
        pytest.skip(
            "no kubectl: set KC_BUNDLE_BIN to the folder with the bundle's programs"
        )
    link = tmp_path_factory.mktemp("bin") / "kubectl"
    link.symlink_to(kube)
    return str(link)


@pytest.fixture(scope="module")
def pair():
    """Two plain hosts."""
    with LabHosts(["cp1", "w1"]) as lab:
        yield lab


@pytest.fixture(scope="module", params=[Knot, Bind, PowerDNS], ids=lambda c: c.__name__)
def server(request, tmp_path_factory, built):
    with request.param(tmp_path_factory.mktemp("dns") / "server", RECORDS) as s:
        yield s


@pytest.fixture(scope="module")
def knot(tmp_path_factory, built):
    with Knot(tmp_path_factory.mktemp("dns") / "knot", RECORDS) as s:
        yield s


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """{region: (private key's file, public key)}, by openssl."""
    folder, made = tmp_path_factory.mktemp("keys"), {}
    for region in ("eu", "us", "ap"):
        file = folder / f"{region}.key"
        file.touch(mode=0o600)
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", file)
        public = run("openssl", "pkey", "-in", file, "-pubout").stdout.splitlines()[1]
        made[region] = file, public
    return made


@pytest.fixture
def write(tmp_path):
    """Data into a file: JSON is YAML, too."""

    def put(data, name="policy.yaml"):
        file = tmp_path / name
        file.write_text(json.dumps(data, indent=1))
        return file

    return put
