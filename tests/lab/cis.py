"""The items of the CIS Kubernetes Benchmark 1.11 in our own short words: how each is read on the
live process or file of a host, what is expected, and what was found. Ids and facts only; the
benchmark itself has the reasons. `table()` writes docs/reference/cis.md."""

import fnmatch
import json
import urllib.parse
from dataclasses import dataclass
from typing import Callable

from .hosts import run, wait_for

API, KCM, SCHED = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
PKI, CONF, UNITS = "/etc/kubernetes/pki", "/etc/kubecdn", "/etc/systemd/system"
STRONG = "TLS_ECDHE_*_WITH_AES_*_GCM_SHA*"


class Machine:
    """A lab host as an auditor sees it: processes by their unit's main pid, files by stat."""

    def __init__(self, host):
        self.host, self.seen = host, {}

    def read(self, *argv):
        return self.host.enter(*argv).stdout

    def argv(self, unit):
        if unit not in self.seen:
            self.seen[unit] = wait_for(f"{unit} to run", lambda: self.running(unit), 60)
        return self.seen[unit]

    def running(self, unit):
        """Its words behind the program; none while systemd starts it, as after what it needs died."""
        pid = self.read("systemctl", "show", "-P", "MainPID", unit).strip()
        return self.read("cat", f"/proc/{pid}/cmdline").split("\0")[1:-1]

    def flag(self, unit, name):
        """The flag's value as the process was started, "" for a bare one, None when it is not set."""
        for word in self.argv(unit):
            key, _, value = word.lstrip("-").partition("=")
            if key == name:
                return value
        return None

    def stats(self, what, pattern):
        found = self.read("sh", "-c", f"find {pattern} -maxdepth 0 -printf '%{what} %p\\n'")
        return [line.split(" ", 1) for line in found.splitlines()]

    def config(self, unit, path):
        value = json.loads(self.read("cat", self.flag(unit, "config")))
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value


@dataclass
class Item:
    id: str
    title: str
    how: str = "by review"
    expected: str = ""
    read: Callable = None  # (Machine) -> what was found, as text
    good: Callable = None  # (that text) -> bool
    workers: bool = False  # read on every node, not on control planes only
    note: str = ""  # why an item is unmet or for people, named in docs/explanation/security.md


def text(value):
    return "not set" if value is None else str(value)


def flag(unit, name, *allowed):
    """Its value matches one of the patterns; "not set" is one, too."""
    return {
        "how": f"argv of {unit}: `--{name}`",
        "expected": " or ".join(allowed),
        "read": lambda m: text(m.flag(unit, name)),
        "good": lambda found: any(fnmatch.fnmatchcase(found, a) for a in allowed),
    }


def words(unit, name, has=(), lacks=()):
    expected = [f"with {w}" for w in has] + [f"without {w}" for w in lacks]
    return {
        "how": f"argv of {unit}: `--{name}`",
        "expected": ", ".join(expected),
        "read": lambda m: text(m.flag(unit, name)),
        "good": lambda found: (
            set(has) <= set(found.split(",")) and not set(lacks) & set(found.split(","))
        ),
    }


def given(unit, *names):
    return {
        "how": f"argv of {unit}: " + ", ".join(f"`--{n}`" for n in names),
        "expected": "all set",
        "read": lambda m: ", ".join(text(m.flag(unit, n)) for n in names),
        "good": lambda found: "not set" not in found.split(", "),
    }


def mode(limit, *patterns):
    def read(m):
        found = [x for p in patterns for x in m.stats("m", p)]
        wrong = [f"{mode} {path}" for mode, path in found if int(mode, 8) & ~limit]
        return ", ".join(wrong) or (", ".join(sorted({x for x, _ in found})) or "no such file")

    return {
        "how": "stat of " + ", ".join(f"`{p}`" for p in patterns),
        "expected": f"{limit:o} or less",
        "read": read,
        "good": lambda found: all(int(x.split()[0], 8) & ~limit == 0 for x in found.split(", ")),
    }


