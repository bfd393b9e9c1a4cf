"""Do secrets show where they must not? Needles are every form a key could leak in; a Watch reads
the command line and environment of all processes of this machine (so of the lab's hosts, too)
while commands run; `search` reads files."""

import base64
import os
import stat
import threading
import time
from pathlib import Path

MAX = 64 << 20


def forms(name, text):
    """{form: bytes} of a PEM key, or of a symmetric key in base64."""
    lines = [x for x in text.splitlines() if x and not x.startswith("-----")]
    found = {f"{name}: line {i}": x.encode() for i, x in enumerate(lines) if len(x) >= 40}
    found[f"{name}: base64 of it all"] = base64.b64encode(text.encode())[-80:-4]
    if "OPENSSH" in text:  # the first lines are the same for all, and the public half
        return {k: v for k, v in found.items() if not k.endswith((" 0", " 1"))}
    raw = base64.b64decode("".join(lines))
    if "PRIVATE KEY" in text:
        raw = raw[36:68]  # the scalar of a P-256 key in PKCS #8
    return {**found, f"{name}: hex": raw.hex().encode(), f"{name}: bytes": raw}


class Needles:
    def __init__(self, secrets):
        self.forms = {k: v for name, text in secrets.items() for k, v in forms(name, text).items()}

    def inside(self, data):
        """The name of the first form that data has, or None."""
        return next((k for k, v in self.forms.items() if v in data), None)


class Watch:
    """with Watch() as w: …; w.hits(needles) afterwards. Keeps what it saw, as the needles may only
    be known when the run is over."""

    def __init__(self, every=0.02):
        self.every, self.seen, self.rounds = every, set(), 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def loop(self):
        last = {}
        while not self.stop.is_set():
            start = time.monotonic()
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    argv = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if last.get(pid) == argv:
                        continue
                    last[pid] = argv
                    self.seen.add((argv, Path(f"/proc/{pid}/environ").read_bytes()))
                except OSError:
                    pass
            self.rounds += 1
            self.stop.wait(max(0, self.every - (time.monotonic() - start)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def hits(self, needles):
        found = []
        for argv, environ in self.seen.copy():
            for where, data in (("argv", argv), ("environment", environ)):
                hit = needles.inside(data)
                if hit:
                    found.append(f"{hit} in the {where} of {argv[:40]!r}")
        return found


def search(needles, root, folders, allowed=()):
    """Files below root/folders that have a needle. One in allowed may, if only its owner reads it."""
    found = []
    for folder in folders:
        place = Path(f"{root}{folder}")
        walk = [(place.parent, [], [place.name])] if place.is_file() else os.walk(place)
        for top, _, names in walk:
            for path in (Path(top, n) for n in names):
                try:
                    info = path.lstat()
                    if not stat.S_ISREG(info.st_mode) or info.st_size > MAX:
                        continue
                    hit = needles.inside(path.read_bytes())
                except OSError:
                    continue  # gone meanwhile
                name = str(path).removeprefix(str(root))
                mode = info.st_mode & 0o777
                if hit and (name not in allowed or mode & 0o077 or info.st_uid):
                    found.append(f"{hit} in {name} ({mode:o})")
    return found
