"""The images that the specs' pods run, without a registry: built here under every name that e2e.test may
ask for, and put into each node's containerd. KUBE_TEST_REPO_LIST has the specs ask for these names."""

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import oci
from lab.hosts import CACHE, run

from . import build

# Names that end in this are ours alone: a node that lacks one cannot find it anywhere.
REGISTRY = "kubecdn.io/e2e"
REGISTRIES = "".join(f"{k}: {REGISTRY}\n" for k in ("promoterE2eRegistry", "gcRegistry", "gcEtcdRegistry"))
# agnhost's image of upstream has these from Alpine; nginx and a shell are for images of their own.
PACKAGES = "bind9-dnsutils,curl,netcat-openbsd,iproute2,iperf,socat,nginx-light,bash-static"
NOT_NEEDED = "./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./usr/share/doc/*", "./usr/share/man/*"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def root_layer():
    """A small Debian as a layer, made once."""
    key = hashlib.sha256(repr((PACKAGES, NOT_NEEDED)).encode()).hexdigest()[:12]
    layer = CACHE / "conformance" / f"root-{key}.layer"
    if layer.exists():
        return layer
    print("conformance: making a Debian tree for the images", flush=True)
    with tempfile.TemporaryDirectory(dir=layer.parent, prefix="tmp.") as tmp:
        tree, tar = Path(tmp, "tree"), Path(tmp, "layer")
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tree)
        without = [f"--exclude={p}" for p in NOT_NEEDED]
        run("tar", "-C", tree, "--numeric-owner", *without, "-cf", tar, ".")
        tar.rename(layer)
    return layer


def of_bundle(bundle, name, work):
    """The layer of an image of the bundle."""
    blob = json.loads((bundle / "bundle.json").read_text())["images"][name]["blob"]
    tar, layer = work / f"{name}.tar", work / f"{name}.layer"
    run("zstd", "-dqf", bundle / "blobs/sha256" / blob, "-o", tar)
    return oci.layer_of(tar, layer)


def shell(root, work):
    """bash as /bin/sh: a busybox of Debian's drops environment variables whose names it does not like."""
    run("tar", "-C", work, "-xf", root, "./usr/bin/bash-static")
    return oci.layer(work / "shell.layer", [(work / "usr/bin/bash-static", "bin/sh")])


def wanted(programs):
    """{name: [references]} of all images that e2e.test knows, in our registry."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(REGISTRIES)
        f.flush()
        env = {**os.environ, "KUBE_TEST_REPO_LIST": f.name}
        listed = run(programs / "e2e.test", "--list-images", env=env).stdout.split()
    names = {}
    for ref in sorted(set(listed)):
        repository, _, name = ref.rpartition("/")
        if repository == REGISTRY:
            names.setdefault(name.split(":")[0], []).append(ref)
    return names


def contents(programs, bundle, work):
    """{name: what oci.archive() wants of an image}."""

    def layer(name, *files, links=()):
        return oci.layer(work / f"{name}.layer", files, links)

    def picture(name):
        """What agnhost serves in a demo of kubectl's."""
        html = build.source(f"test/images/{name}/html")
        return layer(name, *((html / x, x) for x in (f"{name}.jpg", "data.json")))

    root = root_layer()
    # agnhost's key and certificate; StatefulSets' probes ask for the latter. The link is another entrypoint.
    pem = build.source("test/images/agnhost/porter")
    files = [(pem / x, x) for x in ("localhost.crt", "localhost.key")]
    links = [("agnhost-2", "agnhost")]
    agnhost = layer("agnhost", (programs / "agnhost", "agnhost"), *files, links=links)
    server = layer("sample-apiserver", (programs / "sample-apiserver", "sample-apiserver"))
    etcd = layer("etcd", (Path(os.environ["KC_BUNDLE_BIN"], "etcd"), "usr/local/bin/etcd"))
    nnp = layer("nnp", (programs / "nnp", "usr/local/bin/nnp", 0o4755))
    busybox = [of_bundle(bundle, "busybox", work), shell(root, work)]
    on_agnhost = {"entrypoint": ["/agnhost"], "cmd": ["test-webserver"]}
    return {
        "agnhost": {"layers": [root, agnhost], "entrypoint": ["/agnhost"], "cmd": ["pause"]},
        "kitten": {"layers": [root, agnhost, picture("kitten")], **on_agnhost},
        "nautilus": {"layers": [root, agnhost, picture("nautilus")], **on_agnhost},
        "glibc-dns-testing": {"layers": [root], "cmd": ["bash"]},
        "nonroot": {"layers": [root], "cmd": ["bash"], "user": "1234"},
        "nonewprivs": {"layers": [root, nnp], "cmd": ["nnp"]},
        "nginx": {"layers": [root], "cmd": ["nginx", "-g", "daemon off;"]},
        "sample-apiserver": {"layers": [server], "entrypoint": ["/sample-apiserver"]},
        "etcd": {"layers": [etcd], "cmd": ["etcd"]},
        "busybox": {"layers": busybox, "cmd": ["sh"]},
        "pause": {"layers": [of_bundle(bundle, "pause", work)], "entrypoint": ["/pause"]},
    }


def archive(programs, bundle):
    """The archive of all of them, made once for these programs and this bundle."""
    made_of = (bundle / "bundle.json").read_text() + Path(__file__).read_text()
    file = programs / f"images-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.tar"
    if file.exists():
        return file
    work = Path(tempfile.mkdtemp(dir=programs, prefix="tmp."))
    try:
        refs, images = wanted(programs), []
        for name, image in contents(programs, bundle, work).items():
            images += [{"name": ref, "env": [PATH], **image} for ref in refs[name]]
        oci.archive(work / "images.tar", images)
        for old in programs.glob("images-*.tar"):
            old.unlink()
        (work / "images.tar").rename(file)
    finally:
        shutil.rmtree(work)
    return file


def load(lab, file):
    """Into the containerd of every host, side by side."""
    for h in lab:
        shutil.copy(file, h.root / "root/images.tar")
    import_ = "/opt/kubecdn/bin/ctr", "-n", "k8s.io", "images", "import", "/root/images.tar"
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda h: h.enter(*import_, timeout=600), lab))
    for h in lab:
        (h.root / "root/images.tar").unlink()
