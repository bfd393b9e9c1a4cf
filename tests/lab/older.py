"""A bundle whose etcd and runc are a patch release older, compiled through the Go module proxy: what
a cluster is moved from and to. Kubernetes itself has no other release of this minor version there."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from .cli import REPO
from .hosts import CACHE

OLDER = {
    "etcd": ("3.6.15", ".", {"CGO_ENABLED": "0"}, []),
    "runc": (
        "1.4.2",
        "github.com/opencontainers/runc",
        {"CGO_ENABLED": "1"},
        ["-tags", "seccomp,netgo,osusergo", "-ldflags", "-extldflags -static"],
    ),
}


def go():
    """As the program looks for it: in PATH, else the toolchain it fetched."""
    fetched = sorted(CACHE.glob("go/mod/golang.org/toolchain@*/bin/go"))
    return str(fetched[-1]) if fetched else shutil.which("go")


def build(name, now, folder):
    """The program, in folder."""
    version, package, env, flags = OLDER[name]
    source, out = folder / "src" / name, folder / name
    shutil.copytree(REPO / "bootstrap" / "bundle" / "gomod" / name, source)
    mod = source / "go.mod"
    mod.write_text(mod.read_text().replace(f" v{now}", f" v{version}"))
    env = {
        **os.environ,
        **env,
        "GOCACHE": str(CACHE / "go" / "build"),
        "GOMODCACHE": str(CACHE / "go" / "mod"),
        "GOFLAGS": "-mod=mod",
        "GOWORK": "off",
    }
    argv = [go(), "build", "-trimpath", "-buildvcs=false", *flags, "-o", str(out), package]
    subprocess.run(argv, cwd=source, env=env, check=True)
    return version, out


def add_blob(path, bundle):
    """What bundle.json says of a file that is now among its blobs."""
    content = path.read_bytes()
    packed = subprocess.run(["zstd", "-q", "-c", str(path)], capture_output=True, check=True).stdout
    blob = hashlib.sha256(packed).hexdigest()
    (bundle / "blobs" / "sha256" / blob).write_bytes(packed)
    sha = hashlib.sha256(content).hexdigest()
    return {"sha256": sha, "size": len(content), "blob": blob, "blobSize": len(packed)}


def older_bundle(bundle):
    """The directory of the older one, made once for this bundle."""
    text = Path(bundle, "bundle.json").read_text()
    made = CACHE / "older" / hashlib.sha256((text + json.dumps(OLDER)).encode()).hexdigest()[:16]
    if made.exists():
        return made
    part = made.with_name(f"{made.name}.{os.getpid()}")
    shutil.copytree(bundle, part / "bundle", copy_function=os.link)
    inventory = json.loads(text)
    for component in inventory["components"]:
        if component["name"] in OLDER:
            version, program = build(component["name"], component["version"], part)
            component["version"] = version
            component["blobs"][0].update(add_blob(program, part / "bundle"))
    (part / "bundle" / "bundle.json").unlink()  # a link to the other's
    (part / "bundle" / "bundle.json").write_text(json.dumps(inventory))
    (part / "bundle").rename(made)
    shutil.rmtree(part)
    return made
