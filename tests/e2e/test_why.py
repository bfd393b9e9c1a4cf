"""Causes planted in a running cluster: each is named in one line with its fix, and of two at once
the one to mend first. One cluster for all; the worker's node is deleted, and has not joined again."""

import json
import re
import time

import pytest
from lab.hosts import run, wait_for
from lab.packages import unpack
from lab.story import sh, told

PKI = "/etc/kubernetes/pki"
CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
UNIT = "/etc/systemd/system"
FAKE_MEMORY = r"s/^SwapTotal:.*/SwapTotal: 524288 kB/"
SWAPS = r"Filename Type Size Used Priority\n/dev/vdb partition 524284 0 -2\n"
SWAP = (
    f"sed '{FAKE_MEMORY}' /proc/meminfo >/run/meminfo; printf '{SWAPS}' >/run/swaps;"
    "mount --bind /run/meminfo /proc/meminfo; mount --bind /run/swaps /proc/swaps",
    "umount /proc/meminfo /proc/swaps",
)


@pytest.fixture(scope="module")
def story(tmp_path_factory, kubectl, built):
    with told(tmp_path_factory.mktemp("why"), kubectl) as s:
        s.cli.ok("cluster", "create", "-f", s.file, "--yes")
        s.cli.kubeconfig("story", s.config)
        yield s


def causes(r):
    return re.findall(r"^cause: (\S+) (\S+): (.+); fix: (.+)$", r.out, re.M)


def why(story, *flags):
    start = time.monotonic()
    r = story.cli.run("cluster", "why", "story", *flags)
    assert time.monotonic() - start < 20, "it takes too long"
    return r


def named(story, cause, node, says):
    """The cause comes in one line with its fix; while a unit is just starting, it may be too early."""

    def look():
        r = why(story)
        found = causes(r)
        assert r.code == 2 and len(found) == 1 and r.out.count("cause:") == 1, r
        assert found[0][:2] == (cause, node), r
        assert re.search(says, found[0][2]) and found[0][3], r
        return r

    return wait_for(cause, look, 30, 0.5)


def edited(file, sed):
    """Change a file with sed, and put it back."""
    return f"cp -p {file} /run/kept; sed -i '{sed}' {file}", f"cat /run/kept >{file}"


def reloaded(pair):
    return tuple(f"{x}; systemctl daemon-reload" for x in pair)


def drop_in(unit, line):
    d = f"/run/systemd/system/{unit}.service.d"
    return (
        f"mkdir -p {d}; printf '[Service]\\n{line}\\n' >{d}/x.conf; systemctl daemon-reload",
        f"rm -r {d}; systemctl daemon-reload",
    )


def holder(port):
    """Some program of the host's own that has the port, seen to have it."""
    take = f"systemd-run -q --collect --unit=taker socat TCP-LISTEN:{port},fork,reuseaddr -"
    seen = f"until ss -ltn | grep -q :{port}; do sleep 0.05; done"
    return f"systemctl stop kubelet; {take}; {seen}", "systemctl stop taker"


