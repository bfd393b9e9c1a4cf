"""The node agent on a real host: it makes what a spec says, sees that it is so, puts it back.

Certificates are signed here by openssl, blobs are packed by zstd: nothing of ours but the agent.
"""

import copy
import hashlib
import json
import os
import subprocess
import time

import pytest
from lab.agent import AGENT, Agent, agent_binary, blob_of
from lab.ca import Ca
from lab.hosts import LabHosts, wait_for
from lab.snapshot import assert_same, snapshot

HMAC_KEY = hashlib.sha256(b"of this node").hexdigest()
UID = "6f2a1f0e-0000-4000-8000-000000000001"


PROGRAM = b"""#!/bin/sh
# A service whose state is what its file said when it started.
cp /etc/kctest/conf /run/kctest.seen
exec sleep 100000
"""

UNIT = """[Unit]
Description=test service

[Service]
Type=exec
ExecStart=/opt/kctest/bin/program
Restart=always

[Install]
WantedBy=multi-user.target
"""


def make_spec(blob):
    def task(task_id, kind, want, *after):
        return {"id": task_id, "kind": kind, "want": want, "after": list(after)}

    conf = {
        "$cat": ["name=", {"$fact": "name"}, "\n", {"$json": {"b": 1, "a": [True]}}]
    }
    cert = {
        "cert": "/etc/kctest/pki/server.crt",
        "key": "/etc/kctest/pki/server.key",
        "combined": False,
        "cn": {"$cat": ["system:node:", {"$fact": "name"}]},
        "orgs": ["system:nodes"],
        "sans": [{"$fact": "address"}, {"$fact": "name"}],
        "uses": ["server", "client"],
        "ca": "ca",
        "seconds": 864000,
    }
    both = {
        **cert,
        "cert": "/etc/kctest/pki/client.pem",
        "key": "/etc/kctest/pki/client.pem",
        "combined": True,
        "sans": [],
        "uses": ["client"],
    }
    return {
        "format": 1,
        "checks": [
            {"id": c, "check": c}
            for c in ("swap", "root", "kernel", "usr-writable", "foreign", "firewall")
        ]
        + [
            {"id": "nft", "check": "program", "name": "nft", "package": "nftables"},
            {"id": "memory", "check": "min-memory", "mib": 100},
            {"id": "ports", "check": "ports-free", "ports": [17445]},
        ],
        "tasks": [
            task(
                "teardown",
                "teardown",
                {
                    "links": ["kctest0"],
                    "nft": ["ip kctest"],
                    "paths": [
                        "/var/lib/kctest",
                        "/var/lib/kubelet",
                        "/run/kctest.seen",
                    ],
                    "sysctls": ["net.ipv4.conf.all.route_localnet"],
                },
            ),
            task(
                "dir/opt",
                "dir",
                {"path": "/opt/kctest/bin", "mode": "0755"},
                "teardown",
            ),
            task(
                "dir/pki",
                "dir",
                {"path": "/etc/kctest/pki", "mode": "0700"},
                "teardown",
            ),
            task(
                "blob/p", "blob", {**blob, "path": "/opt/kctest/bin/program"}, "dir/opt"
            ),
            task(
                "file/conf",
                "file",
                {"path": "/etc/kctest/conf", "mode": "0644", "content": conf},
            ),
            task(
                "file/secret",
                "file",
                {
                    "path": "/etc/kctest/secret",
                    "mode": "0600",
                    "content": {"$secret": "token"},
                },
            ),
            task(
                "file/motd",
                "file",
                {"path": "/etc/motd", "mode": "0600", "content": "ours\n"},
            ),
            task(
                "link/p",
                "link",
                {"path": "/opt/kctest/p", "target": "bin/program", "initial": False},
                "dir/opt",
            ),
            task(
                "link/now",
                "link",
                {"path": "/etc/kctest/now", "target": "one", "initial": True},
                "dir/pki",
            ),
            task(
                "sysctl/a",
                "sysctl",
                {"key": "net.ipv4.ip_forward", "value": "1"},
                "teardown",
            ),
            task("module/overlay", "module", {"name": "overlay"}),
            task("cert/server", "cert", cert, "dir/pki"),
            task("cert/client", "cert", both, "dir/pki"),
            task(
                "unit/kctest",
                "unit",
                {
                    "name": "kctest.service",
                    "content": UNIT,
                    "inputs": [
                        {"$ref": "file/conf#rev"},
                        {"$ref": "file/secret#rev"},
                        {"$ref": "blob/p#rev"},
                        {"$ref": "cert/server#rev"},
                    ],
                    "enabled": True,
                    "active": True,
                    "probe": {"file": "/run/kctest.seen"},
                },
                "teardown",
            ),
        ],
    }


