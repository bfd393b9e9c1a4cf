"""Kubernetes' own conformance specs on a cluster that kubecdn has made: `make conformance`. The result goes
to docs/conformance.json, and from there into docs/conformance.md. KC_CONFORMANCE has other specs run, those
that a regular expression finds; their result goes to build/conformance."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import yaml
from lab.cli import REPO, Cli
from lab.hosts import LabHosts

from . import build, images, report

# Specs that spread pods want two nodes that anything may run on.
HOSTS = {"cp1": "control-plane", "w1": "worker", "w2": "worker"}
PROCESSES = 4
MINUTES = 120
OUT = REPO / "build/conformance"


def create(lab, folder):
    """The cluster, with the images on every node; the kubeconfig's file."""
    cli = Cli(folder / "state", home=folder)
    manifest = folder / "cluster.yaml"
    hosts = [yaml.host_entry(lab[n], role) for n, role in HOSTS.items()]
    manifest.write_text(yaml.cluster("conformance", hosts))
    cli.ok("cluster", "create", "-f", manifest, "--yes")
    return cli.kubeconfig("conformance", folder / "kubeconfig")


def run_specs(programs, kubeconfig, focus, skip):
    """ginkgo's exit code; its report is in OUT, and all that the specs said."""
    registries = OUT / "registries.yaml"
    registries.write_text(images.REGISTRIES)
    kubectl = OUT / "kubectl"
    kubectl.symlink_to(Path(os.environ["KC_BUNDLE_BIN"], "kube"))
    argv = [programs / "ginkgo", "run", f"--procs={PROCESSES}", f"--timeout={MINUTES}m"]
    argv += ["--no-color", "--silence-skips"]
    argv += [f"--focus={focus}", *(f"--skip={x}" for x in skip)]
    argv += [f"--output-dir={OUT}", "--json-report=report.json", programs / "e2e.test", "--"]
    argv += [f"--kubeconfig={kubeconfig}", f"--kubectl-path={kubectl}", "--provider=skeleton"]
    argv += ["--disable-log-dump=true"]
    env = {**os.environ, "KUBE_TEST_REPO_LIST": str(registries)}
    with open(OUT / "log", "wb") as log:
        return subprocess.run(argv, cwd=OUT, env=env, stdout=log, stderr=log, check=False).returncode


def main():
    bundle = Path(os.environ["KC_BUNDLE"])
    made_of = json.loads((bundle / "bundle.json").read_text())
    ours, theirs = made_of["kubernetes"], build.version()
    if ours != theirs:
        raise SystemExit(f"{bundle} has Kubernetes {ours}, the specs are of {theirs}: run module/pin.sh")
    programs = build.programs()
    archive = images.archive(programs, bundle)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    focus = os.environ.get("KC_CONFORMANCE", report.FOCUS)
    skips = report.skips()
    with LabHosts(list(HOSTS)) as lab, tempfile.TemporaryDirectory() as folder:
        kubeconfig = create(lab, Path(folder))
        images.load(lab, archive)
        print(f"conformance: the cluster is up, the specs run; what they say: {OUT}/log", flush=True)
        began = time.monotonic()
        code = run_specs(programs, kubeconfig, focus, skips)
        minutes = (time.monotonic() - began) / 60
    if not (OUT / "report.json").exists():
        raise SystemExit(f"conformance: ginkgo left no report, exit {code}; see {OUT}/log")
    specs = json.loads((OUT / "report.json").read_text())
    result = report.judge(specs, focus, skips, code)
    result["minutes"], result["kubernetes"] = round(minutes), build.version()
    report.save(result, REPO / "docs" if focus == report.FOCUS else OUT)
    report.junit(result, OUT / "junit.xml")
    print(report.summary(result), end="")
    return 1 if report.failures(result) else 0


if __name__ == "__main__":
    sys.exit(main())