def owner(*patterns, want="root:root"):
    def read(m):
        found = [x for p in patterns for x in m.stats("u:%g", p)]
        wrong = [f"{who} {path}" for who, path in found if who != want]
        return ", ".join(wrong) or (want if found else "no such file")

    return {
        "how": "stat of " + ", ".join(f"`{p}`" for p in patterns),
        "expected": want,
        "read": read,
        "good": lambda found: found == want,
    }


def absent(*paths):
    return {
        "how": "stat of " + ", ".join(f"`{p}`" for p in paths),
        "expected": "no such file, so nothing to read",
        "read": lambda m: m.read(
            "sh", "-c", f"ls -d {' '.join(paths)} 2>/dev/null || echo none"
        ).strip(),
        "good": lambda found: found == "none",
    }


def config(unit, path, *allowed):
    return {
        "how": f"`{path}` in the file that {unit}'s argv names",
        "expected": " or ".join(allowed),
        "read": lambda m: (
            text(m.config(unit, path)).replace("True", "true").replace("False", "false")
        ),
        "good": lambda found: any(fnmatch.fnmatchcase(found, a) for a in allowed),
    }


def suites(found):
    listed = found.strip("[]").replace("'", "").replace(" ", "").split(",")
    return all(fnmatch.fnmatchcase(s, STRONG) for s in listed)


def anonymous(m):
    """What the live API answers somebody without a certificate, once it is live."""

    def ask(path):
        url = f"https://{urllib.parse.quote(m.host.address)}:6443{path}"
        return run("curl", "-sko", "/dev/null", "-w", "%{http_code}", url, check=False).stdout

    wait_for("the API to be live", lambda: ask("/livez") == "200", 90)
    paths = "/api", "/api/v1/secrets", "/version", "/metrics", "/livez"
    return ", ".join(f"{p} {ask(p)}" for p in paths)


def same_ca(m):
    """Does anything but etcd trust etcd's CA?"""
    ours, theirs = (m.flag(u, f) for u, f in ((API, "client-ca-file"), ("etcd", "trusted-ca-file")))
    one, other = (m.read("sha256sum", p).split()[0] for p in (ours, theirs))
    return "the same" if one == other else "another"


def kubelet(id, title, **kw):
    return Item(id, title, workers=True, **kw)


def by_people(id, title, note):
    return Item(id, title, expected="a decision", note=note)


def pod_file(n, what, unit):
    """There are no static pods: the unit file stands for the pod specification."""
    path = f"{UNITS}/{unit}.service"
    return [
        Item(f"1.1.{n}", f"mode of {what}'s unit", **mode(0o600, path), note="units"),
        Item(f"1.1.{n + 1}", f"owner of {what}'s unit", **owner(path)),
    ]


