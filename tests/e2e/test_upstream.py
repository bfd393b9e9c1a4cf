"""`bundle build --from upstream`, from servers of the same layout with other content."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from lab.cli import binary
from lab.hosts import wait_for
from lab.registry import Image, Index
from lab.upstream import COMPONENTS, Upstream, sha256

MACHINE = {"amd64": 62, "arm64": 183}


def elf(path, arch, text):
    """As much of a program as is looked at."""
    head = bytearray(64)
    head[:6] = b"\177ELF\2\1"
    head[18] = MACHINE[arch]
    path.write_bytes(bytes(head) + text.encode() * 100)
    return path


def programs(folder, arch):
    """A small file for every program, each of its own content."""
    folder.mkdir()

    def program(path):
        file = folder / path.replace("/", "_")
        return file if file.exists() else elf(file, arch, path)

    return program


def images(arch):
    names = "pause", "coredns", "flannel", "busybox"
    return {n: Index(Image(n, arch), Image(n, "riscv64"), docker=n == "busybox") for n in names}


@pytest.fixture
def upstream(tmp_path, request):
    arch = getattr(request, "param", "amd64")
    (tmp_path / "servers").mkdir()
    with Upstream(
        tmp_path / "servers", programs(tmp_path / "programs", arch), images(arch), arch=arch
    ) as u:
        yield u


class Build:
    def __init__(self, folder, upstream):
        self.out, self.upstream = folder / "bundle", upstream
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "KUBECDN_PROGRESS": "plain",
        }
        self.env |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}

    def argv(self, *args, sources=True):
        argv = [binary(), "bundle", "build", "--from", "upstream", "--out", self.out]
        argv += ["--arch", self.upstream.arch, "--mirrors", self.upstream.mirrors()]
        return [*argv, *(["--sources", self.upstream.sources()] if sources else []), *args]

    def __call__(self, *args, **kw):
        argv = self.argv(*args, **kw)
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=120)

    def refused(self, *args, **kw):
        """The one line it fails with; no bundle is left, nor half of one."""
        before = self.out.exists() and (self.out / "bundle.json").read_text()
        r = self(*args, **kw)
        assert (r.returncode, r.stdout) == (1, ""), r
        after = self.out.exists() and (self.out / "bundle.json").read_text()
        assert before == after and not Path(f"{self.out}.new").exists()
        line = r.stderr.splitlines()[-1]
        assert line.startswith("kubecdn: building the bundle: "), r.stderr
        return line

    def json(self):
        return json.loads((self.out / "bundle.json").read_text())


@pytest.fixture
def build(tmp_path, upstream):
    return Build(tmp_path, upstream)


def unpacked(bundle, blob):
    packed = bundle / "blobs/sha256" / blob["blob"]
    return subprocess.run(["zstd", "-dqc", packed], check=True, capture_output=True).stdout


def in_image(bundle, image, folder):
    folder.mkdir()
    tar = unpacked(bundle, image)
    subprocess.run(["tar", "-x", "-C", folder], input=tar, check=True)
    (entry, _) = json.loads((folder / "index.json").read_text())["manifests"]
    return entry, {p.name: p.read_bytes() for p in (folder / "blobs/sha256").iterdir()}


@pytest.mark.parametrize("upstream", ["amd64", "arm64"], indirect=True)
def test_everything_is_what_the_projects_have(build, upstream, tmp_path):
    r = build("--test-images")
    assert r.returncode == 0, r.stderr
    doc = build.json()
    assert (doc["kubernetes"], doc["arch"]) == ("1.37.2", upstream.arch)
    paths = set()
    for component in doc["components"]:
        names = {target: link for link, target in component.get("links", {}).items()}
        for blob in component["blobs"]:
            name = names.pop(blob["path"], blob["path"])
            paths.add(name)
            assert unpacked(build.out, blob) == upstream.program(name).read_bytes()
        assert not names
    links = {c["name"]: set(c["links"]) for c in doc["components"] if "links" in c}
    kubernetes = set(upstream.doc["components"]["kubernetes"]["files"])
    assert links == {"kubernetes": kubernetes, "etcd": {"etcdctl", "etcdutl"}}
    assert {"kubelet", "kube-apiserver", "kubectl", "etcd", "etcdctl", "ctr", "runc", "cni/ptp"} < paths
    assert len(paths) == 6 + 3 + 3 + 1 + 4
    for name, image in doc["images"].items():
        (ours, _) = upstream.images[name].images
        entry, blobs = in_image(build.out, image, tmp_path / name)
        assert (image["digest"], entry["digest"]) == (ours.digest, ours.digest)
        assert entry["mediaType"] == ours.type and blobs == ours.files
        assert entry["annotations"]["io.containerd.image.name"] == image["ref"]
    assert doc["images"]["pause"]["ref"] == "kubecdn.io/pause:3.10.1"
    trust = {s["url"].split("/")[2 if "://" in s["url"] else 0]: s["trust"] for s in doc["sources"]}
    assert len(doc["sources"]) == 6 + 4 + 4
    assert {h for h, t in trust.items() if t == "tag"} == {
        s["ref"].split("/")[0] for s in upstream.doc["images"].values()
    }
    assert set(trust.values()) == {"tag", "published"}
    assert r.stdout.splitlines()[1:] == [
        "Its sources:",
        "  10 compared with the checksum published beside them",
        "  4 what an image's tag stood for",
    ]
    verify = [binary(), "bundle", "verify", build.out, "-o", "json"]
    out = subprocess.run(verify, env=build.env, check=True, capture_output=True).stdout
    assert json.loads(out)["trust"] == {"published": 10, "tag": 4}


def test_an_earlier_bundle_pins_the_next(build, upstream, tmp_path):
    assert build().returncode == 0
    first = tmp_path / "first.json"
    first.write_text((build.out / "bundle.json").read_text())
    upstream.hops.clear()
    r = build("--pins", first)
    assert r.returncode == 0, r.stderr
    assert not upstream.hops, "all of it was there already"
    was, now = json.loads(first.read_text()), build.json()
    assert {s.pop("trust") for s in now["sources"]} == {"pins"}
    for s in was["sources"]:
        s.pop("trust")
    assert was == now

    # Another image under the same tag, and another program under the same name with its checksum.
    (coredns,) = [s for s in now["sources"] if "/coredns:" in s["url"]]
    host, rest = coredns["url"].split("/", 1)
    upstream.registry.push(f"{host}/{rest.split(':')[0]}", rest.split(":")[1], Index(Image("evil")))
    assert build("--pins", first).returncode == 0, "the digest is asked for, not the tag"
    coredns["sha256"] = "0" * 64
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(now))
    assert "not there (HTTP 404)" in build.refused("--pins", changed)
    now["sources"] = [s for s in now["sources"] if "runc" not in s["url"]]
    changed.write_text(json.dumps(now))
    assert "has nothing for https://github.com/opencontainers/runc" in build.refused("--pins", changed)
    changed.write_text("{}")
    assert str(changed) in build.refused("--pins", changed)


def runc(upstream):
    return next(p for p in upstream.root.rglob("runc.amd64"))


def test_every_pin_is_of_something():
    """When a version or a URL moves, its pin has to move, too, or go."""
    everything = yaml.safe_load(COMPONENTS.read_text())
    doc, wanted = everything["upstream"], set()
    for name, source in doc["components"].items():
        ours = everything["components"][name].get("version")
        for version in [ours] if ours else [r["version"] for r in everything["kubernetes"]]:
            for arch in "amd64", "arm64":
                for file in source.get("files", [""]):
                    wanted.add(source["url"].format(version=version, arch=arch, file=file))
    for name, source in doc["images"].items():
        version = source.get("version") or everything["images"][name]["version"]
        wanted.add(source["ref"].format(version=version))
    assert set(doc["pins"]) <= wanted
    assert all(re.fullmatch("[0-9a-f]{64}", pin) for pin in doc["pins"].values())


def test_what_is_pinned_here_is_nothing_else(build, upstream):
    """The pins of components.yaml are about the projects' own files, and these are not they."""
    line = build.refused(sources=False)
    assert "has SHA-256" in line and "instead of 151f0cb3" in line, line


