"""What `cluster timeline` says of a run, and what has to be so of each of them."""

import shutil
import subprocess


def timeline(cli, name, *args):
    run = cli.ok("cluster", "timeline", name, "-o", "json", *args).json
    assert_whole(run)
    return run


def assert_whole(run):
    """The path has no gaps and is as long as the run; nothing began before what it comes after."""
    at = 0
    for link in run["criticalPath"]:
        assert link["start"] == at and link["ms"] >= 0, link
        at += link["ms"]
    assert at == run["ms"]
    by_id = {t["id"]: t for t in run["tasks"] if "part" not in t}
    for t in run["tasks"]:
        if "start" not in t:
            continue
        assert t["start"] <= t.get("end", run["ms"]) <= run["ms"], t
        for other in t["after"]:
            if run["state"] == "done":
                assert by_id[other]["end"] <= t["due"] <= t["start"], (t, other)


def steps(run, task):
    """{id: step} of what was done on a host."""
    (found,) = (t for t in run["tasks"] if t["id"] == task)
    return {s["id"]: s for s in found.get("steps", [])}


def browser():
    return next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)


def chromium(page, *args):
    """What Chromium makes of a page without a network; *args: what to do with it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    flags += ["--virtual-time-budget=5000", "--host-resolver-rules=MAP * ~NOTFOUND"]
    argv = [browser(), *flags, *args, page.as_uri()]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
