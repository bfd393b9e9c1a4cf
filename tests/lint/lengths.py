"""Functions of at most 60 lines, files of at most 600. Relies on clang-format's layout."""

import subprocess
import sys

FUNCTION, FILE = 60, 600


def check_functions(path, lines):
    begin, name, found = None, "", []
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin = number
        elif line.startswith("}") and begin:
            if number - begin - 1 > FUNCTION:
                size = number - begin - 1
                found.append(f"{path}:{begin}: {name} has {size} lines, {FUNCTION} at most")
            begin = None
        elif line[:1].isalpha() and "(" in line:
            name = line.split("(")[0].split()[-1].lstrip("*")
    return found


def main(paths):
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        if len(lines) > FILE:
            found.append(f"{path}: {len(lines)} lines, {FILE} at most")
        if path.endswith((".c", ".h")):
            found += check_functions(path, lines)
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    tracked = ["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h", "*.py", "*.sh"]
    listed = sys.argv[1:] or subprocess.check_output(tracked, text=True).split()
    sys.exit(main(listed))