# cause: (what to say, plant, undo), on the worker while its kubelet is stopped.
PLANTS = {
    "SWAP_ON": ("512 MiB", *SWAP),
    "DISK_FULL": (
        "/var/log has",
        "mount -t tmpfs -o size=4m tmpfs /var/log; dd if=/dev/zero of=/var/log/x bs=4k 2>/dev/null || true",
        "umount -l /var/log",
    ),
    "INODES_FULL": (
        "/var/log has",
        "mount -t tmpfs -o size=4m,nr_inodes=20 tmpfs /var/log; for i in $(seq 30); do touch /var/log/$i; "
        "done 2>/dev/null || true",
        "umount -l /var/log",
    ),
    "DISK_READ_ONLY": (
        "/var/lib/kubelet is read-only",
        "mount -o remount,bind,ro /var/lib/kubelet",
        "mount -o remount,bind,rw /var/lib/kubelet",
    ),
    "CGROUP_MISSING": (
        "no cgroup controller memory",
        "mount -t tmpfs tmpfs /sys/fs/cgroup/memory",
        "umount /sys/fs/cgroup/memory",
    ),
    "KERNEL_FEATURE": (
        "has no vxlan",
        "mkdir -p /run/empty; [ ! -d /sys/module/vxlan ] || mount --bind /run/empty /sys/module;"
        "[ ! -f /proc/modules ] || mount --bind /dev/null /proc/modules;"
        "mv /usr/bin/unshare /sbin/modprobe /run/",
        "umount /sys/module /proc/modules 2>/dev/null || true;"
        "mv /run/unshare /usr/bin/; mv /run/modprobe /sbin/",
    ),
    "PROGRAM_MISSING": ("nft is not installed", "mv /usr/sbin/nft /run/nft", "mv /run/nft /usr/sbin/nft"),
    "CAPABILITY_MISSING": (
        "kubelet runs without cap_sys_admin",
        *drop_in("kubelet", "CapabilityBoundingSet=~CAP_SYS_ADMIN"),
    ),
    "CIDR_CLASH": (
        "10.244.200.0/24 on storage0",
        "ip link add storage0 type bridge; ip addr add 10.244.200.1/24 dev storage0; ip link set storage0 up",
        "ip link del storage0",
    ),
    "ROUTE_WRONG": ("no way to CP:6443", "ip route add unreachable CP/32", "ip route del unreachable CP/32"),
    "PORT_BLOCKED": (
        "cannot connect to the API server",
        "nft add table ip x; nft 'add chain ip x y { type filter hook output priority 0; }';"
        "nft add rule ip x y ip daddr CP tcp dport 6443 drop",
        "nft delete table ip x",
    ),
    "PORT_IN_USE": ("port 10250, which kubelet needs, is taken by .*socat", *holder(10250)),
    "PROGRAM_DAMAGED": (
        "kubelet is gone",
        "mv /opt/kubecdn/bin/kubelet /run/kubelet.link",
        "mv /run/kubelet.link /opt/kubecdn/bin/kubelet",
    ),
    "CERT_EXPIRED": (
        f"{CLIENT} has ended",
        f"cp -P {CLIENT} /run/link; ln -sf /run/old.pem {CLIENT}",
        f"cp -P --remove-destination /run/link {CLIENT}",
    ),
    "CERT_BROKEN": (
        "kube-proxy.crt is missing",
        f"mv {PKI}/kube-proxy.crt /run/kept",
        f"mv /run/kept {PKI}/kube-proxy.crt",
    ),
    "CERT_UNKNOWN_CA": (
        "ca.crt is not the cluster's CA",
        f"cp -p {PKI}/ca.crt /run/ca; cat /run/other-ca.pem >{PKI}/ca.crt",
        f"cat /run/ca >{PKI}/ca.crt",
    ),
    "FLAG_UNKNOWN": (
        "unknown flag: --no-such-flag",
        *reloaded(edited(f"{UNIT}/kubelet.service", r"s|--hostname-override|--no-such-flag=1 &|")),
    ),
    "CONFIG_INVALID": (
        "failed to load kubelet config file",
        *edited("/etc/kubecdn/kubelet.json", r's|"failSwapOn"|"failSwapOnn"|;s|^{|{{|'),
    ),
    "UNIT_MASKED": (
        "kube-proxy.service is masked",
        "systemctl mask --runtime -q kube-proxy; mv /etc/systemd/system/kube-proxy.service /run/kept;"
        "systemctl daemon-reload",
        "mv /run/kept /etc/systemd/system/kube-proxy.service; systemctl unmask --runtime -q kube-proxy;"
        "systemctl start kube-proxy",
    ),
    "UNIT_STOPPED": ("containerd is stopped", "systemctl stop containerd", "systemctl start containerd"),
    "IMAGE_MISSING": (
        "pause is not among its images",
        "/opt/kubecdn/bin/ctr -n k8s.io images tag --force kubecdn.io/pause:1 kept:1 >/dev/null;"
        "/opt/kubecdn/bin/ctr -n k8s.io images rm kubecdn.io/pause:1 >/dev/null",
        "/opt/kubecdn/bin/ctr -n k8s.io images tag kept:1 kubecdn.io/pause:1 >/dev/null",
    ),
    "NODE_DELETED": ("had a Node", "", ""),
    "KEY_ACCESS": (
        "kube-proxy has a private key",
        f"chmod 0644 {PKI}/kube-proxy.key",
        f"chmod 0600 {PKI}/kube-proxy.key",
    ),
    "RESOLVER_LOOP": (
        "only name server is 127.0.0.53",
        "cp /etc/resolv.conf /run/kept; echo nameserver 127.0.0.53 >/etc/resolv.conf",
        "cat /run/kept >/etc/resolv.conf",
    ),
    "CHANGED": (
        "sysctl/net.ipv4.ip_forward has another value",
        "sysctl -qw net.ipv4.ip_forward=0",
        "sysctl -qw net.ipv4.ip_forward=1",
    ),
    "FIREWALL_ACTIVE": (
        "firewalld is active",
        "printf '[Service]\\nExecStart=/bin/sleep 9999\\n' >/run/systemd/system/firewalld.service;"
        "systemctl start firewalld",
        "systemctl stop firewalld; rm /run/systemd/system/firewalld.service; systemctl daemon-reload",
    ),
}


