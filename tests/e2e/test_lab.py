"""The lab tests itself: a snapshot that cannot see a change would prove nothing."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import hosts, yaml
from lab.hosts import LabHosts
from lab.snapshot import assert_same, diff, snapshot


def test_an_untouched_host_is_equal_to_itself(pair):
    host = pair["w1"]
    before = snapshot(host)
    host.ssh("true")
    assert_same(before, snapshot(host))
    assert len(before["files"]) > 1000
    for section in (
        "mounts",
        "links",
        "addresses",
        "routes",
        "rules",
        "sysctl",
        "units",
        "unit-files",
        "users",
        "groups",
        "sockets",
        "processes",
        "cgroups",
    ):
        assert before[section], section


CHANGES = {
    "files: new: /etc/x": ("touch /etc/x", "rm /etc/x"),
    "files: changed: /etc/motd": (
        "cp -p /etc/motd /root/m; echo a >> /etc/motd",
        "mv /root/m /etc/motd",
    ),
    "files: changed: /opt": ("chmod 700 /opt", "chmod 755 /opt"),
    "mounts: new: ": (
        "mkdir /mnt/x; mount -t tmpfs t /mnt/x",
        "umount /mnt/x; rmdir /mnt/x",
    ),
    "links: new: ": ("ip link add d0 type bridge", "ip link del d0"),
    "addresses: changed|addresses: new": (
        "ip addr add 192.0.2.9/32 dev lo",
        "ip addr del 192.0.2.9/32 dev lo",
    ),
    "routes: new: ": (
        "ip route add 192.0.2.0/24 dev eth0",
        "ip route del 192.0.2.0/24 dev eth0",
    ),
    "rules: new: ": (
        "ip rule add from 192.0.2.1 lookup 99",
        "ip rule del from 192.0.2.1",
    ),
    "nft: new: ": ("nft add table inet t", "nft delete table inet t"),
    "sysctl: changed: net.ipv4.ip_forward": (
        "a=$(cat /proc/sys/net/ipv4/ip_forward); echo $((1 - a)) > /proc/sys/net/ipv4/ip_forward",
        "a=$(cat /proc/sys/net/ipv4/ip_forward); echo $((1 - a)) > /proc/sys/net/ipv4/ip_forward",
    ),
    "units: (changed|new): x.service": (
        (
            "printf '[Service]\\nExecStart=/bin/sleep 99\\n' > /etc/systemd/system/x.service; "
            "systemctl daemon-reload; systemctl start x"
        ),
        "systemctl stop x; rm /etc/systemd/system/x.service; systemctl daemon-reload",
    ),
    "users: new: ": (
        "cp -p /etc/passwd /root/p; echo 'u:x:999:999::/:/bin/sh' >> /etc/passwd",
        "cp -p /root/p /etc/passwd; rm /root/p",
    ),
    "cgroups: new: ": (
        "mkdir /sys/fs/cgroup/pids/kubepods || mkdir /sys/fs/cgroup/kubepods",
        "rmdir /sys/fs/cgroup/pids/kubepods || rmdir /sys/fs/cgroup/kubepods",
    ),
    "sockets: new: ": (
        "socat TCP-LISTEN:999,fork EXEC:true > /dev/null 2>&1 & echo $! > /root/s",
        "kill $(cat /root/s); rm /root/s",
    ),
}


@pytest.mark.parametrize("expected", CHANGES)
def test_a_snapshot_sees(pair, expected):
    host = pair["w1"]
    do, undo = CHANGES[expected]
    before = snapshot(host)
    host.ssh(do)
    lines = diff(before, snapshot(host))
    host.ssh(undo)
    assert any(re.match(expected, x) for x in lines), lines
    hosts.wait_for("the host as before", lambda: not diff(before, snapshot(host)), 10)


def test_variants_are_what_they_say():
    specs = {
        "plain": {},
        "nonft": {"nft": False},
        "ops": {"user": "ops"},
        "nosudo": {"user": "ops", "sudo": False},
    }
    with LabHosts(specs) as lab:
        assert lab["plain"].ssh("id -u; command -v nft").stdout.split() == [
            "0",
            "/usr/sbin/nft",
        ]
        assert lab["nonft"].ssh("command -v nft", check=False).returncode != 0
        assert lab["ops"].ssh("sudo -n id -u").stdout.strip() == "0"
        assert lab["nosudo"].ssh("sudo -n true", check=False).returncode != 0
        ids = {h.ssh("cat /etc/machine-id").stdout for h in lab}
        assert len(ids) == 4
        old = lab["plain"].change_host_key()
        assert lab["plain"].host_key != old
        lab["plain"].ssh("true")
        lab["plain"].host_key = old
        assert lab["plain"].ssh("true", check=False).returncode == 255
        made = lab.dir
    assert not made.exists()


def test_a_crashed_run_is_cleaned_up_by_the_next():
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from lab.hosts import LabHosts\n"
        "lab = LabHosts(['a']).__enter__(); print(lab.run_id, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).resolve().parents[1])],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    run_id = done.stdout.strip()
    assert (hosts.RUNS / run_id).exists()
    with LabHosts(["b"]):
        assert not (hosts.RUNS / run_id).exists()
        assert run_id not in Path("/proc/self/mountinfo").read_text()
        assert run_id not in hosts.run("ip", "link").stdout
        assert not any(run_id in x for x in os.listdir("/run/netns"))


def test_manifests_are_yaml():
    text = yaml.dumps({"a": {"b": [1, {"c": "x: y", "d": []}], "e/f": ""}, "g": None})
    assert (
        text == 'a:\n  b:\n    - 1\n    - c: "x: y"\n      d: []\n  e/f: ""\ng: null\n'
    )
