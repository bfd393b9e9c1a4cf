"""TrafficPolicies as data, what a plan shows of one, and a way between the program and a server that can
be disturbed."""

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sim.world import CLIENTS

from .cli import pending
from .nameservers import KEY, free_port

NAME = "www.example.com"
RECORDS = """foreign A 192.0.2.77
alias CNAME foreign
byhand A 192.0.2.77
byhand-too CNAME foreign
*.wild A 192.0.2.99
note TXT "somebody's"
_kc.note TXT "somebody's"
"""


def copy_of(server, **changed):
    tsig = {"name": KEY, "secretFile": str(server.secret_file)}
    entry = {"provider": "rfc2136", "server": "127.0.0.1", "port": server.port, "tsig": tsig}
    return {**entry, **changed}


def policy(*copies, name=NAME, owner="prod", endpoints=None, **spec):
    endpoints = endpoints or {"fra": ["192.0.2.1", "2001:db8::1"], "dub": ["192.0.2.2"]}
    listed = [
        e if isinstance(e, dict) else {"id": i, "addresses": e}
        for i, e in endpoints.items()
    ]
    base = {"zone": "example.com", "owner": owner, "endpoints": listed, "publish": list(copies)}
    base["safety"] = {"maxTrafficShift": 100}
    return {
        "apiVersion": "kubecdn.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


def plan_of(cli, file):
    r = cli.run("dns", "plan", "-f", file, "-o", "json", "--detailed-exitcode")
    assert r.code in (0, 2), r
    changes = {k.split("/")[-1]: v for k, v in pending(r.json["plan"]).items()}
    assert (r.code == 2) == bool(changes), r
    return changes


class Targets:
    """An HTTP server at each address, that can be stopped and come back."""

    def __init__(self, addresses):
        self.port, self.running = free_port(), {}
        for a in addresses:
            self.start(a)

    def start(self, address):
        class Ok(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/healthz" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer((address, self.port), Ok)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        self.running[address] = server

    def stop(self, address):
        server = self.running.pop(address)
        server.shutdown()
        server.server_close()

    def close(self):
        for a in list(self.running):
            self.stop(a)

    def health(self, protocol="http"):
        return {"protocol": protocol, "port": self.port, "path": "/healthz"}


class Between:
    """Forwards TCP to a server and UDP to another; of the updates (opcode 5), the first lose their reply,
    or are cut before they arrive."""

    def __init__(self, tcp, udp=None, lose=0, cut=0):
        self.to, self.udp_to = tcp.port, (udp or tcp).port
        self.lose, self.cut, self.port = lose, cut, free_port()
        self.changes = []  # records in each update
        self.mute = None  # questions by UDP that have these bytes get no answer
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for f in (self.serve_tcp, self.serve_udp):
            threading.Thread(target=f, daemon=True).start()

    def close(self):
        for s in (self.tcp, self.udp):
            s.shutdown(socket.SHUT_RDWR) if s is self.tcp else None
            s.close()

    def serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if self.mute and self.mute in data:
                continue
            with socket.socket(type=socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.sendto(data, ("127.0.0.1", self.udp_to))
                self.udp.sendto(s.recv(65535), peer)

    def serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=[conn], daemon=True).start()

    def one(self, conn):
        with conn, socket.create_connection(("127.0.0.1", self.to)) as server:
            while self.exchange(conn, server):
                pass

    def exchange(self, conn, server):
        """One message and its reply; false: that was the last."""
        head = conn.recv(2, socket.MSG_WAITALL)
        if len(head) < 2:
            return False
        body = conn.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        # An update with changes: without any it only asks what there is.
        update = body[2] >> 3 & 15 == 5 and int.from_bytes(body[8:10], "big")
        if update:
            self.changes.append(update)
        if update and self.cut:
            self.cut -= 1
            return False
        server.sendall(head + body)
        n = server.recv(2, socket.MSG_WAITALL)
        reply = server.recv(int.from_bytes(n, "big"), socket.MSG_WAITALL)
        if update and self.lose:
            self.lose -= 1
            return False
        conn.sendall(n + reply)
        return True


def powerdns_copy(server, **changed):
    entry = copy_of(server, provider="powerdns", api=f"http://127.0.0.1:{server.api_port}")
    entry |= {"apiKeyFile": str(server.api_key_file), "locations": True}
    return {**entry, **changed}


WORLD = [
    {"id": "aws-fra", "at": "aws/eu-central-1", "addresses": ["127.0.1.1"]},
    {"id": "gcp-iowa", "at": "gcp/us-central1", "addresses": ["127.0.1.2"]},
    {"id": "az-tyo", "at": "azure/japaneast", "addresses": ["127.0.1.3"]},
    {"id": "dc1", "site": {"lat": -23.5, "lon": -46.6}, "addresses": ["127.0.1.4"]},
]

# Nobody else checks addresses that only we can reach.
ABROAD = [{**e, "addresses": [e["addresses"][0].replace("127.0.1.", "192.0.2.")]} for e in WORLD]
PLACES = {place[0]: subnet for subnet, place in CLIENTS.items()}
HEALTH = {"protocol": "https", "path": "/healthz"}
APPLY = ["dns", "apply", "--yes", "-f"]
# Regions, and a number of each.
SITES = {"eu": "aws/eu-central-1", "us": "gcp/us-central1", "ap": "azure/japaneast"}
ORDER = {"eu": 1, "us": 2, "ap": 3}


def world(zone, name=NAME, endpoints=ABROAD, **spec):
    """A policy at one simulated cloud."""
    return policy(zone.entry(), name=name, endpoints={e["id"]: e for e in endpoints}, **spec)


@contextmanager
def watched(zone, name, subnet=None):
    """What a client gets, all the time: {answer}."""
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(tuple(zone.ask(name, subnet)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()
