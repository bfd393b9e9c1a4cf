"""Hosts that are not ours: hardened and odd ones. As many oddities at a time as go together, and
the cluster is the same as ever; what cannot go is named by preflight."""

import json
import pwd

import pytest
from lab import yaml
from lab.cli import Cli, assert_refused
from lab.hosts import LabHosts, run
from lab.packages import unpack
from lab.snapshot import assert_back, snapshot

# 60 characters, as node names may be.
LONG = "edge-host-with-a-name-that-somebody-in-another-team-chose-01"

CSHRC = """umask 027
setenv LC_ALL de_DE.UTF-8
setenv TZ America/St_Johns
echo "Welcome! Unauthorised use is prohibited."
echo '{"motd": "shells may say anything", "error": "not yours", "code": -1}'
echo "KUBECDN is not what this line is about"
"""
FISHRC = CSHRC.replace("setenv", "set -gx")
ZONES = {"cp1": "Asia/Kathmandu", "w1": "Pacific/Chatham"}

FIREWALLD = "/run/systemd/system/firewalld.service"
UNIT = "[Service]\\nExecStart=/bin/sleep 9999\\n"
START_FIREWALLD = f"printf '{UNIT}' >{FIREWALLD} && systemctl start firewalld"
STOP_FIREWALLD = f"systemctl stop firewalld; rm {FIREWALLD}; systemctl daemon-reload"


def odd_shell(host, shell, rc, text):
    """The user's login shell, with a noisy file that it always reads."""
    home = host.root / "home/ops"
    (home / rc).parent.mkdir(parents=True, exist_ok=True)
    (home / rc).write_text(text)
    host.enter("chown", "-R", "ops:", "/home/ops")
    host.enter("usermod", "-s", shell, "ops")


def mount(host, *args):
    host.enter("mount", *args)


def make_odd(lab):
    cp1, w1 = lab["cp1"], lab["w1"]
    unpack(cp1, "fish", "fish-common", "libpcre2-32-0")
    odd_shell(cp1, "/usr/bin/fish", ".config/fish/config.fish", FISHRC)
    unpack(w1, "tcsh")
    odd_shell(w1, "/bin/tcsh", ".cshrc", CSHRC)
    for h in lab:
        h.enter("ln", "-sfn", f"/usr/share/zoneinfo/{ZONES[h.name]}", "/etc/localtime")
        h.put("/etc/default/locale", "LANG=tr_TR.UTF-8\n")
        mount(h, "-t", "tmpfs", "-o", "noexec,nosuid,nodev", "tmpfs", "/tmp")
        h.enter(
            "ip",
            "address",
            "add",
            f"10.77.0.{h.address.split('.')[3]}/24",
            "dev",
            "eth0",
        )
    # A second interface, with an address that sorts before the node's.
    w1.enter("ip", "link", "add", "storage0", "type", "bridge")
    w1.enter("ip", "address", "add", "10.0.0.9/24", "dev", "storage0")
    w1.enter("ip", "link", "set", "storage0", "up")
    mount(w1, "-o", "remount,noexec", "/dev/shm")
    mount(w1, "--bind", "/usr", "/usr")
    mount(w1, "-o", "remount,bind,ro", "/usr")
    mount(w1, "--bind", "/dev/null", "/usr/bin/gzip")


class Configured(Cli):
    """The program where root's ~/.ssh is ours: ssh looks in the user's real home. cp1 is reached by
    libssh2; w1 has a name that only ssh_config knows, behind cp1."""

    def __init__(self, folder, lab):
        super().__init__(folder / "state", home=folder)
        self.ssh = folder / "ssh"
        self.ssh.mkdir(mode=0o700)
        config = "".join(
            f"Host {name}\n  HostName {host.address}\n  User ops\n  IdentityFile {lab.key}\n{more}"
            for name, host, more in (
                ("w1.edge", lab["w1"], "  ProxyJump jump.edge\n"),
                ("jump.edge", lab["cp1"], ""),
            )
        )
        (self.ssh / "config").write_text(config)
        known = "".join(f"{h.address} {h.host_key}\n" for h in lab)
        (self.ssh / "known_hosts").write_text(known)

    def argv(self, *args):
        script = 'mkdir -p ~/.ssh && mount --bind "$0" ~/.ssh && HOME=$H exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, str(self.ssh), *super().argv(*args)]

    def env(self):
        home = pwd.getpwuid(0).pw_dir
        return {**super().env(), "H": str(self.home), "HOME": home}


