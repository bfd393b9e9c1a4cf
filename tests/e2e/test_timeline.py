"""`kubecdn cluster timeline` of stored runs: tables, JSON, and the page, used in Chromium. Runs of real
clusters are in test_cluster.py and test_kill.py."""

import json
import os
import re
import shutil

import pytest
from lab.cli import REPO, Cli, assert_refused
from lab.timeline import browser, chromium, timeline

STATES = REPO / "tests/fixtures/state/2"
GOLDEN = REPO / "tests/golden/timeline"
needs_browser = pytest.mark.skipif(not browser(), reason="no Chromium")


@pytest.fixture(params=["whole", "killed"])
def state(request, tmp_path, built):
    return request.param, stored(tmp_path, request.param)


def stored(folder, name):
    shutil.copytree(STATES / name, folder / "state")
    return Cli(folder / "state", home=folder)


def test_for_people(state):
    """KC_GOLDEN_UPDATE=1 writes them anew."""
    name, cli = state
    text, golden = cli.ok("cluster", "timeline", "fra1").out, GOLDEN / f"{name}.txt"
    if os.environ.get("KC_GOLDEN_UPDATE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_for_programs(state):
    name, cli = state
    run = timeline(cli, "fra1")
    assert (run["cluster"], run["runs"], run["run"]) == ("fra1", [1], 1)
    assert run["slowest"] == sorted(run["slowest"], key=lambda t: -t["ms"])
    assert run["parallelism"]["max"] >= run["parallelism"]["average"] > 1
    assert timeline(cli, "fra1", "--run", "1") == timeline(cli, "fra1", "--run", "last") == run
    by_yaml = cli.ok("cluster", "timeline", "fra1", "-o", "yaml").out
    assert f"state: {run['state']}" in by_yaml


def test_wrong_input(tmp_path, built):
    cli = stored(tmp_path, "whole")

    def refused(*args, code=1, say=()):
        assert_refused(cli.run("cluster", "timeline", *args), *say, code=code)

    refused("nobody", say=["no cluster \"nobody\"", "there are: fra1"])
    refused("fra1", "--run", "9", say=["fra1 has no run 9; there are: 1$"])
    refused("fra1", "--run", "first", code=64, say=["--run first", "number of a run"])
    refused("fra1", "--run", "0", code=64, say=["--run 0"])
    refused("fra1", "--html", tmp_path / "no/such/page.html", say=["no/such/page.html"])
    refused(code=64, say=["NAME"])
    runs = cli.state / "clusters/fra1/runs"
    file = runs / "0000000001.json"
    file.write_text(file.read_text().replace('"format":1', '"format":9'))
    refused("fra1", say=["0000000001.json", "format 9"])
    file.write_text("{}")
    refused("fra1", say=["0000000001.json"])
    shutil.rmtree(runs)
    refused("fra1", say=["fra1 has no run yet", "--yes"])


# --- the page


def page_of(cli, folder):
    page = folder / "timeline.html"
    cli.ok("cluster", "timeline", "fra1", "--html", page)
    return page


def test_the_page(state, tmp_path):
    """All of the run, and nothing that comes from elsewhere."""
    _, cli = state
    text = page_of(cli, tmp_path).read_text()
    data = json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)[1])
    assert data == timeline(cli, "fra1")
    assert not re.search(r"(src|href)=|url\(|https?://|@import|fetch\(", text)


def used(page, script):
    """What a script in the page says, once the page is drawn: {name: value}. All errors fail."""
    marker = "<pre id=\"said\"></pre><script>addEventListener('error', (e) => el('said').append(e.message));"
    body = "try { el('said').textContent = JSON.stringify((() => { %s })()); }" % script
    text = page.read_text().replace(
        "</body>", f"{marker}{body} catch (e) {{ el('said').textContent = e.stack; }}</script></body>"
    )
    copy = page.with_name("used.html")
    copy.write_text(text)
    said = re.search(r'<pre id="said">(.*?)</pre>', chromium(copy, "--dump-dom"), re.S)[1]
    return json.loads(said)


KEYS = """
const key = (k) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key: k, bubbles: true}));
const names = () => rows.map((r) => r.firstChild.textContent);
"""


@needs_browser
def test_the_page_by_keyboard(tmp_path, built):
    page = page_of(stored(tmp_path, "whole"), tmp_path)
    said = used(
        page,
        KEYS
        + """
        const stops = document.querySelectorAll("#chart [tabindex='0']").length, before = rows.length;
        rows[0].focus();
        key("End");
        const last = document.activeElement === rows.at(-1);
        key("Home");
        while (!document.activeElement.dataset.task?.startsWith("node/cp1")) key("ArrowDown");
        key("ArrowRight");
        const opened = rows.length, focus = document.activeElement.dataset.task;
        key("ArrowDown");
        const step = el("chosen").textContent;
        key("ArrowUp");
        key("ArrowLeft");
        return {stops, before, last, opened, focus, step, after: rows.length, title: document.title,
            label: document.activeElement.getAttribute("aria-label")};""",
    )
    assert said["stops"] == 1, "the chart is one stop of the Tab key"
    assert said["last"] and said["focus"] == "node/cp1"
    assert said["opened"] > said["before"] + 50 and said["after"] == said["before"]
    assert "connect: done" in said["step"]
    assert re.match("create node/cp1: done. 7.55 s, from ", said["label"])
    assert said["title"] == "Cluster fra1, run 1: cluster create, done"


