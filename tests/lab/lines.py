"""A driver of an API client (tests/e2e/lines.h): calls by lines of JSON."""

import json
import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


class Refused(Exception):
    """What a call failed with."""

    def __init__(self, reply):
        super().__init__(reply["message"])
        self.code, self.message = reply["code"], reply["message"]


class Lines:
    """The program name of our build, with nothing in its environment of what clouds' clients read but env.
    opened: what it said first."""

    def __init__(self, name, home, **env):
        program = Path(os.environ.get("KC_BUILD", REPO / "build/debug")) / "tests" / name
        if not program.exists():
            pytest.skip(f"{program} is not built")
        clean = {"PATH": os.environ["PATH"], "HOME": str(home), **{k: str(v) for k, v in env.items()}}
        clean |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [program], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=clean
        )
        self.opened = self.reply()

    def reply(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.process.wait(10)}: {self.process.stderr.read()}")
        reply = json.loads(line)
        if "code" in reply:
            raise Refused(reply)
        return reply["ok"]

    def __call__(self, call, **args):
        self.process.stdin.write(json.dumps({"call": call, **args}) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def close(self):
        """A sanitizer's complaint is a failure, too."""
        self.process.stdin.close()
        code = self.process.wait(60)
        complaint = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert code == 0 and not complaint, complaint

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def refusal(name, home, **env):
    """The error of a program that cannot open its client."""
    try:
        Lines(name, home, **env).close()
    except Refused as refused:
        return refused
    raise AssertionError("opened")
