"""A container image from this machine's own busybox (Debian's busybox-static), without a registry:
an OCI archive that `ctr images import` takes."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = "localhost/labtest/busybox:1"


def _sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _layer(program):
    applets = subprocess.run(
        [program, "--list"], capture_output=True, text=True, check=True
    )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for d in ("bin", "etc", "tmp", "www"):
            i = tarfile.TarInfo(d)
            i.type, i.mode = tarfile.DIRTYPE, 0o755
            t.addfile(i)
        data = Path(program).read_bytes()
        i = tarfile.TarInfo("bin/busybox")
        i.size, i.mode = len(data), 0o755
        t.addfile(i, io.BytesIO(data))
        for name in applets.stdout.split():
            if name != "busybox":
                i = tarfile.TarInfo(f"bin/{name}")
                i.type, i.linkname = tarfile.SYMTYPE, "busybox"
                t.addfile(i)
    return out.getvalue()


def busybox(path, program="/bin/busybox"):
    """Write the archive of BUSYBOX to path."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    layer = _layer(program)
    config = json.dumps(
        {
            "architecture": arch,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [_sha(layer)]},
        }
    ).encode()
    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {
                "mediaType": f"{kind}.config.v1+json",
                "digest": _sha(config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": f"{kind}.layer.v1.tar",
                    "digest": _sha(layer),
                    "size": len(layer),
                }
            ],
        }
    ).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": f"{kind}.manifest.v1+json",
                "digest": _sha(manifest),
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": BUSYBOX},
                "platform": {"architecture": arch, "os": "linux"},
            }
        ],
    }
    with tarfile.open(path, "w") as t:

        def put(name, data):
            i = tarfile.TarInfo(name)
            i.size = len(data)
            t.addfile(i, io.BytesIO(data))

        put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        put("index.json", json.dumps(index).encode())
        for blob in (config, manifest, layer):
            put("blobs/sha256/" + _sha(blob)[7:], blob)
    return path


def load(host, archive):
    """Into a node's containerd, with its own ctr."""
    target = host.root / "root/labtest-image.tar"
    target.write_bytes(archive.read_bytes())
    try:
        host.enter(
            "/opt/kubecdn/bin/ctr",
            "-n",
            "k8s.io",
            "images",
            "import",
            "/root/labtest-image.tar",
        )
    finally:
        target.unlink()
