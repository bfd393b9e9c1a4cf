"""A cluster on two plain hosts, seen through kubectl and the hosts' own tools: made, used, changed
step by step, deleted; then the hosts are as they were. The tests of this file are one story and
run in their order."""

import base64
import http.server
import json
import re
import socket
import ssl
import threading
import time

import pytest
from lab import yaml
from lab.cli import assert_refused, pending
from lab.hosts import run, wait_for
from lab.snapshot import assert_back, snapshot, tree_of
from lab.story import paths_of, told
from lab.timeline import steps, timeline

TOLERATE = [
    {
        "key": "node-role.kubernetes.io/control-plane",
        "operator": "Exists",
        "effect": "NoSchedule",
    }
]
SERVE = "mkdir -p /www; hostname > /www/index.html; echo serving; exec httpd -f -v -p 8080 -h /www"


# Of the bundle: every node has it, and nothing is pulled from anywhere.
CONTAINER = {
    "image": "kubecdn.io/busybox:1",
    "imagePullPolicy": "Never",
    "name": "web",
    "command": ["sh", "-c", SERVE],
}


def service(name, selector):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
    }


@pytest.fixture(scope="module")
def story(tmp_path_factory, kubectl, built):
    with told(tmp_path_factory.mktemp("story"), kubectl, ["cp1", "w1", "w2"]) as s:
        shown = pending(s.cli.plan("create", "-f", s.file))
        assert {
            shown[f"{k}/{n}"] for k in ("node", "kube/node") for n in ("cp1", "w1")
        } == {"create"}
        r = s.cli.ok("cluster", "create", "-f", s.file, "--yes")
        assert "kubecdn cluster export kubeconfig story --to " in r.out
        s.cli.kubeconfig("story", s.config)
        yield s


@pytest.fixture(scope="module")
def web(story):
    """Four pods over both nodes behind the Service web."""
    labels = {"app": "web"}
    story.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "tolerations": TOLERATE,
                        "terminationGracePeriodSeconds": 0,
                        "topologySpreadConstraints": [
                            {
                                "maxSkew": 1,
                                "topologyKey": "kubernetes.io/hostname",
                                "whenUnsatisfiable": "DoNotSchedule",
                                "labelSelector": {"matchLabels": labels},
                            }
                        ],
                        "containers": [CONTAINER],
                    },
                },
            },
        },
        service("web", labels),
    )
    story.kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
    pods = story.pods("app=web")
    by_node = {}
    for p in pods:
        by_node.setdefault(p["spec"]["nodeName"], []).append(p["metadata"]["name"])
    assert {n: len(v) for n, v in by_node.items()} == {"cp1": 2, "w1": 2}
    return by_node


def test_nodes_are_ready(story):
    assert story.ready_nodes() == {"cp1", "w1"}
    nodes = {n["metadata"]["name"]: n for n in story.get("nodes")["items"]}
    for name, node in nodes.items():
        addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
        assert addresses["InternalIP"] == story.lab[name].address
    assert story.cli.run("cluster", "validate", "story").code == 0


def test_what_get_and_list_say(story):
    address = {h.name: h.address for h in story.lab}
    endpoint = f"https://{address['cp1']}:6443"
    status = story.cli.ok("cluster", "get", "story", "-o", "json").json["status"]
    assert (status["state"], status["endpoint"]) == ("ready", endpoint)
    assert sorted(status["nodes"], key=lambda n: n["name"]) == [
        {"name": "cp1", "role": "control-plane", "addresses": [address["cp1"]]},
        {"name": "w1", "role": "worker", "addresses": [address["w1"]]},
    ]
    text = story.cli.ok("cluster", "get", "story").out
    assert re.search(r"^State +ready$", text, re.M), text
    assert re.search(f"^Endpoint +{endpoint}$", text, re.M), text
    for name, role in (("cp1", "control-plane"), ("w1", "worker")):
        assert re.search(rf"^{name} +{role} +{address[name]}$", text, re.M), text
    (listed,) = story.cli.ok("cluster", "list", "-o", "json").json
    assert (listed["state"], listed["nodes"]) == ("ready", 2)


