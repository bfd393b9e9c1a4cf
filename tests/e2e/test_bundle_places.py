"""Bundles as one file and in a directory of a web server: the same bytes, or refused."""

import hashlib
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import pytest
from lab.cli import binary
from lab.hosts import wait_for
from lab.nginx import Nginx
from lab.registry import authfile
from lab.web import Web


def pack(data):
    return subprocess.run(["zstd", "-qc"], input=data, check=True, capture_output=True).stdout


def entry(content, folder, **more):
    packed = pack(content)
    blob = hashlib.sha256(packed).hexdigest()
    (folder / "blobs/sha256" / blob).write_bytes(packed)
    sizes = {"size": len(content), "blobSize": len(packed)}
    return {"sha256": hashlib.sha256(content).hexdigest(), "blob": blob, **sizes, **more}


@pytest.fixture
def folder(tmp_path):
    """A bundle of three blobs, one of them used twice and large enough to be stopped in."""
    folder = tmp_path / "bundle"
    (folder / "blobs/sha256").mkdir(parents=True)
    etcd = entry(b"etcd" * 100, folder, path="etcd", mode="0755")
    runc = entry(b"runc", folder, path="runc", mode="0755")
    large = entry(os.urandom(24 << 20), folder, path="large", mode="0755")
    blobs = [etcd, runc, large, {**large, "path": "again"}]
    doc = {
        "format": 1,
        "kubernetes": "1.37.2",
        "arch": "amd64",
        "components": [{"name": "all", "version": "1", "blobs": blobs}],
        "images": {},
    }
    (folder / "bundle.json").write_text(json.dumps(doc, indent=1))
    return folder


class Program:
    def __init__(self, home):
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECDN_PROGRESS": "plain",
        }
        self.env |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}

    def argv(self, *args):
        return [binary(), "bundle", *map(str, args)]

    def __call__(self, *args):
        return subprocess.run(
            self.argv(*args), env=self.env, capture_output=True, text=True, timeout=100
        )

    def ok(self, *args):
        r = self(*args)
        assert r.returncode == 0, r.stderr
        return r.stdout

    def refused(self, *args):
        r = self(*args)
        assert (r.returncode, r.stdout) == (1, ""), r
        return r.stderr.splitlines()[-1]


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "home").mkdir()
    return Program(tmp_path / "home")


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_file_is_the_same_bundle(bundle, folder, tmp_path):
    file, back = tmp_path / "one.tar", tmp_path / "back"
    bundle.ok("build", "--from", folder, "--out", file)
    bundle.ok("verify", file)
    with tarfile.open(file) as t:
        assert t.getnames()[0] == "bundle.json"
        found = {m.name: t.extractfile(m).read() for m in t if m.isreg()}
    assert found == content(folder)
    first = file.read_bytes()
    bundle.ok("build", "--from", file, "--out", back)
    assert content(back) == content(folder)
    bundle.ok("build", "--from", back, "--out", file)
    assert file.read_bytes() == first
    assert {p.name for p in tmp_path.iterdir()} == {"home", "bundle", "one.tar", "back"}

    # tar's own is as good.
    subprocess.run(["tar", "-cf", file, "-C", folder, "."], check=True)
    bundle.ok("verify", file)


def test_another_file_is_not_replaced(bundle, folder, tmp_path):
    file = tmp_path / "precious.tar"
    file.write_text("mine")
    assert "is not a bundle" in bundle.refused("build", "--from", folder, "--out", file)
    assert file.read_text() == "mine"


