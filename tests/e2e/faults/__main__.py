"""Every fault of a cluster's life, a life after the other: `make faults`. KC_FAULTS: at most so many
lives, KC_FAULTS_MINUTES: begin none after that; the points are then spread evenly over all. The result
goes to docs/faults.json, and from there into docs/faults.md."""

import datetime
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from e2e.faults.life import VERBS, Life
from e2e.faults.report import write
from lab.cli import REPO
from lab.faults import points_of
from lab.hosts import LabHosts

# So often is one command disturbed before it is left alone.
IN_A_ROW = 3
SEED = int(os.environ.get("KC_SEED", "1"))


def kubectl(folder):
    link = folder / "kubectl"
    link.symlink_to(Path(os.environ["KC_BUNDLE_BIN"], "kube"))
    return str(link)


class Runner:
    def __init__(self, folder):
        self.folder, self.results, self.points = folder, [], {}
        self.life = self.lab = None

    def boot(self):
        """Hosts on which nothing was; also after a life that did not end well."""
        if self.lab:
            self.lab.__exit__()
        self.lab = LabHosts(["cp1", "w1", "w2"]).__enter__()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.life = Life(self.lab, kubectl(folder), folder)

    def observe(self):
        def seen(verb, point, r, operations, reached, why):
            if why or r.code:
                raise SystemExit(f"an undisturbed {verb} fails: {why or r}")
            self.points[verb] = points_of(operations)

        self.life.live({}, seen)
        # Neighbours differ little: a run that is cut short should have seen all sorts.
        for verb, points in self.points.items():
            random.Random(f"{SEED} {verb}").shuffle(points)

    def one(self, number):
        """A life with the next points of each verb; those that it did not come to stay."""
        failed = False

        def seen(verb, point, r, operations, reached, why):
            nonlocal failed
            failed |= bool(why)
            if not point:
                return
            self.points[verb].remove(point)
            self.results.append(
                {
                    "verb": verb,
                    **point._asdict(),
                    "reached": reached,
                    "exit": r.code,
                    "failed": why,
                }
            )
            print(f"{number} {verb}: {point}: exit {r.code}{': FAILED: ' + why if why else ''}")

        self.life.live({v: p[:IN_A_ROW] or [None] for v, p in self.points.items()}, seen)
        sys.stdout.flush()
        if failed:
            self.boot()


def main():
    lives = int(os.environ.get("KC_FAULTS", "100000"))
    until = time.monotonic() + 60 * float(os.environ.get("KC_FAULTS_MINUTES", "100000"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        runner.boot()
        try:
            runner.observe()
            total = {v: len(p) for v, p in runner.points.items()}
            print("points:", total)
            number = 0
            while number < lives and any(runner.points.values()) and time.monotonic() < until:
                number += 1
                runner.one(number)
        finally:
            runner.lab.__exit__()
    result = {
        "date": datetime.date.today().isoformat(),
        "minutes": round((time.monotonic() - began) / 60),
        "seed": SEED,
        "possible": {v: total[v] for v in VERBS},
        "results": runner.results,
    }
    (REPO / "docs" / "faults.json").write_text(json.dumps(result, indent=1) + "\n")
    write(REPO / "docs")
    return any(r["failed"] for r in runner.results)


if __name__ == "__main__":
    sys.exit(main())
