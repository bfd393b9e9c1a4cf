"""Kubernetes' own tests as programs, compiled as the bundle's are: through the Go module proxy, with the
versions and hashes of module/go.mod and go.sum, which the checksum database vouches for."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.cli import REPO
from lab.hosts import CACHE, run

MODULE = Path(__file__).parent / "module"
PROGRAMS = {
    "agnhost": ["build", "k8s.io/kubernetes/test/images/agnhost"],
    "nnp": ["build", "k8s.io/kubernetes/test/images/nonewprivs"],
    "sample-apiserver": ["build", "k8s.io/sample-apiserver"],
    "ginkgo": ["build", "github.com/onsi/ginkgo/v2/ginkgo"],
    "e2e.test": ["test", "-c", "-vet=off", "k8s.io/kubernetes/test/e2e"],
}
STAMP = (
    "k8s.io/component-base/version.gitVersion=v{0}",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor={1}",
    "k8s.io/client-go/pkg/version.gitVersion=v{0}",
)


def version():
    """Of Kubernetes, whose tests these are."""
    return re.search(r"^require k8s\.io/kubernetes v(\S+)", (MODULE / "go.mod").read_text(), re.M)[1]


def go_env():
    """What the bundle is compiled with, so that its packages are found in Go's cache."""
    return {
        **os.environ,
        "GOCACHE": str(CACHE / "go/build"),
        "GOMODCACHE": str(CACHE / "go/mod"),
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOWORK": "off",
    }


def find_go():
    """A Go that is new enough: in PATH, or the one that the bundle's build has fetched."""
    pins = (REPO / "bootstrap/bundle/components.yaml").read_text()
    least = re.search(r"minimum: (\S+)", pins)[1]
    pinned = re.search(r"toolchain: (\S+)", pins)[1]
    kept = (CACHE / "go/toolchain", *(CACHE / "go/mod").glob(pinned + ".linux-*"))
    for go in [shutil.which("go"), *(str(p / "bin/go") for p in kept)]:
        if go and Path(go).exists():
            found = run(go, "env", "GOVERSION", env=go_env()).stdout.strip()
            if numbers(found) >= numbers(least):
                return go, found
    raise SystemExit(f"no Go {least} or newer: build the bundle first, which fetches one")


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)[:3]]


def programs():
    """The folder of agnhost, ginkgo and e2e.test; compiled once for what they are made of."""
    go, go_version = find_go()
    stamp = " ".join("-X " + s.format(version(), version().split(".")[1]) for s in STAMP)
    flags = ["-p", "2", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    flags += ["-ldflags", f"-s -w -buildid= {stamp}"]
    key = hashlib.sha256(repr((go_version, flags, PROGRAMS)).encode())
    for name in ("go.mod", "go.sum", "deps.go"):
        key.update((MODULE / name).read_bytes())
    folder = CACHE / "conformance" / key.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, (verb, *what) in PROGRAMS.items():
        if (folder / name).exists():
            continue
        print(f"conformance: compiling {name} {version()}", flush=True)
        made = folder / f"{name}.new"
        argv = [go, verb, *what[:-1], *flags, "-o", str(made), what[-1]]
        subprocess.run(["nice", "-n", "10", *argv], cwd=MODULE, env=go_env(), check=True)
        made.rename(folder / name)
    return folder


def source(path):
    """A file of Kubernetes' module."""
    go, _ = find_go()
    argv = go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"
    return Path(run(*argv, cwd=MODULE, env=go_env()).stdout.strip()) / path
