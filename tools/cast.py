#!/usr/bin/env python3
"""A picture of a terminal: run commands in one, and draw what stands on it in the end as an SVG.

usage: tools/cast.py --to FILE.svg [--columns N] [--cut N] COMMAND...

Each command is run by sh, with its output shown as it stood when it ended: lines that it wrote over are
gone, as on a terminal. Of more than --cut lines the middle is left out, and the picture says how many. The
SVG needs no font or file from elsewhere. tools/cast.sh makes docs/images/first-cluster.svg.
"""

import argparse
import os
import pty
import re
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, SIZE, MARGIN = 7.83, 18, 13, 16
BACK, PAPER, DIM = "#1b1f27", "#d7dce2", "#8b949e"
COLOURS = ["#5c6370", "#e8776f", "#7fc27a", "#dcb862", "#6cb0f0", "#c792ea", "#5fc9c9", "#d7dce2"]
PLAIN = (None, False)  # a cell's colour, and whether it is bold
CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>78]|([\x00-\x1f])")
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace"


class Screen:
    """What a terminal of so many columns shows, from its first line on: rows of (character, style)."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column, self.style = columns, [[]], 0, 0, PLAIN

    def feed(self, text):
        at = 0
        for m in CONTROL.finditer(text):
            self.write(text[at : m.start()])
            self.control(m)
            at = m.end()
        self.write(text[at:])

    def write(self, text):
        for c in text:
            if self.column == self.columns:
                self.line_feed(), self.carriage_return()
            row = self.rows[self.row]
            row.extend([(" ", PLAIN)] * (self.column + 1 - len(row)))
            row[self.column] = c, self.style
            self.column += 1

    def line_feed(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def carriage_return(self):
        self.column = 0

    def control(self, m):
        numbers = [int(n or 0) for n in (m[1] or "").lstrip("?").split(";")]
        n = max(1, numbers[0])
        match m[2] or m[3]:
            case "\n":
                self.line_feed()
            case "\r":
                self.carriage_return()
            case "\t":
                self.write(" " * (8 - self.column % 8))
            case "A":
                self.row = max(0, self.row - n)
            case "B":
                self.row = min(len(self.rows) - 1, self.row + n)
            case "G":
                self.column = n - 1
            case "K":
                del self.rows[self.row][self.column :]
            case "J":
                del self.rows[self.row][self.column :], self.rows[self.row + 1 :]
            case "m":
                self.colour(numbers)

    def colour(self, numbers):
        for n in numbers:
            colour, bold = self.style
            if n == 0:
                self.style = PLAIN
            elif n == 1:
                self.style = colour, True
            elif n == 2:
                self.style = DIM, bold
            elif n in range(30, 38) or n in range(90, 98):
                self.style = COLOURS[n % 10], bold
            elif n == 39:
                self.style = None, bold


def run(command, columns):
    """The rows that a command leaves on a terminal of its own; SystemExit if it fails."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp("sh", ["sh", "-c", f"stty columns {columns} rows 200; {command}"])
    seen = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody has the other side open
            break
        if not more:
            break
        seen += more
    os.close(terminal)
    screen = Screen(columns)
    screen.feed(seen.decode(errors="replace"))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        sys.exit(f"cast: {command}: exit code {status}:\n{seen.decode(errors='replace')[-2000:]}")
    while screen.rows and not screen.rows[-1]:
        screen.rows.pop()
    return screen.rows


def styled(text, style):
    return [(c, style) for c in text]


def shorten(rows, most):
    if len(rows) <= most:
        return rows
    head = (most - 1) * 3 // 5
    tail = most - 1 - head
    out = len(rows) - head - tail
    return rows[:head] + [styled(f"… {out} lines left out", (DIM, False))] + rows[-tail:]


def stretches(row):
    """(column, text, style) of what has one style, without spaces around."""
    at = 0
    while at < len(row):
        end = at
        while end < len(row) and row[end][1] == row[at][1]:
            end += 1
        text = "".join(c for c, _ in row[at:end])
        if text.strip():
            yield at + len(text) - len(text.lstrip()), text.strip(), row[at][1]
        at = end


def span(at, text, style):
    look = f' fill="{style[0]}"' if style[0] else ""
    look += ' font-weight="bold"' if style[1] else ""
    place = f'x="{MARGIN + at * WIDTH:.1f}" textLength="{len(text) * WIDTH:.1f}"'
    return f"<tspan {place}{look}>{escape(text)}</tspan>"


def draw(rows, columns):
    """The SVG: a dark panel, a text a row, a tspan a stretch of one style, each at its own column."""
    width, height = round(columns * WIDTH + 2 * MARGIN), len(rows) * HEIGHT + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="{FONTS}" font-size="{SIZE}" fill="{PAPER}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACK}"/>',
    ]
    for number, row in enumerate(rows):
        spans = "".join(span(at, text, style) for at, text, style in stretches(row))
        if spans:
            out.append(f'<text y="{MARGIN + number * HEIGHT + SIZE}" xml:space="preserve">{spans}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", required=True)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--cut", type=int, default=16)
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    args = parser.parse_args()
    rows = []
    for command in args.commands:
        rows += [[]] if rows else []
        rows.append(styled("$ ", (COLOURS[2], True)) + styled(command, (None, True)))
        rows += shorten(run(command, args.columns), args.cut)
    with open(args.to, "w", encoding="utf-8") as file:
        file.write(draw(rows, args.columns))


if __name__ == "__main__":
    main()
