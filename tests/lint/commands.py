"""Commands that documents tell people to type are ones that the program has, with flags that it has.
usage: tests/lint/commands.py path/to/kubecdn. What is between fences is a log, and may have mistakes."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

KUBECDN = sys.argv[1]
ENV = {k: v for k, v in os.environ.items() if not k.startswith("KUBECDN_")}


@cache
def help_of(*words):
    """The help of a command or of a noun; None if there is no such one."""
    r = subprocess.run([KUBECDN, *words, "--help"], env=ENV, capture_output=True, text=True)
    return r.stdout if r.stdout.startswith(f"kubecdn {' '.join(words)}:") else None


def said(text):
    """(line number, command) of every indented or quoted one."""
    prose = re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
    prose = prose.replace("\\\n", " ")
    for m in re.finditer(r"^ {4,}(?:.*?(?:[$]\(|&& ))?(kubecdn [^#|&>\n]+)|`(kubecdn [^`\n]+)`", prose, re.M):
        yield prose.count("\n", 0, m.start()) + 1, (m[1] or m[2]).strip()


def complaint(command):
    words = command.split(" -- ")[0].split()[1:]
    if not re.fullmatch(r"[a-z]+", words[0]):
        return None  # kubecdn --help, kubecdn COMMAND, what programs call
    verb = next((words[:n] for n in (3, 2, 1) if help_of(*words[:n])), None)
    if not verb or "\nCommands:\n" in help_of(*verb) and re.fullmatch(r"[a-z]+", " ".join(words[1:2])):
        return "there is no such command"
    for flag in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", command):
        if not re.search(rf"(?<![\w-]){flag}(?![\w-])", help_of(*verb)):
            return f"kubecdn {' '.join(verb)} has no {flag}"
    return None


def main():
    pages = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "*.md"], text=True)
    found, seen = [], 0
    for page in filter(lambda p: Path(p).exists(), pages.split()):
        for line, command in said(Path(page).read_text()):
            seen += 1
            why = complaint(command)
            if why:
                found.append(f"{page}:{line}: `{command}`: {why}")
    if seen < 50:
        found.append(f"only {seen} commands in all documents: this lint reads them wrongly")
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