def member(name, data=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for k, v in fields.items():
        setattr(info, k, v)
    return info, data


DAMAGE = {
    "cut": (lambda b: b[: len(b) // 2], "cut short"),
    "no end": (lambda b: b[:-1024], "ends too early"),
    "empty": (lambda b: b"", "ends too early"),
    "a changed header": (lambda b: b[:5] + b"X" + b[6:], "is no header"),
    "a changed blob": (lambda b: b.replace(pack(b"runc"), pack(b"evil")), "is damaged"),
    "not a tar": (lambda b: b"\1" * 2000, "is no header"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file(bundle, folder, tmp_path, damage):
    file = tmp_path / "one.tar"
    bundle.ok("build", "--from", folder, "--out", file)
    change, why = DAMAGE[damage]
    file.write_bytes(change(file.read_bytes()))
    line = bundle.refused("verify", file)
    assert why in line and str(file) in line, line


ODD = {
    "a file more": ([member("evil")], "belongs to no bundle"),
    "a path out": ([member("../evil")], "belongs to no bundle"),
    "a link": ([member("blobs/sha256/" + "0" * 64, b"", type=tarfile.SYMTYPE, linkname="/x")], "no file"),
    "two": ([member("bundle.json", b"{}"), member("bundle.json", b"{}")], "second bundle.json"),
    "a blob twice": ([member("blobs/sha256/" + "0" * 64)] * 2, "for the second time"),
    "none": ([], "without a bundle.json"),
    "too many": ([member(f"d{i}", b"", type=tarfile.DIRTYPE) for i in range(5000)], "too many"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file(bundle, tmp_path, odd):
    file = tmp_path / "odd.tar"
    members, why = ODD[odd]
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as t:
        for info, data in members:
            t.addfile(info, BytesIO(data))
    assert why in bundle.refused("verify", file)


@pytest.fixture
def nginx(tmp_path, request):
    (tmp_path / "nginx").mkdir()
    with Nginx(tmp_path / "nginx", private=getattr(request, "param", False)) as n:
        yield n


def pushed(out):
    return out.splitlines()[-1].split("'")[1]


@pytest.mark.parametrize("one_file", [False, True], ids=["directory", "file"])
def test_what_was_pushed_is_read_back(bundle, folder, tmp_path, nginx, one_file):
    source = folder
    if one_file:
        source = tmp_path / "one.tar"
        bundle.ok("build", "--from", folder, "--out", source)
    url = pushed(bundle.ok("push", source, f"{nginx.url}/k8s/a/"))
    sha = hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert url == f"{nginx.url}/k8s/a#sha256={sha}"
    assert content(nginx.files / "k8s/a") == content(folder)
    assert nginx.requests("PUT")[-1] == "/k8s/a/bundle.json"
    bundle.ok("verify", url)
    bundle.ok("build", "--from", url, "--out", tmp_path / "back")
    assert content(tmp_path / "back") == content(folder)

    nginx.forget()
    assert pushed(bundle.ok("push", source, f"{nginx.url}/k8s/a")) == url
    assert nginx.requests("PUT") == [], "all of it was there"
    bundle.ok("verify", url)
    assert set(nginx.requests("GET")) == {"/k8s/a/bundle.json"}, "blobs are kept"


def test_another_bundle_is_replaced_only_if_told(bundle, folder, nginx):
    bundle.ok("push", folder, f"{nginx.url}/b")
    json_file = folder / "bundle.json"
    json_file.write_text(json_file.read_text().replace('"1.37.2"', '"1.36.3"'))
    assert "is another bundle" in bundle.refused("push", folder, f"{nginx.url}/b")
    url = pushed(bundle.ok("push", folder, f"{nginx.url}/b", "--replace"))
    assert bundle.ok("verify", url).endswith("is whole: Kubernetes 1.36.3, amd64.\n")


def test_nothing_unvouched_for_is_read_over_http(bundle, folder, nginx):
    url = pushed(bundle.ok("push", folder, f"{nginx.url}/b"))
    assert "use https, or add #sha256=" in bundle.refused("verify", f"{nginx.url}/b")
    assert "instead of" in bundle.refused("verify", url[:-64] + "0" * 64)
    assert "is not the URL of a bundle" in bundle.refused("verify", url + "0")
    (blob, *_) = sorted((nginx.files / "b/blobs/sha256").iterdir())
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    line = bundle.refused("verify", url)
    assert blob.name in line and "instead of" in line, line
    blob.unlink()
    assert "not there (HTTP 404)" in bundle.refused("verify", url)


@pytest.mark.parametrize("nginx", [True], indirect=True)
def test_with_a_password_from_a_file(bundle, folder, tmp_path, nginx):
    host = nginx.url.removeprefix("http://")
    assert "--authfile" in bundle.refused("push", folder, f"{nginx.url}/b")
    auth = "--authfile", authfile(tmp_path, host, password="wrong")
    assert "refused" in bundle.refused("push", folder, f"{nginx.url}/b", *auth)
    auth = "--authfile", authfile(tmp_path, host)
    url = pushed(bundle.ok("push", folder, f"{nginx.url}/b", *auth))
    bundle.ok("verify", url, *auth)
    assert "--authfile" in bundle.refused("verify", url)


def test_a_damaged_blob_is_not_pushed(bundle, folder, nginx):
    (blob, *_) = sorted((folder / "blobs/sha256").iterdir())
    data = blob.read_bytes()
    blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert "is damaged" in bundle.refused("push", folder, f"{nginx.url}/b")
    assert not (nginx.files / "b/bundle.json").exists()


class Slow(Web):
    """Takes PUT in small pieces, and keeps halves, as bad servers do. stopped: within the large one."""

    def __init__(self):
        self.files, self.stopped, self.pause = {}, threading.Event(), True
        self.under_way, self.lock = 0, threading.Lock()
        slow = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                with slow.counted():
                    self.take()

            def take(self):
                left, data = int(self.headers["Content-Length"]), b""
                if slow.files.get(self.path) is not None and self.headers["If-None-Match"] == "*":
                    return self.reply(412)
                while left:
                    piece = self.rfile.read1(min(left, 65536))
                    if not piece:
                        self.close_connection = True
                        return None
                    left -= len(piece)
                    data += piece
                    slow.files[self.path] = data
                    if slow.pause and len(data) > 1 << 20:
                        slow.stopped.set()
                        time.sleep(0.1)
                return self.reply(201)

            def do_GET(self, body=True):
                data = slow.files.get(self.path)
                self.reply(404 if data is None else 200, data or b"", body)

            def do_HEAD(self):
                self.do_GET(False)

            def reply(self, status, data=b"", body=True):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)

            def log_message(self, *args):
                pass

        super().__init__(Handler)

    @contextmanager
    def counted(self):
        """A PUT, from its head to its end or that of its client."""
        with self.lock:
            self.under_way += 1
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
def test_the_next_push_goes_on(bundle, folder, how):
    """Even where the server kept half of a blob; nothing is readable before all of it is."""
    slow = Slow()
    p = subprocess.Popen(
        bundle.argv("push", folder, slow.url + "/b"), env=bundle.env, stderr=subprocess.PIPE, text=True
    )
    assert slow.stopped.wait(30)
    p.send_signal(how)
    _, err = p.communicate(timeout=30)
    assert p.returncode == (130 if how == signal.SIGINT else -9), err
    assert "/b/bundle.json" not in slow.files
    slow.pause = False
    wait_for("what was on its way to end", lambda: slow.under_way == 0)
    before = dict(slow.files)
    url = pushed(bundle.ok("push", folder, slow.url + "/b"))
    want = {f"/b/{k}": v for k, v in content(folder).items()}
    assert slow.files == want
    large = max(want.values(), key=len)
    assert {k for k, v in before.items() if v == want[k]} == {
        k for k, v in want.items() if v != large and k != "/b/bundle.json"
    }
    bundle.ok("verify", url)
    slow.close()


def test_a_url_that_is_none(bundle, folder):
    for url in "ftp://x/y", "x", "https://u:p@x/y", "https://x/y?z", f"https://x/y#sha256={'0' * 64}":
        line = bundle.refused("push", folder, url)
        assert "is not" in line and "https://HOST/PATH" in line, line
    assert not Path(bundle.env["HOME"], ".cache/kubecdn/fetched").exists()