@pytest.fixture(scope="module")
def lab(built):
    user = {"user": "ops", "sudo": True, "root": False}
    with LabHosts({"cp1": user, "w1": user}) as made:
        make_odd(made)
        yield made


@pytest.fixture(scope="module")
def manifest(lab, tmp_path_factory):
    file = tmp_path_factory.mktemp("odd") / "cluster.yaml"
    hosts = [
        yaml.host_entry(lab["cp1"], "control-plane"),
        yaml.host_entry(
            lab["w1"],
            "worker",
            name=LONG,
            ssh={"host": "w1.edge", "transport": "openssh"},
        ),
    ]
    file.write_text(yaml.cluster("odd", hosts))
    return file


@pytest.fixture(scope="module")
def odd_cli(manifest, lab):
    return Configured(manifest.parent, lab)


def test_they_are_odd(lab):
    """Or the rest says nothing."""
    for host, shell in (("cp1", "fish"), ("w1", "tcsh")):
        out = lab[host].ssh("umask").stdout
        assert "Welcome!" in out and out.splitlines()[-1] in ("27", "0027"), out
        passwd = lab[host].enter("getent", "passwd", "ops").stdout
        assert passwd.strip().endswith(shell)
        r = lab[host].enter("sh", "-c", "cp /bin/true /tmp/x && /tmp/x", check=False)
        assert r.returncode == 126, r
        lab[host].enter("rm", "/tmp/x")
    assert lab["w1"].enter("touch", "/usr/x", check=False).returncode
    assert "no gzip" in lab["w1"].ssh("which gzip || echo no gzip").stdout
    assert "no gzip" not in lab["cp1"].ssh("which gzip; or echo no gzip").stdout
    assert len(LONG) == 60


@pytest.mark.parametrize(
    ("oddity", "undo", "says", "fix"),
    [
        (
            "mount --bind /opt /opt && mount -o remount,bind,ro /opt",
            "umount /opt",
            "/opt cannot be written: Read-only",
            "use a host whose /opt",
        ),
        (
            START_FIREWALLD,
            STOP_FIREWALLD,
            "firewalld is active",
            "systemctl disable --now firewalld",
        ),
    ],
    ids=["read-only /opt", "firewalld"],
)
def test_what_cannot_go_is_named(lab, odd_cli, manifest, oddity, undo, says, fix):
    lab["w1"].enter("sh", "-c", oddity)
    try:
        before = snapshot(lab["w1"])["files"]
        for act in ([], ["--yes"]):
            r = odd_cli.run("cluster", "create", "-f", manifest, *act)
            assert_refused(r, LONG, says, fix)
        assert snapshot(lab["w1"])["files"] == before
    finally:
        lab["w1"].enter("sh", "-c", undo)


def test_a_whole_life(lab, odd_cli, manifest, kubectl):
    before = {h.name: snapshot(h) for h in lab}
    odd_cli.ok("cluster", "create", "-f", manifest, "--yes")
    config = odd_cli.kubeconfig("odd", manifest.parent / "kubeconfig")
    nodes = json.loads(
        run(kubectl, "--kubeconfig", config, "get", "nodes", "-o", "json").stdout
    )
    address = {
        n["metadata"]["name"]: a["address"]
        for n in nodes["items"]
        for a in n["status"]["addresses"]
        if a["type"] == "InternalIP"
    }
    assert address == {"cp1": lab["cp1"].address, LONG: lab["w1"].address}
    # What others have to read can be read, whatever the umask was; and keys cannot.
    modes = (
        lab["w1"]
        .enter(
            "stat",
            "-c",
            "%a",
            "/opt/kubecdn/bin/kube",
            "/etc/kubernetes/pki/ca.crt",
            "/etc/kubernetes/pki/kube-proxy.key",
        )
        .stdout.split()
    )
    assert modes == ["755", "644", "600"]
    r = odd_cli.run("cluster", "update", "odd", "--detailed-exitcode")
    assert r.code == 0, r
    odd_cli.ok("cluster", "delete", "odd", "--yes")
    for h in lab:
        assert_back(before[h.name], h)
