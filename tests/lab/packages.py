"""Debian packages in a lab host: unpacked, without its scripts, from a cache."""

import fcntl
import subprocess

from .hosts import CACHE, run

DEBS = CACHE / "labtest-debs"
APT = "apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=300"


def fetch(names):
    if run(*APT, "download", *names, cwd=DEBS, check=False).returncode:
        run(*APT, "update")  # no lists here, or old ones
        run(*APT, "download", *names, cwd=DEBS)


def unpack(host, *names):
    """Their files are all that is wanted, so what they depend on must be named, too."""
    DEBS.mkdir(parents=True, exist_ok=True)
    with open(DEBS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [n for n in names if not list(DEBS.glob(f"{n}_*.deb"))]
        if missing:
            fetch(missing)
    for name in names:
        (deb,) = DEBS.glob(f"{name}_*.deb")
        tar = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True
        ).stdout
        # /bin is a link to /usr/bin and has to stay one.
        subprocess.run(
            ["tar", "-x", "-C", host.root, "--keep-directory-symlink"],
            input=tar,
            check=True,
        )
