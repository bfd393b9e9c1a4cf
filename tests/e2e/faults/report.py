"""docs/faults.json as the table in docs/faults.md, between its two marks."""

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- faults.json begins -->\n", "<!-- faults.json ends -->\n"
WHAT = {
    "put": "the program, at an object it writes (an intent, a result, the record, the lock, a secret)",
    "remove": "the program, at an object it removes",
    "ssh": "the program, or its connection, at a command on a host",
    "send": "the program, or its connection, at a write of an upload",
    "http": "the program at a request to the API; the request; its reply",
    "agent": "a host's agent, at a segment of its journal",
}
VERBS = {
    "create": "create",
    "grow": "update: worker, label, flag, patches added",
    "shrink": "update: the same removed",
    "delete": "delete",
}


def text(data):
    """JSON with a result a line."""
    head = json.dumps({k: v for k, v in data.items() if k != "results"}, indent=1)
    rows = ",\n".join("  " + json.dumps(r) for r in data["results"])
    return head.removesuffix("\n}") + f',\n "results": [\n{rows}\n ]\n}}\n'


def last_line(text):
    return text.strip().splitlines()[-1]


def table(data):
    lines = [
        "| verb | killed or cut | points | reached | same end |",
        "|---|---|---|---|---|",
    ]
    for verb, name in VERBS.items():
        for op, what in WHAT.items():
            rows = [
                r for r in data["results"] if r["verb"] == verb and r["op"].startswith(op)
            ]
            if rows:
                good = sum(not r["failed"] for r in rows)
                reached = sum(r["reached"] for r in rows)
                lines.append(f"| {name} | {what} | {len(rows)} | {reached} | {good} |")
    rows = data["results"]
    good, reached = sum(not r["failed"] for r in rows), sum(r["reached"] for r in rows)
    lines.append(f"| all | | {len(rows)} | {reached} | {good} |")
    possible = sum(data["possible"].values())
    text = (
        f"{data['date']}, {data['minutes']} minutes, seed {data['seed']}: "
        f"{len(rows)} of {possible} points that an undisturbed life has.\n\n"
    )
    failures = [
        f"- {r['verb']}, {r['do']} {r['when']} {r['op']} {r['number']}: {last_line(r['failed'])}"
        for r in rows
        if r["failed"]
    ]
    return text + "\n".join(lines + ([""] + failures if failures else [])) + "\n"


def write(docs):
    file = docs / "faults.md"
    text = file.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    data = json.loads((docs / "faults.json").read_text())
    file.write_text(head + BEGIN + table(data) + END + tail)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