@needs_browser
def test_the_page_is_filtered(tmp_path, built):
    cli = stored(tmp_path, "whole")
    run = timeline(cli, "fra1")
    said = used(
        page_of(cli, tmp_path),
        """
        const tasks = () => rows.filter((r) => r.dataset.task).map((r) => r.dataset.task);
        const set = (id, key, value) => { el(id)[key] = value; el(id).dispatchEvent(new Event("input")); };
        const out = {};
        set("only", "checked", true); out.critical = tasks();
        out.marked = rows.filter((r) => r.classList.contains("critical")).length;
        set("only", "checked", false);
        set("filter", "value", "W1"); out.w1 = tasks();
        set("filter", "value", "no such thing"); out.none = tasks();
        set("filter", "value", ""); set("by", "value", "start"); out.all = tasks();
        const bar = rows.find((r) => r.dataset.task === "node/cp1").querySelector(".bar");
        out.left = parseFloat(bar.style.left); out.width = parseFloat(bar.style.width);
        out.path = document.querySelectorAll("#path tbody tr").length;
        return out;""",
    )
    critical = [link["id"] for link in run["criticalPath"] if link["what"] == "task"]
    assert sorted(said["critical"]) == sorted(critical) and said["marked"] == len(critical)
    assert said["w1"] == ["node/w1", "kube/node/w1"] and said["none"] == []
    assert len(said["all"]) == 30 and said["path"] == len(run["criticalPath"])
    cp1 = next(t for t in run["tasks"] if t["id"] == "node/cp1")
    assert said["left"] == pytest.approx(100 * cp1["start"] / run["ms"], abs=0.01)
    assert said["width"] == pytest.approx(100 * (cp1["end"] - cp1["start"]) / run["ms"], abs=0.01)


def big(cli, hosts):
    """A stored run of as many hosts, with 15 steps on each and as many tasks besides."""
    file = cli.state / "clusters/fra1/runs/0000000001.json"
    run, tasks = json.loads(file.read_text()), []
    for n in range(hosts):
        at = 600 + n // 32 * 4000
        steps = [
            {"id": f"unit/{k}</script>", "action": "create", "start": at + k, "end": at + k + 150}
            for k in range(0, 3000, 200)
        ]
        task = {"id": f"node/w{n}", "kind": "node", "action": "create", "provider": "ssh", "after": []}
        times = {"due": 600, "start": at, "end": at + 3990, "result": "done"}
        tasks.append({**task, **times, "steps": steps})
    for n in range(hosts):
        end = tasks[n]["end"]
        task = {"id": f"kube/node/w{n}", "kind": "kube/node", "action": "create", "provider": "kube"}
        times = {"due": end, "start": end + 1, "end": end + 90, "result": "done"}
        tasks.append({**task, **times, "after": [n]})
    run |= {"tasks": tasks, "ms": max(t["end"] for t in tasks) + 100}
    run["phases"][-2]["ms"] = run["ms"] - run["phases"][-2]["start"] - 100
    run["phases"][-1] |= {"start": run["ms"] - 100, "ms": 100}
    file.write_text(json.dumps(run))
    return run


@needs_browser
def test_the_page_of_a_thousand_tasks(tmp_path, built):
    cli = stored(tmp_path, "whole")
    big(cli, 500)
    run = timeline(cli, "fra1")
    queues = [link for link in run["criticalPath"] if link["what"] == "queue"]
    assert len(queues) > 10 and all(q["for"] == "ssh" for q in queues[:-1]), queues
    said = used(
        page_of(cli, tmp_path),
        """
        const from = performance.now();
        draw();
        document.body.offsetHeight;
        return {rows: rows.length, ms: performance.now() - from, shown: el("shown").textContent};""",
    )
    assert said["rows"] > 1000 and said["shown"] == "1000 of 1000 tasks are shown."
    print(f"1,000 tasks are drawn in {said['ms']:.0f} ms")


@needs_browser
def test_the_page_looks_right(tmp_path, built):
    """Bright and dark, wide and narrow: nothing sticks out of the page."""
    page = page_of(stored(tmp_path, "whole"), tmp_path)
    for width in (1400, 400):
        picture = tmp_path / f"{width}.png"
        chromium(page, f"--window-size={width},1300", f"--screenshot={picture}")
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20000
    said = used(
        page,
        """
        const all = document.documentElement, style = getComputedStyle(document.body);
        return {wide: all.scrollWidth <= innerWidth, scheme: getComputedStyle(all).colorScheme,
            back: style.backgroundColor, text: style.color};""",
    )
    assert said["wide"] and said["scheme"] == "light dark" and said["back"] != said["text"]
