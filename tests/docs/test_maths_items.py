"""docs/maths.md speaks of every coded item and erratum; the functions and tests it names exist."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from typing import Any

import pytest

import deltarule
from support.paths import ROOT

TEXT = (ROOT / "docs/maths.md").read_text(encoding="utf-8")
COUNTS = {
    "M": 9, "A": 7, "L": 5, "B": 4, "I": 5, "D": 4, "O": 9, "R": 6, "N": 3, "H": 5, "T": 4, "E": 8,
}  # fmt: skip
ITEMS = [f"{letter}{i}" for letter, count in COUNTS.items() for i in range(1, count + 1)]
ERRATA = [*"abcdefghijklmnopqrstuvwxyz", "aa", "ab", "ac", "ad", "ae", "af", "ag", "ah", "ai"]


def section(title: str) -> str:
    body = TEXT.split(f". {title}\n", 1)[1]
    return body.split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


TABLE = {row[0]: row[1:] for row in rows(section("Every item")) if row[0] != "item"}


def found(path: str) -> Any:
    """Return what a dotted path names, in deltarule or in its reference; None if nothing."""
    for root in ("deltarule", "deltarule.reference"):
        names = [*root.split("."), *path.split(".")]
        for cut in range(len(names), 0, -1):
            try:
                thing: Any = importlib.import_module(".".join(names[:cut]))
            except ModuleNotFoundError:
                continue
            for name in names[cut:]:
                thing = getattr(thing, name, None)
            if thing is not None:
                return thing
            break
    return None


@cache
def defined_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_69_items_and_the_table_has_them_all_in_order() -> None:
    assert len(ITEMS) == 69
    assert list(TABLE) == ITEMS


@pytest.mark.parametrize("item", ITEMS)
def test_functions_and_defined_in_an_item_exist(item: str) -> None:
    functions, tests = (re.findall(r"`([^`]+)`", cell) for cell in TABLE[item])
    assert functions
    assert tests
    for name in functions:
        assert found(name) is not None, name
    for name in tests:
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), name
        tests_there = {known for known in defined_in(file) if known.startswith("test_")}
        assert tests_there, name
        assert not test or test in tests_there, name


def test_every_dotted_name_in_the_document_exists() -> None:
    dotted = set(re.findall(r"`([A-Za-z_]+(?:\.[A-Za-z_0-9]+)+)(?:\([^`]*\))?`", TEXT))
    mathematics = {
        name
        for name in dotted
        if not name.endswith((".py", ".md")) and not name.startswith(("net.", "deltarule."))
    }
    assert len(mathematics) > 100
    assert sorted(name for name in mathematics if found(name) is None) == []


def test_every_file_in_the_document_exists() -> None:
    for name in set(re.findall(r"`((?:\w+/)+\w*\.?\w*)`", TEXT)):
        places = (ROOT / name, ROOT / "src/deltarule" / name, ROOT / "src" / name)
        assert any(place.exists() for place in places), name


def test_every_activation_loss_and_map_has_a_row() -> None:
    from deltarule.reference import MAPS, activations, losses
    from deltarule.spec import ACTIVATIONS, LOSSES

    names = set(re.findall(r"`[a-z_.]*\.([a-z_0-9]+)`", TEXT))
    assert set(ACTIVATIONS) <= names
    assert {f.__name__ for f in (loss.value for loss in losses.LOSSES.values())} <= names
    assert set(LOSSES) - {"binary_cross_entropy", "categorical_cross_entropy"} <= names
    assert {f.name for f in MAPS} <= names
    assert len(activations.ELEMENTWISE) + 1 == len(ACTIVATIONS)


def test_every_erratum_has_a_row() -> None:
    table = [row for row in rows(section("Errata")) if row[0]]
    assert [row[0] for row in table] == [f"E-{code}" for code in ERRATA]
    assert all(len(row) == 3 and all(row) for row in table)


def test_every_equation_has_its_own_number_in_order() -> None:
    numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", TEXT, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    for low, high in re.findall(r"\((\d+)\)(?:–\((\d+)\))?", TEXT):
        assert int(high or low) <= len(numbers)


def test_the_public_optimisers_and_schedules_are_all_named() -> None:
    from deltarule import schedules
    from deltarule.spec import optimizers

    descriptions = {kind.__name__ for kind in optimizers.OPTIMIZERS.values()}
    laws = {name for name in schedules.__all__ if name in deltarule.__all__}
    for name in descriptions | laws:
        assert re.search(rf"`(?:schedules\.)?{name}`", TEXT), name
