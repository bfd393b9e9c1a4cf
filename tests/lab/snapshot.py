"""Everything a host is, read with the host's own tools from outside: "as before" is judged by
two of these being equal, not by anything kubecdn says of itself.

A snapshot is {section: {key: value}}; diff() prints what differs, one line each.
"""

import errno
import hashlib
import json
import os
import re
import stat
import time
from pathlib import Path

# Paths that change on a host nobody touches, with the reason. The only exclusions there are.
EXCLUDED_PATHS = [
    (
        r"/(proc|sys|dev)(/|$)",
        "the kernel's; mounts, sysctls, links and cgroups are sections",
    ),
    (r"/run/systemd(/|$)", "systemd's live state; units are a section"),
    (
        r"/run/(udev|host|user|credentials|lock)(/|$)",
        "udev's, the container manager's, logins'",
    ),
    (r"/run/(utmp|motd\.dynamic|sudo(/.*)?|sshd\.pid|agetty\.reload)$", "logins"),
    (r"/run/log/journal(/|$)", "the journal grows"),
    (
        r"/var/log/(journal(/.*)?|wtmp|btmp|lastlog|faillog)$",
        "the journal grows; logins",
    ),
    (r"/var/lib/systemd/(random-seed|timers(/.*)?|catalog(/.*)?)$", "systemd's own"),
    (
        r"/var/lib/(private|sudo/lectured)(/|$)",
        "DynamicUser's parent folder; sudo's first use",
    ),
    (r"/(var/)?tmp/systemd-private-", "PrivateTmp of running units"),
    (r"/var/cache/private(/|$)", "DynamicUser's parent folder"),
    (r"/etc/\.pwd\.lock$", "left by any tool that looks at passwd for writing"),
]
# sysctls that are counters or random, with the reason.
EXCLUDED_SYSCTLS = [
    (r"kernel\.random\.", "random numbers and the entropy pool"),
    (r"kernel\.(ns_last_pid|pty\.nr|tainted|perf_event_max_sample_rate)$", "counters"),
    (r"kernel\.sched_domain\.", "depends on load"),
    (r"fs\.(dentry-state|inode-nr|inode-state|file-nr|aio-nr|quota\..*)$", "counters"),
    (r"net\.netfilter\.nf_conntrack_count$", "a counter"),
    (r"net\.ipv4\.(tcp_fastopen_key|route\.flush)$", "random; write-only"),
    (r"net\.ipv4\.neigh\..*\.gc_", "per-namespace view of one shared table"),
    (r"debug\.|sunrpc\.|dev\.", "not a node's"),
    (r"user\.", "limits that follow the machine's memory"),
]
# Of the kernel that all the lab's hosts share: left out while a kubelet, which sets them, runs
# anywhere on this machine (another run's cluster, for example).
SHARED_SYSCTLS = {"kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory"}
EXCLUDED_UNITS = [
    (r"^(session-|run-|user@|user-|user-runtime-dir@)", "logins and transient helpers"),
    (r"\.device$", "follow the kernel's devices"),
    (
        r"^(systemd-tmpfiles-clean|dpkg-db-backup|e2scrub|fstrim|apt-daily|man-db)",
        "timers' jobs",
    ),
    (
        r"^(run-credentials|run-user|tmp-|dev-|sys-|proc-)",
        "systemd's own mounts come and go",
    ),
    (r"^systemd-(hostnamed|localed|logind|timedated)\.service$", "started on request"),
]
EXCLUDED_PROCESSES = [
    (
        r"^sshd: |^\(sd-pam\)|^ps |^nsenter|^/lib/systemd/systemd-(hostnamed|timedated)",
        "logins, us",
    ),
]


def excluded(rules, text):
    return any(re.search(pattern, text) for pattern, _ in rules)


_hashes = {}  # of this process, by what changes whenever the content does


def _hash(path, st):
    key = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
    if key not in _hashes:
        _hashes[key] = _read_hash(path)
    return _hashes[key]


def _read_hash(path):
    h = hashlib.sha256()
    try:
        with open(path, "rb") as f:
            while chunk := f.read(1 << 20):
                h.update(chunk)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        return "namespace"  # a mount of one looks like a file
    return h.hexdigest()[:16]


