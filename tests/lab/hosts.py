"""Debian hosts for tests: systemd-nspawn containers with sshd on a bridge of their own.

    with LabHosts({"cp1": {}, "w1": {"nft": False}}) as lab:
        lab["cp1"].ssh("true")

Everything made is written to RUNS/<run>/record.json before it is made; a run whose process is
gone is cleaned up by the next one from that record, never by a process' name.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

RUNS = Path("/var/lib/kubecdn-labtest")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kubecdn"
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "iproute2",
    "nftables",
    "conntrack",
    "ethtool",
    "socat",
    "kmod",
    "procps",
    "ca-certificates",
    "mount",
    "util-linux",
]

EARLY_UNIT = """[Unit]
DefaultDependencies=no
Before=sysinit.target systemd-sysctl.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "mount --make-rshared /; for m in /sys/fs/cgroup /sys/fs/cgroup/* /sys \
/proc/sys; do mountpoint -q $m && mount -o remount,bind,rw $m; done; true"
"""


def run(*argv, **kw):
    """Run a program of this machine; its error output is in the exception."""
    check = kw.pop("check", True)
    r = subprocess.run(argv, check=False, capture_output=True, text=True, **kw)
    if check and r.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, argv))}: {r.returncode}: {r.stderr.strip()}"
        )
    return r


def wait_for(what, probe, timeout=30.0, every=0.05):
    """probe() until it is true; the last exception or false answer is the reason."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = probe()
            if last:
                return last
        except Exception as e:  # noqa: BLE001 - told in the end
            last = e
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s; last: {last}")
        time.sleep(every)


def start_time(pid):
    """Clock ticks since boot when pid started, or None: tells a reused pid apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def alive(proc):
    return bool(proc) and start_time(proc["pid"]) == proc["start"]


def root_tree():
    """A Debian tree: KC_LAB_ROOT, the one of our cloud's cache, or built now (once)."""
    given = os.environ.get("KC_LAB_ROOT")
    if given:
        return Path(given)
    made = sorted((CACHE / "local").glob("root-*[0-9a-f]"))
    made += [p for p in [CACHE / "labtest-root"] if p.is_dir()]
    if made:
        return made[0]
    tmp = CACHE / "labtest-root.tmp"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "labtest-root.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "labtest-root").is_dir():
            shutil.rmtree(tmp, ignore_errors=True)
            run(
                "debootstrap",
                "--variant=minbase",
                "--include=" + ",".join(PACKAGES),
                "bookworm",
                tmp,
            )
            tmp.rename(CACHE / "labtest-root")
    return CACHE / "labtest-root"


def cgroup_paths(name):
    """A child of our own cgroup in every hierarchy (v2: of the top)."""
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [str(top / name)]
    paths = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, ctl, own = line.split(":", 2)
        parent = top / (ctl.removeprefix("name=") or "unified") / own.lstrip("/")
        if parent.is_dir():
            paths.append(str(parent / name))
    return paths


def make_cgroups(paths):
    for p in map(Path, paths):
        p.mkdir(exist_ok=True)
        if (p / "cpuset.mems").exists() and "cgroup.controllers" not in os.listdir(p):
            for f in ("cpuset.cpus", "cpuset.mems"):
                (p / f).write_text((p.parent / f).read_text())
            (p / "cgroup.clone_children").write_text("1")
        if (p / "memory.use_hierarchy").exists():
            try:
                (p / "memory.use_hierarchy").write_text("1")
            except OSError:
                pass


