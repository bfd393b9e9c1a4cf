"""A cluster of what --from upstream brings: separate programs instead of one, images with their own
digests. The servers have our own programs and images under the names of the projects' releases. The
bundle is one file, and the cluster is made from where that was pushed."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from lab.cli import binary
from lab.hosts import CACHE
from lab.nginx import Nginx
from lab.registry import OCI
from lab.story import told
from lab.upstream import Upstream


class Packed:
    """An image of a bundle, as lab.registry pushes one."""

    type = OCI + "manifest.v1+json"

    def __init__(self, tar, folder):
        subprocess.run(["tar", "-x", "-C", folder], input=tar, check=True)
        entry = json.loads((folder / "index.json").read_text())["manifests"][0]
        self.digest = entry["digest"]
        blobs = {f"sha256:{p.name}": p.read_bytes() for p in (folder / "blobs/sha256").iterdir()}
        self.manifest = blobs.pop(self.digest)
        self.blobs = blobs


def packed_images(bundle, folder):
    images = {}
    for name, entry in json.loads((bundle / "bundle.json").read_text())["images"].items():
        (folder / name).mkdir(parents=True)
        tar = subprocess.run(
            ["zstd", "-dqc", bundle / "blobs/sha256" / entry["blob"]], check=True, capture_output=True
        ).stdout
        images[name] = Packed(tar, folder / name)
    return images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, built):
    """Built with a cache of its own that knows what was packed before."""
    if not (os.environ.get("KC_BUNDLE") and os.environ.get("KC_BUNDLE_BIN")):
        pytest.skip("no bundle: set KC_BUNDLE and KC_BUNDLE_BIN")
    ours, programs = Path(os.environ["KC_BUNDLE"]), Path(os.environ["KC_BUNDLE_BIN"])
    folder = tmp_path_factory.mktemp("upstream")
    cache = folder / "cache/kubecdn"
    cache.mkdir(parents=True)
    subprocess.run(["cp", "-a", CACHE / "packed", cache], check=True)

    def program(path):
        return (programs / path.split("/")[-1]).resolve()

    with Upstream(folder, program, packed_images(ours, folder / "images")) as u:
        argv = [binary(), "bundle", "build", "--from", "upstream", "--out", folder / "bundle.tar"]
        argv += ["--mirrors", u.mirrors(), "--sources", u.sources(), "--test-images"]
        env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run(argv, env=env, check=True, timeout=600)
    return folder / "bundle.tar"


@pytest.mark.slow
def test_a_cluster_of_separate_programs(bundle, kubectl, tmp_path):
    (tmp_path / "nginx").mkdir()
    with told(tmp_path, kubectl) as s, Nginx(tmp_path / "nginx") as nginx:
        pushed = [binary(), "bundle", "push", bundle, f"{nginx.url}/b", "-o", "json"]
        s.cli.bundle = json.loads(subprocess.check_output(pushed))["url"]
        s.cli.ok("cluster", "create", "-f", s.file, "--yes")
        code, checks = s.checks()
        assert code == 0 and all(ok for ok, _ in checks.values()), checks
        for host, names in ("cp1", ["kube-apiserver", "kubelet", "etcdctl"]), ("w1", ["kube-proxy"]):
            for name in names:
                path = f"/opt/kubecdn/bin/{name}"
                target = f"/opt/kubecdn/bin/upstream-{name}\n"
                assert s.lab[host].enter("readlink", "-f", path).stdout == target
            assert s.lab[host].enter("ls", "/opt/kubecdn/bin").stdout.split().count("kube") == 0
        images = json.loads((nginx.files / "b/bundle.json").read_text())["images"]
        s.cli.ok("cluster", "export", "kubeconfig", "story", "--to", s.config)
        (pod, *_) = s.get("pods", "-n", "kube-system", "-l", "k8s-app=flannel")["items"]
        image = pod["spec"]["containers"][0]["image"]
        assert image.endswith(images["flannel"]["digest"])
        # Nothing to do, and the one file is as good as the URL.
        s.cli.bundle = bundle
        r = s.cli.run("cluster", "update", "-f", s.file, "--detailed-exitcode")
        assert r.code == 0, r

        # To the compiled one and its images: other links, and nothing of the old is left.
        s.cli.bundle = os.environ["KC_BUNDLE"]
        s.cli.ok("cluster", "update", "-f", s.file, "--yes")
        code, checks = s.checks()
        assert code == 0 and all(ok for ok, _ in checks.values()), checks
        for host in s.lab:
            programs = host.enter("ls", "/opt/kubecdn/bin").stdout.split()
            assert "kube" in programs and not [p for p in programs if p.startswith("upstream-")]
        assert s.cli.run("cluster", "update", "-f", s.file, "--detailed-exitcode").code == 0
        s.cli.ok("cluster", "delete", "story", "--yes")
