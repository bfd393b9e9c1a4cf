"""Agents of regions (`kubecdn serve --dns`), and what they look after: HTTP servers on loopback addresses."""

import http.server
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

from .hosts import run, wait_for
from .nameservers import free_port


class Target:
    """Says 200 at /healthz to whoever asks for the host, while it is alive. certificate: of https, a file
    with its key."""

    def __init__(self, address, port, host, certificate=None):
        self.address, self.port, self.server = address, port, None
        self.host, self.certificate = host, certificate
        self.up()

    def up(self):
        host = self.host

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                good = self.path == "/healthz" and self.headers["Host"].split(":")[0] == host
                self.send_response(200 if good else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in self.address else socket.AF_INET

            def handle_error(self, *args):
                """A client that does not like the certificate."""

        self.server = Server((self.address, self.port), Handler)
        if self.certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.certificate)
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Agent:
    """A replica. Its log is a file."""

    def __init__(self, cli, log, file, region, key, kubeconfig, *flags, within=(), **env):
        """kubeconfig: None is as inside of a pod; within: a command that runs it."""
        self.port, self.log = free_port(), log
        argv = ["serve", "--dns", "-f", file, "--region", region, "--key", key, "--interval", "500ms"]
        argv += ["--kubeconfig", kubeconfig] if kubeconfig else []
        argv += ["--metrics", f"127.0.0.1:{self.port}", *flags]
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                [*within, *cli.argv(*argv)],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=cli.env() | env,
            )

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=3) as r:
            return r.read().decode()

    def metrics(self):
        lines = (x for x in self.page("/metrics").splitlines() if x and x[0] != "#")
        return {k.removeprefix("kubecdn_dns_"): float(v) for k, v in (x.rsplit(" ", 1) for x in lines)}

    def leads(self):
        try:
            return self.metrics()["leader"] == 1
        except OSError:
            return False

    def rounds(self, n):
        """Wait for n more that went well."""
        key = 'rounds_total{result="ok"}'
        first = self.metrics()[key]
        wait_for(f"{n} rounds", lambda: self.metrics()[key] >= first + n, 30)

    def stop(self):
        """Ask it to end; the seconds that it took. Its exit code is 0."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        assert code == 0, (code, self.log.read_text())
        return time.monotonic() - start

    def kill(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    """One control plane in a container of this host, and kubectl on it."""

    def __init__(self, cli, kubectl, folder, name):
        self.cli, self.program, self.name = cli, kubectl, name
        self.config = folder / f"{name}.conf"
        group = {"name": "control-plane", "role": "control-plane", "minSize": 1, "maxSize": 1}
        manifest = {"apiVersion": "kubecdn.io/v1alpha1", "kind": "Cluster", "metadata": {"name": name}}
        manifest["spec"] = {"cloud": "local", "region": "local", "instanceGroups": [group]}
        self.file = folder / f"{name}.yaml"
        self.file.write_text(json.dumps(manifest))

    def create(self):
        self.cli.ok("cluster", "create", "-f", self.file, "--yes")
        self.cli.kubeconfig(self.name, self.config)
        self.server = json.loads(self.config.read_text())["clusters"][0]["cluster"]["server"]

    def kubectl(self, *args):
        return run(self.program, "--kubeconfig", self.config, *args, timeout=30).stdout

    def service(self, name, dns, *addresses):
        """A Service with a load balancer at these addresses."""
        self.kubectl("create", "service", "loadbalancer", name, "--tcp=80")
        self.kubectl("annotate", "service", name, f"kubecdn.io/dns={dns}")
        self.balance(name, *addresses)

    def balance(self, name, *addresses):
        status = {"status": {"loadBalancer": {"ingress": [{"ip": a} for a in addresses]}}}
        self.kubectl("patch", "service", name, "--subresource=status", "-p", json.dumps(status))

    def lease(self):
        leases = json.loads(self.kubectl("get", "leases", "-n", "kube-system", "-o", "json"))["items"]
        return [x["spec"] for x in leases if x["metadata"]["name"].startswith("kubecdn-dns-")]

    def api_pid(self):
        host = re.search(r"//(.*):", self.server)[1]
        for line in run("ps", "-eo", "pid,args").stdout.splitlines():
            if "/kube-apiserver " in line and f"--advertise-address={host} " in line:
                return int(line.split()[0])
        raise AssertionError("no API server")