def remove_cgroups(paths):
    for top in paths:
        for d, _, _ in os.walk(top, topdown=False):
            try:
                for pid in Path(d, "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass
    for top in paths:
        for d, _, _ in os.walk(top, topdown=False):
            wait_for(f"cgroup {d} to empty", lambda d=d: rmdir(d), 10)


def rmdir(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    return True


def mounts_below(path):
    path = str(path)
    found = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return [p for p in found if p == path or p.startswith(path + "/")]


class Host:
    """One machine. Attributes: name, address, user, host_key, pid (its PID 1)."""

    def __init__(self, lab, name, octet, user=None, sudo=True, root=True, nft=True):
        self.lab, self.name = lab, name
        self.address = f"{lab.net}.{octet}"
        self.user = user or "root"
        self.root_login, self.sudo, self.nft = root and not user, sudo, nft
        self.dir = lab.dir / name
        self.root = self.dir / "root"
        self.netns, self.veth = f"{lab.prefix}-{name}", f"{lab.prefix}v{octet}"
        self.pid, self.proc = None, None

    def record(self):
        return {
            "dir": str(self.dir),
            "netns": self.netns,
            "veth": self.veth,
            "cgroups": cgroup_paths(self.netns),
            "proc": self.proc,
        }

    # --- making

    def prepare(self):
        for d in ("upper", "work", "root", "containerd", "kubelet", "etcd"):
            (self.dir / d).mkdir(parents=True, exist_ok=True)
        run(
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            f"lowerdir={self.lab.tree},upperdir={self.dir}/upper,workdir={self.dir}/work",
            self.root,
        )
        self.put("/etc/hostname", self.name + "\n")
        self.put(
            "/etc/hosts",
            f"127.0.0.1 localhost\n::1 localhost\n{self.address} {self.name}\n",
        )
        self.put("/etc/machine-id", secrets.token_hex(16) + "\n")
        self.put("/etc/resolv.conf", f"nameserver {self.lab.net}.1\n")
        self.put("/etc/systemd/system/labtest.service", EARLY_UNIT)
        wants = self.root / "etc/systemd/system/sysinit.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "labtest.service").unlink(missing_ok=True)
        (wants / "labtest.service").symlink_to("/etc/systemd/system/labtest.service")
        self.new_host_key()
        self.make_user()
        if not self.nft:
            (self.root / "usr/sbin/nft").unlink()

    def put(self, path, text, mode=0o644):
        p = self.root / path.lstrip("/")
        p.unlink(missing_ok=True)
        p.write_text(text)
        p.chmod(mode)

    def new_host_key(self):
        ssh = self.root / "etc/ssh"
        for p in ssh.glob("ssh_host_*"):
            p.unlink()
        run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            self.name,
            "-f",
            ssh / "ssh_host_ed25519_key",
        )
        self.host_key = " ".join(
            (ssh / "ssh_host_ed25519_key.pub").read_text().split()[:2]
        )

    def make_user(self):
        public = Path(f"{self.lab.key}.pub").read_text()
        homes = [("/root", 0)] if self.root_login else []
        if self.user != "root":
            run(
                "chroot",
                self.root,
                "useradd",
                "-m",
                "-s",
                "/bin/bash",
                "-u",
                "1000",
                self.user,
            )
            homes.append((f"/home/{self.user}", 1000))
            if self.sudo:
                self.put(
                    "/etc/sudoers.d/labtest",
                    f"{self.user} ALL=(ALL) NOPASSWD: ALL\n",
                    0o440,
                )
        for home, uid in homes:
            ssh = self.root / home.lstrip("/") / ".ssh"
            ssh.mkdir(exist_ok=True, mode=0o700)
            (ssh / "authorized_keys").write_text(public)
            for p in (ssh, ssh / "authorized_keys"):
                os.chown(p, uid, uid)
                p.chmod(0o700 if p == ssh else 0o600)

    def plug(self):
        run("ip", "netns", "add", self.netns)
        # No looking for duplicates of fresh addresses: a snapshot would see them half made.
        no_dad = [f"net.ipv6.conf.{x}.accept_dad=0" for x in ("all", "default")]
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", *no_dad)
        run(
            "ip",
            "link",
            "add",
            self.veth,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.netns,
        )
        run("ip", "link", "set", self.veth, "master", self.lab.bridge, "up")
        for args in (
            "link set lo up",
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {self.lab.net}.1",
        ):
            run("ip", "-n", self.netns, *args.split())

    def boot(self):
        paths = cgroup_paths(self.netns)
        make_cgroups(paths)
        argv = [
            "systemd-nspawn",
            "-q",
            "-D",
            str(self.root),
            f"--machine={self.netns}",
            f"--hostname={self.name}",
            f"--network-namespace-path=/run/netns/{self.netns}",
            "--settings=no",
            "--register=no",
            "--keep-unit",
            "--boot",
            "--capability=all",
            "--system-call-filter=@raw-io @module add_key keyctl bpf perf_event_open",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--bind=/dev/kmsg",
        ]
        argv += [
            f"--bind={self.dir}/{d}:/var/lib/{d}"
            for d in ("containerd", "kubelet", "etcd")
        ]
        join = 'for p in "$@"; do [ "$p" = -- ] && break; echo $$ > "$p/cgroup.procs"; shift; done; '
        with open(self.dir / "console.log", "wb") as log:
            child = subprocess.Popen(
                ["sh", "-c", join + 'shift; exec "$@"', "sh", *paths, "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.child = child
        self.proc = {"pid": child.pid, "start": start_time(child.pid)}
        self.lab.save()

    def await_ssh(self):
        def leader():
            if self.child.poll() is not None:
                raise RuntimeError((self.dir / "console.log").read_text()[-500:])
            for pid in (
                Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
                .read_text()
                .split()
            ):
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                nspid = next(x for x in status if x.startswith("NSpid:")).split()
                if nspid[-1] == "1" and len(nspid) > 2:
                    return int(pid)
            return None

        def greets():
            with socket.create_connection((self.address, 22), 1) as s:
                return s.recv(4) == b"SSH-"

        self.pid = wait_for(f"PID 1 of {self.name}", leader, 15, 0.01)
        wait_for(f"sshd of {self.name}", greets, 30, 0.02)

    def reboot(self):
        """The power goes, and comes back."""
        kill_host(self.proc)
        self.child.wait(10)
        self.boot()
        self.await_ssh()

    # --- using

    def ssh(self, command, check=True, timeout=60):
        known = self.dir / "known_hosts"
        known.write_text(f"{self.address} {self.host_key}\n")
        return run(
            "ssh",
            "-i",
            self.lab.key,
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "LogLevel=ERROR",
            f"{self.user}@{self.address}",
            command,
            check=check,
            timeout=timeout,
        )

    def enter(self, *argv, check=True, timeout=60):
        """Run a program of the host, as root, in all of its namespaces, without SSH."""
        return run(
            "nsenter",
            "-t",
            str(self.pid),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-r",
            "-w",
            *argv,
            check=check,
            timeout=timeout,
        )

    def change_host_key(self):
        """As a reinstalled host would: the next connection meets another key."""
        old = self.host_key
        self.new_host_key()
        self.enter("systemctl", "restart", "ssh")
        return old

    def ssh_spec(self, **changes):
        """The manifest's ssh: block for this host."""
        return {
            "user": self.user,
            "identityFile": str(self.lab.key),
            "hostKey": self.host_key,
            **changes,
        }


class LabHosts:
    """hosts: {name: {user, sudo, root, nft}} or names; see Host. A context manager."""

    kind = Host

    def __init__(self, hosts, octet=11):
        self.specs = hosts if isinstance(hosts, dict) else {n: {} for n in hosts}
        self.first, self.hosts = octet, {}

    def __getitem__(self, name):
        return self.hosts[name]

    def __iter__(self):
        return iter(self.hosts.values())

    def __enter__(self):
        if os.geteuid() != 0:
            raise RuntimeError("the lab's hosts need root")
        with _locked():
            clean_stale()
            RUNS.mkdir(exist_ok=True)
            self.run_id = secrets.token_hex(3)
            self.prefix = f"lt{self.run_id}"
            self.bridge = self.prefix
            self.dir = RUNS / self.run_id
            self.net = free_net()
            self.dir.mkdir(mode=0o700)
            self.save()
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "addr", "add", f"{self.net}.1/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
        try:
            self.tree = root_tree()
            self.key, self.other_key = self.dir / "id", self.dir / "other"
            for k in (self.key, self.other_key):
                run(
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "labtest",
                    "-f",
                    k,
                )
            for i, (name, spec) in enumerate(self.specs.items()):
                self.hosts[name] = self.kind(self, name, self.first + i, **spec)
            self.save()
            for h in self:
                h.prepare()
                h.plug()
                h.boot()
            for h in self:
                h.await_ssh()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if os.environ.get("KC_LAB_KEEP"):
            return
        self.save()
        with _locked():
            remove_run(self.dir)
        for h in self:
            if getattr(h, "child", None):
                h.child.wait(10)

    def free_address(self):
        """An address on the bridge where nobody answers."""
        return f"{self.net}.250"

    def save(self):
        me = os.getpid()
        record = {
            "owner": {"pid": me, "start": start_time(me)},
            "bridge": self.bridge,
            "hosts": [h.record() for h in self],
        }
        tmp = self.dir / "record.tmp"
        tmp.write_text(json.dumps(record))
        tmp.rename(self.dir / "record.json")


class _locked:
    """One run at a time chooses names; RUNS itself comes and goes, its parent stays."""

    def __enter__(self):
        self.fd = os.open(RUNS.parent, os.O_RDONLY)
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *_):
        os.close(self.fd)


def free_net():
    """A /24 at the upper end of 198.18.0.0/15 that nothing routes."""
    text = run("ip", "-4", "route", "show", "table", "all").stdout
    for n in range(255, 0, -1):
        if f"198.19.{n}." not in text:
            return f"198.19.{n}"
    raise RuntimeError("no free /24 in 198.19.0.0/16")


def clean_stale():
    """Remove what runs left whose process is gone."""
    for d in list(RUNS.iterdir()) if RUNS.is_dir() else []:
        record = d / "record.json"
        if not record.exists():
            shutil.rmtree(d, ignore_errors=True)
        elif not alive(json.loads(record.read_text())["owner"]):
            remove_run(d)


def kill_host(proc):
    """SIGKILL to the container's own PID 1; its manager then ends by itself."""
    if not alive(proc):
        return
    pid = proc["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for c in children:
        os.kill(int(c), signal.SIGKILL)
    try:
        wait_for(f"nspawn {pid} to end", lambda: not alive(proc), 10, 0.01)
    except TimeoutError:
        if alive(proc):
            os.kill(pid, signal.SIGKILL)


def remove_run(directory):
    record = json.loads((directory / "record.json").read_text())
    for h in record["hosts"]:
        kill_host(h["proc"])
    for h in record["hosts"]:
        remove_cgroups(h["cgroups"])
        for m in reversed(mounts_below(h["dir"])):
            wait_for(f"unmounting {m}", lambda m=m: run("umount", m), 10)
        if Path("/run/netns", h["netns"]).exists():
            run("ip", "netns", "del", h["netns"])
        if Path("/sys/class/net", h["veth"]).exists():
            run("ip", "link", "del", h["veth"], check=False)
    if Path("/sys/class/net", record["bridge"]).exists():
        run("ip", "link", "del", record["bridge"])
    if mounts_below(directory):
        raise RuntimeError(
            f"still mounted below {directory}: {mounts_below(directory)}"
        )
    shutil.rmtree(directory)
    if not os.listdir(RUNS) and directory.parent == RUNS:
        os.rmdir(RUNS)
