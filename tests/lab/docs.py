"""What the documents tell people to type."""

import re

from .cli import REPO

# What make check has done before: builds take long and are the same ones.
DONE = ("make build", "make deb", "kubecdn bundle build")


def shell_of(document, heading=None):
    """The indented lines below a heading (or of the whole page), as one script."""
    text = (REPO / document).read_text()
    if heading:
        text = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    # What is between fences is to be read, not typed.
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines = re.findall(r"^ {4}(\S.*)$", text, re.M)
    assert lines, document
    return [line for line in lines if not line.startswith(DONE)]
