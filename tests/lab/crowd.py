"""Many hosts on one machine: for each an sshd of its own in namespaces of its own (network, mounts,
processes, host name) over a shared Debian tree. There is no systemd in them, only the
directory by which programs know that it runs: they can be reached, asked and planned for, and
nothing can be installed on them."""

import os
import subprocess
from pathlib import Path

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


class LightHost(Host):
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