@pytest.fixture(scope="module")
def stuff(story):
    """An old certificate and another CA, made by openssl with the cluster's own CA."""
    cp1, w1 = story.lab["cp1"], story.lab["w1"]
    subject = "/O=system:nodes/CN=system:node:w1"
    made = sh(
        cp1,
        f"cd /run; openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject} "
        "-keyout k.pem -out r.pem 2>/dev/null;"
        f"openssl x509 -req -in r.pem -CA {PKI}/ca.crt -CAkey {PKI}/ca.key -set_serial 7 -days 0 "
        "-out c.pem 2>/dev/null; cat c.pem k.pem",
    )
    w1.put("/etc/old.pem", made + "\n", 0o600)
    other = story.folder / "other"
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=other",
        "-keyout",
        other,
        "-out",
        f"{other}.pem",
    )
    w1.put("/etc/other-ca.pem", (story.folder / "other.pem").read_text())
    sh(w1, "cp -p /etc/old.pem /etc/other-ca.pem /run/; rm /etc/old.pem /etc/other-ca.pem")


def fill(story, script):
    return re.sub(r"\bCP\b", story.lab["cp1"].address, script)


def plant(story, script):
    w1 = story.lab["w1"]
    sh(w1, "systemctl stop kubelet; systemctl reset-failed kubelet 2>/dev/null || true")
    sh(w1, fill(story, script))
    story.kubectl("delete", "node", "w1", "--ignore-not-found")
    sh(w1, "systemctl start --no-block kubelet")


def test_nothing_is_wrong(story):
    """Before anything is planted. A server that was asked too early may count for some seconds more."""

    def healthy():
        assert why(story).out == "Cluster story is healthy.\n"
        r = story.cli.run("cluster", "why", "story", "-o", "json")
        return r.code == 0 and r.json["healthy"] is True and r.json["findings"] == []

    wait_for("nothing to tell", healthy, 60, 1)


@pytest.mark.parametrize("cause", PLANTS)
def test_planted(story, stuff, cause):
    says, do, undo = PLANTS[cause]
    plant(story, do)
    if cause == "NODE_DELETED":  # it registers itself when it starts, and then not again
        wait_for("w1 to register", lambda: "w1" in story.kubectl("get", "nodes"))
        story.kubectl("delete", "node", "w1")
    try:
        named(story, cause, "w1", fill(story, says))
    finally:
        sh(story.lab["w1"], fill(story, undo))


TWO = [
    ("SWAP_ON", "FLAG_UNKNOWN"),
    ("PORT_IN_USE", "CERT_EXPIRED"),
    ("CIDR_CLASH", "PORT_BLOCKED"),
    ("PROGRAM_MISSING", "UNIT_STOPPED"),
]


@pytest.mark.parametrize(("first", "second"), TWO)
def test_of_two_the_first_to_mend(story, stuff, first, second):
    plants = [PLANTS[x] for x in (second, first)]
    plant(story, ";".join(p[1] for p in plants))
    try:
        r = named(story, first, "w1", fill(story, PLANTS[first][0]))
        wait_for("the second", lambda: f"\nthen: {second} w1: " in why(story).out, 30)
        assert r.code == 2
    finally:
        sh(story.lab["w1"], fill(story, ";".join(p[2] for p in plants)))


# cause: (node, what to say, plant, undo), of hosts that cannot be asked or are not ours any more.
HOSTS = {
    "SSH_UNREACHABLE": ("w1", "refused on port 22", "systemctl stop ssh.socket ssh", "systemctl start ssh"),
    "SSH_AUTH": (
        "w1",
        "refused",
        "chmod 0777 /root/.ssh/authorized_keys",
        "chmod 0600 /root/.ssh/authorized_keys",
    ),
    "SSH_HOST_KEY": (
        "w1",
        "HOST KEY CHANGED",
        "cp -p /etc/ssh/ssh_host_ed25519_key* /run/; rm /etc/ssh/ssh_host_ed25519_key*;"
        "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh",
        "cp -p /run/ssh_host_ed25519_key* /etc/ssh/; systemctl restart ssh",
    ),
    "HOST_EMPTY": (
        "w1",
        "nothing of the cluster",
        "mv /var/lib/kubecdn /run/kept.d",
        "mv /run/kept.d /var/lib/kubecdn",
    ),
    "HOST_FOREIGN": (
        "w1",
        "belongs to cluster other",
        *edited(
            "/var/lib/kubecdn/marker.json", 's/"cluster":"story"/"cluster":"other"/;s/"uid":"./"uid":"x/'
        ),
    ),
}


@pytest.mark.parametrize("cause", HOSTS)
def test_host(story, cause):
    node, says, do, undo = HOSTS[cause]
    plant(story, do)
    try:
        named(story, cause, node, says)
    finally:
        sh(story.lab[node], undo)


