"""lib/net/registry against a real registry, with tokens and passwords, and one that lies."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from lab.lines import Lines, Refused
from lab.registry import OCI, PASSWORD_LINE, Image, Index, Registry, Tokens, authfile, digest, dumps
from lab.web import Web

REF = "registry.example/tools/hello:1.0"


class Client(Lines):
    """Errors are values here: {"code", "message"}."""

    def call(self, name, **args):
        try:
            return {"ok": self(name, **args)}
        except Refused as e:
            return {"code": e.code, "message": e.message}

    def pull(self, folder, registry, ref=REF, path="", **args):
        mirrors = {ref.split("/")[0]: f"{registry}{path}"}
        folder.mkdir(exist_ok=True)
        return self.call("pull", ref=ref, dir=str(folder), mirrors=mirrors, **args)


@pytest.fixture
def client(tmp_path):
    with Client("fetch-client", tmp_path) as c:
        yield c


def content(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as r:
        yield r


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_of_a_list_the_image_for_the_architecture_is_pulled(client, registry, tmp_path, docker):
    ours, other = Image(docker=docker), Image("hej\n", "arm64", docker)
    index = Index(other, ours, docker=docker)
    registry.push("tools/hello", "1.0", index)
    r = client.pull(tmp_path / "a", registry.url)
    assert r["ok"]["digest"] == index.digest, r
    assert r["ok"]["manifest"] == {
        "mediaType": ours.type,
        "digest": ours.digest,
        "size": len(ours.manifest),
    }
    found = content(tmp_path / "a")
    assert found.pop(index.digest[7:]) == index.manifest
    assert found == ours.files

    # By digest, from a mirror that keeps it below a path of its own; both may be named.
    registry.push("proxy/tools/hello", "old", Index(other, ours, docker=docker))
    for ref in f"registry.example/tools/hello@{index.digest}", f"{REF}@{index.digest}":
        r = client.pull(tmp_path / "b", registry.url, ref, "/proxy", arch="arm64")
        assert r["ok"]["manifest"]["digest"] == other.digest, r
    r = client.pull(tmp_path / "a", registry.url, arch="riscv64")
    assert r["code"] == "not-found" and "there is linux/arm64, linux/amd64" in r["message"], r


def test_one_image_without_a_list_says_what_it_is_for(client, registry, tmp_path):
    registry.push("tools/single", "1", Image(arch="arm64"))
    ref = "registry.example/tools/single:1"
    assert "ok" in client.pull(tmp_path / "a", registry.url, ref, arch="arm64")
    r = client.pull(tmp_path / "a", registry.url, ref)
    assert (r["code"], r["message"]) == (
        "not-found",
        f"image {ref}: {ref} is for linux/arm64, not for linux/amd64",
    )
    r = client.pull(tmp_path / "a", registry.url, "registry.example/tools/none:1")
    assert r["code"] == "not-found" and "not there (HTTP 404)" in r["message"], r


@pytest.mark.parametrize(
    "ref",
    [
        *("pause:1", "/pause:1", "r/pause", "r/../x:1", "r//x:1", "r/x:", "r/x:a/b", "r/x@sha256:12"),
        *("r/x:1?y", "r/x:1@md5:0", "r@x/y:1", "u:p@r/x:1"),
    ],
)
def test_a_name_that_is_none(client, tmp_path, ref):
    assert client.call("pull", ref=ref, dir=str(tmp_path))["code"] == "invalid"


@pytest.fixture
def guarded(tmp_path, registry):
    """The same storage behind a token server. What it returns: registry, tokens."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    (folder / "storage").symlink_to(registry.folder / "storage")
    registry.push("tools/hello", "1.0", Index(Image()))
    tokens = Tokens(folder)
    auth = {
        "realm": tokens.realm,
        "service": tokens.service,
        "issuer": tokens.issuer,
        "rootcertbundle": str(tokens.bundle),
    }
    with Registry(folder, {"token": auth}) as r:
        yield r, tokens
    tokens.close()


def test_a_token_is_got_with_the_password_of_a_file(client, guarded, tmp_path):
    registry, tokens = guarded
    host = registry.url.removeprefix("http://")
    r = client.pull(tmp_path / "a", registry.url, authfile=authfile(tmp_path, host))
    assert "ok" in r, r
    ((query, sent),) = tokens.asked  # one token for all of the repository
    assert query == {"service": tokens.service, "scope": "repository:tools/hello:pull"}
    assert sent.startswith("Basic ")

    r = client.pull(tmp_path / "a", registry.url, authfile=authfile(tmp_path, host, password="x"))
    assert r["code"] == "refused", r
    assert "refuses a token (HTTP 401)" in r["message"] and "x" not in r["message"].split(), r
    r = client.pull(tmp_path / "a", registry.url)
    assert "refuses a token (HTTP 401)" in r["message"], r
    tokens.public = True
    assert "ok" in client.pull(tmp_path / "a", registry.url)