class Site:
    """One host, its agent, an envelope and a CA."""

    def __init__(self, host, directory):
        self.host, self.ca = host, Ca(directory)
        self.blob, self.packed = blob_of(PROGRAM)
        (host.root / "opt/kubecdn/bin").mkdir(parents=True)
        target = host.root / AGENT.lstrip("/")
        target.write_bytes(agent_binary().read_bytes())
        target.chmod(0o755)
        self.agent = Agent(host)
        self.envelope = {
            "format": 1,
            "protocol": 2,
            "uid": UID,
            "fence": 3,
            "cluster": "t",
            "node": {"name": host.name, "address": host.address},
            "spec": make_spec(self.blob),
            "hmacKey": HMAC_KEY,
            "secrets": {
                "pki/ca.crt": {"version": 1, "value": self.ca.pem},
                "token": {"version": 1, "value": "s3cret-once"},
            },
        }

    def wants(self, task_id):
        want = next(t for t in self.envelope["spec"]["tasks"] if t["id"] == task_id)[
            "want"
        ]
        text = json.dumps(want)
        for key in ("name", "address"):
            text = text.replace(
                json.dumps({"$fact": key}), json.dumps(self.envelope["node"][key])
            )
        return json.loads(text)

    def send(self):
        missing = self.agent.call("plan", self.envelope)["blobs"]
        frames = b"".join(
            json.dumps({"sha256": b, "size": len(self.packed)}).encode()
            + b"\n"
            + self.packed
            for b in missing
        )
        r = self.agent.raw("recv", frames)
        assert r.returncode == 0, r.stderr
        return missing

    def sign(self, envelope, days=10):
        csrs = self.agent.call("csr", envelope)["csrs"]
        certs = {i: self.ca.sign(c, self.wants(i), days) for i, c in csrs.items()}
        return {**envelope, "certs": certs}

    def apply(self, days=10):
        self.send()
        envelope = self.sign(self.envelope, days)
        return self.agent.lines("apply", envelope)[1]

    def start(self, envelope):
        """apply in the background: (its ssh, its first event)."""
        h = self.host
        p = subprocess.Popen(
            [
                "ssh",
                "-i",
                str(h.lab.key),
                "-o",
                f"UserKnownHostsFile={h.dir / 'known_hosts'}",
            ]
            + [f"root@{h.address}", f"{AGENT} apply"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        p.stdin.write(json.dumps(envelope).encode())
        p.stdin.close()
        return p, json.loads(p.stdout.readline())

    def slow(self):
        """From now on the unit takes two seconds to start."""
        want = self.envelope["spec"]["tasks"][-1]["want"]
        want["content"] = UNIT.replace("Type=exec", "Type=exec\nExecStartPre=sleep 2")

    def file(self, path):
        return (self.host.root / path.lstrip("/")).read_text()


@pytest.fixture
def site(tmp_path):
    agent_binary()
    with LabHosts(["n1"]) as lab:
        host = lab["n1"]
        # IPv6 checks for duplicates for a second; the snapshot is of what comes after.
        wait_for("addresses", lambda: not host.ssh("ip -6 addr show tentative").stdout)
        host.before = snapshot(host)
        yield Site(host, tmp_path)


def test_the_whole_life_of_a_host(site):
    host, agent, envelope = site.host, site.agent, site.envelope

    # A preview names everything and changes nothing.
    installed = snapshot(host)
    preview = agent.call("plan", envelope)
    assert {c["id"]: c["why"] for c in preview["checks"] if not c["ok"]} == {}
    assert {t["action"] for t in preview["plan"]} <= {"create", "update", "keep"}
    assert len([t for t in preview["plan"] if t["action"] != "keep"]) >= 12
    assert preview["blobs"] == [site.blob["blob"]]
    assert "s3cret-once" not in json.dumps(preview)
    assert_same(installed, snapshot(host))

    lines = site.apply()
    assert "result" in lines[-1], lines[-3:]
    assert lines[0]["event"] == "begin"
    assert "s3cret-once" not in json.dumps(lines)

    # What others see of it.
    assert site.file("/etc/kctest/conf") == 'name=n1\n{"a":[true],"b":1}'
    assert site.file("/etc/kctest/secret") == "s3cret-once"
    assert (host.root / "etc/kctest/secret").stat().st_mode & 0o777 == 0o600
    assert host.ssh("systemctl is-enabled kctest").stdout.strip() == "enabled"
    assert host.ssh("systemctl is-active kctest").stdout.strip() == "active"
    assert host.ssh("cat /proc/sys/net/ipv4/ip_forward").stdout.strip() == "1"
    host.ssh("openssl version", check=False)
    modulus = site.ca.run(
        "x509",
        "-noout",
        "-pubkey",
        input=site.file("/etc/kctest/pki/server.crt").encode(),
    ).stdout
    key = site.ca.run(
        "pkey", "-pubout", input=site.file("/etc/kctest/pki/server.key").encode()
    ).stdout
    assert modulus == key
    assert not (host.root / "var/lib/kubecdn/blobs").exists()
    kept = subprocess.run(
        [
            "grep",
            "-rl",
            "s3cret-once",
            host.root / "var",
            host.root / "run",
            host.root / "etc",
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert kept.splitlines() == [str(host.root / "etc/kctest/secret")]

    # Nothing to do, nothing to sign, nothing to send.
    assert agent.pending(envelope) == {}
    assert agent.call("csr", envelope)["csrs"] == {}
    assert agent.call("plan", envelope)["blobs"] == []

    # A changed secret restarts what runs with it, and only that is done.
    pid = host.ssh("systemctl show -p MainPID --value kctest").stdout
    changed = copy.deepcopy(envelope)
    changed["secrets"]["token"] = {"version": 2, "value": "s3cret-twice"}
    assert set(agent.pending(changed)) == {"file/secret", "unit/kctest"}
    agent.call("apply", changed)
    assert host.ssh("systemctl show -p MainPID --value kctest").stdout != pid
    assert agent.pending(changed) == {}

    # Drift of every sort is seen and mended.
    host.ssh(
        "echo x >> /etc/kctest/conf; chmod 644 /etc/kctest/secret; rm /opt/kctest/p;"
        "echo 0 > /proc/sys/net/ipv4/ip_forward; echo >> /opt/kctest/bin/program;"
        "ln -sfn two /etc/kctest/now; systemctl stop kctest"
    )
    assert set(agent.pending(changed)) == {
        "file/conf",
        "file/secret",
        "link/p",
        "sysctl/a",
        "blob/p",
        "unit/kctest",
    }
    site.send()
    agent.call("apply", changed)
    assert agent.pending(changed) == {}
    assert os.readlink(host.root / "etc/kctest/now") == "two"

    # What the cluster's programs leave behind goes with it.
    host.ssh(
        "ip link add kctest0 type dummy; nft add table ip kctest;"
        "mkdir -p /var/lib/kctest/a /var/lib/kubelet/pods/x;"
        "mount -t tmpfs t /var/lib/kubelet/pods/x; touch /var/lib/kubelet/pods/x/f;"
        "mkdir -p /sys/fs/cgroup/pids/kubepods/podx 2>/dev/null || mkdir -p"
        " /sys/fs/cgroup/kubepods/podx; cd $(ls -d /sys/fs/cgroup/pids/kubepods/podx"
        " /sys/fs/cgroup/kubepods/podx 2>/dev/null | head -1);"
        "setsid sh -c 'echo $$ > cgroup.procs; exec sleep 9999' >/dev/null 2>&1 < /dev/null &"
    )
    reset = {k: envelope[k] for k in ("format", "uid", "cluster", "fence")}
    reset["protocol"] = 1  # as an earlier release's would say it
    agent.call("reset", reset)
    assert_same(host.before, snapshot(host))


def test_a_service_that_does_not_stop(site):
    """What systemd has to kill has failed for it, and is about to start again all the same."""
    slow = "[Service]\nType=oneshot\nExecStart=sleep 2\n"
    site.host.put("/etc/systemd/system/slow.service", slow)
    want = site.envelope["spec"]["tasks"][-1]["want"]
    want["content"] = UNIT.replace("Type=exec", "Type=exec\nKillSignal=SIGCONT\nTimeoutStopSec=1")
    site.apply()
    want["content"] = want["content"].replace(
        "test service", "changed\nWants=slow.service\nAfter=slow.service"
    )
    site.apply()
    assert site.agent.pending(site.envelope) == {}
    log = site.host.ssh("journalctl -q -u kctest -o cat").stdout
    assert "Failed with result 'timeout'" in log


def test_a_removal_that_was_cut_off(site):
    """Half of a pair of files, a half of a file, a unit that systemd still knows: reset is not through
    with them. A file that it has put back already is the host's again."""
    motd = (site.host.root / "etc/motd").read_bytes()
    site.apply()
    notes = site.host.root / "var/lib/kubecdn/before.json"
    noted = json.loads(notes.read_text())
    del noted["file:/etc/motd"]
    notes.write_text(json.dumps(noted))
    (site.host.root / "etc/motd").write_bytes(motd)
    site.host.ssh("chmod 644 /etc/motd; mv /opt/kctest/bin/program /opt/kctest/bin/program.kubecdn-tmp")
    site.host.ssh(
        "systemctl stop kctest; rm /etc/systemd/system/kctest.service"
        " /etc/systemd/system/multi-user.target.wants/kctest.service /etc/kctest/pki/server.crt"
    )
    reset = {k: site.envelope[k] for k in ("format", "protocol", "uid", "cluster", "fence")}
    site.agent.call("reset", reset)
    assert_same(site.host.before, snapshot(site.host))


def test_who_may_work_here(site):
    agent, envelope = site.agent, site.envelope
    site.apply()
    foreign = {**envelope, "uid": "someone-else"}
    failed = [c for c in agent.call("plan", foreign)["checks"] if not c["ok"]]
    assert [c["id"] for c in failed] == ["foreign"]
    assert agent.raw("apply", json.dumps(foreign).encode()).returncode == 76
    assert agent.raw("reset", json.dumps(foreign).encode()).returncode == 76
    old = {**envelope, "fence": 2}
    assert agent.raw("apply", json.dumps(old).encode()).returncode == 75
    assert agent.raw("csr", json.dumps(old).encode()).returncode == 75
    assert agent.pending(envelope) == {}
    agent.call("apply", {**envelope, "fence": 9})
    assert agent.raw("apply", json.dumps(envelope).encode()).returncode == 75


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"protocol": 99}, "protocol 99"),
        ({"protocol": 1}, "protocol 1; this agent"),
        ({"uid": 5}, 'no string "uid"'),
        ({"hmacKey": "short"}, "hmacKey must be 64 hex digits"),
        (
            {"spec": {"format": 1, "tasks": [{"id": "a", "kind": "nope", "want": {}}]}},
            "nope",
        ),
        (
            {
                "spec": {
                    "format": 1,
                    "tasks": [
                        {
                            "id": "f",
                            "kind": "file",
                            "want": {
                                "path": "/etc/kcbad",
                                "mode": "0644",
                                "content": {"$fact": "colour"},
                            },
                        }
                    ],
                }
            },
            'the fact "colour"',
        ),
    ],
)
def test_bad_envelopes(pair_agent, change, says):
    agent, envelope = pair_agent
    r = agent.raw("plan", json.dumps({**envelope, **change}).encode())
    assert r.returncode == 1
    assert says in r.stderr.decode()
    assert len(r.stderr.decode().splitlines()) == 1


