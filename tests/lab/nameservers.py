"""Real name servers on ports of loopback, each in a folder of its own: Knot, BIND, PowerDNS, as Debian
packs them, unpacked and not installed, for an installed one would be started."""

import base64
import os
import re
import secrets
import socket
import sqlite3
import subprocess
from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet
from sim.world import CLIENTS

from .hosts import run, wait_for
from .packages import private_root

PACKAGES = "knot", "knot-dnsutils", "bind9", "pdns-server", "pdns-backend-sqlite3", "pdns-backend-geoip"
LIBS = "usr/lib/x86_64-linux-gnu"
KEY = "kc"


def unpacked():
    return private_root("nameservers", *PACKAGES)


def free_port():
    """One that is free for UDP and TCP, most likely still when it is used."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]


class NameServer:
    """One zone, example.com, that the key may update."""

    zone = "example.com"

    def __init__(self, folder, records=""):
        self.root, self.folder, self.port = unpacked(), Path(folder), free_port()
        self.folder.mkdir(parents=True)
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self.secret_file = self.folder / "secret"
        self.secret_file.touch(mode=0o600)
        self.secret_file.write_text(f"{self.secret}\n")
        self.text = f"""$ORIGIN {self.zone}.
$TTL 60
@ SOA ns hostmaster 1 60 60 3600 30
@ NS ns
ns A 127.0.0.1
{records}
"""
        self.process = None

    def env(self):
        return {**os.environ, "LD_LIBRARY_PATH": f"{self.root / LIBS}"}

    def put(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def run(self, *args, **kw):
        return run(self.root / args[0], *args[1:], env=self.env(), **kw)

    def __enter__(self):
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(
            list(map(str, self.argv())),
            cwd=self.folder,
            env=self.env(),
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_for("an answer", lambda: self.serial(), 20)
        except BaseException:
            self.__exit__()
            raise AssertionError((self.folder / "log").read_text()) from None
        return self

    def __exit__(self, *exc):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
        self.log.close()

    def dig(self, name, kind, *options):
        """{(name, type): (TTL, [data])} as kdig shows the answer."""
        server = ["@127.0.0.1", "-p", str(self.port), "+retry=0", "+time=2"]
        out = self.run(
            "usr/bin/kdig", *server, *options, "+noall", "+answer", name, kind
        ).stdout
        found = {}
        for line in out.splitlines():
            m = re.match(r"(\S+)\s+(\d+)\s+IN\s+(\S+)\s+(.*)$", line)
            if m:
                ttl, data = found.setdefault((m[1], m[3]), (int(m[2]), []))
                data.append(m[4])
        return {k: (ttl, sorted(data)) for k, (ttl, data) in found.items()}

    def serial(self):
        soa = self.dig(self.zone, "SOA")
        return soa and int(soa[f"{self.zone}.", "SOA"][1][0].split()[2])

    def addresses(self, name, kind="A"):
        return self.dig(name, kind).get((f"{name}.", kind), (None, []))[1]


class Knot(NameServer):
    def argv(self):
        here = self.folder
        self.put(f"{self.zone}.zone", self.text)
        conf = self.put(
            "knot.conf",
            f"""
server:
    rundir: "{here}"
    listen: 127.0.0.1@{self.port}
log:
  - target: stderr
    any: info
database:
    storage: "{here}"
key:
  - id: {KEY}.
    algorithm: hmac-sha256
    secret: {self.secret}
acl:
  - id: up
    key: {KEY}.
    action: update
zone:
  - domain: {self.zone}
    storage: "{here}"
    file: {self.zone}.zone
    acl: up
""",
        )
        return [self.root / "usr/sbin/knotd", "-c", conf]


class Bind(NameServer):
    def argv(self):
        zone = self.put(f"{self.zone}.zone", self.text)
        conf = self.put(
            "named.conf",
            f"""
key "{KEY}" {{ algorithm hmac-sha256; secret "{self.secret}"; }};
options {{
    directory "{self.folder}"; pid-file "pid"; session-keyfile "session.key";
    listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; managed-keys-directory "{self.folder}";
}};
controls {{ }};
zone "{self.zone}" {{ type primary; file "{zone}"; allow-update {{ key "{KEY}"; }}; }};
""",
        )
        return [self.root / "usr/sbin/named", "-g", "-n", "2", "-c", conf]


def places(file):
    """A database of the places of sim.world's clients, as geoip-database-files takes it."""
    writer = MMDBWriter(ip_version=4, database_type="GeoIP2-City")
    for subnet, (place, lat, lon, continent, country) in CLIENTS.items():
        where = {"latitude": float(lat), "longitude": float(lon), "accuracy_radius": 10}
        city = {"city": {"names": {"en": place}}, "location": where}
        city |= {"continent": {"code": continent}, "country": {"iso_code": country}}
        writer.insert_network(IPSet([subnet]), city)
    writer.to_db_file(str(file))
    return file


class PowerDNS(NameServer):
    """With LUA records, an HTTP API and, where `located`, a database of client places."""

    located = True

    def argv(self):
        data = self.folder / "data.sqlite3"
        schema = self.root / "usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
        with sqlite3.connect(data) as db:
            db.executescript(schema.read_text())
        self.api_key, self.api_port = secrets.token_hex(16), free_port()
        self.api_key_file = self.folder / "api-key"
        self.api_key_file.touch(mode=0o600)
        self.api_key_file.write_text(f"{self.api_key}\n")
        located = f"geoip-database-files={places(self.folder / 'places.mmdb')}" if self.located else ""
        self.put(
            "pdns.conf",
            f"""
launch=gsqlite3{",geoip" if self.located else ""}
gsqlite3-database={data}
{located}
module-dir={self.root / LIBS / "pdns"}
socket-dir={self.folder}
local-address=127.0.0.1
local-port={self.port}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.1/32
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
guardian=no
enable-lua-records=yes
lua-health-checks-interval=1
edns-subnet-processing=yes
api=yes
api-key={self.api_key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={self.api_port}
webserver-allow-from=127.0.0.1
""",
        )
        util = ["usr/bin/pdnsutil", f"--config-dir={self.folder}"]
        self.run(*util, "load-zone", self.zone, self.put(f"{self.zone}.zone", self.text))
        self.run(*util, "import-tsig-key", KEY, "hmac-sha256", self.secret)
        self.run(*util, "set-meta", self.zone, "TSIG-ALLOW-DNSUPDATE", KEY)
        return [
            self.root / "usr/sbin/pdns_server",
            f"--config-dir={self.folder}",
            "--daemon=no",
            "--disable-syslog",
        ]
