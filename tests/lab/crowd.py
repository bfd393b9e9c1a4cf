"""Many hosts on one machine: for each an sshd of its own in namespaces of its own (network, mounts,
processes, host name) over a shared Debian tree. Instead of systemd there is a stand-in for what the
agent asks of it: a program that is run as a transient unit is run, and a unit that is to start is said
to be active from then on. So the real agent carries out a real NodeSpec with the programs of
payload_bundle(), which do nothing; what needs a program's answer (a control plane) fails there."""

import json
import os
import secrets
import subprocess
from pathlib import Path

from .agent import blob_of
from .hosts import Host, LabHosts, kill_host, start_time

START = """
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mount --rbind /dev "$1/dev"
mount -t sysfs sysfs "$1/sys"
mkdir -p "$1/run/sshd" "$1/run/systemd/system"
hostname "$2"
exec chroot "$1" /usr/sbin/sshd -D -e -o UsePAM=no -o UseDNS=no
"""

# unit -> a file that says with which inputs it was started; containerd's socket is asked for.
SYSTEMCTL = r"""#!/bin/sh
units=/run/stand-in; mkdir -p $units
socket=/run/containerd/containerd.sock
while [ "${1#--no-block}" != "$1" ] || [ "$1" = --quiet ]; do shift; done
for unit; do :; done
case $1 in
--version) echo "systemd 252 (stand-in)" ;;
show)
    state=inactive; [ -e "$units/$unit" ] && state=active
    case $* in
    *FragmentPath*) [ $state = active ] && echo "/etc/systemd/system/$unit" ;;
    *) printf 'ActiveState=%s\nSubState=%s\nResult=success\nMainPID=0\nJob=\n' $state $state
       [ $state = active ] && printf 'Environment=%s\n' "$(cat "$units/$unit")" ;;
    esac ;;
is-active) [ -e "$units/$unit" ] || exit 3 ;;
start | restart)
    sed -n 's/^Environment=\(KUBECDN_INPUTS=.*\)/\1/p' "/etc/systemd/system/$unit" >"$units/$unit" || exit 5
    if [ "$unit" = containerd.service ] && ! [ -e $socket ]; then
        mkdir -p /run/containerd
        setsid perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0]));
            listen(S, 9); sleep 9 while 1' $socket </dev/null >/dev/null 2>&1 &
    fi ;;
stop) rm -f "$units/$unit" ;;
esac
exit 0
"""
SYSTEMD_RUN = r"""#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" </dev/null >/dev/null 2>&1 &
"""


class LightHost(Host):
    def prepare(self):
        super().prepare()
        self.put("/usr/bin/systemctl", SYSTEMCTL, 0o755)
        self.put("/usr/bin/systemd-run", SYSTEMD_RUN, 0o755)

    def break_apply(self, why):
        """Nothing can be run as a transient unit there, until mend_apply()."""
        self.put("/usr/bin/systemd-run", f"#!/bin/sh\necho {why} >&2\nexit 1\n", 0o755)

    def mend_apply(self):
        self.put("/usr/bin/systemd-run", SYSTEMD_RUN, 0o755)

    def boot(self):
        argv = ["ip", "netns", "exec", self.netns, "unshare", "--fork", "--pid", "--mount", "--uts", "--ipc"]
        argv += ["--kill-child", "sh", "-ec", START, "sh", str(self.root), self.name]
        with open(self.dir / "console.log", "wb") as log:
            self.child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.proc = {"pid": self.child.pid, "start": start_time(self.child.pid)}

    def die(self):
        """Its address stays, and nobody listens there any more."""
        kill_host(self.proc)
        self.child.wait(10)

    def memory(self):
        """Bytes of its sshd, shared ones by their share."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))


# One kernel keeps the neighbours of all of them, and has room for a thousand by default.
NEIGHBOURS = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")


class Crowd(LabHosts):
    kind = LightHost

    def __init__(self, count):
        super().__init__([f"h{n}" for n in range(1, count + 1)], octet=2)
        assert count <= 240 and os.geteuid() == 0
        self.room = NEIGHBOURS.read_text()

    def __enter__(self):
        NEIGHBOURS.write_text(str(max(int(self.room), len(self.specs) ** 2 * 2)))
        return super().__enter__()

    def __exit__(self, *problem):
        super().__exit__(*problem)
        NEIGHBOURS.write_text(self.room)


# Names that a NodeSpec and addons take for granted.
IMAGES = ["pause", "coredns", "flannel"]
DIGEST = "sha256:" + "0" * 64
CTR = f"""#!/bin/sh
list=/run/stand-in/images
case $6 in
ls) cat $list 2>/dev/null ;;
import)
    cat "${{13}}" >/dev/null
    for ref in "${{10}}:1" "${{10}}@{DIGEST}"; do
        echo "$ref type {DIGEST} size platforms io.cri-containerd.pinned=pinned" >>$list
        echo "unpacking $ref ({DIGEST})...done"
    done ;;
esac
exit 0
"""
PROGRAMS = {
    "kubernetes": ["kube"],
    "containerd": ["containerd", "containerd-shim-runc-v2", "ctr"],
    "runc": ["runc"],
    "etcd": ["etcd"],
}
LINKS = [f"kube{x}" for x in ("let", "ctl", "-proxy", "-apiserver", "-controller-manager", "-scheduler")]


def add_blob(content, folder):
    entry, packed = blob_of(content)
    (folder / entry["blob"]).write_bytes(packed)
    return entry


def payload_bundle(folder, size, version):
    """A bundle whose programs do nothing, and have size bytes that cannot be compressed in all."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    components = []
    for name, programs in PROGRAMS.items():
        one = {"name": name, "version": "1.0.0", "blobs": []}
        for program in programs:
            content = CTR.encode() if program == "ctr" else f"#!/bin/sh\n# {program}\n".encode()
            if program == "kube":
                content += secrets.token_bytes(size)
            one["blobs"].append({"path": program, **add_blob(content, blobs)})
        components.append(one)
    components[0]["links"] = dict.fromkeys(LINKS, "kube")
    images = {}
    for name in IMAGES:
        entry = add_blob(name.encode(), blobs)
        del entry["mode"]
        images[name] = {"ref": f"kubecdn.io/{name}:1", "digest": DIGEST, "layer": "core", **entry}
    bundle = {"format": 1, "kubernetes": version, "arch": "amd64", "images": images, "components": components}
    (folder / "bundle.json").write_text(json.dumps(bundle))
    return folder
