"""The program under test, run as a user runs it."""

import fcntl
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from .hosts import wait_for

REPO = Path(__file__).resolve().parents[2]


def binary():
    """KUBECDN, or where the builds put it."""
    if os.environ.get("KUBECDN"):
        return Path(os.environ["KUBECDN"])
    places = [
        REPO / "build" / p for p in ("release/bin/kubecdn", "release/cli/kubecdn")
    ]
    return next((p for p in places if p.exists()), places[0])


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error_lines(self):
        return [x for x in self.err.splitlines() if x.strip()]

    def __repr__(self):
        return (
            f"exit {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-4000:]}"
        )


class Cli:
    """state: where clusters are recorded; bundle: KC_BUNDLE, or the program's default."""

    def __init__(self, state, bundle=None, home=None):
        self.state, self.bundle = Path(state), bundle or os.environ.get("KC_BUNDLE")
        self.home = home
        self.extra_env = {}

    def argv(self, *args):
        extra = ["--state", str(self.state)]
        if self.bundle and args[0] == "cluster" and args[1] in ("create", "update"):
            extra += ["--bundle", str(self.bundle)]
        end = args.index("--") if "--" in args else len(args)
        return [str(binary()), *map(str, args[:end]), *extra, *map(str, args[end:])]

    def env(self):
        env = {**os.environ, "KUBECDN_PROGRESS": "off", "NO_COLOR": "1"}
        env.pop("SSH_AUTH_SOCK", None)
        if self.home:
            env["HOME"] = str(self.home)
        return {**env, **self.extra_env}

    def run(self, *args, timeout=300, **kw):
        return Result(
            subprocess.run(
                self.argv(*args),
                check=False,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.env(),
                stdin=kw.pop("stdin", subprocess.DEVNULL),
                **kw,
            )
        )

    def ok(self, *args, **kw):
        r = self.run(*args, **kw)
        assert r.code == 0, r
        return r

    def start(self, *args):
        """In the background, in a session of its own; its output goes to files beside the state."""
        out = self.state.parent / f"{self.state.name}.{args[1]}.out"
        with open(out, "wb") as f:
            return subprocess.Popen(
                self.argv(*args),
                stdout=f,
                stderr=f,
                stdin=subprocess.DEVNULL,
                env=self.env(),
                start_new_session=True,
            )

    def pause(self, process):
        """Stop what start() began, but not in the middle of a write to the state, for that is another
        case: others then wait for it, and say so."""
        with open(self.state / ".lock") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            process.send_signal(signal.SIGSTOP)
            stat = Path(f"/proc/{process.pid}/stat")
            wait_for("a stop", lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 10, 0.001)

    def plan(self, verb, *args):
        """The plan that a preview shows, and whether it has changes (its exit code)."""
        r = self.run("cluster", verb, *args, "-o", "json", "--detailed-exitcode")
        assert r.code in (0, 2), r
        plan = r.json["plan"]
        assert (r.code == 2) == bool(pending(plan)), r
        return plan

    def kubeconfig(self, name, path):
        self.ok("cluster", "export", "kubeconfig", name, "--to", path)
        return path


def assert_refused(r, *patterns, code=1, where=None):
    """One line on standard error, with the exit code, the position and every pattern in it."""
    assert r.code == code, r
    assert len(r.error_lines) == 1, r
    line = r.error_lines[0]
    assert not re.search(r"\b(\w+): \1: ", line), f"said twice: {line}"
    if where:
        assert re.search(where, line), f"no {where} in: {line}"
    for p in patterns:
        assert re.search(p, line, re.IGNORECASE), f"no {p} in: {line}"


def pending(plan):
    """{task id: action} of a plan's JSON, children as "node/w1 > file/x", what is kept left out."""

    def walk(tasks, prefix):
        for t in tasks:
            name = prefix + t["id"]
            if t["action"] != "keep":
                yield name, t["action"]
            yield from walk(t.get("children", []), name + " > ")

    return dict(walk(plan["tasks"], ""))
