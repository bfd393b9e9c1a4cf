"""What `cmake --install` puts where: the program, its agent, the manual, completion."""

import os
import subprocess
from pathlib import Path

import pytest
from lab.cli import REPO

BUILD = Path(os.environ.get("KC_BUILD", REPO / "build/release"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, built):
    place = tmp_path_factory.mktemp("install")
    subprocess.run(
        ["cmake", "--install", BUILD, "--prefix", "/usr"],
        env=os.environ | {"DESTDIR": str(place)}, check=True, capture_output=True,
    )
    return place / "usr"


def test_the_program_and_its_agent(place, tmp_path):
    env = {"PATH": f"{place}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}
    r = subprocess.run(["kubecdn", "version"], env=env, capture_output=True, text=True)
    assert (r.returncode, r.stderr) == (0, "")
    # Looked for before anything is asked for over the network.
    manifest = REPO / "examples/cluster.yaml"
    argv = ["kubecdn", "cluster", "create", "-f", manifest, "--bundle", tmp_path / "none"]
    r = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert "no bundle in" in r.stderr, r
    (place / "lib/kubecdn/kubecdn-node").rename(tmp_path / "agent")
    r = subprocess.run(argv, env=env, capture_output=True, text=True)
    (tmp_path / "agent").rename(place / "lib/kubecdn/kubecdn-node")
    assert "no kubecdn-node beside the program" in r.stderr, r


def test_a_page_a_command(place):
    pages = {p.name for p in (place / "share/man/man1").iterdir()}
    assert {"kubecdn.1", "kubecdn-cluster.1", "kubecdn-cluster-create.1", "kubecdn-explain.1"} <= pages
    assert not [p for p in pages if "__" in p]
    page = place / "share/man/man1/kubecdn-cluster-ssh.1"
    argv = ["groff", "-man", "-Tutf8", "-P-cbou", "-rLL=100n", page]
    r = subprocess.run(argv, capture_output=True, text=True, check=True)
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "FILES", "EXIT STATUS",
                    "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in r.stdout, section
    assert "kubecdn cluster ssh NAME [HOST] [FLAGS] [-- COMMAND...]" in r.stdout


def test_completion_where_the_shells_look(place):
    for name in (
        "bash-completion/completions/kubecdn",
        "zsh/site-functions/_kubecdn",
        "fish/vendor_completions.d/kubecdn.fish",
    ):
        assert "__complete" in (place / "share" / name).read_text()