def files(root, top="/"):
    """{path: "mode uid:gid hash|-> target"} below root, modification times left out."""
    found, todo = {}, [top.rstrip("/")]
    while todo:
        here = todo.pop()
        try:
            entries = list(os.scandir(f"{root}{here}/"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for e in entries:
            path = f"{here}/{e.name}"
            if excluded(EXCLUDED_PATHS, path):
                continue
            try:
                found[path] = _describe(e)
            except FileNotFoundError:
                continue
            if e.is_dir(follow_symlinks=False):
                todo.append(path)
    return found


def _describe(entry):
    st = entry.stat(follow_symlinks=False)
    text = f"{stat.filemode(st.st_mode)} {st.st_uid}:{st.st_gid}"
    if stat.S_ISLNK(st.st_mode):
        return f"{text} -> {os.readlink(entry.path)}"
    if stat.S_ISREG(st.st_mode):
        return f"{text} {_hash(entry.path, st)}"
    return text


def _without(value, keys):
    """value with these members dropped at every depth."""
    if isinstance(value, dict):
        return {k: _without(v, keys) for k, v in value.items() if k not in keys}
    if isinstance(value, list):
        return [_without(v, keys) for v in value]
    return value


def _listing(values):
    """A list as a section: each element a key, how often it occurs the value."""
    out = {}
    for v in values:
        text = v if isinstance(v, str) else json.dumps(v, sort_keys=True)
        out[text] = out.get(text, 0) + 1
    return out


def _mounts(tree):
    out = []
    for m in tree:
        if not excluded(EXCLUDED_PATHS, m["target"]):
            out.append({k: m[k] for k in ("target", "fstype", "options")})
        out += _mounts(m.get("children", []))
    return out


def _units(text):
    out = {}
    for line in text.splitlines():
        word = line.split(None, 4)
        if len(word) >= 4 and not excluded(EXCLUDED_UNITS, word[0]):
            out[word[0]] = " ".join(word[1:4])
    return out


def _sysctls(text):
    pairs = (line.partition(" = ") for line in text.splitlines())
    found = {k: v for k, _, v in pairs if k and not excluded(EXCLUDED_SYSCTLS, k)}
    if any(_comm(p) == "kubelet" for p in Path("/proc").glob("[0-9]*")):
        found.update({k: "shared" for k in SHARED_SYSCTLS})
    return found


def _comm(proc):
    try:
        return (proc / "comm").read_text().strip()
    except OSError:
        return ""


def _cgroups(root):
    out = []
    top = Path(f"{root}/sys/fs/cgroup")
    for d, dirs, _ in os.walk(top):
        dirs[:] = [
            x
            for x in dirs
            if not x.endswith((".scope", ".mount", ".service", ".socket"))
        ]
        out += [str(Path(d, x).relative_to(top)) for x in dirs]
    return _listing(out)


def snapshot(host):
    """Of a hosts.Host, through its namespaces."""

    def out(*argv):
        return host.enter(*argv).stdout

    def js(*argv):
        return json.loads(out(*argv) or "[]")

    root = f"/proc/{host.pid}/root"
    volatile = (
        "ifindex",
        "link_index",
        "valid_life_time",
        "preferred_life_time",
        "link_netnsid",
        "stats",
        "stats64",
        "handle",
        "packets",
        # a bridge's clocks
        "hello_timer",
        "gc_timer",
        "tcn_timer",
        "topology_change_timer",
        "bytes",
        "metainfo",
        "dynamic",
    )
    nft = host.enter(
        "sh", "-c", "command -v nft >/dev/null && nft -j list ruleset || echo {}"
    )
    return {
        "files": files(root),
        "shm": _listing(os.listdir(f"{root}/dev/shm")),
        "mounts": _listing(_mounts(js("findmnt", "-J")["filesystems"])),
        "links": _listing(_without(js("ip", "-j", "-d", "link"), volatile)),
        "addresses": _listing(_without(js("ip", "-j", "addr"), volatile)),
        "routes": _listing(
            _without(js("ip", "-j", "route", "show", "table", "all"), volatile)
        ),
        "rules": _listing(js("ip", "-j", "rule")),
        "nft": _listing(
            x
            for x in _without(json.loads(nft.stdout), volatile).get("nftables", [])
            if x
        ),
        "sysctl": _sysctls(out("sh", "-c", "sysctl -a 2>/dev/null")),
        "units": _units(
            out(
                "systemctl",
                "list-units",
                "--all",
                "--plain",
                "--no-legend",
                "--no-pager",
                "--full",
            )
        ),
        "unit-files": _listing(
            " ".join(x.split()[:2])
            for x in out(
                "systemctl", "list-unit-files", "--no-legend", "--no-pager"
            ).splitlines()
        ),
        "users": _listing(out("getent", "passwd").splitlines()),
        "groups": _listing(out("getent", "group").splitlines()),
        "sockets": _listing(
            " ".join(x.split()[:5]) for x in out("ss", "-Hlntu").splitlines()
        ),
        "processes": _listing(
            x
            for x in out("ps", "-eo", "args", "--no-headers").splitlines()
            if not excluded(EXCLUDED_PROCESSES, x)
        ),
        "cgroups": _cgroups(root),
    }


def diff(before, after):
    """Lines that say what differs; empty: the host is as it was."""
    lines = []
    for section in sorted(before.keys() | after.keys()):
        a, b = before.get(section, {}), after.get(section, {})
        for key in sorted(a.keys() | b.keys()):
            if key not in a:
                lines.append(f"{section}: new: {key}: {b[key]}")
            elif key not in b:
                lines.append(f"{section}: gone: {key}: {a[key]}")
            elif a[key] != b[key] and "shared" not in (a[key], b[key]):
                lines.append(f"{section}: changed: {key}: {a[key]} => {b[key]}")
    return lines


def assert_same(before, after):
    lines = diff(before, after)
    assert not lines, f"{len(lines)} differences:\n" + "\n".join(lines[:40])


def assert_back(before, host, timeout=20):
    """As assert_same(), once the host's own systemd has noticed: it looks at the mounts' table
    at most once a second or so, and later on a busy machine."""
    end = time.monotonic() + timeout
    while diff(before, snapshot(host)) and time.monotonic() < end:
        time.sleep(0.5)
    assert_same(before, snapshot(host))


def tree_of(directory):
    """The same for a state store on this machine, without the folder of its temporary files."""
    found = files(str(directory)) if Path(directory).is_dir() else {}
    return {k: v for k, v in found.items() if k != "/.tmp"}
