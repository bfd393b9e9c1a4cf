"""Release hosts and registries as the section upstream of components.yaml has them, on loopback."""

import gzip
import hashlib
import io
import os
import tarfile
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import yaml

from .registry import Registry
from .web import Web

REPO = Path(__file__).resolve().parents[2]
COMPONENTS = REPO / "bootstrap/bundle/components.yaml"


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Upstream(Web):
    """program(path) is the file that a program of the bundle is made of; images: {name: Image}."""

    def __init__(self, folder, program, images, version="1.37.2", arch="amd64"):
        self.folder, self.program, self.arch = folder, program, arch
        self.all = yaml.safe_load(COMPONENTS.read_text())
        self.doc = self.all["upstream"]
        self.root = folder / "www"
        for name, source in self.doc["components"].items():
            v = version if name == "kubernetes" else self.all["components"][name]["version"]
            for f in source.get("files", []):
                place = self.place(source["url"], v, f)
                os.link(program(f), place)
                self.checksum(source, v, f, place)
            if "members" in source:
                place = self.place(source["url"], v)
                self.archive(place, {m.format(version=v, arch=arch): p for p, m in source["members"].items()})
                self.checksum(source, v, "", place)
        self.registry = Registry(folder)
        self.images = images
        self.hops = []
        self.serve()

    def place(self, url, version, file=""):
        path = self.root / url.format(version=version, arch=self.arch, file=file).split("://")[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def checksum(self, source, version, file, place):
        where = self.place(source["checksum"], version, file)
        line = sha256(place) if where.name == place.name + ".sha256" else f"{sha256(place)}  {place.name}"
        if "SUM" in where.name:
            line = f"Hash: SHA512\n\n{'0' * 64}  other\n{line}"
        where.write_text(line + "\n")

    def archive(self, place, members):
        with gzip.open(place, "wb", compresslevel=1) as z, tarfile.open(fileobj=z, mode="w") as t:
            t.addfile(tarfile.TarInfo("README"), io.BytesIO())
            for name, path in members.items():
                t.add(self.program(path), arcname=name)

    def serve(self):
        upstream = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(upstream.root))

            def do_GET(self):
                upstream.hops.append(self.path)
                # As a large host does: what is asked for is kept by another, for a while.
                if self.path.startswith("/github.com/"):
                    self.send_response(302)
                    self.send_header("Location", f"/objects{self.path}?sig=abc")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.path = self.path.removeprefix("/objects")
                super().do_GET()

            def log_message(self, *args):
                pass

        super().__init__(Handler)

    def __enter__(self):
        self.registry.__enter__()
        for name, source in self.doc["images"].items():
            version = source.get("version") or self.all["images"][name]["version"]
            host, rest = source["ref"].format(version=version).split("/", 1)
            repository, tag = rest.rsplit(":", 1)
            self.registry.push(f"{host}/{repository}", tag, self.images[name])
        return self

    def __exit__(self, *exc):
        self.close()
        self.registry.__exit__(*exc)

    def mirrors(self):
        """For --mirrors: each host is a folder of the one server or registry."""
        urls = [s["url"] for s in self.doc["components"].values()]
        files = {u.split("/")[2]: self.url for u in urls}
        images = {s["ref"].split("/")[0]: self.registry.url for s in self.doc["images"].values()}
        return ",".join(f"{h}={u}/{h}" for h, u in (files | images).items())

    def sources(self):
        """The section without pins: what is here is not what they are about."""
        path = self.folder / "sources.yaml"
        path.write_text(yaml.safe_dump({"upstream": {**self.doc, "pins": {}}}))
        return path
