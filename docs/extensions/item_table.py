"""Write docs/api/items.md: every item of the mathematics, its functions, examples and derivation.

The functions are those of the last table of docs/maths.md, the examples those of
examples/README.md, the derivations the sections of docs/maths/.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import api_pages
from sphinx.application import Sphinx

import deltarule

ROOT = Path(__file__).resolve().parents[2]
# Modules of the reference whose functions are public in a plainer form.
PUBLIC_FORM = dict.fromkeys(
    ("reference.scalar_functions", "reference.activations", "reference.losses"), "functions"
)
GROUPS = {
    "M": "Models",
    "A": "Activations",
    "L": "Losses",
    "B": "Backpropagation",
    "I": "Initialisation",
    "D": "Data",
    "O": "Optimisation",
    "R": "Regularisation",
    "N": "Batch normalisation",
    "H": "Numerical health",
    "T": "Tuning",
    "E": "Evaluation",
}


def cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def spread(items: str) -> list[str]:
    """Return every item of a text such as "I1–I5, D2"."""
    found = []
    for part in items.split(", "):
        first, _, last = part.partition("–")
        numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
        found += [f"{first[0]}{number}" for number in numbers]
    return found


def examples() -> dict[str, list[str]]:
    """Return the examples of every item."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "examples" / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            file, items, _ = cells(line)
            for item in spread(items):
                found.setdefault(item, []).append(file.strip("`").removesuffix(".py"))
    return found


def functions(text: str) -> dict[str, list[str]]:
    """Return the functions of every item, from the last table of docs/maths.md."""
    rows = re.findall(r"^\| ([A-Z]\d) \| (.+?) \| `tests/", text, flags=re.MULTILINE)
    return {item: re.findall(r"`([^`]+)`", names) for item, names in rows}


def derivations() -> dict[str, tuple[str, str]]:
    """Return the title and the address, relative to docs/, of the derivation of every item."""
    found: dict[str, tuple[str, str]] = {}
    for page in sorted((ROOT / "docs" / "maths").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for item, name in re.findall(r"^## ([A-Z]\d) (.+)$", text, flags=re.MULTILINE):
            anchor = re.sub(r"[^\w\- ]", "", f"{item} {name}".lower()).replace(" ", "-")
            found[item] = (name, f"maths/{page.name}#{anchor}")
    return found


@cache
def pages() -> dict[str, str]:
    """Return the page of every public name, under its full and its last name."""
    entries = [e for m in (*api_pages.modules(), deltarule) for e in api_pages.entries(m)]
    return {entry.name.removeprefix("deltarule."): entry.file for entry in entries}


def function(name: str) -> str:
    """Return a function's name, with a link to its page if it, or its public form, has one."""
    public = pages()
    owner, _, member = name.rpartition(".")
    if name in public:
        return f"[`{name}`]({public[name]}.rst)"
    if owner in public:  # a method
        return f"{{py:obj}}`{name} <deltarule.{name}>`"
    for module in (name.split(".")[0], "functions"):
        short = f"{module}.{member}"
        if short in public and module in (name.split(".")[0], PUBLIC_FORM.get(owner)):
            return f"[`{short}`]({public[short]}.rst)"
    return f"`{name}`"


def table() -> str:
    """Return the page."""
    text = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")
    named, shown, where = functions(text), examples(), derivations()
    lines = [
        "# From an item to its function",
        "",
        "Every item of the mathematics: the functions that compute it, the examples of the gallery",
        "that show it, and its derivation. [The mathematics](../maths.md) lists all equations.",
        "",
    ]
    letter = ""
    for item, names in named.items():
        if item[0] != letter:
            letter = item[0]
            lines += ["", f"## {GROUPS[letter]}", ""]
            lines += ["| item | functions | examples | derivation |", "|---|---|---|---|"]
        links = ", ".join(
            f"[{n.replace('_', ' ')}](../gallery/{n}.rst)" for n in shown.get(item, [])
        )
        name, address = where[item]
        lines.append(
            f"| {item} | {', '.join(map(function, names))} | {links} | [{name}](../{address}) |"
        )
    return "\n".join(lines) + "\n"


def write_table(app: Sphinx) -> None:
    """Write the page before Sphinx looks for pages."""
    api_pages.write(Path(app.srcdir) / "api" / "items.md", table())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the writer."""
    app.connect("builder-inited", write_table, priority=110)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
