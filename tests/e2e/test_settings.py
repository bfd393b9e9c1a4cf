"""Flags, variables and config.yaml: which one counts. And what the limits among them do."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from lab import yaml
from lab.cli import REPO, binary

API = "127.0.0.77"
STATE = REPO / "tests/fixtures/state/1/whole"  # a cluster fra1: cp1, w1


@pytest.fixture
def run(tmp_path, built):
    def call(*args, env=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KUBECDN", "XDG_", "SSH_"))}
        clean |= {"HOME": str(tmp_path), **(env or {})}
        return subprocess.run(
            [binary(), *map(str, args)], env=clean, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
        )

    return call


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / ".config/kubecdn/config.yaml"
    file.parent.mkdir(parents=True)
    return file


def state_of(r):
    assert r.returncode == 0, r
    return re.search(r"No clusters in (\S+)\. ", r.stdout)[1]


def test_flag_variable_file_default(run, settings, tmp_path):
    assert state_of(run("cluster", "list")) == f"{tmp_path}/.local/state/kubecdn"
    settings.write_text(f"state: {tmp_path}/file\n")
    assert state_of(run("cluster", "list")) == f"{tmp_path}/file"
    variable = {"KUBECDN_STATE": f"{tmp_path}/variable"}
    assert state_of(run("cluster", "list", env=variable)) == f"{tmp_path}/variable"
    assert state_of(run("cluster", "list", "--state", tmp_path / "flag", env=variable)) == f"{tmp_path}/flag"
    settings.write_text("state: ~/below\n# state: ~/other\n")
    assert state_of(run("cluster", "list")) == f"{tmp_path}/below"
    settings.write_text("")
    assert state_of(run("cluster", "list")) == f"{tmp_path}/.local/state/kubecdn"
    settings.write_text("state:\n")
    assert state_of(run("cluster", "list")) == f"{tmp_path}/.local/state/kubecdn"


def test_where_the_file_is(run, settings, tmp_path):
    settings.write_text("state: ~/home\n")
    xdg = tmp_path / "xdg"
    (xdg / "kubecdn").mkdir(parents=True)
    (xdg / "kubecdn/config.yaml").write_text("state: ~/xdg-state\n")
    assert state_of(run("cluster", "list", env={"XDG_CONFIG_HOME": str(xdg)})) == f"{tmp_path}/xdg-state"
    assert state_of(run("cluster", "list", env={"XDG_CONFIG_HOME": "xdg"})) == f"{tmp_path}/home"
    named = tmp_path / "named.yaml"
    named.write_text("state: ~/named\n")
    assert state_of(run("cluster", "list", "--config", named)) == f"{tmp_path}/named"
    assert state_of(run("cluster", "list", env={"KUBECDN_CONFIG": "/dev/null"})).endswith("state/kubecdn")
    r = run("cluster", "list", "--config", tmp_path / "absent.yaml")
    assert r.returncode == 64
    assert r.stderr == f"kubecdn: the settings: {tmp_path}/absent.yaml: No such file or directory\n"


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("parallelism: 4\nparalelism: 3\n", "2:1", 'unknown field "paralelism"; did you mean "parallelism"?'),
        ("password: x\n", "1:1", 'unknown field "password"; the document has: state, stateKeyFile'),
        ("timeout: 5\n", "1:10", 'timeout: "5" is not a duration; write 90s, 5m or 2h'),
        ("parallelism: many\n", "1:14", 'expects a whole number, not "many"'),
        ("parallelism: 0\n", "1:14", "0 is out of range; use 1 to 256"),
        ("noColor: 1\n", "1:10", 'expects true or false, not "1"'),
        ("progress: fancy\n", "1:11", '"fancy" is none of auto, tty, plain, json, off'),
        ("state: here\n", "1:8", '"here" depends on where a command runs; begin it with / or ~/'),
        ("state: a\nstate: b\n", "2:1", "state"),
        ("- state\n", "1:1", "expects a mapping of settings; `kubecdn explain config` lists them"),
        ("state: ~/a\n---\nstate: ~/b\n", "3:1", "a second document"),
        ("state: [\n", "2:1", ""),
    ],
)
def test_what_is_wrong_is_a_line(run, settings, text, at, why):
    settings.write_text(text)
    r = run("cluster", "list")
    assert (r.returncode, r.stdout, r.stderr.count("\n")) == (64, "", 1), r
    assert r.stderr.startswith(f"{settings}:{at}: "), r.stderr
    assert why in r.stderr
    assert run("cluster", "list", "--help").returncode == 0
    assert run("--version", env={"KUBECDN_CONFIG": "/dev/null"}).returncode == 0


def test_every_flag_of_every_command_has_a_variable(run):
    shown = run("--help").stdout.split("\nFlags of every command:\n")[1].split("\n\n")[0]
    lines = re.sub(r"\n {30,}", " ", shown).splitlines()
    flags = [re.search(r"--([a-z-]+).*?(?:\[(\w+)\])?$", x).groups() for x in lines]
    assert [f for f, variable in flags if not variable] == ["help"]
    flags.remove(("help", None))
    for flag, variable in flags:
        assert variable == "KUBECDN_" + flag.upper().replace("-", "_")
    explained = run("explain", "config").stdout
    assert len(re.findall(r"^  \w+ <", explained, re.M)) == len(flags) - 1 + 3  # not config; 3 of some verbs
    assert "noColor <boolean>" in explained and "bundle <string>" in explained
    r = run("version", env={"KUBECDN_VERBOSE": "maybe"})
    assert (r.returncode, r.stderr) == (64, 'kubecdn: KUBECDN_VERBOSE: "maybe" is neither true nor false\n')
    assert run("version", env={"KUBECDN_VERBOSE": "1", "KUBECDN_NO_COLOR": "0"}).returncode == 0


# --- limits: hosts that take a connection and say nothing


class Silent:
    """A TCP server; most: connections at a time. Each is closed after hold seconds."""

    def __init__(self, hold, where=("127.0.0.1", 0)):
        self.hold, self.now, self.most, self.all = hold, 0, 0, 0
        self.lock, self.socket = threading.Lock(), socket.create_server(where, backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.keep, args=[connection], daemon=True).start()

    def keep(self, connection):
        with self.lock:
            self.all += 1
            self.now += 1
            self.most = max(self.most, self.now)
        end = time.monotonic() + self.hold
        connection.settimeout(0.05)
        while time.monotonic() < end:
            try:
                if not connection.recv(4096):
                    break
            except TimeoutError:
                pass
        with self.lock:
            self.now -= 1
        connection.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)  # for who waits in accept()
        self.socket.close()


@pytest.fixture
def silent():
    made = []

    def make(*args):
        made.append(Silent(*args))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.fixture
def manifest(tmp_path):
    def make(port, n):
        names = ["cp1", *(f"w{i}" for i in range(1, n))]
        ssh = {"host": "127.0.0.1", "port": port, "hostKey": f"ssh-ed25519 {'A' * 68}"}
        hosts = [
            {"name": x, "addresses": [f"192.0.2.{i + 1}"], "role": role, "ssh": ssh}
            for i, (x, role) in enumerate(zip(names, ["control-plane", *["worker"] * n], strict=False))
        ]
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.cluster("limits", hosts))
        return file

    return make


@pytest.fixture
def bundle():
    where = os.environ.get("KC_BUNDLE")
    if not where:
        pytest.skip("no bundle: set KC_BUNDLE")
    return {"KUBECDN_BUNDLE": where}


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_parallelism(run, silent, manifest, bundle, settings, how):
    server = silent(0.3)
    file = manifest(server.port, 9)
    create = ["cluster", "create", "-f", file, "--progress", "off"]
    if how == "flag":
        r = run(*create, "--parallelism", "2", env=bundle)
    elif how == "variable":
        r = run(*create, env=bundle | {"KUBECDN_PARALLELISM": "2"})
    else:
        settings.write_text("parallelism: 2\n")
        r = run(*create, env=bundle)
    assert r.returncode == 1, r
    assert (server.all >= 9, server.most) == (True, 2)


def test_without_a_limit_all_hosts_are_asked_at_once(run, silent, manifest, bundle):
    server = silent(1)
    assert run("cluster", "create", "-f", manifest(server.port, 9), env=bundle).returncode == 1
    assert server.most == 9


def stops(r, began, within=4):
    took = time.monotonic() - began
    assert r.returncode == 1, r
    assert r.stderr.splitlines()[-1].startswith("kubecdn: --timeout has passed"), r
    assert 1 <= took < within, took


def recorded(tmp_path, port):
    """fra1, whose hosts are behind that port here."""
    state = shutil.copytree(STATE, tmp_path / "state")
    file = state / "clusters/fra1/record.json"
    text = re.sub(r"198\.19\.255\.1[12]", API, file.read_text())
    record = json.loads(text)
    for name in ("cp1", "w1"):
        task = record["tasks"][f"node/{name}"]
        for ssh in (task["via"], task["want"]["ssh"], task["outputs"]["ssh"]):
            ssh |= {"host": "127.0.0.1", "port": port}
    file.write_text(json.dumps(record))
    spec = state / "clusters/fra1/spec.yaml"
    hosts = iter((API, "127.0.0.78"))
    text = re.sub(r"198\.19\.255\.1[12]", lambda _: next(hosts), spec.read_text())
    spec.write_text(text.replace('host: ""', 'host: "127.0.0.1"').replace("port: 22", f"port: {port}"))
    return {"KUBECDN_STATE": str(state)}


@pytest.mark.parametrize("verb", ["update", "delete --yes", "validate"])
def test_timeout_of_a_recorded_cluster(run, silent, bundle, tmp_path, verb):
    server, api = silent(60), silent(60, (API, 6443))
    env = bundle | recorded(tmp_path, server.port)
    began = time.monotonic()
    verb, *flags = verb.split()
    # The agent is compressed first, once a cache; no host is asked before.
    stops(run("cluster", verb, "fra1", *flags, "--timeout", "4s", "--progress", "off", env=env), began, 12)
    assert server.all + api.all


def test_timeout_of_create_by_a_variable(run, silent, manifest, bundle):
    server = silent(60)
    began = time.monotonic()
    env = bundle | {"KUBECDN_TIMEOUT": "4s"}  # the first to use an agent compresses it before
    stops(run("cluster", "create", "-f", manifest(server.port, 2), env=env), began, 12)
    assert server.all


DNS = ["plan", "apply --yes", "verify", "status", "adopt", "delete", "ns"]
REGIONS = ["claim --region eu --withdraw", "export", "simulate"]  # these read claims


@pytest.mark.parametrize("verb", DNS + REGIONS)
def test_timeout_of_dns(run, silent, tmp_path, keys, verb):
    server = silent(60)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # hears, and says nothing
    udp.bind(("127.0.0.1", server.port))
    text = (REPO / "examples/traffic-policy.yaml").read_text().replace("5300", str(server.port))
    file, secret = tmp_path / "policy.yaml", tmp_path / "kc.secret"
    if verb in REGIONS:
        text = text.replace("  ttl:", f"  regions: [{{name: eu, publicKey: {keys['eu'][1]}}}]\n  ttl:")
    verb = verb.replace("eu --", f"eu --key {keys['eu'][0]} --")
    file.write_text(text.replace("kc.secret", str(secret)))
    secret.write_text("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n")
    secret.chmod(0o600)
    began = time.monotonic()
    # What may change something stops where it may, which is once a question is over.
    within = 8 if "--yes" in verb else 3
    stops(run("dns", *verb.split(), "-f", file, "--timeout", "1s"), began, within)
    udp.close()


def test_timeout_of_bundle_verify(run, bundle):
    began = time.monotonic()
    r = run("bundle", "verify", Path(bundle["KUBECDN_BUNDLE"]), "--timeout", "50ms")
    assert r.returncode == 1 and "--timeout has passed" in r.stderr, r
    assert time.monotonic() - began < 3