def test_the_timeline_of_the_create(story):
    run = timeline(story.cli, "story")
    assert (run["state"], run["verb"], len(run["runs"])) == ("done", "cluster create", 1)
    assert [p["name"] for p in run["phases"]][:3] == ["prepare", "plan", "preflight"]
    path = [link["id"] for link in run["criticalPath"]]
    assert "node/cp1" in path and path[-1] == "validate", path
    for node in ("cp1", "w1"):
        done = steps(run, f"node/{node}")
        assert {"connect", "upload the agent", "agent: plan", "agent: apply"} <= set(done)
        assert len(done) > 20 and all(s["result"] == "done" for s in done.values()), done
    assert "BEGIN" not in (story.cli.state / "clusters/story/runs").joinpath("0000000001.json").read_text()


def certificate(config, folder):
    """Subject and seconds left of a kubeconfig's client certificate."""
    user = json.loads(config.read_text())["users"][0]["user"]
    pem = folder / "client.pem"
    pem.write_bytes(base64.b64decode(user["client-certificate-data"]))
    text = run("openssl", "x509", "-in", pem, "-noout", "-subject", "-enddate").stdout
    end = ssl.cert_time_to_seconds(re.search("notAfter=(.*)", text)[1])
    return re.search("subject=(.*)", text)[1], end - time.time()


def test_kubeconfigs_on_request(story, tmp_path):
    config = tmp_path / "new" / "folder" / "config"  # made with it, for nobody else
    export = ["cluster", "export", "kubeconfig", "story", "--to", config]
    story.cli.ok(*export, "--ttl", "1h")
    subject, left = certificate(config, tmp_path)
    assert re.search("O ?= ?kubecdn:admins", subject) and 3500 < left <= 3600
    modes = [p.stat().st_mode & 0o777 for p in (config, config.parent, config.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]
    story.cli.ok(*export, "--break-glass")
    subject, left = certificate(config, tmp_path)
    assert re.search("O ?= ?system:masters", subject) and 17 * 3600 < left <= 18 * 3600
    story.kubectl("--kubeconfig", config, "get", "nodes")


def test_a_foreign_lock_is_broken_by_its_fence(story):
    lock = story.cli.state / "clusters" / "story" / "lock"
    before = lock.read_text()
    fence = json.loads(before)["fence"] + 1
    held = {"holder": "eve", "host": "elsewhere", "bootId": "x", "pidNamespace": "x", "pid": 7}
    held |= {"pidStart": "1", "verb": "cluster update", "acquired": "2026-11-25T00:00:00Z"}
    held |= {"fence": fence, "expires": int((time.time() + 3600) * 1000)}
    lock.write_text(json.dumps({**json.loads(before), **held}))
    update = ["cluster", "update", "story", "--yes"]
    r = story.cli.run(*update)
    assert_refused(r, "locked by eve@elsewhere pid 7", f"unlock story --force {fence}$")
    r = story.cli.run("cluster", "unlock", "story", "--force", fence + 1)
    assert_refused(r, f"held with fence {fence}, not {fence + 1}")
    assert json.loads(lock.read_text())["holder"] == "eve"
    story.cli.ok("cluster", "unlock", "story", "--force", fence)
    story.cli.ok(*update)
    r = story.cli.run("cluster", "unlock", "story", "--force", fence)
    assert_refused(r, "nobody holds")


def test_validate_asks_every_node(story):
    start = time.monotonic()
    code, checks = story.checks()
    print(f"validate: {time.monotonic() - start:.2f} s")
    assert code == 0 and all(ok for ok, _ in checks.values()), checks
    for node in ("cp1", "w1"):
        assert checks[f"dns/{node}"][1].endswith(" resolves through 10.96.0.10")
        assert re.fullmatch(
            r"the first expires in 36[45] days \(/.+\)", checks[f"certificates/{node}"][1]
        )
        assert re.fullmatch("flannel-.* is Ready", checks[f"pods/{node}"][1])
    assert "api/cp1" in checks and "api/w1" not in checks


def test_nothing_to_do_the_second_time(story):
    assert pending(story.cli.plan("create", "-f", story.file)) == {}
    before = tree_of(story.cli.state)
    for act in ("--detailed-exitcode", "--yes"):
        start = time.monotonic()
        assert story.cli.run("cluster", "update", "story", act).code == 0
        print(f"nothing to do, {act}: {time.monotonic() - start:.2f} s (target 2 s)")
        if act != "--yes":  # that takes the lock
            assert tree_of(story.cli.state) == before


@pytest.mark.parametrize("node", ["cp1", "w1"])
def test_service_by_address_and_by_name(story, web, node):
    address = story.get("service", "web")["spec"]["clusterIP"]
    everyone = {p for pods in web.values() for p in pods}
    for url in (
        f"http://{address}/",
        "http://web/",
        "http://web.default.svc.cluster.local/",
    ):
        assert story.fetch(web[node][0], url) in everyone
    seen = {story.fetch(web[node][0], f"http://{address}/") for _ in range(40)}
    assert {n for n, pods in web.items() if seen & set(pods)} == {"cp1", "w1"}


def test_pods_reach_each_other_directly(story, web):
    address = {
        p["metadata"]["name"]: p["status"]["podIP"] for p in story.pods("app=web")
    }
    for source in (web["cp1"][0], web["w1"][0]):
        for target, ip in address.items():
            assert story.fetch(source, f"http://{ip}:8080/") == target


@pytest.mark.parametrize("node", ["cp1", "w1"])
def test_hairpin_and_same_node_service(story, web, node):
    """A pod reaches itself, and its neighbour on the same node, through a Service."""
    pod, neighbour = web[node]
    story.kubectl("label", "pod", pod, f"only={node}", "--overwrite")
    story.create(service(f"only-{node}", {"only": node}))
    for source in (pod, neighbour):
        got = wait_for(
            "an endpoint", lambda s=source: story.fetch(s, f"http://only-{node}/"), 20
        )
        assert got == pod


@pytest.mark.parametrize("node", ["cp1", "w1"])
def test_host_network_pod(story, web, node):
    name = f"hostnet-{node}"
    story.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "hostNetwork": True,
                "dnsPolicy": "ClusterFirstWithHostNet",
                "nodeName": node,
                "tolerations": TOLERATE,
                "terminationGracePeriodSeconds": 0,
                "containers": [CONTAINER],
            },
        }
    )
    story.kubectl(
        "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=70
    )
    address = story.get("service", "web")["spec"]["clusterIP"]
    everyone = {p for pods in web.values() for p in pods}
    assert story.fetch(name, f"http://{address}/") in everyone
    assert story.fetch(name, "http://web.default.svc.cluster.local/") in everyone
    for source in (web["cp1"][0], web["w1"][0]):
        assert story.fetch(source, f"http://{story.lab[node].address}:8080/") == node


