"""What can be broken on a node: by shell scripts, each with one that puts it right, and with what
`cluster why` is to say of it. CP stands for the control plane's address; stuff that a script needs (other
certificates) is in /run."""

PKI = "/etc/kubernetes/pki"
CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
UNIT = "/etc/systemd/system"
CTR = "/opt/kubecdn/bin/ctr -n k8s.io images"
# A whole name: of a short one the CRI would remember another than containerd has.
PAUSE, KEPT = "kubecdn.io/pause:1", "kubecdn.io/kept:1"
FAKE_MEMORY = r"s/^SwapTotal:.*/SwapTotal: 524288 kB/"
SWAPS = r"Filename Type Size Used Priority\n/dev/vdb partition 524284 0 -2\n"
SWAP = (
    f"sed '{FAKE_MEMORY}' /proc/meminfo >/run/meminfo; printf '{SWAPS}' >/run/swaps;"
    "mount --bind /run/meminfo /proc/meminfo; mount --bind /run/swaps /proc/swaps",
    "umount /proc/meminfo /proc/swaps",
)


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


def instead_of_the_kubelets(which):
    """Another client certificate than its own, of those that stuff() makes."""
    take = f"cp -P {CLIENT} /run/link; ln -sf /run/{which}.pem {CLIENT}"
    return take, f"cp -P --remove-destination /run/link {CLIENT}"


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
    "MEMORY_SHORT": (
        "390 MiB of memory",
        "sed 's/^MemTotal:.*/MemTotal: 400000 kB/' /proc/meminfo >/run/meminfo;"
        "mount --bind /run/meminfo /proc/meminfo",
        "umount /proc/meminfo",
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
    "SELINUX_ENFORCING": (
        "SELinux is enforcing",
        "mkdir -p /run/fs/cgroup /run/fs/selinux; printf 1 >/run/fs/selinux/enforce;"
        "mount --rbind /sys/fs/cgroup /run/fs/cgroup; mount --make-rprivate /run/fs/cgroup;"
        "mount --rbind /run/fs /sys/fs; mount --make-rprivate /sys/fs",
        "umount -l /sys/fs; umount -l /run/fs/cgroup",
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
    "CERT_EXPIRED": (f"{CLIENT} has ended", *instead_of_the_kubelets("old")),
    "CERT_NOT_YET_VALID": (f"{CLIENT} begins in the future", *instead_of_the_kubelets("early")),
    "CERT_NAME": ("kubelet says: .*node 'w9' cannot read 'w1'", *instead_of_the_kubelets("another")),
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
    "LIMIT_REACHED": ("kubelet says: .*too many open files", *drop_in("kubelet", "LimitNOFILE=20")),
    "UNIT_STOPPED": ("containerd is stopped", "systemctl stop containerd", "systemctl start containerd"),
    "IMAGE_MISSING": (
        "pause is not among its images",
        f"{CTR} tag --force {PAUSE} {KEPT} >/dev/null; {CTR} rm {PAUSE} >/dev/null",
        f"{CTR} tag {KEPT} {PAUSE} >/dev/null; {CTR} rm {KEPT} >/dev/null",
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

# Those whose fix is to update the cluster.
UPDATES = {
    "PROGRAM_DAMAGED",
    "CERT_NAME",
    "CERT_BROKEN",
    "CERT_UNKNOWN_CA",
    "FLAG_UNKNOWN",
    "IMAGE_MISSING",
    "KEY_ACCESS",
    "CHANGED",
}

# Of two at once the first is to be mended first.
TWO = [
    ("SWAP_ON", "FLAG_UNKNOWN"),
    ("PORT_IN_USE", "CERT_EXPIRED"),
    ("CIDR_CLASH", "PORT_BLOCKED"),
    ("PROGRAM_MISSING", "UNIT_STOPPED"),
]

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
    "ETCD_CORRUPT": (
        "etcd says",
        "systemctl stop kube-apiserver etcd; cp -a /var/lib/etcd/member0 /var/lib/etcd/kept;"
        "dd if=/dev/zero of=/var/lib/etcd/member0/member/snap/db bs=4096 count=4 conv=notrunc 2>/dev/null;"
        "systemctl start --no-block etcd kube-apiserver",
        "systemctl stop etcd; rm -rf /var/lib/etcd/member0;"
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
