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


def private_root(name, *packages):
    """The folder with the programs of packages and what of their libraries this machine lacks: they
    are unpacked and not installed, for an installed server would be started."""
    root, debs = CACHE / name, CACHE / f"{name}-debs"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = root / "complete"
        if not done.exists() or done.read_text() != " ".join(packages):
            (debs / "partial").mkdir(parents=True, exist_ok=True)
            get = [*APT, "-o", f"Dir::Cache::archives={debs}", "install", "-y", "--download-only"]
            get += ["--reinstall", "--no-install-recommends", *packages]
            if run(*get, check=False).returncode:
                run("apt-get", "-q", "update")
                run(*get)
            for deb in debs.glob("*.deb"):
                run("dpkg-deb", "-x", deb, root)
            done.write_text(" ".join(packages))
    return root


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
