"""What the documentation site is generated from is complete; `make docs` builds and checks it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from inspect import ismodule as is_module
from pathlib import Path

import pytest

import deltarule
from support.paths import ROOT

DOORS = ["tutorials", "how-to", "reference", "explanation"]
EXAMPLES = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
MATHS = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")


def shown() -> dict[str, list[str]]:
    """Return the examples of every item, as examples/README.md lists them."""
    found: dict[str, list[str]] = {}
    for file, items in re.findall(r"^\| `(\w+)\.py` \| ([^|]+) \|", EXAMPLES, flags=re.MULTILINE):
        for part in items.split(", "):
            first, _, last = part.strip().partition("–")
            for number in range(int(first[1:]), int((last or first)[1:]) + 1):
                found.setdefault(f"{first[0]}{number}", []).append(file)
    return found


ITEMS = re.findall(r"^\| ([A-Z]\d) \| .* `tests/", MATHS, flags=re.MULTILINE)


def test_every_item_has_an_example() -> None:
    assert len(ITEMS) == 69
    assert [item for item in ITEMS if item not in shown()] == []


@pytest.mark.parametrize("item", ITEMS)
def test_the_example_of_an_item_names_it(item: str) -> None:
    for file in shown()[item]:
        source = (ROOT / "examples" / f"{file}.py").read_text(encoding="utf-8")
        head = ast.get_docstring(ast.parse(source)) or ""
        named = set(re.findall(r"\b[A-Z]\d\b", head))
        for letter, first, last in re.findall(r"\b([A-Z])(\d)-\1(\d)\b", head):
            named |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
        assert item in named, file


def test_an_example_begins_with_its_question() -> None:
    for path in sorted((ROOT / "examples").glob("*.py")):
        head = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        title, line, blank = head.splitlines()[:3]
        assert title.endswith("?"), path.name
        assert line == "=" * len(title), path.name
        assert blank == "", path.name


def test_every_page_is_behind_a_door() -> None:
    listed = set()
    for door in [*DOORS, "project"]:
        folder = ROOT / "docs" / door
        text = (folder / "index.md").read_text(encoding="utf-8")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(folder / f"{name}.md").resolve() for name in names}
    pages = {path.resolve() for path in (ROOT / "docs").glob("*.md")}
    pages |= {path.resolve() for door in DOORS for path in (ROOT / "docs" / door).glob("*.md")}
    indices = {(ROOT / "docs" / door / "index.md").resolve() for door in [*DOORS, "."]}
    assert pages - indices - listed == set()


def test_no_page_loads_from_the_network() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
        assert [image for image in images if "://" in image] == [], path.name


def test_faults_of_pages_are_found(tmp_path: Path) -> None:
    path = ROOT / "docs" / "extensions" / "site_faults.py"
    spec = importlib.util.spec_from_file_location("site_faults", path)
    assert spec is not None
    assert spec.loader is not None
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    (tmp_path / "b.html").write_text('<h1 id="top">b</h1>', encoding="utf-8")
    good = '<a href="b.html#top">b</a><a href="https://example.org/">out</a><img src="b.html">'
    (tmp_path / "a.html").write_text(good, encoding="utf-8")
    assert checker.faults(tmp_path) == []
    bad = '<a href="c.html">c</a><a href="b.html#x">x</a><script src="https://example.org/x.js">'
    (tmp_path / "a.html").write_text(bad, encoding="utf-8")
    (tmp_path / "x.css").write_text("a { background: url(https://example.org/x.png) }")
    checker.page.cache_clear()
    found = "\n".join(checker.faults(tmp_path))
    assert len(found.splitlines()) == 4
    for part in ("no such file", "no such anchor", "x.js from the network", "x.css loads"):
        assert part in found


def public_functions() -> list[str]:
    """Return the public functions by full name, those that two modules share once."""
    modules = [value for name in deltarule.__all__ if is_module(value := getattr(deltarule, name))]
    found: dict[object, str] = {}
    for module in [deltarule, *modules]:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found.setdefault(value, f"{module.__name__}.{name}")
    return sorted(found.values())


@pytest.mark.parametrize("name", public_functions())
def test_a_function_describes_every_parameter(name: str) -> None:
    module, _, last = name.rpartition(".")
    function = getattr(importlib.import_module(module), last)
    section = (inspect.getdoc(function) or "").partition("Parameters\n----------\n")[2]
    section = re.split(r"\n\w+\n-{4,}\n", section)[0]
    described = {
        part.strip().lstrip("*")
        for line in re.findall(r"^(\S.*)$", section, flags=re.MULTILINE)
        for part in line.partition(" : ")[0].split(",")
    }
    assert set(inspect.signature(function).parameters) <= described


def test_every_public_name_belongs_to_a_section() -> None:
    """The site has a section for each of the modules that define the names of ``deltarule``."""
    source = (ROOT / "docs" / "extensions" / "api_pages.py").read_text(encoding="utf-8")
    (sections,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SECTIONS"
    )
    prefixes = tuple(prefix for group in sections.values() for prefix in group)
    for name in deltarule.__all__:
        value = getattr(deltarule, name)
        if not is_module(value):
            assert value.__module__.startswith(prefixes), name
