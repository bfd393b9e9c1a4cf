"""A real registry (Debian's docker-registry, which is CNCF distribution) on a port of loopback, its
token server, and images to put into it."""

import base64
import datetime
import gzip
import hashlib
import io
import json
import secrets
import subprocess
import tarfile
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .hosts import wait_for
from .nameservers import free_port
from .packages import private_root

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
USER, PASSWORD = "reader", "correct horse"
# as htpasswd -B would write them
PASSWORD_LINE = "reader:$2b$04$wno7GR5U9zU8TYPvJyPeuuA6NsffgtirP2XNui/ZL/Y67eHLzftyy\n"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dumps(value):
    return json.dumps(value, indent=1).encode()


class Image:
    """Blobs by digest, and manifests; the layer holds one file."""

    def __init__(self, text="hello\n", arch="amd64", docker=False):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as t:
            info = tarfile.TarInfo("greeting")
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
        layer = gzip.compress(plain.getvalue(), mtime=0)
        config = dumps(
            {
                "architecture": arch,
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [digest(plain.getvalue())]},
            }
        )
        kinds = (
            ("container.image.v1+json", "image.rootfs.diff.tar.gzip", "distribution.manifest.v2+json")
            if docker
            else ("config.v1+json", "layer.v1.tar+gzip", "manifest.v1+json")
        )
        kinds = [(DOCKER if docker else OCI) + k for k in kinds]
        self.arch, self.type = arch, kinds[2]
        self.blobs = {digest(b): b for b in (config, layer)}
        self.manifest = dumps(
            {
                "schemaVersion": 2,
                "mediaType": self.type,
                "config": {"mediaType": kinds[0], "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": kinds[1], "digest": digest(layer), "size": len(layer)}],
            }
        )
        self.digest = digest(self.manifest)
        self.files = {d.removeprefix("sha256:"): b for d, b in self.blobs.items()}
        self.files[self.digest.removeprefix("sha256:")] = self.manifest


class Index:
    """A list of images, by architecture."""

    def __init__(self, *images, docker=False):
        self.images = images
        self.type = DOCKER + "distribution.manifest.list.v2+json" if docker else OCI + "index.v1+json"
        self.manifest = dumps(
            {
                "schemaVersion": 2,
                "mediaType": self.type,
                "manifests": [
                    {
                        "mediaType": i.type,
                        "digest": i.digest,
                        "size": len(i.manifest),
                        "platform": {"os": "linux", "architecture": i.arch},
                    }
                    for i in images
                ],
            }
        )
        self.digest = digest(self.manifest)


class Tokens:
    """A token server: who says USER and PASSWORD may pull, `anybody` too if it is public."""

    service, issuer = "registry.example", "tokens.example"

    def __init__(self, folder, public=False):
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.issuer)])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.cert = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        self.asked, self.public, self.life = [], public, 60
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = tokens.answer(self.path, self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, authorization):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        self.asked.append((query, authorization))
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization != basic and not (self.public and authorization is None):
            return 401, b"{}"
        kind, name, actions = query["scope"].split(":")
        now = int(datetime.datetime.now().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": USER,
            "aud": query["service"],
            "exp": now + self.life,
            "nbf": now - 60,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        der = self.cert.public_bytes(serialization.Encoding.DER)
        headers = {"x5c": [base64.b64encode(der).decode()]}
        token = jwt.encode(claims, self.key, algorithm="ES256", headers=headers)
        return 200, json.dumps({"token": token}).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Registry:
    """auth: {} or what the configuration says below auth:."""

    def __init__(self, folder, auth=None):
        self.folder, self.port, self.auth = folder, free_port(), auth or {}
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        config = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {"addr": f"127.0.0.1:{self.port}", "secret": "x"},
            "auth": self.auth,
        }
        (self.folder / "registry.yml").write_text(json.dumps(config))
        program = private_root("registry", "docker-registry") / "usr/bin/docker-registry"
        self.log = open(self.folder / "registry.log", "w")
        self.process = subprocess.Popen(
            [program, "serve", self.folder / "registry.yml"], stdout=self.log, stderr=self.log
        )

        def up():
            try:
                urllib.request.urlopen(self.url + "/v2/")
            except HTTPError as e:
                return e.code == 401
            except OSError:
                return False
            return True

        wait_for("the registry", up, 20)
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def send(self, method, url, data=b"", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        return urllib.request.urlopen(request)

    def push(self, name, tag, image):
        """An Image, or an Index with its images; into a registry that lets everybody."""
        repository = f"{self.url}/v2/{name}"
        for part in getattr(image, "images", ()):
            self.push(name, part.digest, part)
        for key, blob in getattr(image, "blobs", {}).items():
            place = self.send("POST", f"{repository}/blobs/uploads/").headers["Location"]
            sep = "&" if "?" in place else "?"
            self.send(
                "PUT", f"{place}{sep}digest={key}", blob, Content_Type="application/octet-stream"
            )
        self.send("PUT", f"{repository}/manifests/{tag}", image.manifest, Content_Type=image.type)


def authfile(folder, host, user=USER, password=PASSWORD):
    """Credentials as `docker login` writes them."""
    path = folder / "auth.json"
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.touch(mode=0o600)
    path.write_text(json.dumps({"auths": {host: {"auth": secret}}}))
    return str(path)