ITEMS = [
    *pod_file(1, "the API server", API),
    *pod_file(3, "the controller manager", KCM),
    *pod_file(5, "the scheduler", SCHED),
    *pod_file(7, "etcd", "etcd"),
    Item(
        "1.1.9",
        "mode of CNI files",
        **mode(0o600, f"{CONF}/cni.template", "/var/lib/cni/net.d/*"),
        note="cni-files",
    ),
    Item("1.1.10", "owner of CNI files", **owner(f"{CONF}/cni.template", "/var/lib/cni/net.d/*")),
    Item("1.1.11", "mode of etcd's data", **mode(0o700, "/var/lib/etcd")),
    Item(
        "1.1.12",
        "owner of etcd's data",
        **owner("/var/lib/etcd", want="etcd:etcd"),
        note="etcd-user",
    ),
    Item("1.1.13", "mode of administrators' files", **absent("/etc/kubernetes/*admin*")),
    Item("1.1.14", "owner of administrators' files", **absent("/etc/kubernetes/*admin*")),
    Item(
        "1.1.15",
        "mode of the scheduler's file",
        **mode(0o600, f"/etc/kubernetes/{SCHED}.kubeconfig"),
    ),
    Item("1.1.16", "owner of the scheduler's file", **owner(f"/etc/kubernetes/{SCHED}.kubeconfig")),
    Item(
        "1.1.17",
        "mode of the controller manager's file",
        **mode(0o600, f"/etc/kubernetes/{KCM}.kubeconfig"),
    ),
    Item(
        "1.1.18",
        "owner of the controller manager's file",
        **owner(f"/etc/kubernetes/{KCM}.kubeconfig"),
    ),
    Item("1.1.19", "owner of the PKI", **owner(PKI, f"{PKI}/*", f"{PKI}/etcd/*")),
    Item("1.1.20", "mode of certificates", **mode(0o644, f"{PKI}/*.crt", f"{PKI}/etcd/*.crt")),
    Item("1.1.21", "mode of keys", **mode(0o600, f"{PKI}/*.key", f"{PKI}/etcd/*.key")),
    Item(
        "1.2.1",
        "anonymous requests",
        how="live requests without a certificate",
        expected="401, but for health checks",
        read=anonymous,
        good=lambda found: (
            found == "/api 401, /api/v1/secrets 401, /version 401, /metrics 401, /livez 200"
        ),
    ),
    Item("1.2.2", "static tokens", **flag(API, "token-auth-file", "not set")),
    Item(
        "1.2.3",
        "external IPs of Services",
        **words(API, "enable-admission-plugins", has=["DenyServiceExternalIPs"]),
    ),
    Item(
        "1.2.4",
        "certificate towards kubelets",
        **given(API, "kubelet-client-certificate", "kubelet-client-key"),
    ),
    Item("1.2.5", "CA of kubelets", **given(API, "kubelet-certificate-authority")),
    Item(
        "1.2.6",
        "no AlwaysAllow",
        **words(API, "authorization-mode", lacks=["AlwaysAllow", "not set"]),
    ),
    Item("1.2.7", "Node authorizer", **words(API, "authorization-mode", has=["Node"])),
    Item("1.2.8", "RBAC", **words(API, "authorization-mode", has=["RBAC"])),
    by_people("1.2.9", "EventRateLimit", "event-rate"),
    Item(
        "1.2.10", "no AlwaysAdmit", **words(API, "enable-admission-plugins", lacks=["AlwaysAdmit"])
    ),
    Item(
        "1.2.11",
        "AlwaysPullImages",
        **words(API, "enable-admission-plugins", has=["AlwaysPullImages"]),
        note="pull",
    ),
    Item(
        "1.2.12",
        "ServiceAccount admission",
        **words(API, "disable-admission-plugins", lacks=["ServiceAccount"]),
    ),
    Item(
        "1.2.13",
        "NamespaceLifecycle admission",
        **words(API, "disable-admission-plugins", lacks=["NamespaceLifecycle"]),
    ),
    Item(
        "1.2.14",
        "NodeRestriction admission",
        **words(API, "enable-admission-plugins", has=["NodeRestriction"]),
    ),
    Item("1.2.15", "no profiling", **flag(API, "profiling", "false")),
    Item("1.2.16", "audit log", **given(API, "audit-log-path")),
    Item("1.2.17", "audit log: days", **flag(API, "audit-log-maxage", "[3-9]?", "[1-9]??*")),
    Item("1.2.18", "audit log: files", **flag(API, "audit-log-maxbackup", "[1-9]?*")),
    Item("1.2.19", "audit log: MB a file", **flag(API, "audit-log-maxsize", "[1-9]??*")),
    by_people("1.2.20", "request time-out", "timeout"),
    Item(
        "1.2.21",
        "service accounts are looked up",
        **flag(API, "service-account-lookup", "true", "not set"),
    ),
    Item("1.2.22", "key of service accounts", **given(API, "service-account-key-file")),
    Item("1.2.23", "certificate towards etcd", **given(API, "etcd-certfile", "etcd-keyfile")),
    Item("1.2.24", "certificate of the API", **given(API, "tls-cert-file", "tls-private-key-file")),
    Item("1.2.25", "CA of clients", **given(API, "client-ca-file")),
    Item("1.2.26", "CA of etcd", **given(API, "etcd-cafile")),
    Item("1.2.27", "encryption at rest", **given(API, "encryption-provider-config")),
    Item(
        "1.2.28",
        "how it is encrypted",
        how="first provider in the file that kube-apiserver's argv names",
        expected="secretbox, aescbc or kms",
        read=lambda m: next(
            iter(
                json.loads(m.read("cat", m.flag(API, "encryption-provider-config")))["resources"][
                    0
                ]["providers"][0]
            )
        ),
        good=lambda found: found in ("secretbox", "aescbc", "kms"),
    ),
    Item(
        "1.2.29",
        "strong ciphers",
        **{**given(API, "tls-cipher-suites"), "expected": STRONG, "good": suites},
    ),
    Item(
        "1.2.30",
        "no prolonged tokens",
        **flag(API, "service-account-extend-token-expiration", "false"),
    ),
    by_people("1.3.1", "collection of ended pods", "pod-gc"),
    Item("1.3.2", "no profiling", **flag(KCM, "profiling", "false")),
    Item(
        "1.3.3",
        "an account for each controller",
        **flag(KCM, "use-service-account-credentials", "true"),
    ),
    Item("1.3.4", "key of service accounts", **given(KCM, "service-account-private-key-file")),
    Item("1.3.5", "root CA", **given(KCM, "root-ca-file")),
    Item(
        "1.3.6",
        "rotation of kubelets' serving certificates",
        **words(KCM, "feature-gates", lacks=["RotateKubeletServerCertificate=false"]),
    ),
    Item("1.3.7", "address", **flag(KCM, "bind-address", "127.0.0.1")),
    Item("1.4.1", "no profiling", **flag(SCHED, "profiling", "false")),
    Item("1.4.2", "address", **flag(SCHED, "bind-address", "127.0.0.1")),
    Item("2.1", "certificate", **given("etcd", "cert-file", "key-file")),
    Item("2.2", "clients need a certificate", **flag("etcd", "client-cert-auth", "true")),
    Item("2.3", "none of its own making", **flag("etcd", "auto-tls", "false", "not set")),
    Item("2.4", "certificate among peers", **given("etcd", "peer-cert-file", "peer-key-file")),
    Item("2.5", "peers need a certificate", **flag("etcd", "peer-client-cert-auth", "true")),
    Item(
        "2.6",
        "none of its own making among peers",
        **flag("etcd", "peer-auto-tls", "false", "not set"),
    ),
    Item(
        "2.7",
        "a CA of its own",
        how="SHA-256 of the CA files that the argv of etcd and kube-apiserver name",
        expected="another",
        read=same_ca,
        good=lambda found: found == "another",
    ),
    by_people("3.1.1", "people do not use client certificates", "people"),
    by_people("3.1.2", "people do not use service accounts' tokens", "people"),
    Item(
        "3.1.3",
        "no bootstrap tokens",
        **flag(API, "enable-bootstrap-token-auth", "false", "not set"),
    ),
    Item("3.2.1", "audit policy", **given(API, "audit-policy-file")),
    by_people("3.2.2", "what the audit policy covers", "audit"),
    kubelet(
        "4.1.1",
        "mode of the kubelet's unit",
        **mode(0o600, f"{UNITS}/kubelet.service"),
        note="units",
    ),
    kubelet("4.1.2", "owner of the kubelet's unit", **owner(f"{UNITS}/kubelet.service")),
    kubelet(
        "4.1.3",
        "mode of kube-proxy's kubeconfig",
        **mode(0o600, "/etc/kubernetes/kube-proxy.kubeconfig"),
    ),
    kubelet(
        "4.1.4",
        "owner of kube-proxy's kubeconfig",
        **owner("/etc/kubernetes/kube-proxy.kubeconfig"),
    ),
    kubelet(
        "4.1.5",
        "mode of the kubelet's kubeconfig",
        **mode(0o600, "/etc/kubernetes/kubelet.kubeconfig"),
    ),
    kubelet(
        "4.1.6", "owner of the kubelet's kubeconfig", **owner("/etc/kubernetes/kubelet.kubeconfig")
    ),
    kubelet("4.1.7", "mode of the CA", **mode(0o644, f"{PKI}/ca.crt")),
    kubelet("4.1.8", "owner of the CA", **owner(f"{PKI}/ca.crt")),
    kubelet("4.1.9", "mode of the kubelet's configuration", **mode(0o600, f"{CONF}/kubelet.json")),
    kubelet("4.1.10", "owner of the kubelet's configuration", **owner(f"{CONF}/kubelet.json")),
    kubelet(
        "4.2.1",
        "no anonymous requests",
        **config("kubelet", "authentication.anonymous.enabled", "false"),
    ),
    kubelet("4.2.2", "authorization", **config("kubelet", "authorization.mode", "Webhook")),
    kubelet(
        "4.2.3", "CA of clients", **config("kubelet", "authentication.x509.clientCAFile", "/*")
    ),
    kubelet("4.2.4", "no read-only port", **config("kubelet", "readOnlyPort", "0", "not set")),
    kubelet(
        "4.2.5",
        "idle streams end",
        **config("kubelet", "streamingConnectionIdleTimeout", "not set", "[1-9]*"),
    ),
    kubelet(
        "4.2.6",
        "chains of its own",
        **config("kubelet", "makeIPTablesUtilChains", "true", "not set"),
        note="chains",
    ),
    kubelet(
        "4.2.7",
        "no other host name",
        **flag("kubelet", "hostname-override", "not set"),
        note="hostname",
    ),
    kubelet("4.2.8", "rate of events", **config("kubelet", "eventRecordQPS", "not set", "[1-9]*")),
    kubelet("4.2.9", "serving certificate", **config("kubelet", "tlsCertFile", "/*")),
    kubelet(
        "4.2.10",
        "rotation of the client certificate",
        **config("kubelet", "rotateCertificates", "true"),
    ),
    kubelet(
        "4.2.11",
        "rotation of the serving certificate",
        **config("kubelet", "serverTLSBootstrap", "true"),
        note="serving",
    ),
    kubelet(
        "4.2.12",
        "strong ciphers",
        **{**config("kubelet", "tlsCipherSuites", STRONG), "good": suites},
    ),
    kubelet("4.2.13", "processes of a pod", **config("kubelet", "podPidsLimit", "[1-9]*")),
    kubelet("4.2.14", "seccomp", **config("kubelet", "seccompDefault", "true")),
    kubelet(
        "4.2.15",
        "addresses that services may reach",
        how="`IPAddressDeny` of kubelet.service",
        expected="any",
        **{
            "read": lambda m: (
                m.read("systemctl", "show", "-P", "IPAddressDeny", "kubelet").strip() or "not set"
            ),
            "good": lambda found: found != "not set",
        },
        note="egress",
    ),
    kubelet(
        "4.3.1",
        "metrics of kube-proxy",
        **config("kube-proxy", "metricsBindAddress", "127.0.0.1:*", "\\[::1\\]:*", "not set"),
    ),
    *[
        by_people(id, title, note)
        for id, title, note in (
            ("5.1.1-5.1.13", "roles and service accounts", "workloads"),
            ("5.2.1-5.2.12", "pod security", "workloads"),
            ("5.3.1-5.3.2", "network policies", "cni"),
            ("5.4.1-5.4.2", "secrets of workloads", "workloads"),
            ("5.5.1", "where images come from", "workloads"),
            ("5.6.1-5.6.4", "namespaces, seccomp, contexts", "workloads"),
        )
    ],
]