def test_a_token_that_is_too_old_is_replaced_once(client, guarded, tmp_path):
    registry, tokens = guarded
    tokens.public, tokens.life = True, -61
    r = client.pull(tmp_path / "a", registry.url)
    assert "refused: HTTP 401" in r["message"], r
    assert len(tokens.asked) == 1


def test_a_password_is_said_to_the_registry_itself(client, tmp_path, registry):
    folder = tmp_path / "basic"
    folder.mkdir()
    (folder / "storage").symlink_to(registry.folder / "storage")
    registry.push("tools/hello", "1.0", Index(Image()))
    (folder / "htpasswd").write_text(PASSWORD_LINE)
    auth = {"htpasswd": {"realm": "x", "path": str(folder / "htpasswd")}}
    with Registry(folder, auth) as r:
        host = r.url.removeprefix("http://")
        assert "ok" in client.pull(tmp_path / "a", r.url, authfile=authfile(tmp_path, host))
        got = client.pull(tmp_path / "a", r.url)
        assert "--authfile" in got["message"], got
        got = client.pull(tmp_path / "a", r.url, authfile=authfile(tmp_path, "other.example"))
        assert "--authfile" in got["message"], got


class Liar(Web):
    """Answers by path: a function of the handler, or (status, headers, body)."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                liar.seen.append((self.path, self.headers["Authorization"], self.headers["Range"]))
                answer = liar.answers.get(self.path, (404, {}, b""))
                if callable(answer):
                    answer = answer(self)
                if not answer:
                    return
                status, headers, body = answer
                self.send_response(status)
                for k, v in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        super().__init__(Handler)


@pytest.fixture
def liar():
    image = Image()
    index = Index(image)
    api = "/v2/tools/hello"
    answers = {
        f"{api}/manifests/1.0": (200, {"Content-Type": index.type}, index.manifest),
        f"{api}/manifests/{image.digest}": (200, {"Content-Type": image.type}, image.manifest),
        **{f"{api}/blobs/{d}": (200, {}, b) for d, b in image.blobs.items()},
    }
    server = Liar(answers)
    server.image, server.api = image, api
    server.layer = f"{api}/blobs/{list(image.blobs)[1]}"
    server.layer_bytes = list(image.blobs.values())[1]
    yield server
    server.close()


def index_of(**change):
    """An index with members of its first entry changed."""
    doc = json.loads(Index(Image()).manifest)
    doc["manifests"][0].update(change)
    return 200, {"Content-Type": OCI + "index.v1+json"}, dumps(doc)


LIES = {
    "another manifest": (
        lambda s: {f"{s.api}/manifests/{s.image.digest}": (200, {}, Image("evil\n").manifest)},
        "instead of",
    ),
    "another layer": (
        lambda s: {s.layer: (200, {}, b"x" * len(s.layer_bytes))},
        "instead of",
    ),
    "a longer layer": (
        lambda s: {s.layer: (200, {}, s.layer_bytes + b"x")},
        "more than the",
    ),
    "a shorter layer": (lambda s: {s.layer: (200, {}, s.layer_bytes[:-1])}, "instead of"),
    "a huge manifest": (
        lambda s: {f"{s.api}/manifests/1.0": (200, {}, b" " * (5 << 20))},
        "more than the 4194304 bytes",
    ),
    "no JSON": (lambda s: {f"{s.api}/manifests/1.0": (200, {}, b"<html>")}, "manifests/1.0"),
    "an odd digest": (lambda s: {f"{s.api}/manifests/1.0": index_of(digest="sha256:../../x")}, "digest"),
    "a list in a list": (
        lambda s: {
            f"{s.api}/manifests/1.0": index_of(digest=Index().digest),
            f"{s.api}/manifests/{Index().digest}": (
                200,
                {"Content-Type": OCI + "index.v1+json"},
                Index().manifest,
            ),
        },
        "a list in a list",
    ),
    "two in one": (
        lambda s: {
            f"{s.api}/manifests/1.0": (
                200,
                {"Content-Type": OCI + "manifest.v1+json"},
                dumps({"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}),
            )
        },
        "both a list and an image",
    ),
    "one sent as the other": (
        lambda s: {
            f"{s.api}/manifests/1.0": (200, {"Content-Type": OCI + "manifest.v1+json"}, Index().manifest)
        },
        "is sent as",
    ),
    "schema 1": (
        lambda s: {f"{s.api}/manifests/1.0": (200, {}, dumps({"schemaVersion": 1}))},
        "schema version 2",
    ),
    "endless redirects": (
        lambda s: {s.layer: lambda h: (307, {"Location": h.path}, b"")},
        "more than 5 redirects",
    ),
    "a redirect to a file": (
        lambda s: {s.layer: (307, {"Location": "file:///etc/passwd"}, b"")},
        "not followed",
    ),
    "a part": (lambda s: {s.layer: (206, {}, s.layer_bytes)}, "a part that was not asked for"),
    "a token server in the clear": (
        lambda s: {
            s.layer: (401, {"WWW-Authenticate": 'Bearer realm="http://tokens.example/x"'}, b"")
        },
        "is not https",
    ),
    "a challenge without a realm": (
        lambda s: {s.layer: (401, {"WWW-Authenticate": 'Bearer service="x"'}, b"")},
        "names no realm",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_registry_that_lies(client, liar, tmp_path, lie):
    assert "ok" in client.pull(tmp_path / "good", liar.url)
    change, message = LIES[lie]
    liar.answers.update(change(liar))
    r = client.pull(tmp_path / "a", liar.url)
    assert message in r.get("message", "no error"), r
    left = content(tmp_path / "a")
    assert all(digest(data) == f"sha256:{name}" for name, data in left.items())


def test_blobs_on_another_host_do_not_learn_who_asks(client, liar, tmp_path):
    """A registry that wants a password and sends to a store: the store gets none."""
    store = Liar({"/x?sig=secret": (200, {}, liar.layer_bytes)})

    def to_store(h):
        if not h.headers["Authorization"]:
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        return 307, {"Location": f"{store.url}/x?sig=secret"}, b""

    liar.answers[liar.layer] = to_store
    host = liar.url.removeprefix("http://")
    r = client.pull(tmp_path / "a", liar.url, authfile=authfile(tmp_path, host))
    assert "ok" in r, r
    assert store.seen == [("/x?sig=secret", None, None)]
    store.answers.clear()
    r = client.pull(tmp_path / "b", liar.url, authfile=authfile(tmp_path, host))
    assert "not there" in r["message"] and "secret" not in r["message"], r
    store.close()


def test_what_was_cut_goes_on_where_it_stopped(client, liar, tmp_path):
    data = bytes(range(256)) * 2000
    want = digest(data)[7:]

    def cut(h):
        start = int((h.headers["Range"] or "bytes=0-")[6:-1])
        part = data[start : start + 200_000]
        h.send_response(206 if h.headers["Range"] else 200)
        h.send_header("Content-Length", str(len(data) - start))
        h.end_headers()
        h.wfile.write(part)
        h.close_connection = True

    liar.answers["/file"] = cut
    r = client.call("get", url=liar.url + "/file", path=str(tmp_path / "f"), sha256=want, max=1 << 20)
    assert r["ok"]["sha256"] == want, r
    assert (tmp_path / "f").read_bytes() == data
    assert [s[2] for s in liar.seen] == [None, "bytes=200000-", "bytes=400000-"]
    # What nothing is known of is not put together from parts.
    liar.seen.clear()
    r = client.call("get", url=liar.url + "/file", path=str(tmp_path / "f"), max=1 << 20)
    assert "after 5 attempts" in r["message"], r
    assert {s[2] for s in liar.seen} == {None} and not (tmp_path / "f").exists()


def test_a_server_that_is_busy_is_asked_again(client, liar):
    state = {"left": 2}

    def busy(h):
        state["left"] -= 1
        return (503, {"Retry-After": "1"}, b"later") if state["left"] >= 0 else (200, {}, b"now")

    liar.answers["/file"] = busy
    assert client.call("get", url=liar.url + "/file")["ok"]["text"] == "now"
    assert len(liar.seen) == 3
    liar.answers["/file"] = (503, {"Retry-After": "7200"}, b"")
    assert "7200 s of patience" in client.call("get", url=liar.url + "/file")["message"]


def test_passwords_only_from_a_private_file(client, liar, tmp_path):
    path = authfile(tmp_path, "x")
    Path(path).chmod(0o644)
    r = client.pull(tmp_path / "a", liar.url, authfile=path)
    assert path in r["message"], r
    Path(path).chmod(0o600)
    Path(path).write_text(json.dumps({"auths": {"x": {"auth": "no\nbase64"}}}))
    assert "not base64" in client.pull(tmp_path / "a", liar.url, authfile=path)["message"]