@pytest.fixture(scope="module")
def pair_agent():
    binary = agent_binary()
    with LabHosts(["n1"]) as lab:
        (lab["n1"].root / "root/agent").write_bytes(binary.read_bytes())
        (lab["n1"].root / "root/agent").chmod(0o755)
        yield (
            Agent(lab["n1"], "/root/agent"),
            {
                "format": 1,
                "protocol": 2,
                "uid": UID,
                "fence": 1,
                "cluster": "t",
                "node": {"name": "n1"},
                "spec": {"format": 1, "tasks": []},
            },
        )


def test_not_json(pair_agent):
    r = pair_agent[0].raw("plan", b"hello")
    assert r.returncode == 1
    assert "not JSON" in r.stderr.decode()


def test_changed_blobs_are_refused(pair_agent):
    agent = pair_agent[0]
    head = json.dumps({"sha256": "0" * 64, "size": 3}).encode() + b"\n"
    r = agent.raw("recv", head + b"abc")
    assert (r.returncode, "changed on the way" in r.stderr.decode()) == (1, True)
    r = agent.raw("recv", head + b"a")
    assert (r.returncode, "2 bytes early" in r.stderr.decode()) == (1, True)
    assert agent.host.ssh("ls /var/lib/kubecdn/blobs").stdout == ""
    agent.host.ssh("rm -r /var/lib/kubecdn")