def test_pod_to_the_world_outside(story, web):
    """The lab's bridge is outside of the cluster; it must see a node's address, not a pod's."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.client_address[0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"outside\n")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer((f"{story.lab.net}.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for node, pods in web.items():
            url = f"http://{story.lab.net}.1:{server.server_port}/"
            assert story.fetch(pods[0], url) == "outside"
            assert seen[-1] == story.lab[node].address
    finally:
        server.shutdown()


@pytest.mark.parametrize("node", ["cp1", "w1"])
def test_exec_and_logs(story, web, node):
    pod = web[node][0]
    assert story.kubectl("exec", pod, "--", "hostname").strip() == pod
    assert "serving" in story.kubectl("logs", pod)
    failed = run(
        story.program,
        "--kubeconfig",
        story.config,
        "exec",
        pod,
        "--",
        "sh",
        "-c",
        "exit 7",
        check=False,
    )
    assert failed.returncode == 7


# --- changes: the preview says exactly what, and the cluster follows


def test_a_label_comes_and_goes(story):
    story.hosts[1]["labels"] = {"kubecdn.io/edge": "yes"}
    story.apply({"kube/node/w1": "update"})
    assert paths_of(story.plan, "kube/node/w1") == ["labels.kubecdn.io/edge"]
    assert story.get("node", "w1")["metadata"]["labels"]["kubecdn.io/edge"] == "yes"
    story.kubectl("label", "node", "w1", "mine=1")
    del story.hosts[1]["labels"]
    story.apply({"kube/node/w1": "update"})
    assert paths_of(story.plan, "kube/node/w1") == ["labels.kubecdn.io/edge"]
    labels = story.get("node", "w1")["metadata"]["labels"]
    assert "kubecdn.io/edge" not in labels
    assert labels["mine"] == "1", "a label that a user set was removed"


def test_a_kubelet_flag_comes_and_goes(story, web):
    def capacity():
        return {
            n["metadata"]["name"]: n["status"]["capacity"]["pods"]
            for n in story.get("nodes")["items"]
        }

    pods = {p["metadata"]["uid"] for p in story.pods("app=web")}
    story.spec["kubelet"] = {"extraArgs": {"max-pods": "77"}}
    nested = story.apply({"node/cp1": "update", "node/w1": "update"})
    assert nested and all("kubelet" in k for k in nested), nested
    wait_for(
        "the kubelets' new capacity", lambda: set(capacity().values()) == {"77"}, 60
    )
    del story.spec["kubelet"]
    removed = story.apply({"node/cp1": "update", "node/w1": "update"})
    assert removed == nested
    wait_for("the kubelets' old capacity", lambda: "77" not in capacity().values(), 60)
    assert {p["metadata"]["uid"] for p in story.pods("app=web")} == pods, (
        "pods were replaced"
    )


def sans_of(address, folder):
    context = ssl._create_unverified_context()
    raw = socket.create_connection((address, 6443), 5)
    with context.wrap_socket(raw) as tls:
        pem = folder / "server.pem"
        pem.write_text(ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)))
    return run("openssl", "x509", "-in", pem, "-noout", "-ext", "subjectAltName").stdout


def test_a_san_comes_and_goes(story):
    address = story.lab["cp1"].address
    story.spec["api"] = {"sans": ["api.example.org"]}
    nested = story.apply({"node/cp1": "update"})
    assert nested and all("apiserver" in k for k in nested), nested
    assert "DNS:api.example.org" in sans_of(address, story.folder)
    del story.spec["api"]
    removed = story.apply({"node/cp1": "update"})
    assert removed == nested
    assert "api.example.org" not in sans_of(address, story.folder)
    wait_for("the API", lambda: story.ready_nodes() == {"cp1", "w1"}, 30)


def test_an_endpoint_comes_and_goes(story):
    """Clients verify it: it is in the certificate, without its port, and in new kubeconfigs."""
    address, config = story.lab["cp1"].address, story.folder / "endpoint.kubeconfig"
    story.spec["api"] = {"endpoint": "api.example.net:7443"}
    nested = story.apply({"node/cp1": "update"})
    assert nested and all("apiserver" in k for k in nested), nested
    made = json.loads(story.cli.kubeconfig("story", config).read_text())["clusters"][0]
    assert made["cluster"]["server"] == "https://api.example.net:7443"
    ca = base64.b64decode(made["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=ca)
    with socket.create_connection((address, 6443), 5) as raw:
        context.wrap_socket(raw, server_hostname="api.example.net").close()
    del story.spec["api"]
    removed = story.apply({"node/cp1": "update"})
    assert removed == nested
    made = json.loads(story.cli.kubeconfig("story", config).read_text())["clusters"][0]
    assert made["cluster"]["server"] == f"https://{address}:6443"


def test_a_worker_comes_and_goes(story):
    """One that only answers through a bastion."""
    w2, outside = story.lab["w2"], f"{story.lab.net}.1/32"
    w2.enter("ip", "route", "add", "blackhole", outside)
    story.hosts.append(yaml.host_entry(w2, "worker"))
    story.write()
    r = story.cli.run("cluster", "update", "-f", story.file, timeout=60)
    assert_refused(r, "w2", "no answer")
    story.hosts[-1]["ssh"]["bastion"] = f"root@{story.lab['cp1'].address}:22"
    story.write()
    r = story.cli.run("cluster", "update", "-f", story.file)
    assert_refused(
        r, "w2", "bastion", story.lab["cp1"].address, "SHA256:", "known_hosts"
    )
    known = story.folder / ".ssh" / "known_hosts"
    known.parent.mkdir(mode=0o700, exist_ok=True)
    known.write_text(f"{story.lab['cp1'].address} {story.lab['cp1'].host_key}\n")
    story.apply({"node/w2": "create", "kube/node/w2": "create"})
    assert story.ready_nodes() == {"cp1", "w1", "w2"}
    made = story.get("node", "w2")
    assert "kubecdn.io/edge" not in made["metadata"]["labels"]
    assert {a["address"] for a in made["status"]["addresses"]} >= {w2.address}
    story.hosts.pop()
    story.apply({"node/w2": "delete", "kube/node/w2": "delete"})
    assert story.ready_nodes() == {"cp1", "w1"}
    assert {n["metadata"]["name"] for n in story.get("nodes")["items"]} == {"cp1", "w1"}
    w2.enter("ip", "route", "del", "blackhole", outside)
    assert_back(story.before["w2"], w2)


def test_drift_is_shown_and_repaired(story):
    host = story.lab["w1"]
    host.enter("systemctl", "stop", "kube-proxy")
    shown = pending(story.cli.plan("update", "story"))
    assert any(re.search("kube-proxy", k) for k in shown), shown
    assert {k.split(" > ")[0] for k in shown} == {"node/w1"}, shown
    story.cli.ok("cluster", "update", "story", "--yes")
    assert host.enter("systemctl", "is-active", "kube-proxy").stdout.strip() == "active"


def test_a_lost_etcd_is_never_started_as_new(story):
    """Nobody starts it on an empty directory, and a plan says so instead of repairing it."""
    host, data, kept = story.lab["cp1"], "/var/lib/etcd/member0", "/var/lib/etcd.kept"
    host.enter("systemctl", "stop", "etcd")
    try:
        host.enter("sh", "-c", f"mkdir {kept} && mv {data}/* {kept}")
        assert host.enter("systemctl", "start", "etcd", check=False, timeout=20).returncode
        for act in ([], ["--yes"]):
            r = story.cli.run("cluster", "update", "story", *act)
            assert_refused(r, "cp1", f"{data}/member.* is gone", "put it back.*delete the cluster")
        assert host.enter("ls", data).stdout == ""
    finally:
        host.enter("sh", "-c", f"mv {kept}/* {data} && rmdir {kept}")
        host.enter("systemctl", "start", "etcd")
        # Its client pauses for up to two minutes after so many failures.
        host.enter("systemctl", "restart", "kube-apiserver")
    code, checks = story.checks("--wait", "120s")
    assert code == 0, checks
    assert pending(story.cli.plan("update", "story")) == {}


def bad(checks):
    return {k for k, (ok, _) in checks.items() if not ok}


def test_validate_sees_what_only_the_node_does(story):
    """To the API all is well while services do not work on one node."""
    host = story.lab["w1"]
    host.enter("systemctl", "stop", "kube-proxy")
    try:
        host.enter("nft", "delete", "table", "ip", "kube-proxy")
        code, checks = story.checks()
        assert code == 2 and bad(checks) == {"dns/w1"}, checks
        assert "10.96.0.10" in checks["dns/w1"][1] and "kube-proxy" in checks["dns/w1"][1]
    finally:
        start = threading.Timer(1.5, host.enter, ("systemctl", "start", "kube-proxy"))
        start.start()
    code, checks = story.checks("--wait", "30s")
    start.join()
    assert code == 0 and not bad(checks), checks


def test_validate_names_a_certificate_that_ends_soon(story):
    """Beside the right ones: what is looked at is what the node's record says was issued."""
    host, path = story.lab["w1"], "/etc/kubernetes/pki/kube-proxy.crt"
    good = host.enter("cat", path).stdout
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    pem = story.folder / "soon.pem"

    def put(text):
        host.enter("sh", "-c", f"printf %s '{text}' >{path}")

    run("openssl", "req", "-x509", *made, "-keyout", "/dev/null", "-days", "40", "-out", pem)
    try:
        put(pem.read_text())
        code, checks = story.checks()
        assert code == 2 and bad(checks) == {"certificates/w1"}, checks
        text = checks["certificates/w1"][1]
        assert path in text and re.search("(39|40) days", text) and "kubecdn cluster update story" in text
        put("no certificate")
        code, checks = story.checks()
        assert code == 2 and path in checks["certificates/w1"][1], checks
    finally:
        put(good)
    assert story.checks()[0] == 0


