"""What a cluster is like from the outside, ten times a second: no word of the program under test
is taken for it.

Events, each at the seconds since the start when it was first seen:
  api      the API server answers
  NAME     that node is Ready; `ready` the last of them
  dns      a name is resolved through CoreDNS' Service address from every host
  coredns  all pods of CoreDNS are Ready
  pods     all pods of kube-system that belong to DaemonSets and Deployments are Ready
"""

import base64
import ctypes
import http.client
import json
import os
import re
import socket
import ssl
import struct
import tempfile
import threading
import time

CLONE_NEWNET = 0x40000000
NAME = "kubernetes.default.svc.cluster.local"


def _ready(o):
    conditions = o.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _context(config):
    """A TLS context out of a kubeconfig's text, YAML or JSON."""

    def pem(key):
        found = re.search(key + r'-data"?:\s*"?([A-Za-z0-9+/=]+)', config)
        return base64.b64decode(found.group(1)) if found else None

    ca, cert, key = map(pem, ("certificate-authority", "client-certificate", "client-key"))
    if not (ca and cert and key):
        raise OSError("not a whole kubeconfig yet")
    context = ssl.create_default_context(cadata=ca.decode())
    with tempfile.NamedTemporaryFile() as f:  # mode 0600; ssl takes files only
        f.write(cert + b"\n" + key)
        f.flush()
        context.load_cert_chain(f.name)
    return context


def _query(name):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    number = os.urandom(2)
    return number, number + struct.pack("!5H", 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


class _Resolver(threading.Thread):
    """Asks from within a host's network namespace until it is answered."""

    def __init__(self, observer, host):
        super().__init__(daemon=True)
        self.observer, self.netns, self.event = observer, host.netns, f"dns@{host.name}"
        self.start()

    def run(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.netns}") as ns:
            if libc.setns(ns.fileno(), CLONE_NEWNET):  # of this thread only
                raise OSError(ctypes.get_errno(), "setns")
        while not self.observer.done.wait(0.1):
            if self.observer.dns and self._answered(self.observer.dns):
                self.observer.event(self.event)
                return

    def _answered(self, server):
        number, packet = _query(NAME)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            try:
                s.connect((server, 53))
                s.send(packet)
                reply = s.recv(512)
            except OSError:
                return False
        code, _, answers = struct.unpack("!3H", reply[2:8])
        return reply[:2] == number and code & 0xF == 0 and answers > 0


class Observer(threading.Thread):
    """config: a call that gives the kubeconfig's text, or raises OSError as long as there is none."""

    def __init__(self, lab, server, config, began, timeout=180):
        super().__init__(daemon=True)
        self.hosts, self.server, self.config = list(lab), server, config
        self.began, self.timeout = began, timeout
        self.events, self.dns, self.done = {}, None, threading.Event()
        self.context = self.connection = None
        self.lock = threading.Lock()
        self.start()
        self.resolvers = [_Resolver(self, h) for h in self.hosts]

    def event(self, name):
        with self.lock:
            self.events.setdefault(name, round(time.time() - self.began, 2))
            for whole, part in (("ready", ""), ("dns", "dns@")):
                parts = [self.events.get(part + h.name) for h in self.hosts]
                if None not in parts:
                    self.events.setdefault(whole, max(parts))

    def complete(self):
        return {"ready", "dns", "coredns", "pods"} <= self.events.keys()

    def wait(self):
        """Until all events were seen; raises with what is missing."""
        self.join()
        self.done.set()
        for r in self.resolvers:
            r.join()
        if not self.complete():
            raise TimeoutError(f"not all within {self.timeout} s: {self.events}")
        return dict(self.events)

    def run(self):
        while not self.complete() and not self.done.is_set():
            if time.time() - self.began > self.timeout:
                return
            try:
                self._look()
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                if self.connection:
                    self.connection.close()
                self.connection = None
            time.sleep(0.1)

    def _get(self, path):
        self.connection.request("GET", path)
        reply = self.connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise OSError(reply.status)
        return json.loads(body)

    def _look(self):
        self.context = self.context or _context(self.config())
        self.connection = self.connection or http.client.HTTPSConnection(
            self.server, 6443, context=self.context, timeout=2
        )
        nodes = self._get("/api/v1/nodes")["items"]
        self.event("api")
        for n in nodes:
            if _ready(n):
                self.event(n["metadata"]["name"])
        if not self.dns:
            spec = self._get("/api/v1/namespaces/kube-system/services/kube-dns")["spec"]
            self.dns = spec["clusterIP"]
        if "ready" in self.events:
            self._pods()

    def _pods(self):
        pods = self._get("/api/v1/namespaces/kube-system/pods")["items"]
        # Static pods are owned by a Node: kubeadm has them and we do not.
        pods = [
            p
            for p in pods
            if any(o["kind"] != "Node" for o in p["metadata"].get("ownerReferences", []))
        ]
        dns = [p for p in pods if p["metadata"].get("labels", {}).get("k8s-app") == "kube-dns"]
        if dns and self._replicas() == len(dns) and all(map(_ready, dns)):
            self.event("coredns")
            if len(pods) - len(dns) >= len(self.hosts) and all(map(_ready, pods)):
                self.event("pods")

    def _replicas(self):
        path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
        return self._get(path)["spec"]["replicas"]
