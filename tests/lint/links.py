"""Documents that name what is there: links lead to a page and a heading, every page of docs is linked from
README.md or from a page that is, every room has a page, and the paths and sources that a text names exist."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from posixpath import dirname, join, normpath

SOURCE = re.compile(r"[\w*-]+(/[\w*-]+)*\.(c|h|S|py|sh|html|cmake)")
OTHERS = {"jansson.h"}


def anchors(text):
    """The fragments of a page's headings, as forges make them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", text, re.M):
        found.add(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"))
    return found


def braces(path):
    """a/{b,c}.d as a/b.d and a/c.d."""
    m = re.search(r"\{([^{}]*)\}", path)
    if not m:
        return [path]
    return [p for x in m[1].split(",") for p in braces(path[: m.start()] + x + path[m.end() :])]


def links(page, text, files):
    """(line, target page or None, complaint or None) of every link that leads to this tree."""
    prose = re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
    for m in re.finditer(r"\]\(([^()\s]+)\)", prose):
        line, target = prose.count("\n", 0, m.start()) + 1, m[1]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        to = normpath(join(dirname(page), path)) if path else page
        if to not in files and not any(f.startswith(to + "/") for f in files):
            yield line, None, f"({target}): there is no {to}"
        elif fragment and to.endswith(".md") and fragment not in anchors(Path(to).read_text()):
            yield line, to, f"({target}): {to} has no such heading"
        else:
            yield line, to, None


def names(page, text, files):
    """(line, complaint) of every path of ours, and source, in backticks or in a command."""
    tops = {f.split("/")[0] for f in files if "/" in f}
    said = [(m.start(1), m[1]) for m in re.finditer(r"`([\w./{},*-]+)`", text)]
    bare = r"(?<![\w./{$~-])((?:examples|tools|tests)/[\w./-]+\.\w+)"
    said += [(m.start(1), m[1]) for m in re.finditer(bare, text)]
    for at, name in said:
        for path in braces(name):
            if path.split("/")[0] in tops and (path.endswith("/") or "." in path.split("/")[-1]):
                known = any(fnmatch(f, path) or fnmatch(f, path.rstrip("/") + "/*") for f in files)
            elif SOURCE.fullmatch(path) and path not in OTHERS:
                known = any(fnmatch("/" + f, "*/" + path) for f in files)
            else:
                continue
            if not known:
                yield text.count("\n", 0, at) + 1, f"{name}: there is no {path}"


def main():
    tracked = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], text=True)
    files = {f for f in tracked.split("\n") if f and Path(f).exists()}
    pages = sorted(f for f in files if f.endswith(".md"))
    found, leads = [], {}
    for page in pages:
        text = Path(page).read_text()
        for line, to, complaint in links(page, text, files):
            leads.setdefault(page, set()).add(to)
            if complaint:
                found.append(f"{page}:{line}: {complaint}")
        found += [f"{page}:{line}: {c}" for line, c in names(page, text, files)]
    room = r"(lib/\w+|clouds|dns|addons|bootstrap(/\w+)?|cli)/[^/]+\.c"
    rooms = {f.split("/")[-2] for f in files if re.fullmatch(room, f)}
    found += [f"{r}: a room without docs/internals/{r}.md" for r in sorted(rooms)
              if f"docs/internals/{r}.md" not in files]
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        ahead = {t for p in new for t in leads.get(p, ()) if t}
        ahead |= {p for p in pages if dirname(p) in ahead}  # a folder stands for its pages
        new = ahead - reached
    found += [f"{p}:1: no page that README.md leads to links to it" for p in pages
              if p not in reached and not p.startswith("tests/")]
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