def judge(item, machines):
    """(PASS, FAIL or REVIEW, what was found), over all machines that the item is about."""
    if not item.read:
        return "REVIEW", ""
    found = [item.read(m) for m in machines]
    bad = [f for f in found if not item.good(f)]
    return ("FAIL", bad[0]) if bad else ("PASS", found[0])


def audit(control_planes, workers):
    """{id: (result, found)} of live hosts."""
    cps, ws = ([Machine(h) for h in hosts] for hosts in (control_planes, workers))
    return {i.id: judge(i, cps + ws if i.workers else cps) for i in ITEMS}


def table(results):
    lines = [
        "# CIS Kubernetes Benchmark",
        "",
        "Version 1.11, in our own words, as `tests/e2e/test_security.py` reads it on the processes and files",
        "of a live cluster. What FAIL and REVIEW mean for you is in",
        "[Security](../explanation/security.md), under the name in the last column.",
        "",
        "| item | what | how it is read | expected | result | see |",
        "|---|---|---|---|---|---|",
    ]
    for i in ITEMS:
        expected = i.expected.replace("|", "\\|")
        lines.append(
            f"| {i.id} | {i.title} | {i.how} | {expected} | {results[i.id][0]} | {i.note} |"
        )
    return "\n".join(lines) + "\n"