def test_apply_survives_the_loss_of_ssh(site):
    """Cut the connection in the middle; the same command attaches or finds it done."""
    site.slow()
    site.send()
    envelope = site.sign(site.envelope)
    first, begin = site.start(envelope)
    first.kill()
    first.wait()
    second, lines = site.agent.lines("apply", envelope)
    assert second.returncode == 0, lines[-3:]
    assert lines[0]["pid"] == begin["pid"]
    assert site.agent.pending(site.envelope) == {}


def test_a_newer_operator_takes_over(site):
    """A higher fence stops what runs; the older operator learns of it."""
    site.slow()
    site.send()
    envelope = site.sign(site.envelope)
    first, begin = site.start(envelope)
    r, lines = site.agent.lines("apply", {**envelope, "fence": 4})
    assert r.returncode == 0, lines[-3:]
    assert lines[0]["pid"] != begin["pid"]
    last = json.loads(first.stdout.read().decode().splitlines()[-1])
    assert "error" in last, last
    first.wait()
    assert first.returncode != 0
    assert site.agent.pending({**envelope, "fence": 4}) == {}


def test_kill_9_and_again(site):
    """Killed wherever it stands, the same command ends in the same state; so does reset."""
    envelope = None
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2):
        site.send()
        envelope = site.sign(site.envelope)
        p, begin = site.start(envelope)
        time.sleep(delay)
        site.host.ssh(f"kill -9 {begin['pid']}", check=False)
        p.wait()
    site.send()
    site.agent.call("apply", site.sign(site.envelope))
    assert site.agent.pending(site.envelope) == {}
    reset = {k: envelope[k] for k in ("format", "protocol", "uid", "cluster", "fence")}
    site.agent.call("reset", reset)
    assert_same(site.host.before, snapshot(site.host))