def test_validate_names_a_node_that_ssh_does_not_reach(story):
    host = story.lab["w1"]
    host.enter("systemctl", "stop", "ssh.socket", "ssh.service", check=False)
    code, checks = story.checks()
    assert code == 2 and bad(checks) == {"ssh/w1"}, checks
    assert checks["dns/cp1"][0] and "dns/w1" not in checks
    host.enter("systemctl", "start", "ssh.service")
    assert story.checks("--wait", "30s")[0] == 0


def test_validate_of_a_sick_cluster(story):
    """A node that is not Ready and a pod that cannot start: 2. No API server: 1. After what needs
    names of new Services: CoreDNS takes its time to follow an API server that was away."""
    validate = ["cluster", "validate", "story"]
    pod = ["broken", "-n", "kube-system"]
    story.kubectl("run", *pod, "--image=none", "--image-pull-policy=Never")
    sick = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    patch = ["patch", "node", "w1", "--subresource=status", "-p", json.dumps(sick)]

    def not_ready():
        story.kubectl(*patch)  # until its kubelet sees it, which may be at once
        r = story.cli.run(*validate)
        assert (r.code, r.err) == (2, ""), r
        return r if re.search(r"^BAD .*\bw1\b", r.out, re.M) else None

    try:
        r = wait_for("a sick w1", not_ready)
        assert re.search(r"^BAD .*\bbroken\b", r.out, re.M), r
        assert r.out.splitlines()[-1].startswith("Cluster story is not healthy; `kubecdn cluster why story`")
        checks = story.cli.run(*validate, "-o", "json").json
        assert not checks["healthy"]
    finally:
        story.kubectl("delete", "pod", *pod, "--now")
    story.cli.ok(*validate, "--wait", "30s")
    story.lab["cp1"].enter("systemctl", "stop", "kube-apiserver")
    try:
        assert_refused(story.cli.run(*validate), ":6443")
    finally:
        story.lab["cp1"].enter("systemctl", "start", "kube-apiserver")
    story.cli.ok(*validate, "--wait", "60s")


