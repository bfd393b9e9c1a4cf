"""What became of the specs: judged, as docs/conformance.json, and as the table in docs/conformance.md."""

import datetime
import json
import re
import xml.etree.ElementTree as tree
from pathlib import Path

BEGIN, END = "<!-- conformance.json begins -->\n", "<!-- conformance.json ends -->\n"
# What a cluster is judged by; each has a line of its own in the table.
GROUPS = (
    "[sig-network] Services",
    "[sig-network] DNS",
    "[sig-node] Pods",
    "[sig-apps] Deployment",
    "[sig-apps] StatefulSet",
    "[sig-storage] ConfigMap",
    "[sig-storage] Secrets",
    "[sig-storage] Projected",
)
FOCUS = rf"({'|'.join(map(re.escape, GROUPS))}) .*\[Conformance\]"


def skips():
    """{regular expression: why the specs that it finds are not run}."""
    return json.loads((Path(__file__).parent / "skips.json").read_text())


def name_of(spec):
    return " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]).strip()


def group_of(name):
    """One of GROUPS, or else the whole SIG."""
    return next((g for g in GROUPS if name.startswith(g + " ")), name.split()[0])


def judge(suites, focus, left_out, code):
    """ginkgo's report and exit code as {specs: [{name, state, seconds, why}], other: [what else went wrong]}.
    A spec that skips itself has failed, unless a reason for it is written down."""
    specs, other, used = [], [], set()
    for r in (r for s in suites for r in s["SpecReports"] or []):
        if r["LeafNodeType"] != "It":
            if r["State"] not in ("passed", "skipped"):
                other.append(f"{r['LeafNodeType']} {r['State']}: {message(r)}")
            continue
        name = name_of(r)
        why = next((x for x in left_out if re.search(x, name)), None)
        used.add(why)
        if not re.search(focus, name):
            continue
        if why:
            state, text = "left out", left_out[why]
        elif r["State"] == "passed":
            state, text = "passed", ""
        else:
            state, text = "failed", f"{r['State']}: {message(r)}"
        specs.append({"name": name, "state": state, "seconds": round(r["RunTime"] / 1e9), "why": text})
    other += [f"skips.json has {x}, which is no spec" for x in left_out if x not in used]
    if not specs:
        other.append(f"no spec is found by {focus}")
    if focus == FOCUS:
        found = {group_of(s["name"]) for s in specs}
        other += [f"there are no specs of {g}" for g in GROUPS if g not in found]
    if code and not other and all(s["state"] != "failed" for s in specs):
        other.append(f"ginkgo ended with {code}")
    specs.sort(key=lambda s: s["name"])
    return {"date": datetime.date.today().isoformat(), "specs": specs, "other": other}


def message(r):
    text = (r.get("Failure") or {}).get("Message", "").strip()
    return text.splitlines()[0][:300] if text else "it does not say why"


def failures(result):
    """One line each."""
    return result["other"] + [f"{s['name']}: {s['why']}" for s in result["specs"] if s["state"] == "failed"]


def counts(specs):
    return [sum(s["state"] == x for s in specs) for x in ("passed", "failed", "left out")]


def summary(result):
    passed, failed, left_out = counts(result["specs"])
    lines = ["", table(result), *(f"FAILED: {x}" for x in failures(result))]
    lines.append(
        f"{passed} specs passed, {failed} failed, {left_out} left out; "
        f"Kubernetes {result['kubernetes']}, {result['minutes']} minutes"
    )
    return "\n".join(lines) + "\n"


def table(result):
    """In Markdown, with what was left out and why."""
    rows = [["specs", "passed", "failed", "left out", "seconds"], ["---"] * 5]
    groups = {}
    for s in result["specs"]:
        groups.setdefault(group_of(s["name"]), []).append(s)
    for group, specs in sorted(groups.items(), key=lambda x: (x[0] not in GROUPS, x[0])):
        name = f"`{group}`" if group in GROUPS else f"`{group}`, all others"
        rows.append([name, *counts(specs), sum(s["seconds"] for s in specs)])
    rows.append(["all", *counts(result["specs"]), sum(s["seconds"] for s in result["specs"])])
    lines = [f"{result['date']}, Kubernetes {result['kubernetes']}, {result['minutes']} minutes.", ""]
    lines += ["| " + " | ".join(map(str, r)) + " |" for r in rows]
    told = [f"- left out: {s['name']}: {s['why']}" for s in result["specs"] if s["state"] == "left out"]
    return "\n".join(lines + ([""] + told if told else [])) + "\n"


def save(result, folder):
    """conformance.json with a spec a line; in docs also the table of conformance.md."""
    head = json.dumps({k: v for k, v in result.items() if k != "specs"}, indent=1)
    rows = ",\n".join("  " + json.dumps(s) for s in result["specs"])
    text = head.removesuffix("\n}") + f',\n "specs": [\n{rows}\n ]\n}}\n'
    (folder / "conformance.json").write_text(text)
    page = folder / "conformance.md"
    if page.exists():
        head, rest = page.read_text().split(BEGIN)
        failed = "".join(f"\n- failed: {x}\n" for x in failures(result))
        page.write_text(head + BEGIN + table(result) + failed + END + rest.split(END)[1])


def junit(result, file):
    """For who counts tests."""
    top = tree.Element("testsuite", name="conformance")
    for s in result["specs"]:
        case = tree.SubElement(top, "testcase", name=s["name"], time=str(s["seconds"]))
        kind = {"failed": "failure", "left out": "skipped"}.get(s["state"])
        if kind:
            tree.SubElement(case, kind, message=s["why"])
    tree.ElementTree(top).write(file, encoding="utf-8")
