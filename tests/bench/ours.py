"""Our side: `kubecdn cluster create --yes` on the lab's hosts, as an operator types it.

(b) is that command on bare hosts: it sends everything over SSH and returns when the cluster is
validated. (a) is the same command on hosts that have what kubeadm's hosts have: the programs in
place, containerd running with its unit and settings, the images imported, and nothing else. So that
these are the very files, they are taken from a host after (b) and put back after `cluster delete`.
The clock of (a) starts with the command, so reading the manifest, making the PKI, SSH, preflight,
checking every program's hash and the final validation are all in it.
"""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lab import yaml
from lab.cli import Cli
from lab.hosts import run

from .measure import Meter, Sampler
from .observe import Observer

NAME = "bench"
# What makes a host one with "artefacts in place"; relative to its root.
IN_PLACE = [
    "opt/kubecdn",
    "etc/kubecdn/containerd.toml",
    "etc/kubecdn/cni.template",
    "etc/systemd/system/containerd.service",
    "etc/systemd/system/multi-user.target.wants/containerd.service",
]
SENT = re.compile(r"^ +[+~] \w+ ((?:blob|image)/\S+|unit/containerd)$", re.MULTILINE)
CTR = ("/opt/kubecdn/bin/ctr", "-n", "k8s.io", "images")
PIN = ("--label", "io.cri-containerd.pinned=pinned")


def _find(value, key):
    """The first member of that name, at whatever depth."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    found = (_find(v, key) for v in value) if isinstance(value, list) else ()
    return next((f for f in found if f is not None), None)


class Observed:
    """A kubeconfig of the observer's own, signed as soon as the cluster's CA is there: the
    program's own export only works later."""

    def __init__(self, state):
        self.ca, self.text = Path(state) / "clusters" / NAME / "pki/ca.json", None

    def __call__(self):
        if not self.text:
            self.text = self._sign(json.loads(self.ca.read_text()))
        return self.text

    def _sign(self, stored):
        with tempfile.TemporaryDirectory() as d:  # mode 0700
            ca, ca_key, key, csr = (Path(d) / n for n in ("ca", "ca.key", "key", "csr"))
            ca.write_text(_find(stored, "crt"))
            ca_key.write_text(_find(stored, "key"))
            curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
            subject = ("-subj", "/O=system:masters/CN=bench")
            run("openssl", "req", "-new", *curve, "-keyout", key, "-out", csr, *subject)
            sign = ("openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key)
            cert = run(*sign, "-days", "1", "-CAcreateserial").stdout
            parts = {
                "certificate-authority": ca.read_text(),
                "client-certificate": cert,
                "client-key": key.read_text(),
            }
        lines = (f"{k}-data: {base64.b64encode(v.encode()).decode()}" for k, v in parts.items())
        return "\n".join(lines)


class Ours:
    name = "kubecdn"

    def __init__(self, bundle, out, work):
        self.bundle, self.out, self.work = Path(bundle), Path(out), Path(work)
        self.spec = json.loads((self.bundle / "bundle.json").read_text())
        self.state = self.work / "state"
        self.cli = Cli(self.state, bundle=self.bundle)
        self.file, self.kept = self.work / "cluster.yaml", self.work / "in-place"

    def prepare(self, lab):
        first, *others = list(lab)
        hosts = [yaml.host_entry(first, "control-plane")]
        hosts += [yaml.host_entry(h, "worker") for h in others]
        self.file.write_text(yaml.cluster(NAME, hosts))

    def _run(self, label, *args):
        """A verb; its seconds, and what it printed is kept."""
        began = time.time()
        done = self.cli.run("cluster", *args, timeout=600)
        took = round(time.time() - began, 2)
        (self.out / f"{label}.log").write_text(done.out + done.err)
        if done.code:
            raise RuntimeError(f"{label} failed: {done}")
        return took

    def measure(self, lab, label):
        """`cluster create --yes` until the cluster answers and until the command is done."""
        first = next(iter(lab))
        meter = Meter(lab)
        sampler = Sampler(meter)
        observer = Observer(lab, first.address, Observed(self.state), meter.began)
        try:
            took = self._run(f"{label}-create", "create", "-f", self.file, "--yes")
            events = observer.wait()
        finally:
            observer.done.set()
            sampler.stop()
        used = meter.read()
        return {"create": took, **events, "cpu": used, "cpu_pods": sampler.at(events["pods"])}

    def measure_in_place(self, lab, label):
        """measure() after stage(); an error if something had to be sent or restarted after all."""
        got = self.measure(lab, label)
        sent = SENT.findall((self.out / f"{label}-create.log").read_text())
        if sent:
            raise RuntimeError(f"not in place before the clock started: {', '.join(sent)}")
        return got

    def create(self, label):
        """Until the command is done, unobserved."""
        return self._run(f"{label}-create", "create", "-f", self.file, "--yes")

    def update(self, label):
        """Nothing to do: the second time, so that nothing is being settled any more."""
        self._run(f"{label}-update", "update", "-f", self.file, "--yes")
        return self._run(f"{label}-update", "update", "-f", self.file, "--yes")

    def delete(self, label):
        return self._run(f"{label}-delete", "delete", NAME, "--yes")

    def keep(self, lab):
        """Remember the files of IN_PLACE, while the cluster is up."""
        for h in lab:
            for name in IN_PLACE:
                source, target = h.root / name, self.kept / h.name / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True)
                else:
                    shutil.copy2(source, target, follow_symlinks=False)

    def stage(self, lab):
        """Programs, containerd and images in place; what else was there is gone."""
        for h in lab:
            shutil.copytree(self.kept / h.name, h.root, symlinks=True, dirs_exist_ok=True)
            h.enter("systemctl", "daemon-reload")
            h.enter("systemctl", "start", "containerd")
            for image in self.spec["images"].values():
                tar = h.root / "root/image.tar"
                with open(self.bundle / "blobs/sha256" / image["blob"], "rb") as i:
                    with open(tar, "wb") as o:
                        subprocess.run(["zstd", "-dq"], stdin=i, stdout=o, check=True)
                h.enter(*CTR, "import", "--local", *PIN, "/root/image.tar", timeout=300)
                tar.unlink()
