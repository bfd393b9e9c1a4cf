"""The peer: `kubeadm init` and `kubeadm join` on the lab's hosts.

Its programs are the very bytes of our bundle; kubeadm itself and the CNI plugin `bridge` are
compiled from the Go module proxy with the bundle's own pins, once, into ~/.cache/kubecdn/bench. The
images carry kubeadm's names and the bundle's contents. Everything is in place before the clock
starts: programs, containerd running, images imported, CNI configured, routes between the pod CIDRs.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lab.cli import REPO
from lab.hosts import CACHE, run

from . import oci
from .measure import Meter, Sampler
from .observe import Observer

REPOSITORY = "localhost/k8s"
PODS = "10.244"
RECIPE = 1  # of what parts() makes: a change makes new ones
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")

CONTAINERD = """version = 3
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = {systemd}
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
"""

CONTAINERD_UNIT = """[Unit]
Description=containerd
After=network.target
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
Restart=always
LimitNOFILE=1048576
TasksMax=infinity
[Install]
WantedBy=multi-user.target
"""

# As in the Kubernetes packages: the unit, and kubeadm's drop-in.
KUBELET_UNIT = """[Unit]
Description=kubelet: The Kubernetes Node Agent
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10
[Install]
WantedBy=multi-user.target
"""
KUBELET_DROP_IN = """[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS \
$KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""

INIT = """apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{{token: "{token}"}}]
localAPIEndpoint: {{advertiseAddress: "{address}", bindPort: 6443}}
nodeRegistration: {{name: "{name}", criSocket: "unix:///run/containerd/containerd.sock"}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{version}
imageRepository: {repository}
encryptionAlgorithm: {algorithm}
networking: {{podSubnet: {pods}.0.0/16}}
controllerManager: {{extraArgs: [{manager}]}}
scheduler: {{extraArgs: [{scheduler}]}}
etcd: {{local: {{extraArgs: [{etcd}]}}}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: {driver}
failCgroupV1: false
failSwapOn: false
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%"}}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""


def _go():
    """A Go that is new enough: the ones `kubecdn bundle build` looks for."""
    for go in (shutil.which("go"), "/usr/local/go/bin/go", CACHE / "go/toolchain/bin/go"):
        if go and Path(go).exists():
            env = {**os.environ, "GOTOOLCHAIN": "local"}
            r = run(go, "env", "GOVERSION", check=False, env=env)
            numbers = re.match(r"go(\d+)\.(\d+)", r.stdout)
            if numbers and tuple(map(int, numbers.groups())) >= (1, 26):
                return str(go)
    raise RuntimeError(
        "kubeadm is compiled with Go 1.26 or newer; build a bundle first: it gets one"
    )


def _compile(folder, pins, package, out, ldflags=""):
    """A package of a module that the bundle pins; what it needs beyond is added to a copy."""
    work = folder / pins
    shutil.copytree(REPO / "bootstrap/bundle/gomod" / pins, work, dirs_exist_ok=True)
    env = {
        **os.environ,
        "GOCACHE": str(CACHE / "go/build"),
        "GOMODCACHE": str(CACHE / "go/mod"),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "CGO_ENABLED": "0",
        "GOWORK": "off",
    }
    argv = [_go(), "build", "-trimpath", "-ldflags", f"-s -w {ldflags}", "-o", out, package]
    run(*argv, cwd=work, env=env, timeout=3600)


def _unzstd(source, out):
    with open(source, "rb") as i, open(out, "wb") as o:
        subprocess.run(["zstd", "-dq"], stdin=i, stdout=o, check=True)
    return out


class Parts:
    """What kubeadm needs on a host: programs {name: path} and the archive of its images."""

    def __init__(self, bundle, log=print):
        self.bundle = Path(bundle)
        text = (self.bundle / "bundle.json").read_bytes()
        self.spec = json.loads(text)
        self.version = self.spec["kubernetes"]
        key = hashlib.sha256(text + str(RECIPE).encode()).hexdigest()[:12]
        self.dir = CACHE / "bench" / f"kubeadm-{self.version}-{key}"
        if not self.dir.is_dir():
            log(f"building kubeadm {self.version} and its images, once")
            self.dir.parent.mkdir(parents=True, exist_ok=True)
            tmp = Path(tempfile.mkdtemp(dir=self.dir.parent, prefix="tmp."))
            try:
                self._build(tmp)
                for old in self.dir.parent.glob(f"kubeadm-{self.version}-*"):
                    shutil.rmtree(old)
                tmp.rename(self.dir)
            finally:
                shutil.rmtree(tmp, ignore_errors=True)
        self.images = self.dir / "images.tar"
        self.programs = {p.name: p for p in (self.dir / "bin").iterdir()}
        self.tags = json.loads((self.dir / "tags.json").read_text())

    def _build(self, tmp):
        bin_, work = tmp / "bin", tmp / "work"
        bin_.mkdir()
        work.mkdir()
        for component in self.spec["components"]:
            for blob in component["blobs"]:
                out = bin_ / Path(blob["path"]).name
                _unzstd(self.bundle / "blobs/sha256" / blob["blob"], out).chmod(0o755)
        minor = self.version.rpartition(".")[0]
        module, x = "k8s.io/component-base/version", "-X "
        flags = f"{x}{module}.gitVersion=v{self.version} {x}{module}.gitTreeState=clean"
        flags += f" {x}{module}.gitMajor=1 {x}{module}.gitMinor={minor.split('.')[1]}"
        flags += f" {x}k8s.io/client-go/pkg/version.gitVersion=v{self.version}"
        package = "k8s.io/kubernetes/cmd/kubeadm"
        _compile(work, f"kubernetes-{minor}", package, bin_ / "kubeadm", flags)
        package = "github.com/containernetworking/plugins/plugins/main/bridge"
        _compile(work, "cni", package, bin_ / "bridge")
        self._images(tmp, work)
        shutil.rmtree(work)
        (bin_ / "etcd").unlink()  # it runs from its image

    def _images(self, tmp, work):
        bin_ = tmp / "bin"
        listed = run(
            bin_ / "kubeadm",
            *("config", "images", "list", "--image-repository", REPOSITORY),
            *("--kubernetes-version", f"v{self.version}"),
        ).stdout.split()
        tags = {i.rsplit("/", 1)[1].split(":")[0]: i for i in listed}
        (tmp / "tags.json").write_text(json.dumps(tags))
        local = "/usr/local/bin/"
        kube = oci.layer(
            work / "kube.layer",
            [(bin_ / "kube", local + "kube")],
            [(local + c, "kube") for c in COMPONENTS],
        )
        layers = {c: [kube] for c in COMPONENTS}
        layers["etcd"] = [oci.layer(work / "etcd.layer", [(bin_ / "etcd", local + "etcd")])]
        # kube-proxy runs `nft`, which is beside flanneld in our own image.
        for name, of, without in (
            ("pause", "pause", ()),
            ("coredns", "coredns", ()),
            ("kube-proxy", "flannel", ("flanneld",)),
        ):
            blob = self.spec["images"][of]["blob"]
            tar = _unzstd(self.bundle / "blobs/sha256" / blob, work / "image.tar")
            got = oci.layer_of(tar, work / f"{name}.layer", without)
            layers[name] = [*layers.get(name, []), got]
        entry = {"pause": ["/pause"], "coredns": ["/coredns"]}
        images = [
            {"name": tags[n], "layers": layers[n], "env": [PATH], "entrypoint": entry.get(n)}
            for n in layers
        ]
        oci.archive(tmp / "images.tar", images)


class Peer:
    name = "kubeadm"

    def __init__(self, parts, out, tuned=False):
        self.parts, self.out, self.tuned = parts, Path(out), tuned

    def prepare(self, lab):
        """Bring hosts to where the clock may start."""
        hosts = list(lab)
        for i, h in enumerate(hosts):
            self._programs(h)
            self._settings(h, i)
            for j, other in enumerate(hosts):
                if j != i:
                    h.enter("ip", "route", "replace", f"{PODS}.{j}.0/24", "via", other.address)
            h.enter("sysctl", "-qw", "net.ipv4.ip_forward=1")
            h.enter("systemctl", "daemon-reload")
            h.enter("systemctl", "-q", "enable", "containerd", "kubelet")
            h.enter("systemctl", "start", "containerd")
            archive = h.root / "root/images.tar"
            shutil.copyfile(self.parts.images, archive)
            h.enter("ctr", "-n", "k8s.io", "images", "import", "/root/images.tar", timeout=300)
            archive.unlink()

    def _programs(self, h):
        cni = {"bridge", "loopback", "host-local", "portmap", "ptp"}
        for d in ("opt/cni/bin", "etc/cni/net.d", "etc/containerd"):
            (h.root / d).mkdir(parents=True, exist_ok=True)
        for name, source in self.parts.programs.items():
            target = h.root / ("opt/cni/bin" if name in cni else "usr/local/bin") / name
            shutil.copy2(source, target)
        for name in ("kubelet", "kubectl"):
            (h.root / "usr/local/bin" / name).symlink_to("kube")

    def _settings(self, h, number):
        v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        self.driver = "systemd" if v2 else "cgroupfs"
        settings = {"pause": self.parts.tags["pause"], "systemd": "true" if v2 else "false"}
        h.put("/etc/containerd/config.toml", CONTAINERD.format(**settings))
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": f"{PODS}.{number}.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True}
        plugins = [
            {**bridge, "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        conf = {"cniVersion": "1.0.0", "name": "bench", "plugins": plugins}
        h.put("/etc/cni/net.d/10-bench.conflist", json.dumps(conf))
        units = "/etc/systemd/system"
        (h.root / "etc/systemd/system/kubelet.service.d").mkdir(exist_ok=True)
        h.put(f"{units}/containerd.service", CONTAINERD_UNIT)
        h.put(f"{units}/kubelet.service", KUBELET_UNIT)
        h.put(f"{units}/kubelet.service.d/10-kubeadm.conf", KUBELET_DROP_IN)

    def _init_config(self, host, token):
        elect = '{name: leader-elect, value: "false"}'
        fast = elect + ', {name: kube-api-qps, value: "500"}, {name: kube-api-burst, value: "1000"}'
        return INIT.format(
            token=token,
            address=host.address,
            name=host.name,
            version=self.parts.version,
            repository=REPOSITORY,
            pods=PODS,
            driver=self.driver,
            algorithm="ECDSA-P256" if self.tuned else "RSA-2048",
            manager=fast if self.tuned else "",
            scheduler=elect if self.tuned else "",
            etcd='{name: unsafe-no-fsync, value: "true"}' if self.tuned else "",
        )

    def _ssh(self, host, label, command):
        """A step over SSH: its seconds; what it printed is kept."""
        began = time.time()
        done = host.ssh(command, check=False, timeout=300)
        (self.out / f"{label}.log").write_text(done.stdout + done.stderr)
        if done.returncode:
            raise RuntimeError(f"{label} failed, see {self.out / label}.log: {done.stderr[-500:]}")
        return round(time.time() - began, 2)

    def measure(self, lab, label):
        """From nothing but what prepare() did to a cluster that answers."""
        first, *others = list(lab)
        admin = first.root / "etc/kubernetes/super-admin.conf"
        ca = first.root / "etc/kubernetes/pki/ca.crt"
        token = f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
        first.put("/root/init.yaml", self._init_config(first, token))
        ignore = "--ignore-preflight-errors=SystemVerification"
        meter = Meter(lab)
        sampler = Sampler(meter)
        observer = Observer(lab, first.address, admin.read_text, meter.began)
        try:
            times = {}
            command = f"kubeadm init --config /root/init.yaml {ignore}"
            times["init"] = self._ssh(first, f"{label}-init", command)
            for h in others:
                public = run("openssl", "x509", "-pubkey", "-noout", "-in", ca).stdout
                der = subprocess.run(
                    ["openssl", "pkey", "-pubin", "-outform", "der"],
                    input=public.encode(),
                    capture_output=True,
                    check=True,
                ).stdout
                join = f"kubeadm join {first.address}:6443 --token {token} --node-name {h.name}"
                join += f" --discovery-token-ca-cert-hash sha256:{hashlib.sha256(der).hexdigest()}"
                times["join"] = self._ssh(h, f"{label}-join", f"{join} {ignore}")
            events = observer.wait()
        finally:
            observer.done.set()
            sampler.stop()
        used = meter.read()
        return {**times, **events, "cpu": used, "cpu_pods": sampler.at(events["pods"])}
