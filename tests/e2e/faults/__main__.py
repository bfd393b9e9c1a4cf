"""Every fault of a cluster's life, a life after the other, some side by side: `make faults`. KC_FAULTS:
at most so many lives, KC_FAULTS_MINUTES: begin none after that, KC_FAULTS_WORKERS: clusters at a time.
The points are spread evenly over all lives; one that a run did not reach is first in another life,
whose run has everything before it. The result goes to docs/faults.json after each life, and from there
into docs/faults.md; that of a limited run to build/faults.json, for it says less."""

import datetime
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from e2e.faults import report
from e2e.faults.life import Life
from lab.cli import REPO
from lab.faults import points_of
from lab.hosts import LabHosts

# So often is one command disturbed before it is left alone.
IN_A_ROW = 3
SEED = int(os.environ.get("KC_SEED", "1"))
LIVES = int(os.environ.get("KC_FAULTS", "100000"))
MINUTES = float(os.environ.get("KC_FAULTS_MINUTES", "100000"))
WORKERS = int(os.environ.get("KC_FAULTS_WORKERS", "2"))
WHOLE = not {"KC_FAULTS", "KC_FAULTS_MINUTES"} & os.environ.keys()


class Points:
    """What is still to be tried, and what came of the rest; shared by all workers."""

    def __init__(self):
        self.lock, self.left, self.missed = threading.Lock(), {}, {}
        self.results, self.lives, self.most = [], 0, {}
        self.began, self.possible = time.monotonic(), {}

    def fill(self, verb, operations):
        self.left[verb] = points_of(operations)
        # Neighbours differ little: a run that is cut short should have seen all sorts.
        random.Random(f"{SEED} {verb}").shuffle(self.left[verb])
        self.possible[verb], self.missed[verb] = len(self.left[verb]), []
        for p in self.left[verb]:
            self.most[verb, p.op] = max(p.number, self.most.get((verb, p.op), 0))

    def take(self):
        """(the number of the next life, its points by verb), or None when all is done."""
        with self.lock:
            over = self.lives >= LIVES or self.minutes() > MINUTES
            if over or not any([*self.left.values(), *self.missed.values()]):
                return None
            self.lives += 1
            return self.lives, {v: self.take_of(v) for v in self.left}

    def take_of(self, verb):
        """Early ones first: a run that resumes has the less to do the further the one before it came."""
        first, self.missed[verb] = self.missed[verb][:1], self.missed[verb][1:]
        n = IN_A_ROW - len(first)
        more, self.left[verb] = self.left[verb][:n], self.left[verb][n:]
        return first + sorted(more, key=lambda p: p.number / self.most[verb, p.op])

    def put(self, taken, results):
        """What was not reached by a run that began in the middle, or not come to at all, is tried in
        another life."""
        with self.lock:
            for verb, points in taken.items():
                by_point = {r["point"]: r for r in results if r["verb"] == verb}
                for i, p in enumerate(points):
                    r = by_point.get(p)
                    if not r:
                        self.left[verb].insert(0, p)
                    elif r["reached"] or r["failed"] or i == 0:
                        self.results.append(r)
                    else:
                        self.missed[verb].append(p)
            self.save()

    def minutes(self):
        return (time.monotonic() - self.began) / 60

    def save(self):
        """The results so far, and in docs the table made of them."""
        how = ("reached", "exit", "failed")
        result = {
            "date": datetime.date.today().isoformat(),
            "minutes": round(self.minutes()),
            "seed": SEED,
            "possible": self.possible,
            "results": [
                {"verb": r["verb"], **r["point"]._asdict(), **{k: r[k] for k in how}}
                for r in self.results
            ],
        }
        folder = REPO / ("docs" if WHOLE else "build")
        (folder / "faults.json").write_text(report.text(result))
        if WHOLE:
            report.write(folder)


class Worker:
    """Three hosts, and lives on them until there are no points left."""

    def __init__(self, folder):
        self.folder, self.life, self.lab = folder, None, None
        link = folder / "kubectl"
        link.symlink_to(Path(os.environ["KC_BUNDLE_BIN"], "kube"))
        self.kubectl = str(link)

    def boot(self):
        """Hosts on which nothing was; also after a life that did not end well."""
        self.end()
        self.lab = LabHosts(["cp1", "w1", "w2"]).__enter__()
        self.life = Life(self.lab, self.kubectl, Path(tempfile.mkdtemp(dir=self.folder)))

    def end(self):
        if self.lab:
            self.lab.__exit__()
        self.lab = None

    def observe(self, points):
        def seen(verb, point, r, operations, reached, why):
            if why or r.code:
                raise SystemExit(f"an undisturbed {verb} fails: {why or r}")
            points.fill(verb, operations)

        self.life.live({}, seen)

    def one(self, number, taken):
        """A life with these points: [{verb, point, reached, exit, failed}]."""
        results = []

        def seen(verb, point, r, operations, reached, why):
            if point:
                results.append(
                    {"verb": verb, "point": point, "reached": reached, "exit": r.code, "failed": why}
                )
                failed = f": FAILED: {why}" if why else ""
                print(f"{number} {verb}: {point}: exit {r.code}{failed}", flush=True)

        self.life.live({v: p or [None] for v, p in taken.items()}, seen)
        return results

    def work(self, points):
        if not self.lab:
            self.boot()
        try:
            while todo := points.take():
                results = self.one(*todo)
                points.put(todo[1], results)
                if any(r["failed"] for r in results):
                    self.boot()
        finally:
            self.end()


def folder_of(top, i):
    folder = Path(top, f"worker{i}")
    folder.mkdir()
    return folder


def main():
    points = Points()
    with tempfile.TemporaryDirectory() as top:
        workers = [Worker(folder_of(top, i)) for i in range(WORKERS)]
        workers[0].boot()
        try:
            workers[0].observe(points)
        except BaseException:
            workers[0].end()
            raise
        print("points:", points.possible, flush=True)
        with ThreadPoolExecutor(WORKERS) as pool:
            ended = [pool.submit(w.work, points) for w in workers]
    for e in filter(None, (x.exception() for x in ended)):
        raise e
    return any(r["failed"] for r in points.results)


if __name__ == "__main__":
    sys.exit(main())
