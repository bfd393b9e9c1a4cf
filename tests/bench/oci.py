"""OCI image archives from layers that are files, without a daemon."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

KIND = "application/vnd.oci.image"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def digest_of(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()


def layer(path, files, links=()):
    """Write a layer: files (source, destination[, mode]), links (destination, target)."""
    with tarfile.open(path, "w") as t:
        for source, name, *mode in files:
            i = tarfile.TarInfo(name.lstrip("/"))
            i.size, (i.mode,) = Path(source).stat().st_size, mode or [0o755]
            with open(source, "rb") as f:
                t.addfile(i, f)
        for name, target in links:
            i = tarfile.TarInfo(name.lstrip("/"))
            i.type, i.linkname = tarfile.SYMTYPE, target
            t.addfile(i)
    return path


def layer_of(archive, path, leave_out=()):
    """The only layer of an image archive as a file, without some of its members."""
    with tarfile.open(archive) as outer:
        index = json.load(outer.extractfile("index.json"))

        def blob(digest):
            return outer.extractfile("blobs/" + digest.replace(":", "/"))

        manifest = json.load(blob(index["manifests"][0]["digest"]))
        (only,) = manifest["layers"]
        with tarfile.open(fileobj=blob(only["digest"])) as inner, tarfile.open(path, "w") as t:
            for m in inner:
                if m.name not in leave_out:
                    t.addfile(m, inner.extractfile(m) if m.isreg() else None)
    return path


def archive(path, images):
    """images: {"name", "layers": [files]}, and of its settings any of "env", "entrypoint", "cmd", "user"; a
    layer used twice is stored once."""
    blobs, manifests = {}, []

    def keep(data):
        blobs[hashlib.sha256(data).hexdigest()] = data
        return "sha256:" + hashlib.sha256(data).hexdigest()

    digests = {p: digest_of(p) for i in images for p in i["layers"]}
    for image in images:
        diffs = ["sha256:" + digests[p] for p in image["layers"]]
        settings = {k: image.get(k.lower()) for k in ("Env", "Entrypoint", "Cmd", "User")}
        config = json.dumps(
            {
                "architecture": ARCH,
                "os": "linux",
                "config": {k: v for k, v in settings.items() if v},
                "rootfs": {"type": "layers", "diff_ids": diffs},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{KIND}.manifest.v1+json",
                "config": {
                    "mediaType": f"{KIND}.config.v1+json",
                    "digest": keep(config),
                    "size": len(config),
                },
                "layers": [
                    {
                        "mediaType": f"{KIND}.layer.v1.tar",
                        "digest": "sha256:" + digests[p],
                        "size": Path(p).stat().st_size,
                    }
                    for p in image["layers"]
                ],
            }
        ).encode()
        manifests.append(
            {
                "mediaType": f"{KIND}.manifest.v1+json",
                "digest": keep(manifest),
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": image["name"]},
                "platform": {"architecture": ARCH, "os": "linux"},
            }
        )
    with tarfile.open(path, "w") as t:

        def put(name, size, f):
            i = tarfile.TarInfo(name)
            i.size = size
            t.addfile(i, f)

        def text(name, data):
            put(name, len(data), io.BytesIO(data))

        text("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        text("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
        for digest, data in blobs.items():
            text("blobs/sha256/" + digest, data)
        for source, digest in digests.items():
            with open(source, "rb") as f:
                put("blobs/sha256/" + digest, Path(source).stat().st_size, f)