def test_a_preview_changes_nothing(story):
    """Neither a host nor the state; with changes pending, and for delete."""
    before = {h.name: snapshot(h)["files"] for h in story.lab}
    state = tree_of(story.cli.state)
    changed = story.folder / "changed.yaml"
    changed.write_text(
        yaml.cluster("story", story.hosts, api={"sans": ["x.example.org"]})
    )
    assert pending(story.cli.plan("update", "-f", changed))
    story.cli.ok("cluster", "delete", "story")
    story.cli.ok("cluster", "validate", "story")
    assert tree_of(story.cli.state) == state
    for h in story.lab:
        changed = {
            k: v
            for k, v in snapshot(h)["files"].items()
            if before[h.name].get(k) != v and not VOLATILE.match(k)
        }
        assert changed == {}


def test_a_preview_of_what_the_gate_refuses(story):
    """It does not offer --yes, which would be refused."""
    file = story.folder / "moved.yaml"
    moved = yaml.host_entry(story.lab["w1"], "control-plane")
    file.write_text(yaml.cluster("story", [moved]))
    act = ["cluster", "update", "-f", file]
    r = story.cli.ok(*act)
    assert re.search("with --yes .*refused.*cp1 is the control plane.*--force", r.out), r
    assert "Run the same command" not in r.out, r
    r = story.cli.ok(*act, "--force")
    assert "refused" not in r.out and "Run the same command with --yes" in r.out, r
    assert_refused(story.cli.run(*act, "--yes"), "cp1 is the control plane", "--force")
    assert story.cli.run("cluster", "validate", "story").code == 0


# Files that a running cluster writes all the time.
VOLATILE = re.compile(r"/(var/lib/(etcd|containerd|kubelet|cni)|var/log|run|tmp)(/|$)")


def test_delete_puts_the_hosts_back(story):
    story.cli.ok("cluster", "delete", "story", "--yes")
    for h in story.lab:
        assert_back(story.before[h.name], h)
    assert not [p for p in tree_of(story.cli.state) if "story" in p]
    r = story.cli.run("cluster", "get", "story")
    assert r.code == 1 and "story" in r.err