UP = "systemctl start etcd kube-apiserver"
# The same of the control plane, whose API is down then.
CONTROL_PLANE = {
    "UNIT_STOPPED": ("kube-apiserver is stopped", "systemctl stop kube-apiserver", UP),
    "FLAG_UNKNOWN": (
        "kube-apiserver says: .*unknown flag: --no-such-flag",
        "systemctl stop kube-apiserver;"
        + reloaded(edited(f"{UNIT}/kube-apiserver.service", r"s|--profiling|--no-such-flag=1 &|"))[0]
        + "; systemctl start --no-block kube-apiserver",
        f"cat /run/kept >{UNIT}/kube-apiserver.service; systemctl daemon-reload;"
        "systemctl restart kube-apiserver",
    ),
    "ETCD_DATA_LOST": (
        "member0.* is gone",
        "systemctl stop kube-apiserver etcd; mv /var/lib/etcd/member0 /var/lib/etcd/kept;"
        "systemctl start --no-block etcd kube-apiserver",
        f"mv /var/lib/etcd/kept /var/lib/etcd/member0; {UP}",
    ),
    "PORT_IN_USE": (
        "port 6443, which kube-apiserver needs",
        "systemctl stop kube-apiserver;" + holder(6443)[0] + "; systemctl start --no-block kube-apiserver",
        f"systemctl stop taker; {UP}; systemctl start kubelet",
    ),
    "CONFIG_INVALID": (
        "kube-apiserver says",
        edited("/etc/kubernetes/encryption.json", "s/^{/{{/")[0]
        + "; systemctl restart --no-block kube-apiserver",
        f"cat /run/kept >/etc/kubernetes/encryption.json; {UP}",
    ),
}


API = "$(systemctl show -P MainPID kube-apiserver)"
# One that hangs takes its ten seconds once.
CONTROL_PLANE["API_DOWN"] = ("no answer|timed out|10 s", f"kill -STOP {API}", f"kill -CONT {API}")


@pytest.mark.parametrize("cause", CONTROL_PLANE)
def test_control_plane(story, cause):
    says, do, undo = CONTROL_PLANE[cause]
    sh(story.lab["cp1"], do)
    try:
        named(story, cause, "cp1", says)
    finally:
        sh(story.lab["cp1"], undo)


@pytest.mark.slow
def test_a_slow_disk(story):
    """Every write of etcd's takes 150 ms longer. It may still do, so this is no cause by itself."""
    cp1 = story.lab["cp1"]
    unpack(cp1, "strace", "libunwind8")
    pid = sh(cp1, "systemctl restart etcd; systemctl show -P MainPID etcd")
    slow = f"strace -f -qq -o /dev/null -e inject=fdatasync:delay_exit=150ms -e trace=fdatasync -p {pid}"
    sh(cp1, f"systemd-run -q --collect --unit=slow {slow}")

    def look():
        for i in range(15):
            story.kubectl("annotate", "--overwrite", "namespace", "default", f"x={i}", check=False)
        findings = json.loads(why(story, "-o", "json").out)["findings"]
        return next((f for f in findings if f["id"] == "ETCD_DISK_SLOW" and f["node"] == "cp1"), None)

    try:
        found = wait_for("the slow disk", look, 90, 2)
        assert "took 128 ms or longer" in found["text"] and "SSD" in found["fix"]
    finally:
        sh(cp1, "systemctl stop slow; systemctl restart etcd")


def test_archive_for_helpers(story):
    """All that was seen, for nobody but us, and with none of the cluster's secrets in it."""
    file = story.folder / "why.tar"
    r = story.cli.run("cluster", "why", "story", "--bundle", file)
    assert r.code in (0, 2) and f"Wrote {file}" in r.err, r
    assert file.stat().st_mode & 0o777 == 0o600 and list(story.folder.glob("why.tar*")) == [file]
    names = run("tar", "-tf", file).stdout.splitlines()
    files = "why.json", "cluster.json", "version.json", "logs/w1/kubelet.service.log"
    assert {f"why/{x}" for x in files} <= set(names)
    text = run("tar", "-xOf", file).stdout
    assert "PRIVATE KEY" not in text and "eyJ" not in text
    for host in story.lab:
        for key in sh(host, f"cat {PKI}/*.key").split("-----"):
            body = key.strip()
            assert len(body) < 60 or body not in text
    assert run("tar", "-xOf", file, "why/logs/w1/kubelet.service.log").stdout.count("\n") > 3


def test_wrong_use(story):
    for args, code, word in (
        ((), 64, "which cluster"),
        (("nosuch",), 1, 'no cluster "nosuch"'),
        (("story", "--bundle", "/nowhere/x.tar"), 1, "/nowhere/x.tar"),
        (("story", "w1", "x"), 64, "argument"),
    ):
        r = story.cli.run("cluster", "why", *args)
        assert r.code == code and word in r.err and len(r.error_lines) == 1, r
    r = story.cli.run("cluster", "why", "--causes", "-o", "json")
    assert {c["id"] for c in json.loads(r.out)} >= {*PLANTS, *HOSTS, *CONTROL_PLANE}