def test_other_bytes_than_the_checksum_says(build, upstream, tmp_path):
    file = runc(upstream)
    file.unlink()
    elf(file, "amd64", "evil")
    line = build.refused()
    assert "runc.amd64: has SHA-256" in line and "instead of" in line, line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no checksum for runc.amd64"),
        ("<html>" + "0" * 64 + "</html>", "no checksum for runc.amd64"),
        ("1" * 64 + "  runc.arm64\n", "no checksum for runc.amd64"),
        (f"{'1' * 64}  runc.amd64\n{'2' * 64} *./runc.amd64\n", "two checksums for runc.amd64"),
    ],
    ids=["empty", "a page", "another's", "two"],
)
def test_a_list_of_checksums_that_is_none(build, upstream, text, message):
    (runc(upstream).parent / "runc.sha256sum").write_text(text)
    assert message in build.refused()


def test_no_checksum_at_all(build, upstream):
    (runc(upstream).parent / "runc.sha256sum").unlink()
    assert "runc.sha256sum: not there (HTTP 404)" in build.refused()


def test_a_program_for_another_machine(build, upstream):
    file = runc(upstream)
    file.unlink()
    elf(file, "arm64", "runc")
    where = file.parent / "runc.sha256sum"
    where.write_text(f"{sha256(file)}  runc.amd64\n")
    assert "runc is not a program for linux/amd64" in build.refused()


def test_an_archive_without_the_program(build, upstream):
    archive = next(p for p in upstream.root.rglob("cni-plugins*.tgz"))
    upstream.archive(archive, {"host-local": "cni/host-local"})
    source = upstream.doc["components"]["cni"]
    upstream.checksum(source, upstream.all["components"]["cni"]["version"], "", archive)
    assert "no loopback in it" in build.refused()


@pytest.mark.parametrize("mirrors", ["x", "a/b=http://x", "h=ftp://x", "h=http://u:p@x"])
def test_a_mirror_that_is_none(build, mirrors):
    assert "is not HOST=URL" in build.refused("--mirrors", mirrors)


def test_stopped_in_the_middle(build, upstream):
    """The next one goes on with what was fetched."""
    place = next(p for p in upstream.root.rglob("kubelet"))
    data = place.read_bytes()
    place.unlink()
    os.mkfifo(place)  # whoever opens it waits
    p = subprocess.Popen(build.argv(), env=build.env, stderr=subprocess.PIPE, text=True)
    wait_for("kubelet to be asked for", lambda: any(h.endswith("/kubelet") for h in upstream.hops))
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=30)
    assert p.returncode == 130 and not build.out.exists(), err
    with open(place, "wb", buffering=0):  # the server's thread goes on
        pass
    place.unlink()
    place.write_bytes(data)
    upstream.hops.clear()
    assert build().returncode == 0
    assert not any(h.endswith("/kube-apiserver") for h in upstream.hops)
